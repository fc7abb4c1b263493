"""NVL72 cliques and whole racks: the smallest domain that does, and the least damage to what is free whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scheduler.model.plan import Admit, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Slices
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.found_levels import found_levels
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, drawn, equal, gang, node, outcome, pods, shape, snapshot

TRAYS = 18
"""Of an NVL72 rack, with 4 GPUs each."""


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000))
    assert broken_rules(snap, decided) == []
    return decided


def cliques(free: Sequence[int], *gangs: tuple[str, int, Slices]) -> Snapshot:
    """Racks of 18 trays of which so many are free, with the label of GPU feature discovery; gangs of whole trays."""
    nodes = [
        node(f"c{at}-{tray:02}", 4, product="NVIDIA-GB200", labels={"nvidia.com/gpu.clique": f"cluster.{at}"})
        for at in range(len(free))
        for tray in range(TRAYS)
    ]
    held = {f"c{at}-{tray:02}": range(4) for at, n in enumerate(free) for tray in range(n, TRAYS)}
    waiting = [
        equal(name, count, 4, topology_slices=slices, created_s=at) for at, (name, count, slices) in enumerate(gangs)
    ]
    return snapshot(nodes, waiting, held=held, topology=found_levels(nodes))


def trays(decided: Plan, name: str) -> Mapping[str, int]:
    """How many trays of each rack a gang has."""
    found: dict[str, int] = {}
    for place in outcome(decided, name).split():
        rack = place.partition("-")[0]
        found[rack] = found.get(rack, 0) + 1
    return found


@pytest.mark.parametrize(
    ("free", "count", "slices", "want"),
    [
        pytest.param([18, 18], 32, (("clique", 16),), {"c0": 16, "c1": 16}, id="segments of 16 leave two spare trays"),
        pytest.param([18, 18, 2], 2, (), {"c2": 2}, id="spare trays before a whole rack"),
        pytest.param([18, 17, 16], 16, (), {"c2": 16}, id="the smallest that does"),
        pytest.param([18, 10, 10], 20, (), {"c1": 10, "c2": 10}, id="two that are begun before a whole one"),
        pytest.param([18, 16, 4], 20, (), {"c1": 16, "c2": 4}, id="filled to the last tray"),
        pytest.param([18, 18, 3], 19, (), {"c0": 16, "c2": 3}, id="one whole rack at most"),
    ],
)
def test_racks_of_trays(free: Sequence[int], count: int, slices: Slices, want: Mapping[str, int]) -> None:
    assert trays(planned(cliques(free, ("g", count, slices))), "g") == want


def test_later_gangs_take_the_trays_that_segments_leave() -> None:
    decided = planned(cliques([18, 18, 18], ("big", 32, (("clique", 16),)), ("small", 2, ()), ("other", 2, ())))
    assert trays(decided, "big") == {"c0": 16, "c1": 16}
    assert {*trays(decided, "small"), *trays(decided, "other")} == {"c0", "c1"}


BLOCKS = """
b0/r0 n0: ####
b0/r0 n1: ....
b0/r1 n2: ....
b0/r1 n3: ....
b0/r2 n4: ....
b0/r2 n5: ....
b1/r3 n6: ....
b1/r3 n7: ....
b1/r4 n8: ####
b1/r4 n9: ####
"""


def test_a_whole_rack_stays_whole_though_its_block_is_fuller() -> None:
    assert outcome(planned(draw(BLOCKS, equal("g", 1, 4))), "g") == "n1"


def test_nodes_that_are_not_used_do_not_make_a_rack_broken() -> None:
    # Both racks have two free nodes; of r1 the third is in use, of r0 it has no GPUs.
    nodes, held = drawn("b0/r0 n0: ..\nb0/r0 n1: ..\nb0/r0 n2:\nb0/r1 n3: ..\nb0/r1 n4: ..\nb0/r1 n5: ##")
    assert outcome(planned(snapshot(nodes, [equal("g", 1, 2)], held=held)), "g") == "n3"


@pytest.mark.parametrize(
    ("wishes", "want"),
    [
        pytest.param({"topology_required": "block"}, {"b0": 4}, id="required"),
        pytest.param({"topology_preferred": "rack"}, {"b0": 4}, id="preferred, where one would do"),
        pytest.param({"topology_required": "block", "topology_preferred": "rack"}, {"b0": 4}, id="both"),
        pytest.param({"topology_required": "rack"}, {}, id="required, and there is none"),
    ],
)
def test_required_preferred_and_both(wishes: Mapping[str, Any], want: Mapping[str, int]) -> None:
    drawing = "b0/r0 n0: ....\nb0/r1 n1: ....\nb1/r2 n2: ....\nb1/r3 n3: ####"
    members = pods("g", [shape(2)] * 4)
    decided = planned(draw(drawing, gang("g", members, **wishes)))
    places = [{"n0": "b0", "n1": "b0", "n2": "b1"}.get(place) for place in outcome(decided, "g").split()]
    assert {block: places.count(block) for block in places if block is not None} == want


def test_a_preferred_level_that_no_domain_can_meet_is_met_as_far_as_it_goes() -> None:
    drawing = "b0/r0 n0: ..##\nb0/r1 n1: ....\nb0/r2 n2: ..##\nb1/r3 n3: ....\nb1/r4 n4: ..##"
    decided = planned(draw(drawing, equal("g", 3, 2, topology_preferred="rack")))
    (admit,) = decided.decisions
    assert isinstance(admit, Admit)
    assert {use.level: use.used for use in admit.placement.spread} == {"block": 1, "rack": 2, "node": 2}


MIXED = {
    "h0": "NVIDIA-H100-80GB-HBM3",
    "h1": "NVIDIA-H100-80GB-HBM3",
    "a0": "NVIDIA-A100-SXM4-80GB",
    "a1": "NVIDIA-H200",
}


@pytest.mark.parametrize(
    ("models", "want"),
    [
        pytest.param(("A100", "H100"), {"h0", "h1"}, id="the model of which there are enough, for all"),
        pytest.param(("A100", "H200"), set[str](), id="not two models for one gang"),
        pytest.param((), {"a0", "a1", "h0", "h1"}, id="no wish: any nodes"),
    ],
)
def test_one_model_for_the_whole_gang(models: tuple[str, ...], want: set[str]) -> None:
    nodes = [node(name, 2, product=product) for name, product in MIXED.items()]
    # Of different sizes, so that groups are placed one after the other.
    members = pods("g", [shape(2, models=models), shape(1, models=models), shape(1, models=models)])
    decided = planned(snapshot(nodes, [gang("g", members)], topology=()))
    (decision,) = decided.decisions
    if not want:
        assert not isinstance(decision, Admit)
        return
    assert isinstance(decision, Admit)
    assert {a.node for a in decision.placement.assignments} <= want
