"""Pods on nodes whose kubelet rejects those that get GPUs of too many NUMA nodes."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.alignment import ANYHOW, Alignment, NumaPolicy
from scheduler.model.node import Allocator
from scheduler.model.plan import Admit, Reason
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked, PodShape, Workload
from scheduler.scoring.devices.machines import machine_graph
from tests.planning.build import gang, node, pods, queue, shape, single, snapshot
from tests.planning.decided import given as placements
from tests.planning.decided import planned, wait_of

SINGLE, RESTRICTED = NumaPolicy.SINGLE_NUMA_NODE, NumaPolicy.RESTRICTED
MACHINES = ("hgx_h100", "dgx1_v100", "l40s_x8", "a100_pcie_x4_bridged")


def cluster(
    waiting: Sequence[Workload],
    policies: Mapping[str, Alignment],
    *,
    taken: Mapping[str, Sequence[int]] | None = None,
    machine: str = "hgx_h100",
    replicas: int = 1,
    allocator: Allocator = Allocator.DEVICE_PLUGIN,
) -> Snapshot:
    graph = machine_graph(machine)
    assert graph is not None
    nodes = [
        node(name, graph.size, links=graph, alignment=each, replicas=replicas, allocator=allocator)
        for name, each in policies.items()
    ]
    return snapshot(nodes, waiting, queues=[queue(nominal=1000)], held=taken or {})


def one(policy: NumaPolicy = SINGLE, *, by_pod: bool = False) -> dict[str, Alignment]:
    return {"n": Alignment(policy=policy, by_pod=by_pod)}


THREE_AND_THREE = {"n": [3, 7]}


@pytest.mark.parametrize(
    ("asked", "policies", "want"),
    [
        pytest.param(shape(4), one(NumaPolicy.NONE), True, id="the kubelet does not care"),
        pytest.param(shape(4), one(NumaPolicy.BEST_EFFORT), True, id="the kubelet does what it can"),
        pytest.param(shape(4), one(RESTRICTED), False, id="one NUMA node would do if all were free"),
        pytest.param(shape(4), one(SINGLE), False, id="it has to be one NUMA node"),
        pytest.param(shape(3), one(SINGLE), True, id="three are near each other"),
        pytest.param(shape(5), one(RESTRICTED), True, id="five are on two NUMA nodes in any case"),
        pytest.param(shape(4, gpu_steps=(2, 2)), one(SINGLE), True, id="each container by itself"),
        pytest.param(shape(4, gpu_steps=(2, 2)), one(SINGLE, by_pod=True), False, id="all containers together"),
    ],
)
def test_three_gpus_of_each_socket_are_free(asked: PodShape, policies: Mapping[str, Alignment], *, want: bool) -> None:
    made = planned(cluster([single("p", asked)], policies, taken=THREE_AND_THREE))
    assert bool(placements(made)) == want


def test_who_waits_is_told_that_the_kubelet_keeps_it_waiting() -> None:
    wait = wait_of(planned(cluster([single("p", shape(4))], one(), taken=THREE_AND_THREE)))
    assert wait.reason is Reason.FRAGMENTED
    assert "on 1 more nodes they are free, on more NUMA nodes than the kubelet allows" in wait.detail


def test_who_can_never_be_taken_is_told_so() -> None:
    wait = wait_of(planned(cluster([single("p", shape(8))], one())))
    assert wait.reason is Reason.NO_NODE_MATCHES
    assert wait.message == "no node has a kubelet that takes pods of 8 GPUs by its topologyManagerPolicy"


def test_a_node_where_the_kubelet_takes_it_is_found() -> None:
    policies = {"a": Alignment(policy=SINGLE), "b": ANYHOW, "c": Alignment(policy=RESTRICTED)}
    assert placements(planned(cluster([single("p", shape(8))], policies, taken={"c": [0]}))) == ["b/0 1 2 3 4 5 6 7"]


def test_pods_of_several_sizes_are_sure_in_whatever_order_they_come() -> None:
    """Alone each would do; but two pods of one GPU may come first, and take one of each socket."""
    four_and_one = gang("g", pods("g", [shape(4), shape(1)]))
    assert isinstance(planned(cluster([four_and_one], one())).decisions[0], Admit)
    four_and_two = gang("g", pods("g", [shape(4), shape(1), shape(1)]))
    assert wait_of(planned(cluster([four_and_two], one()))).reason is Reason.FRAGMENTED
    assert isinstance(planned(cluster([four_and_two], one(NumaPolicy.NONE))).decisions[0], Admit)


def test_where_the_device_plugin_does_not_give_out_whole_gpus_it_is_no_matter() -> None:
    waiting = [single("p", shape(4))]
    assert placements(planned(cluster(waiting, one(), taken=THREE_AND_THREE, replicas=4)))
    assert placements(planned(cluster(waiting, one(), taken=THREE_AND_THREE, allocator=Allocator.DRA)))


alignments = st.builds(Alignment, policy=st.sampled_from(NumaPolicy), by_pod=st.booleans())


def of_containers(steps: list[int], linked: Linked) -> PodShape:
    return shape(sum(steps), linked=linked, gpu_steps=tuple(steps) if len(steps) > 1 else ())


shapes = st.builds(of_containers, st.lists(st.integers(1, 4), min_size=1, max_size=2), st.sampled_from(Linked))


@given(st.data())
def test_no_plan_goes_where_the_kubelet_would_reject_it(data: st.DataObject) -> None:
    machine = data.draw(st.sampled_from(MACHINES), label="machine")
    policies = {f"n{i}": data.draw(alignments, label="alignment") for i in range(2)}
    taken = {name: sorted(data.draw(st.frozensets(st.integers(0, 3)), label="taken")) for name in policies}
    alone = data.draw(st.lists(shapes, max_size=3), label="alone")
    waiting = [single(f"p{i}", each) for i, each in enumerate(alone)]
    members = data.draw(st.lists(shapes, max_size=4), label="gang")
    waiting += [gang("g", pods("g", members))] if members else []
    planned(cluster(waiting, policies, taken=taken, machine=machine))
