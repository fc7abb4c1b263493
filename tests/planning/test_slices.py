"""Slices: every so many consecutive pods in one domain, in layers, in drawings of clusters."""

import pytest

from scheduler.model.node import Taint
from scheduler.model.plan import Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Slices, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, drawn, equal, gang, node, outcome, pods, shape, snapshot, waiting


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=0, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    return decided


@pytest.mark.parametrize(
    ("drawing", "count", "slices", "want"),
    [
        pytest.param(
            "b0/r0 n0: ...\nb0/r1 n1: ...\nb0/r2 n2: .",
            4,
            (("node", 2),),
            "n0 n0 n1 n1",
            id="two and two, though three fit on the first node",
        ),
        pytest.param(
            "b0/r0 n0: .\nb0/r0 n1: .\nb0/r0 n2: .\nb0/r1 n3: .\nb0/r1 n4: .",
            4,
            (("rack", 2),),
            "n0 n1 n3 n4",
            id="the odd node of the first rack stays free",
        ),
        pytest.param(
            "b0/r0 n0: ..\nb0/r0 n1: .\nb0/r0 n2: .\nb0/r1 n3: ..\nb0/r1 n4: ..",
            4,
            (("rack", 4), ("node", 2)),
            "n3 n3 n4 n4",
            id="four to a rack, two to a node: only the second rack has that",
        ),
        pytest.param(
            "b0/r0 n0: ....\nb0/r1 n1: ....\nb1/r2 n2: ....\nb1/r3 n3: ....",
            16,
            (("block", 8), ("rack", 4), ("node", 2)),
            " ".join(f"n{i // 4}" for i in range(16)),
            id="three layers",
        ),
        pytest.param(
            "b0/r0 n0: ..\nb0/r1 n1: ..\nb0/r2 n2: .", 5, (("node", 2),), "n0 n0 n1 n1 n2", id="a shorter last slice"
        ),
        pytest.param("b0/r0 n0: ...", 3, (("rack", 2),), "n0 n0 n0", id="a shorter slice beside a whole one"),
        pytest.param(
            "b0/r0 n0: ...\nb0/r1 n1: ..",
            5,
            (("rack", 2),),
            "n1 n1 n0 n0 n0",
            id="and in the rack that has room for it",
        ),
        pytest.param(
            "b0/r0 n0: ..\nb0/r0 n1: .", 3, (("rack", 4), ("node", 2)), "n0 n0 n1", id="nothing but a shorter slice"
        ),
        pytest.param(
            "b0/r0 n0: ..\nb0/r0 n1: ..\nb0/r1 n2: ..\nb0/r1 n3: .",
            7,
            (("rack", 4), ("node", 2)),
            "n0 n0 n1 n1 n2 n2 n3",
            id="shorter in two layers",
        ),
        pytest.param("b0/r0 n0: .\nb0/r1 n1: .\nb0/r2 n2: ..", 4, (("rack", 2),), "TopologyUnsatisfied", id="no room"),
        pytest.param("-/r0 n0: ..\n-/- n1: ..", 2, (("rack", 2),), "n0 n0", id="a node without the label"),
    ],
)
def test_slices_stand_together(drawing: str, count: int, slices: Slices, want: str) -> None:
    decided = planned(draw(drawing, equal("g", count, 1, topology_slices=slices)))
    assert outcome(decided, "g") == want


def members_on(*nodes: str) -> Workload:
    """A gang of three in slices of three to a rack, of which the first pods stand."""
    return gang("g", pods("g", [shape(1)] * 3, on=nodes), topology_slices=(("rack", 3),))


def test_a_missing_member_goes_where_its_slice_stands() -> None:
    drawing = "b0/r0 n0: ..\nb0/r1 n1: ..\nb0/r1 n2: ."
    assert outcome(planned(draw(drawing, members_on("n1", "n2"))), "g") == "n1"


@pytest.mark.parametrize(
    "drawing",
    [
        pytest.param("b0/r0 n0: ..\nb0/r1 n1: ..", id="in two racks"),
        pytest.param("b0/- n0: ..\nb0/- n1: ..\nb0/r0 n2: ..", id="in no rack"),
        pytest.param("b0/r0 n0: ..\nb0/- n1: ..", id="one of them in no rack"),
    ],
)
def test_a_slice_that_stands_apart_is_not_added_to(drawing: str) -> None:
    assert waiting(planned(draw(drawing, members_on("n0", "n1"))), "g").blocking


def test_what_would_help_a_slice_that_stands_apart_is_to_want_none() -> None:
    nodes, _ = drawn("b0/r0 n0: .\nb0/r1 n1: .\nb0/r2 n2: .")
    nodes.append(node("n3", labels={"b": "b0", "r": "r3"}, taints=(Taint(key="spot"),)))
    wait = waiting(planned(snapshot(nodes, [members_on("n0", "n1")])), "g")
    assert wait.unblock.endswith("It could start now without slices (bayplan.dev/topology-slices).")
