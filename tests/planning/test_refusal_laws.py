"""What is refused cannot be had: no placement of a refused gang keeps all rules. On small clusters all are tried."""

from itertools import product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.plan import Admit, Assignment, Placement, Plan, RollBack, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import gang, pods, queue, shape
from tests.planning.random_clusters import Cluster, clusters, workloads

MOST_PODS = 4
MOST_NODES = 4


def placeable(snap: Snapshot, workload: Workload) -> list[str] | None:
    """Nodes for all pending pods that break no rule, the first in order; None where there are none."""
    for nodes in product(snap.nodes, repeat=len(workload.pending)):
        assignments = tuple(
            Assignment(pod=pod.uid, node=node) for pod, node in zip(workload.pending, nodes, strict=True)
        )
        admit = Admit(workload=workload.key, placement=Placement(assignments=assignments))
        if not broken_rules(snap, Plan(generation=snap.generation, decisions=(admit,))):
            return list(nodes)
    return None


@st.composite
def standing(draw: st.DrawFn, cluster: Cluster) -> tuple[Workload, ...]:
    """Nobody, or a gang that stands and may want its domains for itself."""
    on = draw(st.lists(st.sampled_from([node.name for node in cluster.nodes]), max_size=2))
    if not on:
        return ()
    alone = draw(st.sampled_from([None, "rack", "block"]))
    return (gang("other", pods("other", [shape(0)] * len(on), on=on), topology_exclusive=alone),)


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(cluster=clusters(most_nodes=MOST_NODES, most_workloads=0), data=st.data())
def test_no_placement_of_what_is_refused_keeps_all_rules(cluster: Cluster, data: st.DataObject) -> None:
    names = [node.name for node in cluster.nodes]
    waiting = data.draw(workloads("w", names).filter(lambda w: 0 < len(w.pending) <= MOST_PODS))
    others = data.draw(standing(cluster))
    unlimited = (queue("a"), queue("b"))
    snap = msgspec.structs.replace(cluster, workloads=(waiting, *others), queues=unlimited).snapshot()
    (decision,) = plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=2000)).decisions
    if isinstance(decision, Wait | RollBack):
        assert placeable(snap, waiting) is None
