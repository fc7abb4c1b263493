"""What is next for nodes that are divided anew, from what stands on them."""

import pytest
from msgspec.structs import replace

from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.planning.repartition.propose import propose
from scheduler.planning.repartition.rounds import (
    MOST_AT_ONCE,
    Finish,
    GiveUp,
    Step,
    TakeBack,
    Tell,
    first_steps,
    next_steps,
    under_way,
    wanted_config,
)
from scheduler.planning.settings import PlanSettings
from tests.planning.build import shape, single
from tests.planning.repartition.drawing import LARGE, cluster, drawn

N1 = NodeName("n1")


def marked(*gpus: str, config: str = "", state: str = "", wanted: str = "new") -> Node:
    return replace(drawn("n1", *gpus), mig_wanted=wanted, mig_config=config, mig_state=state, unschedulable=True)


@pytest.mark.parametrize(
    ("node", "settled", "step"),
    [
        pytest.param(marked("111"), {"new"}, Tell(node=N1, config="new"), id="closed and idle"),
        pytest.param(marked("111", config="old", state="success"), {"new"}, Tell(node=N1, config="new"), id="had one"),
        pytest.param(marked("111"), {"old"}, None, id="the manager may not see the configuration yet"),
        pytest.param(marked("1#11"), {"new"}, TakeBack(node=N1), id="a slice was taken meanwhile"),
        pytest.param(marked("111", "#"), {"new"}, TakeBack(node=N1), id="a whole GPU was taken meanwhile"),
        pytest.param(marked("111", config="new"), {"new"}, None, id="told, nothing heard"),
        pytest.param(marked("111", config="new", state="pending"), {"new"}, None, id="at work"),
        pytest.param(marked("111", config="new", state="success"), {"new"}, Finish(node=N1), id="done"),
        pytest.param(marked("111", config="new", state="failed"), {"new"}, GiveUp(node=N1), id="failed"),
        pytest.param(drawn("n1", "111"), {"new"}, None, id="not marked"),
    ],
)
def test_the_next_step_of_a_node(node: Node, settled: set[str], step: Step | None) -> None:
    snap = cluster([node])
    assert list(next_steps(snap, settled)) == ([] if step is None else [step])
    assert under_way(snap) == ([node] if node.mig_wanted else [])


def test_only_idle_nodes_begin_and_not_all_at_once() -> None:
    nodes = [drawn(f"n{i}", "1111111", *(["1#1"] if i == 0 else [])) for i in range(8)]
    snap = cluster(nodes, *(single(f"w{i}", shape(mig=LARGE)) for i in range(16)))
    proposal = propose(snap, now_s=0, settings=PlanSettings())
    assert len(proposal.nodes) == 8
    steps = first_steps(proposal)
    assert len(steps) == MOST_AT_ONCE
    assert "n0" not in {step.node for step in steps}
    assert len({wanted_config(step) for step in steps}) == 1
