"""Which queue serves whom as queues and namespaces come, change and go."""

import msgspec
import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Node
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.workload import Pod, PodShape, Problem, Requirement, SelectorOperator
from scheduler.quota.usage import opening_ledger
from scheduler.state.audit import compare, inconsistencies
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, NamespaceGone, NamespaceSeen, NodeSeen, PodGone, PodSeen, QueueGone, QueueSeen
from scheduler.state.queues import QueueFinder, selects

A, B = QueueName("a"), QueueName("b")
GOLD = (Requirement(key="tier", operator="In", values=("gold",)),)


def pod(name: str, namespace: str = "ns", *, queue: QueueName | None = None, node: str | None = None) -> PodSeen:
    shape = PodShape(requests=Resources(pods=1, extended=extended({GPU: 1})))
    where = None if node is None else NodeName(node)
    made = Pod(uid=PodUid(name), namespace=namespace, name=name, shape=shape, ours=True, managed=True, queue=queue)
    return PodSeen(pod=msgspec.structs.replace(made, node=where))


def state(*events: Event) -> ClusterState:
    made = ClusterState()
    made.apply(NodeSeen(node=Node(name=NodeName("n"), allocatable=Resources(pods=9, extended=extended({GPU: 8})))))
    for event in events:
        made.apply(event)
    return made


def queue_of(made: ClusterState, name: str = "p", namespace: str = "ns") -> QueueName | None:
    return made.snapshot().workloads[WorkloadKey(f"pod:{namespace}/{name}")].queue


@pytest.mark.parametrize(
    ("operator", "values", "labels", "found"),
    [
        ("In", ("a", "b"), {"k": "b"}, True),
        ("In", ("a",), {}, False),
        ("NotIn", ("a",), {"k": "a"}, False),
        ("NotIn", ("a",), {}, True),
        ("Exists", (), {"k": ""}, True),
        ("Exists", (), {"x": "k"}, False),
        ("DoesNotExist", (), {}, True),
        ("DoesNotExist", (), {"k": "v"}, False),
    ],
)
def test_selectors_mean_what_kubernetes_means(
    operator: SelectorOperator, values: tuple[str, ...], labels: dict[str, str], found: bool
) -> None:
    requirement = Requirement(key="k", operator=operator, values=values)
    assert selects((requirement,), labels) is found
    assert selects((), labels)


def test_a_queue_serves_the_namespaces_that_it_selects_as_their_labels_change() -> None:
    made = state(QueueSeen(queue=Queue(name=A, namespace_selector=GOLD)), pod("p"))
    assert queue_of(made) is None
    assert made.apply(NamespaceSeen(name="ns", labels=(("tier", "gold"),)))
    assert queue_of(made) == A
    assert made.apply(NamespaceSeen(name="ns", labels=(("tier", "iron"),)))
    assert queue_of(made) is None
    assert made.apply(NamespaceSeen(name="ns", labels=(("tier", "gold"),)))
    assert made.apply(NamespaceGone(name="ns"))
    assert queue_of(made) is None


def test_labels_of_namespaces_are_no_news_where_no_queue_selects_by_them() -> None:
    made = state(QueueSeen(queue=Queue(name=A, namespaces=("ns",))))
    assert not made.apply(NamespaceSeen(name="ns", labels=(("tier", "gold"),)))
    assert made.apply(QueueSeen(queue=Queue(name=B, namespace_selector=GOLD)))
    assert made.snapshot().queues[B].taken == (("ns", A),)


def test_who_lists_a_namespace_goes_before_who_selects_it_then_the_first_by_name() -> None:
    lists, selects_ = Queue(name=B, namespaces=("ns",)), Queue(name=A, namespace_selector=GOLD)
    also = Queue(name=QueueName("c"), namespaces=("ns",))
    queues = {q.name: q for q in (lists, selects_, also)}
    finder = QueueFinder(queues, {"ns": (("tier", "gold"),), "other": (("tier", "gold"),)})
    assert (finder.find("ns", None), finder.find("other", None)) == (B, A)
    assert finder.taken_from(A) == (("ns", B),)
    assert finder.taken_from(QueueName("c")) == (("ns", B),)
    assert finder.taken_from(B) == ()


def test_a_spec_that_cannot_be_used_leaves_the_last_one_in_force() -> None:
    good = Queue(name=A, namespaces=("ns",), total=Quota(nominal_milli_gpu=4000), generation=1)
    problem = Problem(where="spec.nominal", value="-1", allowed="more")
    bad = Queue(name=A, problems=(problem,), generation=2)
    made = state(QueueSeen(queue=good), QueueSeen(queue=bad), pod("p"))
    found = made.snapshot().queues[A]
    assert (found.total.nominal_milli_gpu, found.problems, found.generation) == (4000, (problem,), 2)
    assert queue_of(made) == A
    fixed = Queue(name=A, total=Quota(nominal_milli_gpu=1000), generation=3)
    made.apply(QueueSeen(queue=fixed))
    assert made.snapshot().queues[A] == fixed


def test_a_queue_that_never_could_be_read_lets_nothing_run() -> None:
    bad = Queue(name=A, problems=(Problem(where="spec.nominal", value="-1", allowed="more"),))
    snapshot = state(QueueSeen(queue=bad)).snapshot()
    assert opening_ledger(snapshot).headroom(A) == 0


def test_a_deleted_queue_counts_until_its_work_has_ended() -> None:
    org, team = Queue(name=B), Queue(name=A, parent=B)
    made = state(QueueSeen(queue=org), QueueSeen(queue=team), pod("p", queue=A, node="n"))
    for name in (A, B):
        assert made.apply(QueueGone(name=name))
    snapshot = made.snapshot()
    assert {name: queue.ending for name, queue in snapshot.queues.items()} == {A: True, B: True}
    assert opening_ledger(snapshot).used_by(B).total_milli_gpu == 1000
    assert inconsistencies(made) == []
    node = NodeSeen(node=Node(name=NodeName("n"), allocatable=Resources(pods=9, extended=extended({GPU: 8}))))
    assert compare(made, [node, pod("p", queue=A, node="n")]).is_clean
    made.apply(PodGone(uid=PodUid("p")))
    assert made.snapshot().queues == {}


def test_a_queue_without_work_goes_at_once_and_one_that_comes_back_stays() -> None:
    made = state(QueueSeen(queue=Queue(name=A)), pod("p", queue=A))
    made.apply(QueueGone(name=A))
    assert made.snapshot().queues == {}
    made = state(QueueSeen(queue=Queue(name=A)), pod("p", queue=A, node="n"))
    made.apply(QueueGone(name=A))
    made.apply(QueueSeen(queue=Queue(name=A)))
    assert not made.snapshot().queues[A].ending
    made.apply(PodGone(uid=PodUid("p")))
    assert set(made.snapshot().queues) == {A}


def test_a_queue_that_stays_only_for_its_work_ends_too_whoever_hears_of_it_first() -> None:
    ending = Queue(name=A, ending=True, held=True)
    made = state(QueueSeen(queue=ending), pod("p", queue=A, node="n"), pod("q", queue=A))
    assert made.snapshot().queues[A].ending
    assert inconsistencies(made) == []
    bad = Queue(name=A, ending=True, problems=(Problem(where="spec.nominal", value="-1", allowed="more"),))
    made.apply(QueueSeen(queue=bad))
    assert made.snapshot().queues[A].ending
    made.apply(PodGone(uid=PodUid("p")))
    assert made.snapshot().queues[A].ending
    made.apply(QueueGone(name=A))
    assert made.snapshot().queues == {}
