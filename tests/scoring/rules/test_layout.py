"""Plans of random clusters, mutated: whatever no longer keeps a gang's wishes for its layout is refused."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Assignment, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.random_clusters import Cluster, clusters

LABELS = {"block": "b", "rack": "r", "node": "kubernetes.io/hostname"}


def mutated(decided: Plan, admit: Admit, assignments: tuple[Assignment, ...]) -> Plan:
    placement = msgspec.structs.replace(admit.placement, assignments=assignments)
    changed = msgspec.structs.replace(admit, placement=placement)
    return msgspec.structs.replace(decided, decisions=tuple(changed if d is admit else d for d in decided.decisions))


def moves(snap: Snapshot, decided: Plan) -> Iterator[tuple[Admit, tuple[Assignment, ...]]]:
    """Every way to put one pod of a gang onto another node."""
    for admit in decided.decisions:
        if isinstance(admit, Admit) and snap.workloads[admit.workload].is_gang:
            given_ = admit.placement.assignments
            for at, assignment in enumerate(given_):
                for name in snap.columns.names:
                    if name != assignment.node:
                        moved = Assignment(pod=assignment.pod, node=name)
                        yield admit, (*given_[:at], moved, *given_[at + 1 :])


def stands(workload: Workload, assignments: tuple[Assignment, ...]) -> dict[str, NodeName]:
    nodes = {pod.uid: pod.node for pod in workload.members if pod.node is not None and not pod.deleting}
    return {**nodes, **{a.pod: a.node for a in assignments}}


def kept(snap: Snapshot, pods: list[Pod], at: dict[str, NodeName], level: str) -> bool:
    """Whether those of `pods` that stand are in one domain."""
    places = {snap.nodes[at[pod.uid]].labels.get(LABELS[level]) for pod in pods if pod.uid in at}
    return len(places) == 1 and None not in places


def slices(workload: Workload, size: int) -> Iterator[list[Pod]]:
    kinds: dict[object, list[Pod]] = {}
    for pod in workload.members:
        kinds.setdefault((pod.role if pod.role_required else None, pod.shape), []).append(pod)
    for pods in kinds.values():
        yield from (pods[start : start + size] for start in range(0, len(pods), size))


def breaks_a_wish(snap: Snapshot, workload: Workload, assignments: tuple[Assignment, ...], moved: str) -> bool:
    """Whether the pod that was moved, or its mates, are no longer where they have to be."""
    at = stands(workload, assignments)
    members = list(workload.members)
    if workload.topology_required is not None and not kept(snap, members, at, workload.topology_required):
        return True
    pod = next(p for p in members if p.uid == moved)
    if pod.role_required is not None:
        role = [p for p in members if (p.role, p.role_required) == (pod.role, pod.role_required)]
        if not kept(snap, role, at, pod.role_required):
            return True
    return any(
        not kept(snap, some, at, level)
        for level, size in workload.topology_slices
        for some in slices(workload, size)
        if pod in some
    )


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(cluster=clusters())
def test_a_pod_that_is_moved_out_of_its_domain_is_noticed(cluster: Cluster) -> None:
    snap = cluster.snapshot()
    decided = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000))
    for admit, assignments in moves(snap, decided):
        before = {a.pod: a.node for a in admit.placement.assignments}
        (moved,) = (a.pod for a in assignments if before[a.pod] != a.node)
        if breaks_a_wish(snap, snap.workloads[admit.workload], assignments, moved):
            assert broken_rules(snap, mutated(decided, admit, assignments))


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(cluster=clusters())
def test_a_gang_in_the_domain_that_another_has_for_itself_is_noticed(cluster: Cluster) -> None:
    snap = cluster.snapshot()
    decided = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000))
    everywhere = {d.workload: d.placement.assignments for d in decided.decisions if isinstance(d, Admit)}
    for admit, assignments in moves(snap, decided):
        before = {a.pod: a.node for a in admit.placement.assignments}
        ((_, to),) = ((a.pod, a.node) for a in assignments if before[a.pod] != a.node)
        own = snap.workloads[admit.workload]
        for other in snap.workloads.values():
            if other.key == own.key or not other.is_gang:
                continue
            theirs = stands(other, everywhere.get(other.key, ())).values()
            for level in filter(None, (own.topology_exclusive, other.topology_exclusive)):
                place = snap.nodes[to].labels.get(LABELS[level])
                if place is not None and place in {snap.nodes[name].labels.get(LABELS[level]) for name in theirs}:
                    assert broken_rules(snap, mutated(decided, admit, assignments))


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(cluster=clusters(), data=st.data())
def test_a_part_of_a_gang_or_a_pod_twice_is_noticed(cluster: Cluster, data: st.DataObject) -> None:
    snap = cluster.snapshot()
    decided = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000))
    for admit in decided.decisions:
        if isinstance(admit, Admit):
            given_ = admit.placement.assignments
            one = data.draw(st.sampled_from(given_))
            assert broken_rules(snap, mutated(decided, admit, (*given_, one)))
            workload = snap.workloads[admit.workload]
            if len(workload.placed) + len(given_) == workload.min_member:
                rest = tuple(a for a in given_ if a is not one)
                assert broken_rules(snap, mutated(decided, admit, rest))
