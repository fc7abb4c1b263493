"""Pods that stand alone, by the policy of the pod or its queue."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.demand import Kind, Request
from scheduler.model.names import NodeName, PodUid, pod_key
from scheduler.model.plan import Admit, Plan, Reason
from scheduler.model.policy import Policy
from scheduler.model.resources import GPU, GPU_SHARED, Resources, extended
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, PodShape, Workload
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning import build

CLUSTER = """
n1: ###. ....
n2: ......
n3: ##..
n4: ........
"""

EIGHTS = (Kind(Request(milli_cpu=100, devices=8), 1 << 20),)
PAIRS = (Kind(Request(milli_cpu=100, devices=2), 1 << 20),)


def asked(policy: Policy | None, count: int, gpus: int = 1) -> list[Workload]:
    found = [build.single(f"p{i}", build.shape(gpus), created_s=i) for i in range(count)]
    return [msgspec.structs.replace(w, members=(msgspec.structs.replace(w.members[0], policy=policy),)) for w in found]


def planned(snapshot: Snapshot, cache: PlanCache | None = None) -> Plan:
    made = plan(snapshot, now_s=0, settings=PlanSettings(), cache=cache)
    assert broken_rules(snapshot, made) == []
    return made


def nodes_of(made: Plan, workloads: Sequence[Workload]) -> list[str]:
    return [build.outcome(made, w.members[0].name) for w in workloads]


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        (None, "n3 n3 n1 n1 n1"),
        (Policy.TOPOLOGY_PRESERVING, "n3 n3 n1 n1 n1"),
        (Policy.MOST_ALLOCATED, "n3 n3 n1 n1 n1"),
        (Policy.LEAST_ALLOCATED, "n2 n4 n4 n2 n4"),
    ],
)
def test_where_pods_go_one_after_the_other(policy: Policy | None, want: str) -> None:
    workloads = asked(policy, 5)
    assert nodes_of(planned(build.draw(CLUSTER, *workloads)), workloads) == want.split()


def test_the_queue_decides_where_the_pod_does_not() -> None:
    spreading = msgspec.structs.replace(build.queue(), policy=Policy.LEAST_ALLOCATED)
    quiet, loud = asked(None, 1), asked(Policy.MOST_ALLOCATED, 1)
    assert nodes_of(planned(build.draw(CLUSTER, *quiet, queues=[spreading])), quiet) == ["n2"]
    assert nodes_of(planned(build.draw(CLUSTER, *loud, queues=[spreading])), loud) == ["n3"]


@pytest.mark.parametrize(("demand", "want"), [(EIGHTS, "n1"), (PAIRS, "n2")])
def test_least_fragmentation_goes_by_what_was_asked_for(demand: tuple[Kind, ...], want: str) -> None:
    """A pod of one GPU: n1 is the last node for eight, or its odd GPU is of no use to pairs."""
    drawing = "n1: ##......\nn2: #.......\n" if demand is PAIRS else "n1: #.......\nn2: ........\n"
    workloads = asked(Policy.LEAST_FRAGMENTATION, 1)
    assert nodes_of(planned(build.draw(drawing, *workloads, demand=demand)), workloads) == [want]


def test_prices_are_followed_as_pods_are_placed() -> None:
    """Each pod evens out a node with an odd number of free GPUs, and only then opens an even one."""
    workloads = asked(Policy.LEAST_FRAGMENTATION, 4)
    snapshot = build.draw("n1: ####....\nn2: ###.....\nn3: #.......\n", *workloads, demand=PAIRS)
    where = nodes_of(planned(snapshot), workloads)
    assert sorted(where[:2]) == ["n2", "n3"]
    assert where[2] == where[3]


def test_without_any_history_it_packs() -> None:
    workloads = asked(Policy.LEAST_FRAGMENTATION, 1)
    assert nodes_of(planned(build.draw(CLUSTER, *workloads)), workloads) == ["n3"]


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        (Policy.TOPOLOGY_PRESERVING, "n2"),
        (Policy.MOST_ALLOCATED, "n2"),
        (Policy.LEAST_FRAGMENTATION, "n2"),
        (Policy.LEAST_ALLOCATED, "n1"),
    ],
)
def test_parts_of_gpus(policy: Policy, want: str) -> None:
    """One GPU of n2 is given out by half; the usual request is for whole GPUs."""
    nodes = [build.node(name, 2, shares_on_demand=True) for name in ("n1", "n2")]
    half = PodShape(requests=Resources(milli_cpu=100, pods=1, extended=extended({GPU_SHARED: 1})), share_milli=500)
    (workload,) = asked(policy, 1)
    workload = msgspec.structs.replace(workload, members=(msgspec.structs.replace(workload.members[0], shape=half),))
    whole = (Kind(Request(milli_cpu=100, devices=1), 1 << 20),)
    snapshot = msgspec.structs.replace(
        build.snapshot(nodes, [workload], demand=whole, used={"n2": Resources(extended=extended({GPU: 1}))}),
        devices_used={NodeName("n2"): frozenset({0})},
        shares_used={NodeName("n2"): ((0, 500),)},
    )
    assert nodes_of(planned(snapshot), [workload]) == [want]


def test_a_policy_on_a_gang_is_refused() -> None:
    members = [msgspec.structs.replace(p, policy=Policy.LEAST_ALLOCATED) for p in build.pods("g", [build.shape()] * 2)]
    made = planned(build.draw(CLUSTER, build.gang("g", members)))
    wait = build.waiting(made, "g")
    assert wait.reason is Reason.INVALID_REQUEST
    assert "bayplan.dev/placement-policy is 'LeastAllocated'; allowed: only on pods that stand alone" in wait.message


def named(pod: Pod, uid: str) -> Pod:
    return msgspec.structs.replace(pod, uid=PodUid(uid), name=uid)


LAWS = settings(max_examples=80, deadline=None)

POLICIES = st.sampled_from(list(Policy))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Snapshot, list[Workload]]:
    """Nodes with some GPUs held, pods of several sizes and policies, and a mix of requests."""
    lines = draw(st.lists(st.text(alphabet="#.x", min_size=1, max_size=8), min_size=1, max_size=6))
    drawing = "\n".join(f"n{i}: {signs}" for i, signs in enumerate(lines))
    sizes = draw(st.lists(st.tuples(st.integers(0, 4), POLICIES), max_size=8))
    kinds = draw(st.dictionaries(st.integers(1, 8), st.integers(1, 1000), max_size=4))
    workloads = [
        msgspec.structs.replace(w, members=(named(w.members[0], f"u{i}"),), key=pod_key("team", f"u{i}"))
        for i, (gpus, policy) in enumerate(sizes)
        for w in asked(policy, 1, gpus)
    ]
    demand = tuple(Kind(Request(milli_cpu=100, devices=gpus), weight) for gpus, weight in sorted(kinds.items()))
    held = [build.queue(nominal=1000)]
    return build.draw(drawing, *workloads, demand=demand, queues=held), workloads


@LAWS
@given(clusters())
def test_no_policy_breaks_a_rule_or_leaves_out_what_fits(drawn: tuple[Snapshot, list[Workload]]) -> None:
    """`planned` checks the rules; a pod that waits has no room even on what the plan left."""
    snapshot, _ = drawn
    made = planned(snapshot)
    free = dict(zip(snapshot.columns.names, snapshot.columns.free[:, -1].tolist(), strict=True))
    sizes = {w.key: w.members[0].shape.requests.gpus for w in snapshot.workloads.values()}
    for decision in made.decisions:
        if isinstance(decision, Admit) and sizes[decision.workload]:
            free[decision.placement.assignments[0].node] -= sizes[decision.workload]
    for decision in made.decisions:
        if not isinstance(decision, Admit):
            assert sizes[decision.workload] > max(free.values(), default=0)


@LAWS
@given(clusters())
def test_names_and_what_was_planned_before_are_of_no_matter(drawn: tuple[Snapshot, list[Workload]]) -> None:
    """Nodes renamed in order give the same plan up to names, also with what other plans left in the cache."""
    snapshot, _ = drawn
    new = {old: NodeName("x" + old) for old in snapshot.columns.names}
    columns = msgspec.structs.replace(
        snapshot.columns,
        names=tuple(new[name] for name in snapshot.columns.names),
        row_of={new[name]: row for name, row in snapshot.columns.row_of.items()},
    )
    renamed = msgspec.structs.replace(
        snapshot,
        columns=columns,
        nodes={new[name]: msgspec.structs.replace(node, name=new[name]) for name, node in snapshot.nodes.items()},
        devices_used={new[name]: devices for name, devices in snapshot.devices_used.items()},
        ailing={new[name]: ailing for name, ailing in snapshot.ailing.items()},
    )
    cache = PlanCache()
    first = planned(snapshot, cache)
    again = planned(snapshot, cache)
    other = planned(renamed)
    assert first == again
    assert [new[a.node] for d in first.decisions if isinstance(d, Admit) for a in d.placement.assignments] == [
        a.node for d in other.decisions if isinstance(d, Admit) for a in d.placement.assignments
    ]
