"""Elastic gangs: what all need comes first, then who grows, how far, and where."""

from typing import Any

import msgspec
import pytest

from scheduler.model.names import QueueName
from scheduler.model.plan import Admit, Plan, Reclaim
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import HostPort, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import explain
from scheduler.planning.screen import ARRIVAL_S
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, equal, gang, outcome, pods, queue, shape, single, waiting

FOUR = "n0: ........\nn1: ........\nn2: ........\nn3: ........"
RACKS = "b0/r0 n0: ........\nb0/r0 n1: ........\nb0/r1 n2: ........\nb0/r1 n3: ........\nb0/r1 n4: ........"


def planned(snap: Snapshot, *, reclaim: bool = False) -> Plan:
    made = plan(snap, now_s=1000, settings=PlanSettings(reclaim=reclaim))
    assert broken_rules(snap, made) == []
    return made


def standing(name: str, on: list[str], size: int, **more: Any) -> Workload:  # noqa: ANN401  fields of the record
    """A gang of pods of 8 GPUs, those first on the nodes `on`, that needs one."""
    more.setdefault("least", 1)
    return gang(name, pods(name, [shape(8)] * size, on=on, created_s=5, bound_s=10), created_s=5, **more)


def counts(made: Plan, *names: str) -> list[int | str]:
    """How many pods of each start, or why none does."""
    found = [outcome(made, name) for name in names]
    return [len(some.split()) if some.startswith("n") and some[1].isdigit() else some for some in found]


def test_all_that_need_room_have_it_before_any_gang_grows() -> None:
    snap = draw(FOUR, equal("first", 4, least=2, created_s=1), equal("second", 4, least=2, created_s=2))
    assert counts(planned(snap), "first", "second") == [2, 2]


def test_the_older_grows_first_and_takes_what_there_is() -> None:
    snap = draw(FOUR, equal("first", 4, least=1, created_s=1), equal("second", 4, least=1, created_s=2))
    assert counts(planned(snap), "first", "second") == [3, 1]


def test_later_work_that_can_start_goes_before_growth() -> None:
    snap = draw(FOUR, standing("wide", ["n0"], 4), single("job", shape(8), created_s=100))
    assert counts(planned(snap), "wide", "job") == [2, 1]


@pytest.mark.parametrize(
    ("nominal", "borrow", "want"),
    [(3, None, 4), (3, 0, 3), (2, 1, 3), (2, 0, 2), (1, 0, 1), (0, 0, "QuotaExhausted")],
)
def test_growth_stays_inside_quota(nominal: int, borrow: int | None, want: int | str) -> None:
    limit = None if borrow is None else 8 * borrow
    snap = draw(FOUR, equal("wide", 4, least=1), queues=[queue(nominal=8 * nominal, borrow=limit)])
    assert counts(planned(snap), "wide") == [want]


def test_growth_that_nominal_quota_covers_goes_first() -> None:
    queues = [queue("a", nominal=8), queue("b", nominal=24)]
    early, late = equal("early", 4, least=1, created_s=1), equal("late", 4, least=1, created_s=2, queue=QueueName("b"))
    assert counts(planned(draw(FOUR, early, late, queues=queues)), "early", "late") == [1, 3]


def test_growth_goes_on_by_borrowing_where_nominal_quota_ends() -> None:
    queues = [queue("a", nominal=16), queue("b", nominal=8)]
    early, late = equal("early", 4, least=1, created_s=1), equal("late", 1, created_s=2, queue=QueueName("b"))
    assert counts(planned(draw(FOUR, early, late, queues=queues)), "early", "late") == [3, 1]


def test_a_gang_starts_where_most_of_it_fits() -> None:
    snap = draw(RACKS, equal("wide", 4, least=2, topology_required="rack"))
    assert outcome(planned(snap), "wide") == "n2 n3 n4"


def test_a_gang_grows_where_it_stands() -> None:
    snap = draw(RACKS, standing("wide", ["n0"], 4, topology_required="rack"))
    assert outcome(planned(snap), "wide") == "n1"


def test_a_gang_that_cannot_grow_says_how_it_stands() -> None:
    wait = waiting(planned(draw("n0: ........\nn1: ########", standing("wide", ["n0"], 4))), "wide")
    assert wait.reason.value == "RunsWithFewer"
    assert wait.message == "runs with 1 of 4 pods; grows when there is room"
    assert wait.blocking
    assert explain(wait)[0] == "team/wide runs with 1 of 4 pods; grows when there is room."


