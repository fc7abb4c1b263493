import msgspec
import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Node, Taint, TopologyLevel
from scheduler.model.resources import Resources
from scheduler.model.workload import GangClaim, HostPort, PodShape, Problem
from scheduler.state.audit import compare, inconsistencies
from scheduler.state.cluster import ClusterState
from scheduler.state.events import (
    DevicesGone,
    Event,
    JobGone,
    NodeGone,
    NodeRefused,
    NodeSeen,
    PodGone,
    PodSeen,
    QueueGone,
    QueueSeen,
    Released,
    Ticked,
    TopologyGone,
    TopologySeen,
)
from tests.state.build import (
    N1,
    N2,
    content,
    foreign,
    job,
    node,
    pod,
    queue,
    report,
    reserved,
    shape,
    state_of,
    used,
)

GANG = WorkloadKey("gang:a/g")


def test_a_bound_pod_takes_room_until_it_is_gone_even_while_it_terminates() -> None:
    state = state_of(node(), pod("p", gpus=2, node=N1))
    assert used(state.snapshot(), "n1") == 2
    state.apply(PodSeen(pod=pod("p", gpus=2, node=N1, deleting=True)))
    assert used(state.snapshot(), "n1") == 2
    state.apply(PodGone(uid=PodUid("p")))
    assert used(state.snapshot(), "n1") == 0


def test_use_that_is_known_before_its_node_counts_when_the_node_comes() -> None:
    state = state_of(pod("p", gpus=3, node=N1))
    state.snapshot()
    state.apply(NodeSeen(node=node()))
    assert used(state.snapshot(), "n1") == 3


@pytest.mark.parametrize(
    ("fields", "milli_cpu"),
    [
        pytest.param({"nominated_node": N1}, 1000, id="another scheduler's nominated pod counts"),
        pytest.param({"nominated_node": N1, "node": N2}, 0, id="not any more when it is bound elsewhere"),
        pytest.param({}, 0, id="a waiting one does not"),
    ],
)
def test_pods_of_other_schedulers(fields: dict[str, NodeName], milli_cpu: int) -> None:
    state = state_of(node(), node("n2"), foreign("f", **fields))
    assert used(state.snapshot(), "n1", "milli_cpu") == milli_cpu
    assert state.snapshot().workloads == {}


def test_a_nomination_that_ends_frees_the_room() -> None:
    state = state_of(node(), foreign("f", nominated_node=N1))
    state.apply(PodSeen(pod=foreign("f")))
    assert used(state.snapshot(), "n1", "milli_cpu") == 0
    assert state.pod(PodUid("f")) is None


def test_a_nominated_pod_of_a_workload_counts_through_its_plan_alone() -> None:
    state = state_of(node(), node("n2"), queue(), pod("p", nominated_node=N1))
    assert used(state.snapshot(), "n1") == 0
    state.apply(reserved("pod:a/p", ("p", "n2", ())))
    assert (used(state.snapshot(), "n1"), used(state.snapshot(), "n2")) == (0, 1)


def test_a_pod_that_takes_the_name_of_another_replaces_it() -> None:
    state = state_of(node(), pod("p", node=N1))
    state.apply(PodSeen(pod=pod("p", uid=PodUid("other"))))
    snapshot = state.snapshot()
    assert used(snapshot, "n1") == 0
    assert [m.uid for m in snapshot.workloads[WorkloadKey("pod:a/p")].members] == ["other"]
    assert not state.apply(PodGone(uid=PodUid("p")))


def test_amounts_that_no_node_has_get_no_column() -> None:
    state = state_of(node(gpus=0), pod("p", node=N1))
    assert "nvidia.com/gpu" not in state.snapshot().columns.resources
    state.apply(NodeSeen(node=node("n2")))
    assert used(state.snapshot(), "n1") == 1
    state.apply(NodeGone(name=N2))
    assert state.snapshot().columns.resources == ("milli_cpu", "memory_bytes", "ephemeral_bytes", "pods")


def test_huge_amounts_never_overflow_a_table() -> None:
    huge = PodShape(requests=Resources(memory_bytes=2**63 - 1, pods=1))
    state = state_of(node(), *(foreign(f"f{i}", shape=huge, node=N1) for i in range(3)))
    free = state.snapshot().columns.free
    assert free[0, 1] < -(2**60)


