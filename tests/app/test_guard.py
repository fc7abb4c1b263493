"""The service as the extender sees it: what stands on the board, as long as this replica leads."""

import pytest

from scheduler.app.board import Board
from scheduler.app.guard import ServiceGuard
from scheduler.extender.guard import BindRequest, Offered, Planned, Ruling, Untouched, Waiting
from scheduler.model.names import NodeName, PodUid, WorkloadKey

KEY = WorkloadKey("gang:ns/g")
POD, NODE = PodUid("u"), NodeName("n")


class Lead:
    """Whether the replica leads, as the lease and the clock say."""

    def __init__(self) -> None:
        self.valid = True


def guard_of(board: Board, lead: Lead) -> ServiceGuard:
    async def bind(_: BindRequest) -> str | None:
        return None

    return ServiceGuard(
        board,
        scheduler_name="bayplan",
        workload_of=lambda _: KEY,
        leading=lambda: lead.valid,
        bind=bind,
        refused=lambda _pod, _node: None,
    )


@pytest.mark.parametrize(
    ("ruling", "then"),
    [
        (Planned(workload=KEY, node=NODE), Waiting(workload=KEY)),
        (Offered(workload=KEY, scores={NODE: 1}), Waiting(workload=KEY)),
        (Waiting(workload=KEY), Waiting(workload=KEY)),
        (Untouched(), Untouched()),
    ],
)
async def test_a_replica_whose_lease_ran_out_rules_by_no_plan_though_its_board_still_holds_it(
    ruling: Ruling, then: Ruling
) -> None:
    board, lead = Board(), Lead()
    guard = guard_of(board, lead)
    board.put(POD, ruling)
    assert guard.ruling(POD) == ruling
    lead.valid = False
    assert guard.ruling(POD) == then
    assert guard.ruling(PodUid("strange")) is None


async def test_a_replica_whose_lease_ran_out_binds_nobody() -> None:
    lead = Lead()
    guard = guard_of(Board(), lead)
    request = BindRequest(pod=POD, namespace="ns", name="p", node=NODE)
    lead.valid = False
    assert await guard.bind(request) == "this replica does not lead"
