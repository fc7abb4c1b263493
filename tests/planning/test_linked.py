import pytest

from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.node import Node
from scheduler.model.plan import Admit, Plan, Reason, Wait
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.workload import Linked, Pod, PodShape
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules import broken_rules
from scheduler.state.cluster import ClusterState
from scheduler.state.events import DevicesSeen, NodeSeen, PodSeen, QueueSeen


def decide(*, linked_node: bool, linked: Linked, gpus: int) -> tuple[ClusterState, Plan]:
    state = ClusterState()
    room = Resources(milli_cpu=8000, memory_bytes=2**33, pods=10, extended=extended({GPU: 4}))
    state.apply(QueueSeen(queue=Queue(name=QueueName("q"), namespaces=("ns",), total=Quota(nominal_milli_gpu=8000))))
    state.apply(NodeSeen(node=Node(name=NodeName("n"), allocatable=room)))
    state.apply(DevicesSeen(node=NodeName("n"), machine="", devices=(), linked=linked_node))
    requests = Resources(milli_cpu=1, pods=1, extended=extended({GPU: gpus}))
    shape = PodShape(requests=requests, linked=linked)
    state.apply(PodSeen(pod=Pod(uid=PodUid("p"), namespace="ns", name="p", shape=shape, ours=True, managed=True)))
    return state, plan(state.snapshot(), now_s=0, settings=PlanSettings())


@pytest.mark.parametrize(
    ("linked_node", "linked", "gpus"),
    [(True, Linked.REQUIRED, 2), (False, Linked.PREFERRED, 2), (False, Linked.ANY, 4), (False, Linked.REQUIRED, 1)],
)
def test_a_pod_is_placed_where_its_gpus_are_connected_or_need_not_be(
    linked_node: bool, linked: Linked, gpus: int
) -> None:
    state, decided = decide(linked_node=linked_node, linked=linked, gpus=gpus)
    assert [type(d) for d in decided.decisions] == [Admit]
    assert broken_rules(state.snapshot(), decided) == []


def test_required_links_that_no_node_has_are_said_to_be_what_is_missing() -> None:
    _, decided = decide(linked_node=False, linked=Linked.REQUIRED, gpus=2)
    (wait,) = decided.decisions
    assert isinstance(wait, Wait)
    assert wait.reason is Reason.NO_NODE_MATCHES
    assert "NVLink" in wait.message


def test_the_checker_refuses_a_node_without_links() -> None:
    unlinked, _ = decide(linked_node=False, linked=Linked.REQUIRED, gpus=2)
    _, good = decide(linked_node=True, linked=Linked.REQUIRED, gpus=2)
    assert any("NVLink" in text for text in broken_rules(unlinked.snapshot(), good))