def test_host_ports_of_pods_and_plans() -> None:
    ports = (HostPort(port=80), HostPort(port=22))
    state = state_of(
        node(), foreign("f", node=N1, shape=shape(0, host_ports=ports)), pod("p", shape=shape(host_ports=ports[:1]))
    )
    state.apply(reserved("pod:a/p", ("p", "n1", ())))
    assert state.snapshot().ports_used == {N1: (ports[1], ports[0])}
    state.apply(PodGone(uid=PodUid("f")))
    assert state.snapshot().ports_used == {N1: (ports[0],)}


def test_a_plan_counts_until_each_pod_is_bound_or_gone() -> None:
    state = state_of(node(), queue(), *(pod(f"p{i}", gpus=2, gang="g", size=3) for i in range(3)))
    state.apply(reserved(GANG, *((f"p{i}", "n1", ()) for i in range(3)), milli_gpu=6000))
    snapshot = state.snapshot()
    assert (used(snapshot, "n1"), snapshot.in_flight[GANG].milli_gpu) == (6, 6000)
    assert snapshot.pod_nodes == {f"p{i}": "n1" for i in range(3)}
    state.apply(PodSeen(pod=pod("p0", gpus=2, gang="g", size=3, node=N1)))
    snapshot = state.snapshot()
    assert (used(snapshot, "n1"), snapshot.in_flight[GANG].milli_gpu) == (6, 4000)
    state.apply(PodGone(uid=PodUid("p1")))
    snapshot = state.snapshot()
    assert (used(snapshot, "n1"), snapshot.in_flight[GANG].milli_gpu) == (4, 2000)
    state.apply(Released(workload=GANG))
    snapshot = state.snapshot()
    assert (used(snapshot, "n1"), dict(snapshot.in_flight)) == (2, {})
    assert snapshot.pod_nodes == {"p0": "n1"}


def test_a_plan_counts_nothing_for_pods_that_are_bound_or_unknown_when_it_starts() -> None:
    state = state_of(node(), pod("p", node=N1))
    assert not state.apply(reserved("pod:a/p", ("p", "n1", ()), ("ghost", "n1", ()), milli_gpu=2000))
    assert (used(state.snapshot(), "n1"), dict(state.snapshot().in_flight)) == (1, {})


def test_a_pod_that_is_resized_while_its_plan_is_in_flight_takes_its_new_size() -> None:
    state = state_of(node(), pod("p"), reserved("pod:a/p", ("p", "n1", ()), milli_gpu=1000))
    state.apply(PodSeen(pod=pod("p", gpus=3)))
    assert used(state.snapshot(), "n1") == 3


def test_a_new_plan_of_a_workload_replaces_the_one_in_flight() -> None:
    state = state_of(node(), node("n2"), pod("p"), reserved("pod:a/p", ("p", "n1", ()), milli_gpu=1000))
    state.apply(reserved("pod:a/p", ("p", "n2", ()), ("p", "n1", ()), milli_gpu=1000))
    snapshot = state.snapshot()
    assert (used(snapshot, "n1"), used(snapshot, "n2"), snapshot.pod_nodes) == (0, 1, {"p": "n2"})


@pytest.mark.parametrize(
    ("event", "avoided"),
    [
        pytest.param(Ticked(now_s=99), {N1}, id="not forgotten before its time"),
        pytest.param(Ticked(now_s=100), set[NodeName](), id="time passed"),
        pytest.param(NodeSeen(node=node()), {N1}, id="the node is seen unchanged"),
        pytest.param(NodeSeen(node=node(labels={"x": "y"})), set[NodeName](), id="the node changed"),
        pytest.param(NodeGone(name=N1), set[NodeName](), id="the node is gone"),
        pytest.param(PodGone(uid=PodUid("f")), set[NodeName](), id="a pod left the node"),
        pytest.param(PodGone(uid=PodUid("other")), {N1}, id="a pod left another node"),
        pytest.param(NodeRefused(workload=GANG, node=N1, until_s=50), {N1}, id="refused again"),
    ],
)
def test_a_refusal_is_remembered_until_something_changes(event: Event, avoided: set[NodeName]) -> None:
    state = state_of(node(), node("n2"), pod("p", gang="g", size=1), foreign("f", node=N1), foreign("other", node=N2))
    state.apply(NodeRefused(workload=GANG, node=N1, until_s=100))
    state.snapshot()
    state.apply(event)
    assert state.snapshot().workloads[GANG].avoid == avoided


