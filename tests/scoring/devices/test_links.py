"""Graphs of links from what is told of a machine."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.links import UNKNOWN_NUMA, LinkGraph, PcieLevel
from scheduler.scoring.devices.links import MOST_MBPS, MOST_NVLINKS, PCIE_MBPS, all_equal, link_graph, part, shared
from scheduler.scoring.devices.table import DeviceTable
from tests.scoring.devices.links_by_hand import LEVELS, graphs

Numbers = list[list[int]]
Levels = list[list[PcieLevel | None]]


def squares(of: st.SearchStrategy[int], size: int) -> st.SearchStrategy[Numbers]:
    return st.lists(st.lists(of, min_size=size, max_size=size), min_size=size, max_size=size)


def pair(
    *,
    nvlinks: tuple[int, int] = (0, 0),
    nvlink_mbps: tuple[int, int] = (0, 0),
    pcie: tuple[PcieLevel | None, PcieLevel | None] = ("PIX", "PIX"),
    pcie_mbps: tuple[int, int] | None = None,
) -> tuple[LinkGraph, tuple[str, ...]]:
    """Two GPUs, of which each thing is told one way and the other."""

    def square(told: tuple[int, int]) -> Numbers:
        return [[0, told[0]], [told[1], 0]]

    return link_graph(
        nvlinks=square(nvlinks),
        nvlink_mbps=square(nvlink_mbps),
        pcie=[[None, pcie[0]], [pcie[1], None]],
        numa=[0, None],
        pcie_mbps=() if pcie_mbps is None else square(pcie_mbps),
    )


@given(st.data(), st.integers(1, 4))
def test_whatever_is_told_the_graph_is_symmetric_and_tables_can_be_made(data: st.DataObject, size: int) -> None:
    numbers = squares(st.one_of(st.integers(-(2**70), 2**70), st.integers(0, 5)), size)
    level: st.SearchStrategy[PcieLevel | None] = st.sampled_from([*LEVELS, None])
    levels: Levels = data.draw(
        st.lists(st.lists(level, min_size=size, max_size=size), min_size=size, max_size=size), label="levels"
    )
    counts = data.draw(numbers, label="counts")
    graph, said = link_graph(
        nvlinks=counts,
        nvlink_mbps=data.draw(numbers),
        pcie=levels,
        numa=[None] * size,
        pcie_mbps=data.draw(st.one_of(st.just(()), numbers)),
    )
    for a, b in combinations(range(size), 2):
        assert graph.nvlinks[a][b] == graph.nvlinks[b][a] in range(MOST_NVLINKS + 1)
        assert graph.mbps[a][b] == graph.mbps[b][a] in range(1, MOST_MBPS + 1)
        assert graph.pcie[a][b] == graph.pcie[b][a]
        if counts[a][b] != counts[b][a]:
            assert len([text for text in said if f"GPUs {a} and {b} are given {counts[a][b]} NVLinks" in text]) == 1
    assert DeviceTable(graph).ring.min() >= 0


@given(graphs())
def test_a_graph_told_again_is_the_same_and_nothing_is_assumed(graph: LinkGraph) -> None:
    again, said = link_graph(
        nvlinks=graph.nvlinks,
        nvlink_mbps=graph.mbps,
        pcie=graph.pcie,
        numa=[None if node == UNKNOWN_NUMA else node for node in graph.numa],
        pcie_mbps=graph.mbps,
    )
    assert said == ()
    assert again == graph
    assert again is shared(graph)


@pytest.mark.parametrize(
    ("graph", "mbps"),
    [
        pytest.param(pair(), PCIE_MBPS["PIX"], id="PCIe by its level"),
        pytest.param(pair(pcie_mbps=(50_000, 50_000)), 50_000, id="PCIe as reported"),
        pytest.param(pair(pcie_mbps=(50_000, 40_000)), 40_000, id="the slower direction"),
        pytest.param(pair(nvlinks=(2, 2), nvlink_mbps=(51_562, 51_562)), 51_562, id="NVLink as reported"),
        pytest.param(pair(nvlinks=(2, 1), nvlink_mbps=(50_000, 25_000)), 25_000, id="NVLink, the slower direction"),
        pytest.param(pair(nvlinks=(2, 0), nvlink_mbps=(50_000, 0)), PCIE_MBPS["PIX"], id="NVLink one way only is none"),
        pytest.param(pair(nvlinks=(2, 2)), PCIE_MBPS["PIX"] + 2, id="NVLink of unknown speed is above PCIe"),
        pytest.param(
            pair(nvlinks=(2, 2), pcie_mbps=(50_000, 50_000)),
            50_002,
            id="NVLink of unknown speed is above reported PCIe",
        ),
    ],
)
def test_how_fast_a_pair_is(graph: tuple[LinkGraph, tuple[str, ...]], mbps: int) -> None:
    assert graph[0].mbps[0][1] == mbps


@pytest.mark.parametrize(
    ("told", "said"),
    [
        pytest.param(pair(), (), id="nothing to say"),
        pytest.param(
            pair(pcie=(None, None)), ("the PCIe level of 1 pairs of GPUs is not given; SYS is assumed",), id="no level"
        ),
        pytest.param(pair(pcie=("PHB", None)), (), id="a level one way is enough"),
        pytest.param(
            pair(pcie=("PHB", "NODE")),
            ("GPUs 0 and 1 are given the PCIe level PHB one way and NODE the other; NODE is assumed",),
            id="two levels",
        ),
        pytest.param(
            pair(nvlinks=(2, 2), nvlink_mbps=(3, 4)),
            ("GPUs 0 and 1 are given 3 MB/s over NVLink one way and 4 the other; 3 is assumed",),
            id="two speeds",
        ),
        pytest.param(pair(nvlinks=(-1, -1)), ("GPUs 0 and 1 are given -1 NVLinks; 0 is assumed",), id="below zero"),
    ],
)
def test_what_is_assumed_is_said(told: tuple[LinkGraph, tuple[str, ...]], said: tuple[str, ...]) -> None:
    assert told[1] == said


def test_the_levels_rank_from_near_to_far() -> None:
    assert tuple(PCIE_MBPS) == LEVELS
    assert list(PCIE_MBPS.values()) == sorted(PCIE_MBPS.values(), reverse=True)


@given(st.data(), graphs())
def test_a_part_is_the_graph_of_the_first_gpus(data: st.DataObject, graph: LinkGraph) -> None:
    size = data.draw(st.integers(0, graph.size))
    first = part(graph, size)
    assert first.size == size
    assert all(len(row) == size for table in (first.nvlinks, first.mbps, first.pcie) for row in table)
    assert all(first.mbps[a][b] == graph.mbps[a][b] for a in range(size) for b in range(size))
    assert part(graph, graph.size) == graph


def test_all_equal_is_linked_everywhere() -> None:
    graph = all_equal(5)
    assert all(graph.nvlinks[a][b] for a in range(5) for b in range(5) if a != b)
    assert len({graph.mbps[a][b] for a in range(5) for b in range(5) if a != b}) == 1
    assert all_equal(5) is graph