def test_a_gang_that_cannot_grow_holds_nobody_back() -> None:
    strict = msgspec.structs.replace(queue(nominal=32), order="StrictFIFO")
    wide = gang("wide", pods("wide", [shape(8), shape(4)], on=["n0"], created_s=5, bound_s=10), created_s=5, least=1)
    snap = draw("n0: ........\nn1: ##", wide, single("job", created_s=100), queues=[strict])
    assert counts(planned(snap), "wide", "job") == ["RunsWithFewer", "InsufficientResources"]
    snap = draw("n0: ........\nn1: ..", wide, single("job", created_s=100), queues=[strict])
    assert counts(planned(snap), "wide", "job") == ["RunsWithFewer", 1]


def test_a_blocked_gang_keeps_its_room_from_growth() -> None:
    large = equal("large", 4, created_s=900)
    assert counts(planned(draw(FOUR, standing("wide", ["n0"], 4), large)), "wide", "large") == [
        "RunsWithFewer",
        "InsufficientResources",
    ]


def test_work_that_is_not_preemptible_grows_to_nominal_quota() -> None:
    snap = draw(FOUR, standing("wide", ["n0"], 4, preemptible=False), queues=[queue(nominal=16)])
    assert counts(planned(snap), "wide") == [1]


def test_what_cannot_be_laid_out_anew_starts_with_what_it_needs() -> None:
    each = shape(8, host_ports=(HostPort(port=80),))
    snap = draw(FOUR, gang("wide", pods("wide", [each] * 4), least=2))
    assert counts(planned(snap), "wide") == [2]


QUEUES: list[Queue] = [queue("a", nominal=8), queue("b", nominal=24)]


def test_a_gang_does_not_grow_in_place_of_those_it_made_way_for() -> None:
    wide = standing("wide", ["n0", "n1", "n2", "n3"], 5)
    made = planned(draw(FOUR, wide, equal("owner", 2, queue=QueueName("b")), queues=QUEUES), reclaim=True)
    claims = [decision for decision in made.decisions if isinstance(decision, Reclaim)]
    assert [victim.why for claim in claims for victim in claim.victims] == ["surplus"]
    assert outcome(made, "wide") == "RunsWithFewer"


def test_a_gang_stays_where_it_was_when_victims_were_chosen() -> None:
    wide = equal("wide", 2, least=1, created_s=1, avoid=frozenset({"n2", "n3", "n4"}))
    guest = standing("guest", ["n2"], 1, queue=QueueName("c"))
    owner = equal("owner", 3, created_s=2, queue=QueueName("b"), topology_required="rack")
    queues = [*QUEUES, queue("c")]
    assert counts(planned(draw(RACKS, wide, guest, owner, queues=queues), reclaim=True), "wide", "owner") == [1, 3]
    assert counts(planned(draw(RACKS, wide, guest, queues=queues), reclaim=True), "wide") == [2]


def test_nobody_makes_way_for_growth() -> None:
    other = standing("other", ["n1", "n2", "n3"], 3)
    wide = standing("wide", ["n0"], 3, queue=QueueName("b"))
    made = planned(draw(FOUR, wide, other, queues=QUEUES), reclaim=True)
    assert outcome(made, "wide") == "RunsWithFewer"


def test_one_decision_on_a_gang_that_starts_and_grows() -> None:
    made = planned(draw(FOUR, equal("wide", 4, least=1)))
    (admit,) = made.decisions
    assert isinstance(admit, Admit)
    assert sorted(a.pod for a in admit.placement.assignments) == [f"wide-{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("size", "newest_s", "want"),
    [
        pytest.param(4, 1000 - ARRIVAL_S, 3, id="the others take long"),
        pytest.param(4, 1001 - ARRIVAL_S, "GangIncomplete", id="one came just now"),
        pytest.param(3, 1000, 3, id="all are there"),
    ],
)
def test_a_gang_waits_a_moment_for_pods_that_are_still_being_made(size: int, newest_s: int, want: int | str) -> None:
    members = [*pods("old", [shape(8)] * 2, created_s=5), *pods("new", [shape(8)], created_s=newest_s)]
    made = planned(draw(FOUR, gang("wide", members, least=1, size=size)))
    assert counts(made, "wide") == [want]
    if want == "GangIncomplete":
        assert waiting(made, "wide").until_s == newest_s + ARRIVAL_S


def test_a_gang_that_stands_waits_for_no_pods_that_may_come() -> None:
    snap = draw(FOUR, msgspec.structs.replace(standing("wide", ["n0"], 2), size=4))
    young = msgspec.structs.replace(snap, workloads={k: _with_a_young_pod(w) for k, w in snap.workloads.items()})
    assert counts(planned(young), "wide") == [1]


def _with_a_young_pod(workload: Workload) -> Workload:
    *others, last = workload.members
    return msgspec.structs.replace(workload, members=(*others, msgspec.structs.replace(last, created_s=1000)))
