"""The checker accepts plans as they are made and refuses them when anything is changed for the worse."""

from typing import Any

import msgspec
import pytest

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import Taint
from scheduler.model.plan import Admit, Assignment, Offer, Placement, Plan, Reason, RollBack, Wait
from scheduler.model.snapshot import InFlight, Snapshot
from scheduler.model.workload import HostPort, Problem
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import A, gang, node, pods, queue, shape, single, snapshot

WORKER = shape(4, models=("H100", "A100"), node_selector=(("zone", "z"),), host_ports=(HostPort(port=80),))
PICKY = shape(1, scheduler_rules=("volumes",), node_selector=(("r", "r0"), ("zone", "z")), models=("H100",))
GANG = WorkloadKey("gang:team/g")
ONE = WorkloadKey("pod:team/one")


def cluster(**more: Any) -> Snapshot:  # noqa: ANN401  fields of the gang
    """A gang of two that may go to n0 and n1; every other node breaks one rule for it."""
    rack = {"zone": "z", "r": "r0"}
    nodes = [
        node("n0", product="H100", labels=rack, unhealthy=[7]),
        node("n1", product="H100", labels=rack),
        node("away", product="H100", labels={"zone": "z", "r": "r1"}),
        node("bare", product="H100", labels={"zone": "z"}),
        node("cordoned", product="H100", labels=rack, unschedulable=True),
        node("down", product="H100", labels=rack, ready=False),
        node("elsewhere", product="H100", labels={"r": "r0"}),
        node("full", product="H100", labels=rack),
        node("model", product="L40S", labels=rack),
        node("other", product="A100", labels=rack),
        node("ports", product="H100", labels=rack),
        node("refused", product="H100", labels=rack),
        node("tainted", product="H100", labels=rack, taints=(Taint(key="spot"),)),
    ]
    kept: dict[str, Any] = {"topology_required": "rack", "avoid": frozenset({NodeName("refused")}), **more}
    return snapshot(
        nodes,
        [gang("g", pods("g", [WORKER] * 2), **kept), single("one", PICKY)],
        held={"n0": [0], "full": range(6)},
        ports={"ports": (HostPort(port=80, address="10.0.0.1"),)},
        queues=[queue("a", nominal=9, borrow=0)],
    )


SNAP = cluster()


def assigned(pod: str, place: str, *devices: int) -> Assignment:
    return Assignment(pod=PodUid(pod), node=NodeName(place), devices=devices)


FIRST, SECOND = assigned("g-0", "n0", 1, 2, 3, 4), assigned("g-1", "n1", 0, 1, 2, 3)
OFFER = Offer(workload=ONE, pod=PodUid("one-0"), nodes=((NodeName("n1"), 2), (NodeName("n0"), 1)))


def admit(*assignments: Assignment) -> Admit:
    return Admit(workload=GANG, placement=Placement(assignments=assignments))


def broken(*decisions: Admit | Offer | RollBack | Wait, snap: Snapshot = SNAP, generation: int = 1) -> list[str]:
    return broken_rules(snap, Plan(generation=generation, decisions=decisions))


