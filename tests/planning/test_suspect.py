"""GPUs with signs of a fault: used when nothing else is left, and never a reason not to start."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.node import Allocator, Node
from scheduler.model.plan import Admit, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import equal, gang, node, outcome, pods, queue, shape, single, snapshot

DRA, PLUGIN = Allocator.DRA, Allocator.DEVICE_PLUGIN


def decide(snap: Snapshot) -> Plan:
    made = plan(snap, now_s=0, settings=PlanSettings())
    assert broken_rules(snap, made) == []
    return made


def devices(made: Plan) -> dict[str, tuple[int, ...]]:
    """GPUs by pod."""
    return {a.pod: a.devices for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments}


def cluster(*nodes: Node, waiting: list[int], held: dict[str, list[int]] | None = None) -> Snapshot:
    """Pods that stand alone, p0 first; each number is the GPUs of one."""
    singles = [single(f"p{i}", shape(gpus), created_s=i) for i, gpus in enumerate(waiting)]
    return snapshot(nodes, singles, queues=[queue(nominal=100)], held=held or {})


@pytest.mark.parametrize("allocator", [DRA, PLUGIN])
def test_a_single_pod_goes_where_no_gpu_is_suspect_though_the_other_node_is_the_fuller(allocator: Allocator) -> None:
    # By packing alone the pod would go to n1, of which half is in use.
    snap = cluster(node("n1", 4, suspect=[3], allocator=allocator), node("n2", 4), waiting=[3], held={"n1": [0, 1]})
    assert outcome(decide(snap), "p0") == "n2"


def test_the_sound_gpus_of_a_node_are_as_good_as_any_where_the_plan_chooses() -> None:
    snap = cluster(node("n1", 4, suspect=[0], allocator=DRA), node("n2", 8), waiting=[3])
    made = decide(snap)
    assert outcome(made, "p0") == "n1"
    assert devices(made) == {"p0-0": (1, 2, 3)}


def test_the_plugin_may_give_any_so_a_node_with_a_suspect_comes_last() -> None:
    snap = cluster(node("n1", 4, suspect=[0], allocator=PLUGIN), node("n2", 8), waiting=[1, 4, 4, 3])
    made = decide(snap)
    assert [outcome(made, f"p{i}") for i in range(4)] == ["n2", "n2", "n1", "n2"]


def test_the_plugin_cannot_give_a_suspect_that_somebody_holds() -> None:
    snap = cluster(node("n1", 4, suspect=[0]), node("n2", 8), waiting=[1], held={"n1": [0]})
    assert outcome(decide(snap), "p0") == "n1"


@pytest.mark.parametrize("allocator", [DRA, PLUGIN])
def test_a_gang_spares_suspects_and_starts_on_them_where_it_has_to(allocator: Allocator) -> None:
    nodes = [node("n1", 4, suspect=[1], allocator=allocator), node("n2", 4), node("n3", 4)]
    spared = snapshot(nodes, [equal("g", 2, 4)], queues=[queue(nominal=100)])
    assert outcome(decide(spared), "g") == "n2 n3"
    needed = snapshot(nodes, [equal("g", 3, 4)], queues=[queue(nominal=100)])
    assert outcome(decide(needed), "g") == "n1 n2 n3"


def test_unlike_members_of_a_gang_spare_suspects_together() -> None:
    nodes = [node("n1", 4, suspect=[0], allocator=DRA), node("n2", 4, allocator=DRA)]
    members = pods("g", [shape(3), shape(2), shape(2)])
    snap = snapshot(nodes, [gang("g", members)], queues=[queue(nominal=100)])
    made = decide(snap)
    assert outcome(made, "g") == "n1 n2 n2"
    assert devices(made)["g-0"] == (1, 2, 3)


def test_linked_gpus_come_from_the_sound_ones_first() -> None:
    bridged = machine_graph("a100_pcie_x4_bridged")
    nodes = [node("n1", 4, suspect=[0], allocator=DRA, links=bridged)]
    pairs = [single(f"p{i}", shape(2, linked=Linked.REQUIRED), created_s=i) for i in range(2)]
    made = decide(snapshot(nodes, pairs, queues=[queue(nominal=100)]))
    assert devices(made) == {"p0-0": (2, 3), "p1-0": (0, 1)}


def test_a_suspect_gpu_never_keeps_work_from_starting() -> None:
    snap = cluster(node("n1", 2, suspect=[0, 1]), waiting=[1, 1])
    assert {outcome(decide(snap), f"p{i}") for i in range(2)} == {"n1"}


def test_a_slice_of_a_node_with_a_suspect_comes_last() -> None:
    nodes = [node("n1", 1, suspect=[0], mig={"1g.10gb": 7}), node("n2", 0, mig={"1g.10gb": 7})]
    snap = snapshot(nodes, [single("p", shape(mig="1g.10gb"))], queues=[queue(nominal=100)])
    assert outcome(decide(snap), "p") == "n2"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_suspects_change_where_pods_go_and_not_how_many_start(data: st.DataObject) -> None:
    """Of nodes all of whose GPUs pods of one size can use, as many start with suspects as without."""
    allocator = data.draw(st.sampled_from([DRA, PLUGIN]))
    count = data.draw(st.integers(1, 3), label="nodes")
    odd = [data.draw(st.sets(st.integers(0, 3)), label=f"suspects of n{i}") for i in range(count)]
    waiting = [1] * data.draw(st.integers(0, 14), label="pods")
    made = decide(
        cluster(*(node(f"n{i}", 4, suspect=odd[i], allocator=allocator) for i in range(count)), waiting=waiting)
    )
    started = [a for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments]
    assert len(started) == min(len(waiting), 4 * count)
    on_suspects = sum(int(a.node[1:]) < count and a.devices[0] in odd[int(a.node[1:])] for a in started)
    if allocator is DRA:
        assert on_suspects == max(0, len(started) - sum(4 - len(some) for some in odd))
    sound_nodes = [i for i in range(count) if not odd[i]]
    if len(waiting) <= 4 * len(sound_nodes):
        assert all(not odd[int(a.node[1:])] or allocator is DRA for a in started)
