"""Domains that gangs have for themselves, in drawings of clusters."""

import msgspec
import pytest

from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Assignment, Plan
from scheduler.model.snapshot import InFlight, Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import A, draw, equal, gang, outcome, pods, shape, single, waiting

RACKS = """
b0/r0 n0: ....
b0/r0 n1: ....
b0/r1 n2: ....
b0/r1 n3: ....
"""


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=0, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    return decided


def standing(name: str, *on: str, gpus: int = 1, exclusive: str | None = None) -> Workload:
    return gang(name, pods(name, [shape(gpus)] * len(on), on=on), topology_exclusive=exclusive)


def test_an_exclusive_gang_goes_where_no_other_gang_is() -> None:
    decided = planned(draw(RACKS, standing("s", "n0"), equal("g", 2, 4, topology_exclusive="rack")))
    assert outcome(decided, "g") == "n2 n3"


def test_no_other_gang_goes_where_an_exclusive_one_is_but_a_pod_alone_does() -> None:
    snap = draw(
        RACKS,
        standing("s", "n0", gpus=3, exclusive="rack"),
        equal("g", 2, 4),
        single("p"),
    )
    decided = planned(snap)
    assert outcome(decided, "g") == "n2 n3"
    assert outcome(decided, "p") == "n0"


def test_gangs_of_one_plan_keep_apart_too() -> None:
    first = equal("f", 1, 1, topology_exclusive="rack", created_s=0)
    decided = planned(draw(RACKS, first, equal("g", 1, 1, created_s=1), equal("h", 2, 1, created_s=2)))
    assert outcome(decided, "f") == "n0"
    assert outcome(decided, "g") == "n2"
    assert outcome(decided, "h") == "n2 n2"


def test_two_exclusive_gangs_never_share() -> None:
    gangs = [equal(name, 1, 1, topology_exclusive="rack", created_s=at) for at, name in enumerate("fgh")]
    decided = planned(draw(RACKS, *gangs))
    assert [outcome(decided, name) for name in "fgh"] == ["n0", "n2", "TopologyUnsatisfied"]


def test_a_gang_whose_plan_is_carried_out_counts_as_standing() -> None:
    coming = equal("s", 1, 1, topology_exclusive="rack")
    flight = InFlight(
        workload=coming.key,
        queue=A,
        assignments=(Assignment(pod=coming.members[0].uid, node=NodeName("n0")),),
        milli_gpu=1000,
    )
    assert outcome(planned(draw(RACKS, coming, equal("g", 1, 4), in_flight=[flight])), "g") == "n2"


@pytest.mark.parametrize(("inside", "want"), [("..", "n1 n1"), (".", "InsufficientResources")])
def test_nodes_outside_the_level_are_not_taken(inside: str, want: str) -> None:
    snap = draw(f"b0/- n0: ..\nb0/r1 n1: {inside}", equal("g", 2, 1, topology_exclusive="rack"))
    assert outcome(planned(snap), "g") == want


def test_a_member_that_comes_back_goes_to_its_gang() -> None:
    members = pods("g", [shape(1)] * 2, on=["n0", None])
    decided = planned(draw(RACKS, gang("g", members, topology_exclusive="rack"), standing("s", "n2")))
    assert outcome(decided, "g") == "n0"


def test_why_an_exclusive_gang_waits() -> None:
    snap = draw(RACKS, standing("s", "n0"), standing("t", "n2"), equal("g", 2, 2, topology_exclusive="rack"))
    wait = waiting(planned(snap), "g")
    assert wait.message == "racks without other gangs have too little room for it"
    assert wait.detail == "needs room for 2 pods; racks without other gangs have room for 0"
    assert wait.unblock == "It starts when other gangs leave a rack, or without bayplan.dev/topology-exclusive."
    assert [(b.kind, b.subject, b.needed, b.available) for b in wait.blocking] == [("topology", "rack", 2, 0)]


def test_why_another_gang_waits_for_an_exclusive_one() -> None:
    snap = draw(RACKS, standing("s", "n0", exclusive="rack"), equal("g", 3, 4))
    wait = waiting(planned(snap), "g")
    assert wait.message == "the room that it needs is in domains that other gangs have for themselves"
    assert wait.detail == "needs room for 3 pods; elsewhere there is room for 2; kept by team/s (rack)"


def test_no_room_is_kept_for_it_outside_the_level() -> None:
    # It waits for more room in its rack; the node beside is of no use to it.
    first = equal("f", 2, 2, topology_exclusive="rack", created_s=0)
    snap = draw("b0/- n0: ....\nb0/r1 n1: ..##", first, equal("g", 2, 2, created_s=1))
    decided = planned(snap)
    assert outcome(decided, "f") == "InsufficientResources"
    assert outcome(decided, "g") == "n0 n0"


def test_no_node_in_the_level_is_said_so() -> None:
    snap = draw("b0/- n0: ..\nb0/r0 n1:", equal("g", 2, 1, topology_exclusive="rack"))
    assert "rack" in waiting(planned(snap), "g").message


@pytest.mark.parametrize("exclusive", ["s", "g"])
def test_the_checker_refuses_a_gang_in_anothers_domain(exclusive: str) -> None:
    stays, comes = standing("s", "n0"), equal("g", 1, 1)
    wanted = [
        msgspec.structs.replace(w, topology_exclusive="rack") if w.key.endswith(exclusive) else w
        for w in (stays, comes)
    ]
    snap = draw(RACKS, *wanted)
    decided = planned(snap)
    (admit,) = (d for d in decided.decisions if isinstance(d, Admit))
    (assigned,) = admit.placement.assignments
    moved = Assignment(pod=assigned.pod, node=NodeName("n1"), devices=(0,))
    placement = msgspec.structs.replace(admit.placement, assignments=(moved,))
    bad = msgspec.structs.replace(decided, decisions=(msgspec.structs.replace(admit, placement=placement),))
    assert any("is in its rack r0" in why for why in broken_rules(snap, bad))
