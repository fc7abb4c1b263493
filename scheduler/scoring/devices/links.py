"""Link graphs made from what is told of a machine, which may be incomplete or contradict itself."""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import combinations

from scheduler.model.links import UNKNOWN_NUMA, LinkGraph, PcieLevel

PCIE_MBPS: dict[PcieLevel, int] = {"PIX": 12_000, "PXB": 12_000, "PHB": 10_800, "NODE": 9_600, "SYS": 6_000}
"""What a pair without NVLink is taken to exchange in one direction, where no figure is reported.

12 GB/s is what NCCL counts on for PCIe 3.0 x16, and 6 GB/s for the slowest common link between sockets (NCCL
`src/graph/topo.h`, PCI_BW and QPI_BW). The generation is not reported, so the figures only rank pairs: below every
NVLink, and farther is slower; the two levels between are 0.9 and 0.8 of the first.
"""

ASSUMED_LEVEL: PcieLevel = "SYS"
"""The level of a pair of which nothing is told: the farthest."""

MOST_MBPS = 1_000_000_000
"""More than any pair is believed to exchange: a petabyte a second, which tables of 32 bits hold."""

MOST_NVLINKS = 1000
"""More NVLinks than any pair has: the fastest GPUs have 18 in all."""

Matrix = Sequence[Sequence[int]]


def link_graph(
    *,
    nvlinks: Matrix,
    nvlink_mbps: Matrix,
    pcie: Sequence[Sequence[PcieLevel | None]],
    numa: Sequence[int | None],
    switched: bool = False,
    pcie_mbps: Matrix = (),
) -> tuple[LinkGraph, tuple[str, ...]]:
    """The graph, and a sentence for each thing that was assumed because the matrices leave it open.

    `nvlink_mbps` and `pcie_mbps` are of the whole pair, 0 where not known. Where the two directions of a pair differ,
    the smaller number counts, and the farther level; numbers that cannot be count as the nearest that can.
    """
    size = len(numa)
    said: list[str] = []
    counts = [[0] * size for _ in range(size)]
    speeds = [[0] * size for _ in range(size)]
    levels: list[list[PcieLevel]] = [[ASSUMED_LEVEL] * size for _ in range(size)]
    fastest_pcie = max(*PCIE_MBPS.values(), *(speed for row in pcie_mbps for speed in row))
    unknown = 0
    for a, b in combinations(range(size), 2):
        count = _agreed(said, a, b, (nvlinks[a][b], nvlinks[b][a]), "NVLinks", MOST_NVLINKS)
        level = _level(said, a, b, (pcie[a][b], pcie[b][a]))
        unknown += level is None
        level = level or ASSUMED_LEVEL
        if count:
            # A link of unknown speed is still the better way: NVLinks are faster than the PCIe that they are added to.
            speed = _agreed(said, a, b, (nvlink_mbps[a][b], nvlink_mbps[b][a]), "MB/s over NVLink", MOST_MBPS)
            speed = speed or min(fastest_pcie + count, MOST_MBPS)
        else:
            told = (pcie_mbps[a][b], pcie_mbps[b][a]) if pcie_mbps else (0, 0)
            speed = _agreed(said, a, b, told, "MB/s over PCIe", MOST_MBPS) or PCIE_MBPS[level]
        counts[a][b] = counts[b][a] = count
        levels[a][b] = levels[b][a] = level
        speeds[a][b] = speeds[b][a] = speed
    if unknown:
        said.append(f"the PCIe level of {unknown} pairs of GPUs is not given; {ASSUMED_LEVEL} is assumed")
    graph = LinkGraph(
        nvlinks=tuple(map(tuple, counts)),
        mbps=tuple(map(tuple, speeds)),
        pcie=tuple(map(tuple, levels)),
        numa=tuple(UNKNOWN_NUMA if n is None else n for n in numa),
        switched=switched,
    )
    return shared(graph), tuple(said)


def _agreed(said: list[str], a: int, b: int, told: tuple[int, int], what: str, most: int) -> int:
    """The smaller number of both directions, within what can be."""
    there, back = told
    number = max(0, min(there, back, most))
    if there != back:
        said.append(f"GPUs {a} and {b} are given {there} {what} one way and {back} the other; {number} is assumed")
    elif there != number:
        said.append(f"GPUs {a} and {b} are given {there} {what}; {number} is assumed")
    return number


def _level(said: list[str], a: int, b: int, told: tuple[PcieLevel | None, PcieLevel | None]) -> PcieLevel | None:
    """The farther level of both directions, or the one that is told; None where none is."""
    order = list(PCIE_MBPS)
    known = [order.index(level) for level in told if level is not None]
    if not known:
        return None
    level = order[max(known)]
    if len(set(known)) > 1:
        there, back = told
        said.append(
            f"GPUs {a} and {b} are given the PCIe level {there} one way and {back} the other; {level} is assumed"
        )
    return level


@lru_cache(maxsize=256)
def shared(graph: LinkGraph) -> LinkGraph:
    """The same record for equal graphs, so that thousands of equal nodes hold one."""
    return graph


@cache
def all_equal(size: int) -> LinkGraph:
    """A machine every two of whose GPUs are connected alike by NVLink."""
    ones = [[1] * size for _ in range(size)]
    none: list[list[PcieLevel | None]] = [["SYS"] * size for _ in range(size)]
    graph, _ = link_graph(nvlinks=ones, nvlink_mbps=[[0] * size] * size, pcie=none, numa=[None] * size, switched=True)
    return graph


@lru_cache(maxsize=256)
def part(graph: LinkGraph, size: int) -> LinkGraph:
    """The graph of the first `size` GPUs."""
    return shared(
        LinkGraph(
            nvlinks=tuple(row[:size] for row in graph.nvlinks[:size]),
            mbps=tuple(row[:size] for row in graph.mbps[:size]),
            pcie=tuple(row[:size] for row in graph.pcie[:size]),
            numa=graph.numa[:size],
            switched=graph.switched,
        )
    )
