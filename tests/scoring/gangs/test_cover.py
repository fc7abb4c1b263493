"""The exact packing of equal pods against trying every set of nodes."""

from itertools import combinations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.cost import charges, fewest
from scheduler.scoring.gangs.cover import Forest
from scheduler.scoring.gangs.knapsack import batch, by_class, convolve
from scheduler.scoring.topology import Tree
from tests.planning.build import LEVELS


class Case(msgspec.Struct, frozen=True):
    blocks: list[int]
    racks: list[int]
    fits: list[int]
    more: list[int]
    pods: int
    paid: list[int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.integers(1, 9))
    each = st.lists(st.integers(0, 2), min_size=size, max_size=size)
    return Case(
        blocks=draw(each),
        racks=draw(each),
        fits=draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)),
        more=draw(each),
        pods=draw(st.integers(1, 12)),
        paid=sorted(draw(st.sets(st.integers(0, size - 1), max_size=2))),
    )


def tree_of(case: Case) -> Tree:
    blocks = np.unique(case.blocks, return_inverse=True)[1]
    racks = np.unique(blocks * 10 + np.array(case.racks), return_inverse=True)[1]
    rows = np.arange(len(blocks))
    return Tree(LEVELS, (blocks, racks), np.lexsort((rows, racks)))


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(case=cases())
def test_no_set_of_nodes_is_cheaper(case: Case) -> None:
    fits = np.array(case.fits)
    candidates = (fits > 0) | np.isin(np.arange(len(fits)), case.paid)
    prices = charges(tree_of(case), candidates, fits + np.array(case.more), case.pods, case.paid)
    found = Forest(prices, fits, case.pods).cover()
    enough = [
        np.array(rows)
        for size in range(1, len(fits) + 1)
        for rows in combinations(np.flatnonzero(fits).tolist(), size)
        if fits[list(rows)].sum() >= case.pods
    ]
    if found is None:
        assert enough == []
        return
    assert found.cost == min(prices.cost_of(rows) for rows in enough) == prices.cost_of(found.rows)
    assert int(found.counts.sum()) == case.pods
    assert (found.counts > 0).all()
    assert (found.counts <= fits[found.rows]).all()


@settings(max_examples=200, deadline=None)
@given(case=cases())
def test_the_cost_ranks_domains_then_nodes_then_free_room(case: Case) -> None:
    fits = np.array(case.fits)
    prices = charges(tree_of(case), fits > 0, fits + np.array(case.more), case.pods)
    candidates = np.flatnonzero(fits)
    sets = [
        np.array(rows)
        for size in range(1, min(len(candidates), case.pods) + 1)
        for rows in combinations(candidates.tolist(), size)
    ]
    by_cost = sorted(sets, key=prices.cost_of)
    assert [prices.parts_of(rows) for rows in by_cost] == sorted(prices.parts_of(rows) for rows in sets)


@st.composite
def sliced(draw: st.DrawFn) -> tuple[Case, dict[TopologyLevel, int]]:
    case = draw(cases())
    node, rack = draw(st.sampled_from([(1, 2), (2, 2), (1, 3), (2, 4), (1, 1), (2, 1), (1, 4)]))
    block = draw(st.sampled_from([1, 1, 2])) * rack
    slices = {LEVELS[0]: block, LEVELS[1]: rack, NODE_LEVEL: node}
    largest = max(slices.values())
    more = {level: size for level, size in slices.items() if size > 1}
    return msgspec.structs.replace(case, pods=largest * draw(st.integers(1, 4))), more


