"""Every table against trying everything."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given

from scheduler.model.links import LinkGraph, PcieLevel
from scheduler.scoring.devices.choose import Chooser
from scheduler.scoring.devices.links import all_equal, link_graph
from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.scoring.devices.table import LARGEST, DeviceTable
from tests.scoring.devices import links_by_hand as by_hand
from tests.scoring.devices.links_by_hand import graphs, members


@given(graphs())
def test_every_row_is_what_trying_everything_gives(graph: LinkGraph) -> None:
    table = DeviceTable(graph)
    for mask in range(1 << graph.size):
        some = members(mask)
        assert table.popcount[mask] == len(some)
        assert table.ring[mask] == by_hand.bottleneck(graph, some)
        assert table.slowest_pair[mask] == by_hand.slowest(graph, some)
        assert table.distance[mask] == by_hand.distance(graph, some)
        assert table.linked[mask] == by_hand.linked(graph, some)
        assert table.in_line[mask] == (bool(some) and by_hand.in_line(graph, some))


@given(graphs())
def test_the_component_is_all_that_the_lowest_gpu_reaches(graph: LinkGraph) -> None:
    table = DeviceTable(graph)
    for mask in range(1, 1 << graph.size):
        inside = members(int(table.component[mask]))
        assert min(members(mask)) in inside
        assert by_hand.linked(graph, inside)
        assert not any(graph.nvlinks[a][b] for a in inside for b in members(mask) - inside)


@given(graphs(most_gpus=7))
def test_sets_are_as_many_as_there_are(graph: LinkGraph) -> None:
    table = DeviceTable(graph)
    assert table.exact
    for mask in range(1 << graph.size):
        assert table.sets[0, mask] == 0
        for size in range(1, graph.size + 1):
            assert table.sets[size, mask] == by_hand.most(graph, members(mask), size)


def joined_stars(size: int) -> LinkGraph:
    """Two stars of `size` GPUs whose centres are joined: no path runs through, and two linked sets use every GPU."""
    pairs = [(at, other) for at in (0, size) for other in range(at + 1, at + size)]
    links = [[0] * 2 * size for _ in range(2 * size)]
    for a, b in [*pairs, (0, size)]:
        links[a][b] = links[b][a] = 1
    far: list[PcieLevel | None] = ["SYS" for _ in range(2 * size)]
    graph, _ = link_graph(nvlinks=links, nvlink_mbps=links, pcie=[far] * 2 * size, numa=[0] * 2 * size)
    return graph


@pytest.mark.parametrize("size", [3, 4, 5])
def test_sets_that_use_every_gpu_are_counted(size: int) -> None:
    graph = joined_stars(size)
    table = DeviceTable(graph)
    assert table.sets[size, table.all] == (2 if table.exact else 1)
    assert Chooser(graph).fits(table.all, size) == 2


@pytest.mark.parametrize("name", machine_types())
def test_on_the_machines_that_are_known_every_free_state_is_worth_what_trying_everything_gives(name: str) -> None:
    graph = machine_graph(name)
    assert graph is not None
    table = DeviceTable(graph)
    masks = range(1 << graph.size)
    # Eight GPUs have 255 states; a third of them, spread over all sizes, has every shape of rest.
    some = [mask for mask in masks if graph.size < 8 or mask % 3 == 0]
    worth = [by_hand.left_over(graph, members(mask)) for mask in some]
    order = sorted(range(len(some)), key=lambda at: worth[at])
    remains = table.remains[np.array(some)[order]]
    assert (np.diff(remains) >= 0).all()
    assert [a == b for a, b in pairwise(remains)] == [worth[a] == worth[b] for a, b in pairwise(order)]


def test_sets_of_a_size_come_with_the_lowest_indexes_first() -> None:
    table = DeviceTable(all_equal(4))
    assert table.of_size[2].tolist() == [0b0011, 0b0101, 0b1001, 0b0110, 0b1010, 0b1100]


def test_the_largest_machine_has_tables() -> None:
    table = DeviceTable(all_equal(LARGEST))
    assert table.linked.all()
    assert table.sets[2, table.all] == LARGEST // 2
    assert table.ring[table.all] == table.slowest_pair[table.all] > 0