def test_the_plan_itself_is_accepted() -> None:
    assert broken(admit(FIRST, SECOND), OFFER) == []
    assert broken_rules(SNAP, plan(SNAP, now_s=0, settings=PlanSettings())) == []


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("away", "2 domains of rack, one required"),
        ("bare", "a node lacks the required level rack"),
        ("cordoned", "the node is cordoned"),
        ("down", "the node is not ready"),
        ("elsewhere", "label zone is not 'z'"),
        ("full", "4 of nvidia.com/gpu asked for, 2 free"),
        ("model", "its product 'L40S' is none of"),
        ("other", "on several GPU models"),
        ("ports", "host port TCP 80 is taken"),
        ("refused", "the node refused the workload"),
        ("tainted", "the taint spot=:NoSchedule is not tolerated"),
        ("n0", "host port TCP 80 is taken"),
        ("nowhere", "there is no such node"),
    ],
)
def test_a_member_moved_to_another_node_is_refused(place: str, rule: str) -> None:
    found = broken(admit(FIRST, assigned("g-1", place)))
    assert any(rule in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        pytest.param((FIRST,), "1 of at least 2 pods would stand", id="a member left out"),
        pytest.param((), "admitted without a pod", id="nobody placed"),
        pytest.param((FIRST, SECOND, assigned("x-9", "n1")), "x-9 is placed but does not wait", id="a stranger"),
        pytest.param((FIRST, FIRST, SECOND), "a pod is placed twice", id="a pod twice"),
        pytest.param((FIRST, assigned("g-1", "n1", 0, 1, 2)), "3 devices for 4 GPUs", id="too few devices"),
        pytest.param((assigned("g-0", "n0", 0, 1, 2, 3), SECOND), "device 0 is taken", id="a device of others"),
        pytest.param((assigned("g-0", "n0", 4, 5, 6, 7), SECOND), "device 7 is unknown, unhealthy", id="unhealthy"),
        pytest.param((assigned("g-0", "n0", 6, 8, 9, 10), SECOND), "device 8 is unknown", id="unknown"),
        pytest.param((FIRST, assigned("g-1", "n1", 0, 0, 1, 2)), "device 0 is also given to g-1", id="a device twice"),
    ],
)
def test_a_changed_placement_is_refused(changed: tuple[Assignment, ...], rule: str) -> None:
    found = broken(admit(*changed))
    assert any(rule in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ((("n0", 1), ("n1", 2)), "not in the order of their scores"),
        ((), "offered no node"),
        ((("tainted", 1),), "is not tolerated"),
        ((("other", 1),), "is none of H100"),
        ((("nowhere", 1),), "no such node"),
    ],
)
def test_a_changed_offer_is_refused(nodes: tuple[tuple[str, int], ...], rule: str) -> None:
    offer = msgspec.structs.replace(OFFER, nodes=tuple((NodeName(name), score) for name, score in nodes))
    found = broken(offer)
    assert any(rule in sentence for sentence in found), found


def test_a_limit_of_a_queue_holds_for_the_plan_as_a_whole() -> None:
    tight = msgspec.structs.replace(SNAP, queues={A: queue("a", nominal=8, borrow=0)})
    assert broken(admit(FIRST, SECOND), snap=tight) == []
    assert broken(admit(FIRST, SECOND), OFFER, snap=tight) == ["queue a: 9000 milli-GPU of at most 8000"]
    flavored = msgspec.structs.replace(SNAP, queues={A: queue("a", flavors={"H100": 7})})
    assert broken(admit(FIRST, SECOND), snap=flavored) == ["queue a: 8000 milli-GPU of H100 of at most 7000"]


def test_a_workload_is_decided_once_and_not_while_its_plan_is_carried_out() -> None:
    assert broken(OFFER, OFFER)[0] == "pod:team/one: 2 decisions"
    flight = InFlight(workload=ONE, queue=A, assignments=(), milli_gpu=1000)
    flying = msgspec.structs.replace(SNAP, in_flight={ONE: flight})
    assert broken(OFFER, snap=flying) == ["pod:team/one: decided, but its plan is being carried out"]
    stranger = Wait(workload=WorkloadKey("gang:team/x"), reason=Reason.FRAGMENTED, message="")
    assert broken(stranger) == ["gang:team/x: decided, but unknown"]
    assert broken(OFFER, generation=2) == ["plan of generation 2 on a snapshot of 1"]


def test_only_standing_pods_are_taken_back() -> None:
    found = broken(RollBack(workload=GANG, evict=(PodUid("g-0"),), why=""))
    assert found == ["gang:team/g: g-0 is taken back but does not stand"]


def test_a_workload_with_problems_is_not_admitted() -> None:
    problem = Problem(where="x", value="y", allowed="z")
    found = broken(admit(FIRST, SECOND), snap=cluster(problems=(problem,)))
    assert found == ["gang:team/g: admitted though it has problems or gates of others"]


def test_pods_of_a_plan_share_what_is_free() -> None:
    twice = snapshot([node("n0")], [single("a", shape(5)), single("b", shape(5))])
    decisions = [
        Admit(workload=w.key, placement=Placement(assignments=(assigned(w.members[0].uid, "n0"),)))
        for w in twice.workloads.values()
    ]
    assert broken(*decisions, snap=twice) == ["new pods on n0: 10 of nvidia.com/gpu asked for, 8 free"]
