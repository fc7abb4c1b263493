"""What `devices.table` and `devices.choose` promise, by trying everything: slow, short, and without their tables."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, pairwise, permutations

from hypothesis import strategies as st

from scheduler.model.links import LinkGraph, PcieLevel
from scheduler.scoring.devices.links import link_graph

Some = frozenset[int]

LEVELS: tuple[PcieLevel, ...] = ("PIX", "PXB", "PHB", "NODE", "SYS")


def members(mask: int) -> Some:
    return frozenset(i for i in range(mask.bit_length()) if mask >> i & 1)


def mask_of(some: Some) -> int:
    return sum(1 << i for i in some)


def subsets(some: Some, size: int) -> Iterator[Some]:
    return (frozenset(each) for each in combinations(sorted(some), size))


def bottleneck(graph: LinkGraph, some: Some) -> int:
    """The slowest pair of the best ring."""
    if len(some) < 2:
        return 0
    first, *rest = sorted(some)
    rings = ((first, *order, first) for order in permutations(rest))
    return max(min(graph.mbps[a][b] for a, b in pairwise(ring)) for ring in rings)


def slowest(graph: LinkGraph, some: Some) -> int:
    return min((graph.mbps[a][b] for a, b in combinations(sorted(some), 2)), default=0)


def linked(graph: LinkGraph, some: Some) -> bool:
    reached = set(sorted(some)[:1])
    for _ in some:
        reached |= {b for a in reached for b in some if graph.nvlinks[a][b]}
    return len(reached) == len(some)


def in_line(graph: LinkGraph, some: Some) -> bool:
    return any(all(graph.nvlinks[a][b] for a, b in pairwise(order)) for order in permutations(some))


def distance(graph: LinkGraph, some: Some) -> int:
    """Levels on PCIe, each worth two, and one where NUMA nodes are known and differ."""
    total = 0
    for a, b in combinations(sorted(some), 2):
        apart = graph.numa[a] != graph.numa[b] and min(graph.numa[a], graph.numa[b]) >= 0
        total += 2 * (LEVELS.index(graph.pcie[a][b]) + 1) + apart
    return total


def most(graph: LinkGraph, free: Some, size: int) -> int:
    """How many disjoint linked sets of `size` there are at the most."""

    @cache
    def count(left: Some) -> int:
        return max((1 + count(left - some) for some in subsets(left, size) if linked(graph, some)), default=0)

    return count(free)


def packable(graph: LinkGraph, free: Some, sizes: Sequence[int]) -> bool:
    if not sizes:
        return True
    return any(linked(graph, some) and packable(graph, free - some, sizes[1:]) for some in subsets(free, sizes[0]))


def left_over(graph: LinkGraph, free: Some) -> tuple[int, int]:
    """What a rest is worth: GPUs in linked sets over all sizes, and the best bottlenecks over all sizes."""
    sizes = range(2, len(free) + 1)
    best = [max(bottleneck(graph, some) for some in subsets(free, size)) for size in sizes]
    return sum(size * most(graph, free, size) for size in sizes), sum(best)


@st.composite
def graphs(draw: st.DrawFn, most_gpus: int = 5, least_gpus: int = 1) -> LinkGraph:
    """Any machine: sparse or dense links, one or several speeds, NUMA nodes known or not."""
    size = draw(st.integers(least_gpus, most_gpus))
    count = st.sampled_from(draw(st.sampled_from([(0, 0, 1), (0, 1, 1, 2), (1, 1), (0, 1, 2, 4)])))
    level = st.sampled_from(LEVELS)
    nvlinks = [[0] * size for _ in range(size)]
    pcie: list[list[PcieLevel | None]] = [[None] * size for _ in range(size)]
    for a, b in combinations(range(size), 2):
        nvlinks[a][b] = nvlinks[b][a] = draw(count)
        pcie[a][b] = pcie[b][a] = draw(level)
    numa = draw(st.lists(st.sampled_from([None, 0, 1]), min_size=size, max_size=size))
    graph, assumed = link_graph(
        nvlinks=nvlinks, nvlink_mbps=[[25_000 * n for n in row] for row in nvlinks], pcie=pcie, numa=numa
    )
    assert assumed == ()
    return graph


def renumbered(graph: LinkGraph, order: Sequence[int]) -> LinkGraph:
    """The same machine; GPU `order[i]` is called i."""
    return LinkGraph(
        nvlinks=tuple(tuple(graph.nvlinks[a][b] for b in order) for a in order),
        mbps=tuple(tuple(graph.mbps[a][b] for b in order) for a in order),
        pcie=tuple(tuple(graph.pcie[a][b] for b in order) for a in order),
        numa=tuple(graph.numa[a] for a in order),
        switched=graph.switched,
    )


def machine_of(nvlinks: Sequence[Sequence[int]], level: PcieLevel = "SYS") -> LinkGraph:
    """A machine of these NVLinks, all of whose GPUs are equally far apart on PCIe."""
    size = len(nvlinks)
    row: list[PcieLevel | None] = [level for _ in nvlinks]
    graph, _ = link_graph(
        nvlinks=nvlinks,
        nvlink_mbps=[[25_000 * n for n in counts] for counts in nvlinks],
        pcie=[row] * size,
        numa=[0] * size,
    )
    return graph