def test_a_refusal_ends_with_its_workload() -> None:
    state = state_of(node(), pod("p", gang="g", size=1))
    state.apply(NodeRefused(workload=GANG, node=N1, until_s=100))
    state.apply(PodGone(uid=PodUid("p")))
    state.apply(PodSeen(pod=pod("p", gang="g", size=1)))
    assert state.snapshot().workloads[GANG].avoid == frozenset()


@pytest.mark.parametrize(
    ("changed", "grows"),
    [
        (node(labels={"rack": "r"}), True),
        (node(taints=(Taint(key="k"),)), True),
        (node("n2"), True),
        (node(ready=False), False),
        (node(unschedulable=True), False),
        (node(gpus=4), False),
    ],
)
def test_the_static_generation_grows_with_labels_taints_and_the_set_of_nodes_alone(changed: Node, grows: bool) -> None:
    state = state_of(node())
    before = state.snapshot().static_generation
    state.apply(NodeSeen(node=changed))
    assert (state.snapshot().static_generation > before) == grows
    assert state.snapshot().columns.usable.tolist()[0] == (changed not in (node(ready=False), node(unschedulable=True)))


def test_a_marked_job_makes_its_pods_a_gang_whichever_is_seen_first() -> None:
    launcher = pod("l", gpus=0, managed=False, owner_uid="j", index=0, nominated_node=N1)
    worker = pod("w", owner_uid="j", index=1)
    marked = job(completions=2, gang=GangClaim(name="g"), queue=QueueName("default"))
    state = state_of(node(), queue(), launcher, worker)
    assert used(state.snapshot(), "n1", "milli_cpu") == 1000
    state.apply(marked)
    workload = state.snapshot().workloads[GANG]
    assert [m.name for m in workload.members] == ["l", "w"]
    assert all(m.managed for m in workload.members)
    assert (workload.size, workload.queue, workload.problems) == (2, "default", ())
    assert used(state.snapshot(), "n1", "milli_cpu") == 0
    assert content(state.snapshot()) == content(state_of(node(), queue(), marked, worker, launcher).snapshot())


def test_the_pods_of_a_deleted_job_stay_a_gang_to_their_end() -> None:
    first, second = pod("v", owner_uid="j", index=0), pod("w", owner_uid="j", index=1)
    marked = job(completions=2, gang=GangClaim(name="g"), queue=QueueName("default"))
    state = state_of(node(), queue(), first, second, marked)
    before = content(state.snapshot())
    state.apply(JobGone(uid="j"))
    assert content(state.snapshot()) == before
    for left in (first, second):
        state.apply(PodGone(uid=left.uid))
    again = pod("x", owner_uid="j")
    state.apply(PodSeen(pod=again))
    assert content(state.snapshot()) == content(state_of(node(), queue(), again).snapshot())


def test_a_change_of_queues_reaches_the_workloads_that_it_concerns() -> None:
    state = state_of(pod("p"))
    key = WorkloadKey("pod:a/p")
    assert state.snapshot().workloads[key].queue is None
    state.apply(QueueSeen(queue=queue("team", "a")))
    assert (state.snapshot().workloads[key].queue, state.snapshot().workloads[key].problems) == ("team", ())
    shared = state.snapshot().workloads[key]
    state.apply(QueueSeen(queue=msgspec.structs.replace(queue("team", "a"), weight=5)))
    assert state.snapshot().workloads[key] is shared
    assert state.snapshot().queues[QueueName("team")].weight == 5
    state.apply(QueueGone(name=QueueName("team")))
    assert state.snapshot().workloads[key].queue is None


