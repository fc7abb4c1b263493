"""Gangs whose roles each need some of their pods: who starts, who grows, who makes way, and what is said."""

from typing import Any

import msgspec
import pytest

from scheduler.model.names import PodUid, QueueName
from scheduler.model.plan import Admit, Plan, Reclaim
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Lack, Pod, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, equal, gang, outcome, pods, queue, shape, waiting

FOUR = "n0: ........\nn1: ........\nn2: ........\nn3: ........"
RACKS = "b0/r0 n0: ........\nb0/r0 n1: ........\nb0/r1 n2: ........\nb0/r1 n3: ........"


def planned(snap: Snapshot, *, reclaim: bool = False) -> Plan:
    made = plan(snap, now_s=1000, settings=PlanSettings(reclaim=reclaim))
    assert broken_rules(snap, made) == []
    return made


def role(name: str, count: int, *, on: tuple[str | None, ...] = (), gpus: int = 8, **more: Any) -> tuple[Pod, ...]:  # noqa: ANN401  fields of the record
    """Pods of a role; those on nodes stand since second 10."""
    return pods(name, [shape(gpus)] * count, on=on, role=name, created_s=5, bound_s=10 if any(on) else None, **more)


def serving(*roles: tuple[Pod, ...], least: dict[str, int], **more: Any) -> Workload:  # noqa: ANN401  fields of the record
    members = [pod for some in roles for pod in some]
    more.setdefault("created_s", 5)
    needed = more.pop("needed", sum(least.values()))
    return gang("g", members, least=needed, role_minimums=tuple(sorted(least.items())), **more)


def started(made: Plan) -> list[str]:
    return sorted(
        a.pod
        for d in made.decisions
        if isinstance(d, Admit) and d.workload == "gang:team/g"
        for a in d.placement.assignments
    )


def test_every_role_starts_with_what_it_needs() -> None:
    workload = serving(role("worker", 6), role("leader", 1), least={"worker": 2, "leader": 1})
    drawing = "n0: ........\nn1: ........\nn2: ........"
    assert started(planned(draw(drawing, workload))) == ["leader-0", "worker-0", "worker-1"]


def test_members_beyond_the_roles_make_up_the_number_by_rank() -> None:
    workload = serving(role("worker", 4), role("leader", 2), least={"leader": 1}, needed=3)
    assert started(planned(draw("n0: ........\nn1: ........\nn2: ........", workload))) == [
        "leader-0",
        "worker-0",
        "worker-1",
    ]


def test_a_role_without_room_keeps_all_waiting_and_is_named() -> None:
    workload = serving(role("worker", 2, gpus=4), role("leader", 1), least={"worker": 1, "leader": 1})
    wait = waiting(planned(draw("n0: ....\nn1: ....", workload)), "g")
    assert "the role leader finds no room, the others would" in wait.detail


def test_a_role_whose_pods_are_not_there_yet_is_waited_for() -> None:
    workload = serving(role("worker", 3), role("leader", 1), least={"worker": 1, "leader": 2}, size=6)
    wait = waiting(planned(draw(FOUR, workload)), "g")
    assert (wait.reason.value, wait.detail) == ("GangIncomplete", "1 of 2 pods of the role leader have arrived")


def test_a_gang_that_lost_its_leader_gets_it_back_before_others_start() -> None:
    workload = serving(
        role("worker", 2, on=("n0", "n1")), role("leader", 1), least={"worker": 1, "leader": 1}, needed=2
    )
    other = equal("other", 1, priority=100)
    made = planned(draw("n0: ........\nn1: ........\nn2: ........", workload, other))
    assert (outcome(made, "g"), outcome(made, "other")) == ("n2", "InsufficientResources")


@pytest.mark.parametrize(
    ("order", "left"),
    [(("worker", "leader"), {"worker-0", "leader-0"}), (("leader", "worker"), {"leader-0", "worker-0"})],
)
def test_what_a_role_needs_never_makes_way_alone(order: tuple[str, str], left: set[str]) -> None:
    nodes = {"worker": ("n0", "n1", "n2"), "leader": ("n3",)}
    members = [role(name, len(nodes[name]), on=nodes[name]) for name in order]
    workload = serving(*members, least={"worker": 1, "leader": 1})
    owner = equal("owner", 2, queue=QueueName("b"), created_s=900)
    made = planned(draw(FOUR, workload, owner, queues=[queue("a", nominal=16), queue("b", nominal=16)]), reclaim=True)
    (claim,) = (decision for decision in made.decisions if isinstance(decision, Reclaim))
    (victim,) = claim.victims
    assert {pod.uid for pod in workload.members} - set(victim.pods) == left


def test_roles_grow_where_they_stand() -> None:
    workload = serving(
        role("prefill", 3, on=("n0",), role_required="rack"),
        role("decode", 3, on=("n2",), role_required="rack"),
        least={"prefill": 1, "decode": 1},
    )
    made = planned(draw(RACKS, workload))
    (admit,) = made.decisions
    assert isinstance(admit, Admit)
    at = {a.pod: a.node for a in admit.placement.assignments}
    assert {uid: at[PodUid(uid)] for uid in ("prefill-1", "decode-1")} == {"prefill-1": "n1", "decode-1": "n3"}


def test_what_is_lacking() -> None:
    workload = serving(role("worker", 3), role("leader", 1), least={"worker": 2, "leader": 1})
    worker, leader = role("worker", 3), role("leader", 1)
    assert workload.lacking((*worker[:2], *leader)) == ()
    assert workload.lacking(worker) == (Lack(role="leader", needed=1, there=0),)
    assert workload.lacking(leader) == (
        Lack(role=None, needed=3, there=1),
        Lack(role="worker", needed=2, there=0),
    )


@pytest.mark.parametrize(
    ("stood", "want"),
    [pytest.param(True, False, id="the leader was replaced"), pytest.param(False, True, id="cut short")],
)
def test_a_start_that_was_cut_short_is_known_by_its_roles(stood: bool, want: bool) -> None:
    (leader,) = pods("leader", [shape(8)], role="leader", created_s=20 if stood else 5)
    workload = serving(role("worker", 2, on=("n0", "n1")), (leader,), least={"worker": 1, "leader": 1})
    assert workload.never_stood is want


def test_no_plan_places_fewer_of_a_role_than_it_needs() -> None:
    workload = serving(role("worker", 3), role("leader", 1), least={"worker": 1, "leader": 1})
    snap = draw(FOUR, workload)
    made = planned(snap)
    (admit,) = made.decisions
    assert isinstance(admit, Admit)
    fewer = tuple(a for a in admit.placement.assignments if a.pod != "leader-0")
    wrong = msgspec.structs.replace(admit, placement=msgspec.structs.replace(admit.placement, assignments=fewer))
    assert broken_rules(snap, msgspec.structs.replace(made, decisions=(wrong,))) == [
        "gang:team/g: 0 of at least 1 pods of role leader would stand"
    ]
