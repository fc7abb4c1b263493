"""The ring of ranks against brute force: no order of ranks on the same nodes crosses fewer borders."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.plan import Admit, Ring
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.gangs.ring import ring
from tests.planning.build import LEVELS, draw, drawn, equal, snapshot

DRAWING = """
b0/r0 n0: ..
b0/r0 n1: ..
b0/r1 n2: ..
b1/r2 n3: ..
b1/r2 n4: ..
-/- n5: ..
"""


def hops(snap: Snapshot, order: tuple[str, ...]) -> int:
    """Borders crossed, counted one by one: a node without a label is apart from every other."""
    count = 0
    for a, b in zip(order, (*order[1:], order[0]), strict=True):
        apart = False
        for label in ("b", "r"):
            one, other = (snap.columns.names.index(each) for each in (a, b))
            values = [snap.nodes[snap.columns.names[row]].labels.get(label) for row in (one, other)]
            apart = apart or (a != b and (None in values or values[0] != values[1]))
            count += apart
        count += a != b
    return count


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.sampled_from([f"n{i}" for i in range(6)]), min_size=2, max_size=6))
def test_no_order_has_fewer(names: list[str]) -> None:
    nodes, _ = drawn(DRAWING)
    snap = snapshot(nodes)
    fleet = Fleet(snap)
    found = ring(fleet, LEVELS, np.array([snap.columns.names.index(n) for n in names], dtype=np.int64))
    assert found is not None
    assert found.hops == hops(snap, tuple(names))
    assert found.fewest == min(hops(snap, order) for order in permutations(names))


@settings(max_examples=60, deadline=None)
@given(free=st.lists(st.integers(0, 2), min_size=6, max_size=6), count=st.integers(2, 6))
def test_ranks_of_equal_pods_are_laid_out_with_the_fewest(free: list[int], count: int) -> None:
    lines = [line for line in DRAWING.splitlines() if line]
    drawing = "\n".join(f"{line[:-2]}{'.' * n}{'#' * (2 - n)}" for line, n in zip(lines, free, strict=True))
    (decided,) = plan(draw(drawing, equal("g", count, 1)), now_s=0, settings=PlanSettings()).decisions
    if isinstance(decided, Admit):
        found = decided.placement.ring
        assert found is not None
        assert found.hops == found.fewest


@settings(max_examples=60, deadline=None)
@given(racks=st.lists(st.integers(0, 2), min_size=2, max_size=6), data=st.data())
def test_pods_on_whole_nodes_make_the_shortest_ring_of_all(racks: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(2, min(4, len(racks))))
    drawing = "\n".join(f"-/r{rack} n{at}: ." for at, rack in enumerate(racks))
    snap = draw(drawing, equal("g", count, 1), topology=LEVELS[1:])
    (decided,) = plan(snap, now_s=0, settings=PlanSettings()).decisions
    assert isinstance(decided, Admit)
    assert decided.placement.ring is not None

    def length(order: tuple[int, ...]) -> int:
        pairs = zip(order, (*order[1:], order[0]), strict=True)
        return sum(1 + (racks[a] != racks[b]) for a, b in pairs)

    assert decided.placement.ring.hops == min(length(order) for order in permutations(range(len(racks)), count))


def test_one_pod_is_no_ring() -> None:
    nodes, _ = drawn(DRAWING)
    fleet = Fleet(snapshot(nodes))
    assert ring(fleet, LEVELS, np.array([0], dtype=np.int64)) is None
    assert ring(fleet, LEVELS, np.array([3, 3], dtype=np.int64)) == Ring(hops=0, fewest=0)
