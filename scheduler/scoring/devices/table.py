"""Everything about sets of a machine's GPUs, as tables over all sets: row `mask` is the set of the bits in `mask`.

A set is *linked* where every two of its GPUs reach each other over NVLinks between GPUs of the set, be it through
others of them: then a tree over NVLink spans it. Its *bottleneck* is the slowest pair on the best ring through all of
it (of two GPUs: their pair), which is what bounds an all-reduce (NCCL builds rings); MB/s in one direction, 0 for fewer
than two GPUs.

Tables have 2^n rows and are made once a machine type: 2 ms for 8 GPUs, a fifth of a second for 16, the most they are
made for.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from scheduler.model.links import UNKNOWN_NUMA, LinkGraph
from scheduler.scoring.devices.links import PCIE_MBPS

LARGEST = 16
"""GPUs of the largest machine that tables are made for."""

EXACT = 8
"""GPUs of the largest machine for which all counts of disjoint sets are worked out beforehand."""

_ENDLESS = np.iinfo(np.int32).max
_WORTH_BIT = 40
"""Sums of bandwidths stay below 2^40: 16 sets of at most 2^31 MB/s."""

Table = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class DeviceTable:
    """The tables of one link graph of at most `LARGEST` GPUs."""

    def __init__(self, graph: LinkGraph) -> None:
        self.size = graph.size
        self.all = (1 << self.size) - 1
        self.masks: Table = np.arange(1 << self.size, dtype=np.int64)
        self.popcount: Table = sum(((self.masks >> i) & 1 for i in range(self.size)), np.zeros_like(self.masks))
        self._speeds = np.array(graph.mbps, dtype=np.int32).reshape(self.size, self.size)
        self._by_size = [np.flatnonzero(self.popcount == k) for k in range(self.size + 1)]
        self.of_size = [_in_order(self.size, k) for k in range(self.size + 1)]
        """All sets of k GPUs, those with the lowest indexes first."""
        self.ring = self._rings()
        self.slowest_pair = self._pair_sums(graph.mbps, least=True)
        self.distance = self._pair_sums(_distances(graph), least=False)
        self._adjacent = [sum(1 << b for b, n in enumerate(row) if n) for row in graph.nvlinks]
        self.component = self._components()
        """The GPUs that the lowest one of a set reaches over NVLink within it."""
        self.linked: Flags = self.component == self.masks
        self.in_line = self._lines()
        """Sets that one path over NVLink runs through: it can be cut into linked sets of any sizes."""
        self.exact = self.size <= EXACT
        self.sets = self._disjoint()
        """`sets[k, mask]`: how many disjoint linked sets of k fit; where not `exact`, so many for certain."""
        self.remains = self._remains()
        """What a set is worth when it is left over; more is better."""

    def _rings(self) -> Table:
        """Held and Karp's table, with the slowest pair of a path in place of its length."""
        n = self.size
        best = np.zeros((1 << n, n), dtype=np.int32)
        """`best[mask, e]`: the slowest pair of the best path through `mask` from its lowest GPU to e."""
        for i in range(n):
            best[1 << i, i] = _ENDLESS
        low = self._low()
        ring = np.zeros(1 << n, dtype=np.int64)
        for count in range(2, n + 1):
            layer = self._by_size[count]
            for e in range(n):
                rows = layer[((layer >> e) & 1 == 1) & (low[layer] != e)]
                best[rows, e] = np.minimum(best[rows ^ (1 << e)], self._speeds[e]).max(axis=1, initial=0)
            ring[layer] = np.minimum(best[layer], self._speeds[low[layer]]).max(axis=1, initial=0)
        return ring

    def _low(self) -> Table:
        """The index of each set's lowest GPU; 0 for the empty set."""
        low = np.zeros_like(self.masks)
        for i in range(self.size - 1, -1, -1):
            low[(self.masks >> i) & 1 == 1] = i
        return low

    def _pair_sums(self, pairs: tuple[tuple[int, ...], ...] | list[list[int]], *, least: bool) -> Table:
        """The sum over all pairs of each set, or the least of them; 0 where there is no pair."""
        n = self.size
        found = np.full(1 << n, _ENDLESS if least else 0, dtype=np.int64)
        join = np.minimum if least else np.add
        for a, b in combinations(range(n), 2):
            rows = self.masks[((self.masks >> a) & (self.masks >> b) & 1) == 1]
            found[rows] = join(found[rows], pairs[a][b])
        return np.where(self.popcount > 1, found, 0)

    def _components(self) -> Table:
        near = np.zeros_like(self.masks)
        for i, others in enumerate(self._adjacent):
            near[(self.masks >> i) & 1 == 1] |= others
        reached = self.masks & -self.masks
        for _ in range(self.size):
            reached = (reached | near[reached]) & self.masks
        return reached

    def _lines(self) -> Flags:
        """`ends[mask]`: the GPUs at which a path over NVLink through all of `mask` can end."""
        ends = np.zeros_like(self.masks)
        for i in range(self.size):
            ends[1 << i] = 1 << i
        for count in range(2, self.size + 1):
            layer = self._by_size[count]
            for e, others in enumerate(self._adjacent):
                rows = layer[(layer >> e) & 1 == 1]
                ends[rows[(ends[rows ^ (1 << e)] & others) != 0]] |= 1 << e
        return ends != 0

    def _disjoint(self) -> Table:
        """Components apart; of a line as many as its length allows; of anything else what is left of it without a GPU.

        Only sets that use every GPU are missed by that. A linked set with fewer than twice as many GPUs as asked for
        has room for one set, so there that is exact as well.
        """
        sizes = np.arange(self.size + 1, dtype=np.int64)[:, None]
        sets = np.where(self.in_line, self.popcount // np.maximum(sizes, 1), 0)
        sets[0] = 0
        for count in range(2, self.size + 1):
            layer = self._by_size[count]
            apart = layer[~self.linked[layer]]
            inside = self.component[apart]
            sets[:, apart] = sets[:, inside] + sets[:, apart ^ inside]
            odd = layer[self.linked[layer] & ~self.in_line[layer]]
            for e in range(self.size):
                rows = odd[(odd >> e) & 1 == 1]
                sets[:, rows] = np.maximum(sets[:, rows], sets[:, rows ^ (1 << e)])
            sets[1 : count + 1, odd] = np.maximum(sets[1 : count + 1, odd], 1)
            sets[1, odd] = count
            for k in range(2, count // 2 + 1):
                if self.exact and count % k == 0:
                    full = [mask for mask in odd.tolist() if self._cut_up(sets[k], mask, k, count // k)]
                    sets[k, full] = count // k
        return sets

    def _cut_up(self, sets: Table, mask: int, size: int, parts: int) -> bool:
        """Whether `mask` falls into so many `parts`, all linked sets of `size`; `sets` has all smaller masks."""
        lowest = mask & -mask
        some = self.of_size[size]
        some = some[(some & ~np.int64(mask) == 0) & (some & lowest != 0)]
        return bool((self.linked[some] & (sets[mask ^ some] == parts - 1)).any())

    def _remains(self) -> Table:
        """GPUs in linked sets, summed over all sizes of set; then the bottleneck of the best set, summed likewise."""
        sizes = np.arange(self.size + 1, dtype=np.int64)
        worth = (self.sets[2:] * sizes[2:, None]).sum(axis=0)
        speed = np.zeros_like(self.masks)
        for count in range(2, self.size + 1):
            best = np.where(self.popcount == count, self.ring, 0)
            for i in range(self.size):
                halves = best.reshape(-1, 2, 1 << i)
                np.maximum(halves[:, 1], halves[:, 0], out=halves[:, 1])
            speed += best
        return (worth << _WORTH_BIT) + speed


@lru_cache(maxsize=256)
def table_of(graph: LinkGraph) -> DeviceTable:
    """The tables of a graph of at most `LARGEST` GPUs, made once."""
    return DeviceTable(graph)


def _in_order(size: int, count: int) -> Table:
    return np.array([sum(1 << i for i in some) for some in combinations(range(size), count)], dtype=np.int64)


def _distances(graph: LinkGraph) -> list[list[int]]:
    """How far apart two GPUs are on PCIe, 1 to 5, twice; 1 more where they are known to be of different NUMA nodes."""
    steps = {level: 2 * i for i, level in enumerate(PCIE_MBPS, 1)}
    numa = graph.numa
    return [
        [
            steps[graph.pcie[a][b]] + (numa[a] != numa[b] and UNKNOWN_NUMA not in {numa[a], numa[b]})
            for b in range(graph.size)
        ]
        for a in range(graph.size)
    ]
