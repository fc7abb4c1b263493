"""Laws that every plan keeps, on random clusters."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Decision, Offer, Plan, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.reasons.explain import explain
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import drawn, node, queue, snapshot
from tests.planning.linked_clusters import all_clusters, linked_clusters, wired, wishing
from tests.planning.random_clusters import Cluster, clusters, renamed, workloads

LAWS = settings(max_examples=80, deadline=None)


def planned(snap: Snapshot, cache: PlanCache | None = None) -> Plan:
    return plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=2000), cache=cache)


@pytest.mark.long
@LAWS
@given(cluster=all_clusters())
def test_no_plan_breaks_a_rule_and_everyone_who_waits_is_answered(cluster: Cluster) -> None:
    snap = cluster.snapshot()
    decided = planned(snap)
    assert broken_rules(snap, decided) == []
    assert sorted(d.workload for d in decided.decisions) == sorted(w.key for w in cluster.workloads if w.pending)
    for decision in decided.decisions:
        assert all(explain(decision))
        if isinstance(decision, Wait):
            assert decision.message
            assert decision.blocking
            assert decision.unblock


@pytest.mark.long
@LAWS
@given(cluster=all_clusters())
def test_the_snapshot_is_left_as_found(cluster: Cluster) -> None:
    snap = cluster.snapshot()
    before = snap.columns.allocatable.copy(), snap.columns.used.copy(), snap.columns.usable.copy()
    devices = dict(snap.devices_used)
    planned(snap)
    after = snap.columns.allocatable, snap.columns.used, snap.columns.usable
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert devices == snap.devices_used


@pytest.mark.long
@LAWS
@given(cluster=all_clusters(), data=st.data())
def test_the_order_of_the_input_decides_nothing(cluster: Cluster, data: st.DataObject) -> None:
    shuffled = msgspec.structs.replace(
        cluster,
        nodes=tuple(data.draw(st.permutations(cluster.nodes))),
        workloads=tuple(data.draw(st.permutations(cluster.workloads))),
        queues=tuple(data.draw(st.permutations(cluster.queues))),
    )
    snap = shuffled.snapshot()
    mixed = msgspec.structs.replace(snap, nodes={n.name: n for n in shuffled.nodes})
    assert planned(mixed) == planned(cluster.snapshot())


@pytest.mark.long
@LAWS
@given(cluster=all_clusters())
def test_renaming_nodes_renames_the_plan(cluster: Cluster) -> None:
    names = {n.name: NodeName(f"other-{n.name}") for n in cluster.nodes}
    there = [_renamed(decision, names) for decision in planned(cluster.snapshot()).decisions]
    assert there == [_figures_left_out(d) for d in planned(renamed(cluster, names).snapshot()).decisions]


def _renamed(decision: Decision, names: dict[NodeName, NodeName]) -> Decision:
    match decision:
        case Admit():
            moved = tuple(msgspec.structs.replace(a, node=names[a.node]) for a in decision.placement.assignments)
            return msgspec.structs.replace(
                decision, placement=msgspec.structs.replace(decision.placement, assignments=moved)
            )
        case Offer():
            return msgspec.structs.replace(decision, nodes=tuple((names[n], score) for n, score in decision.nodes))
        case _:
            return _figures_left_out(decision)


def _figures_left_out(decision: Decision) -> Decision:
    """Without the detail and the words on health, which may list nodes."""
    if not isinstance(decision, Wait):
        return decision
    blocking = tuple(msgspec.structs.replace(b, subject="") if b.kind == "health" else b for b in decision.blocking)
    return msgspec.structs.replace(decision, detail="", blocking=blocking)


@pytest.mark.long
@LAWS
@given(cluster=st.one_of(clusters(most_workloads=0), linked_clusters(most_workloads=0)), data=st.data())
def test_another_free_node_never_makes_a_gang_unplaceable(cluster: Cluster, data: st.DataObject) -> None:
    unlimited = (queue("a"), queue("b"))
    lone = data.draw(workloads("w", [n.name for n in cluster.nodes]))
    if data.draw(st.booleans()):
        lone = data.draw(wishing(lone))
    alone = msgspec.structs.replace(cluster, workloads=(lone,), queues=unlimited)
    (before,) = planned(alone.snapshot()).decisions
    fresh = data.draw(st.sampled_from(["m", "n00", "z"]))
    place = data.draw(st.sampled_from(["b0/r0", "b1/r1", "-/-"]))
    extra = data.draw(wired(node(fresh, labels=drawn(f"{place} {fresh}: .")[0][0].labels)))
    (after,) = planned(msgspec.structs.replace(alone, nodes=(*alone.nodes, extra)).snapshot()).decisions
    if isinstance(before, Admit):
        assert isinstance(after, Admit)
        assert len(after.placement.assignments) >= len(before.placement.assignments)
    if isinstance(before, Offer):
        assert isinstance(after, Offer)
        assert len(after.nodes) >= len(before.nodes)


@pytest.mark.long
@LAWS
@given(cluster=all_clusters(), more=st.lists(all_clusters(), max_size=2))
def test_a_cache_decides_nothing(cluster: Cluster, more: list[Cluster]) -> None:
    cache = PlanCache()
    snaps = [cluster.snapshot(), *(each.snapshot() for each in more)]
    for generation, snap in enumerate([*snaps, snaps[0]]):
        # Other nodes are another static generation, as the state promises.
        fresh = msgspec.structs.replace(snap, static_generation=generation)
        assert planned(fresh, cache) == planned(fresh)
        assert planned(fresh, cache) == planned(fresh)


def test_nothing_at_all() -> None:
    assert planned(snapshot([], [])).decisions == ()