def test_a_queue_whose_new_parent_will_not_do_stays_as_it_was() -> None:
    org, team = queue("org"), msgspec.structs.replace(queue("team", "a"), parent=QueueName("org"))
    state = state_of(team, org, pod("p"))
    assert state.snapshot().queues[QueueName("team")].parent == "org"
    circle = msgspec.structs.replace(org, parent=QueueName("team"), weight=9, generation=2)
    assert state.apply(QueueSeen(queue=circle))
    kept = state.snapshot().queues[QueueName("org")]
    assert (kept.parent, kept.weight, kept.generation) == (None, 1, 2)
    assert "team > org > team" in kept.problems[0].allowed or "org > team > org" in kept.problems[0].allowed
    assert state.snapshot().queues[QueueName("team")].problems == ()
    assert inconsistencies(state) == []
    state.apply(QueueGone(name=QueueName("team")))
    state.apply(QueueSeen(queue=msgspec.structs.replace(org, weight=7)))
    assert state.snapshot().queues[QueueName("org")].problems == ()
    assert state.snapshot().queues[QueueName("org")].weight == 7


def test_of_several_topologies_the_first_by_name_is_used() -> None:
    rack, block = TopologyLevel(name="rack", label="r"), TopologyLevel(name="block", label="b")
    state = state_of(TopologySeen(name="z", levels=(rack,)), TopologySeen(name="b", levels=(block,)))
    assert state.snapshot().topology == (block,)
    state.apply(TopologyGone(name="b"))
    assert state.snapshot().topology == (rack,)


def test_problems_reach_the_workload() -> None:
    bad = Problem(where="annotation x", value="y", allowed="z")
    state = state_of(queue(), pod("p", problems=(bad,)))
    assert state.snapshot().workloads[WorkloadKey("pod:a/p")].problems == (bad,)


@pytest.mark.parametrize(
    "event",
    [
        PodGone(uid=PodUid("x")),
        NodeGone(name=N1),
        DevicesGone(node=N1),
        JobGone(uid="x"),
        QueueGone(name=QueueName("x")),
        TopologyGone(name="x"),
        Released(workload=GANG),
        NodeRefused(workload=GANG, node=N1, until_s=9),
        Ticked(now_s=9),
        reserved(GANG, ("x", "n1", (0,))),
    ],
)
def test_events_about_things_unknown_change_nothing(event: Event) -> None:
    state = ClusterState()
    before = state.snapshot()
    assert not state.apply(event)
    assert state.snapshot() is before


def test_a_snapshot_stays_as_it_was_taken_and_cannot_be_changed() -> None:
    state = state_of(node(), queue(), report(), pod("p", node=N1))
    before = state.snapshot()
    copy = content(before)
    state.apply(PodGone(uid=PodUid("p")))
    state.apply(NodeSeen(node=node("n0", labels={"a": "b"})))
    state.apply(PodSeen(pod=pod("q")))
    state.apply(reserved("pod:a/q", ("q", "n1", (0,))))
    assert content(state.snapshot()) != copy
    assert content(before) == copy
    with pytest.raises(ValueError, match="read-only"):
        before.columns.used[0, 0] = 1


def test_what_did_not_change_is_shared_between_snapshots() -> None:
    state = state_of(node(), queue(), pod("p"), pod("q"))
    first = state.snapshot()
    assert not state.apply(PodSeen(pod=pod("p")))
    assert state.snapshot() is first
    state.apply(PodSeen(pod=pod("p", priority=5)))
    second = state.snapshot()
    assert second.generation > first.generation
    assert second.nodes is first.nodes
    assert second.columns is first.columns
    assert second.workloads[WorkloadKey("pod:a/q")] is first.workloads[WorkloadKey("pod:a/q")]


def test_a_clique_that_a_report_tells_is_a_level_as_long_as_it_tells_it() -> None:
    told = msgspec.structs.replace(report(), clique="u.2")
    state = state_of(told, node(), node("n2"))
    before = state.snapshot()
    assert [level.name for level in before.topology] == ["clique"]
    assert [before.nodes[NodeName(name)].clique for name in ("n1", "n2")] == ["u.2", ""]
    assert inconsistencies(state) == []
    again = ClusterState()
    for fact in state.facts():
        again.apply(fact)
    assert again.snapshot().topology == before.topology
    assert again.snapshot().nodes == before.nodes
    assert compare(state, [told, NodeSeen(node=node()), NodeSeen(node=node("n2"))]).is_clean
    state.apply(report())
    assert state.snapshot().topology == ()
    assert inconsistencies(state) == []
    state.apply(told)
    assert state.snapshot().topology == before.topology
    state.apply(DevicesGone(node=NodeName("n1")))
    assert state.snapshot().topology == ()
    assert inconsistencies(state) == []