def in_whole_slices(case: Case, slices: dict[TopologyLevel, int], rows: Codes) -> int:
    """How many pods `rows` hold in whole slices, counted from the nodes outwards."""
    tree = tree_of(case)
    held: dict[int, int] = {
        row: case.fits[row] // slices.get(NODE_LEVEL, 1) * slices.get(NODE_LEVEL, 1) for row in rows.tolist()
    }
    racks: dict[int, int] = {}
    for row, pods in held.items():
        racks[int(tree.codes[1][row])] = racks.get(int(tree.codes[1][row]), 0) + pods
    block_of = dict(zip(tree.codes[1].tolist(), tree.codes[0].tolist(), strict=True))
    size = slices.get(LEVELS[1], 1)
    blocks: dict[int, int] = {}
    for rack, pods in racks.items():
        blocks[block_of[rack]] = blocks.get(block_of[rack], 0) + pods // size * size
    size = slices.get(LEVELS[0], 1)
    return sum(pods // size * size for pods in blocks.values())


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(drawn=sliced())
def test_no_set_of_nodes_that_holds_whole_slices_is_cheaper(drawn: tuple[Case, dict[TopologyLevel, int]]) -> None:
    case, slices = drawn
    fits = np.array(case.fits)
    candidates = (fits > 0) | np.isin(np.arange(len(fits)), case.paid)
    units = fits + np.array(case.more)
    prices = charges(tree_of(case), candidates, units, case.pods, case.paid, slices)
    found = Forest(prices, fits, case.pods).cover()
    enough = [
        np.array(rows)
        for size in range(1, len(fits) + 1)
        for rows in combinations(np.flatnonzero(fits).tolist(), size)
        if in_whole_slices(case, slices, np.array(rows)) >= case.pods
    ]
    if found is None:
        assert enough == []
        return
    assert found.cost == min(prices.cost_of(rows) for rows in enough) == prices.cost_of(found.rows)
    assert int(found.counts.sum()) == case.pods
    assert (found.counts <= fits[found.rows]).all()
    # In the layout's order every so many pods that follow each other stand in one domain.
    places = np.repeat(found.rows, found.counts)
    for level, size in slices.items():
        codes = np.arange(len(fits)) if level == NODE_LEVEL else tree_of(case).codes[LEVELS.index(level)]
        assert all(len(set(some.tolist())) == 1 for some in codes[places].reshape(-1, size))


def forest(blocks: int, racks: int, nodes: int, fits: Codes, pods: int) -> Forest:
    rows = np.arange(blocks * racks * nodes)
    rack = rows // nodes
    tree = Tree(LEVELS, (rack // racks, rack), rows)
    return Forest(charges(tree, fits > 0, fits, pods), fits, pods)


def test_three_blocks_are_joined_where_two_do_not_hold() -> None:
    fits = np.array([3, 3, 2, 2, 3, 3, 1, 1, 3, 3, 2, 2, 1, 1, 1, 1])
    found = forest(4, 2, 2, fits, 23).cover()
    assert found is not None
    # Five racks and nine nodes in any case; with the rack of the small nodes, the least free room is touched.
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_many_nodes_of_one_domain_are_counted_not_tried() -> None:
    fits = np.tile(np.array([1, 2, 3, 5]), 250)
    found = forest(1, 1, 1000, fits, 1024).cover()
    assert found is not None
    # 204 nodes of 5 leave 4 pods: one node more, and of those that hold 4 the fullest is a whole one of 5.
    assert len(found.rows) == 205


def test_with_hundreds_of_lone_nodes_no_pair_is_tried() -> None:
    fits = np.full(600, 3)
    rows = np.arange(600)
    tree = Tree(LEVELS[:1], (rows,), rows)
    found = Forest(charges(tree, fits > 0, fits, 5), fits, 5).cover()
    assert found is not None
    assert found.rows.tolist() == [0, 1]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=7), st.integers(1, 20))
def test_the_knapsack_by_class_and_in_batches_is_exact(items: list[tuple[int, int]], pods: int) -> None:
    fits, costs = np.array([f for f, _ in items]), np.array([c for _, c in items])
    sets = [list(rows) for size in range(len(items) + 1) for rows in combinations(range(len(items)), size)]
    (batched,) = batch(fits, costs, np.array([0]), np.array([len(items)]), pods)
    for choices in (by_class(fits, costs, pods), batched):
        assert len(choices.cost) == min(pods, int(fits.sum())) + 1
        for k, cost in enumerate(choices.cost.tolist()):
            assert cost == min(int(costs[rows].sum()) for rows in sets if fits[rows].sum() >= k)
            chosen = choices.of(k)
            assert len(set(chosen.tolist())) == len(chosen)
            assert fits[chosen].sum() >= k
            assert costs[chosen].sum() == cost


prices = st.lists(st.integers(0, 9), min_size=1, max_size=8).map(lambda rises: np.cumsum([0, *rises[1:]]))


@given(prices, prices, st.integers(0, 20))
def test_joining_tries_every_split(a: Codes, b: Codes, pods: int) -> None:
    joined = convolve(a, b, pods)
    assert len(joined) == min(len(a) + len(b) - 2, pods) + 1
    for k, cost in enumerate(joined.tolist()):
        assert cost == min(int(a[i] + b[j]) for i in range(len(a)) for j in range(len(b)) if i + j >= k)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 20))
def test_fewest_counts_the_largest_first(capacities: list[int], pods: int) -> None:
    holding = [
        size for size in range(len(capacities) + 1) if any(sum(some) >= pods for some in combinations(capacities, size))
    ]
    assert fewest(np.array(capacities), pods) == (holding[0] if holding else len(capacities) + 1)
