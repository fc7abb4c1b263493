"""Which set of a machine's free GPUs is the best for a pod.

Under dynamic resource allocation the choice is carried out as it is. Under the classic device plugin it is made among
the sets that the plugin may give (`devices.plugin`). `devices.choosers` takes the one or the other, by the node.

The best is, in this order: linked, where the pod asks for that; of the highest bottleneck, then of the fastest slowest
pair; the one that leaves the most behind (linked sets of every size, then their bottlenecks); closest on PCIe and NUMA,
and far from what stays free; with the lowest indexes. `devices.table` says what the words mean.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from scheduler.model.links import LinkGraph
from scheduler.model.node import Device
from scheduler.model.workload import Linked
from scheduler.scoring.devices.table import LARGEST, Table, table_of
from scheduler.scoring.devices.wide import WideChooser

REMEMBERED = 200_000
"""Answers kept for one machine type; all are dropped when there are more. Only speed depends on it."""

Sizes = tuple[int, ...]
"""How many GPUs each of several pods gets, largest first."""


class Chooser:
    """The best sets of one machine type's GPUs. Sets are numbers: bit i stands for GPU i."""

    def __init__(self, graph: LinkGraph) -> None:
        self.table = table_of(graph)
        self.all = self.table.all
        self._largest_linked: int = int(self.table.popcount[self.table.linked].max(initial=0))
        self._best: dict[tuple[int, int, Linked, Sizes], int] = {}
        self._fits: dict[tuple[int, int], int] = {}
        self._packable: dict[tuple[int, Sizes], bool] = {}

    def could_link(self, count: int) -> bool:
        """Whether some state of the machine has a linked set of `count` GPUs to give."""
        return count <= self._largest_linked

    def best(self, free: int, count: int, wish: Linked = Linked.ANY, keep: Sizes = ()) -> int:
        """The best `count` GPUs among `free`; 0 where there are too few, or none linked and `wish` requires it.

        `keep`: linked sets of these sizes have to fit into what is left.
        """
        key = (free, count, wish, keep)
        found = self._best.get(key)
        if found is None:
            if len(self._best) >= REMEMBERED:
                self._best.clear()
            found = self._best[key] = self._search(free, count, wish, keep)
        return found

    def toll(self, free: int, some: int) -> tuple[int, int]:
        """How fast a set is (its bottleneck), and what those who come later lose if it is taken from `free`."""
        table = self.table
        return int(table.ring[some]), int(table.remains[free]) - int(table.remains[free ^ some])

    def fits(self, free: int, count: int) -> int:
        """How many disjoint linked sets of `count` GPUs there are room for in `free`."""
        table = self.table
        if count < 1 or count > table.size:
            return 0
        certain = int(table.sets[count, free])
        if table.exact or not self._may_hold_more(free, count, certain):
            return certain
        found = self._fits.get((free, count))
        if found is None:
            found = self._fits[free, count] = self._most(free, count)
        return found

    def packable(self, free: int, sizes: Sizes) -> bool:
        """Whether disjoint linked sets of all `sizes`, largest first, fit into `free` together."""
        table = self.table
        if sum(sizes) > int(table.popcount[free]):
            return False
        if not sizes or table.in_line[free]:
            return True
        if len(set(sizes)) == 1:
            return self.fits(free, sizes[0]) >= len(sizes)
        found = self._packable.get((free, sizes))
        if found is None:
            sets = self._subsets(free, sizes[0])
            linked = sets[table.linked[sets]].tolist()
            found = any(self.packable(free ^ some, sizes[1:]) for some in linked)
            if len(self._packable) >= REMEMBERED:
                self._packable.clear()
            self._packable[free, sizes] = found
        return found

    def _subsets(self, free: int, count: int) -> Table:
        if not 0 < count <= self.table.size:
            return np.zeros(0, dtype=np.int64)
        sets = self.table.of_size[count]
        return sets[(sets & ~np.int64(free)) == 0]

    def _search(self, free: int, count: int, wish: Linked, keep: Sizes) -> int:
        table = self.table
        sets = self._subsets(free, count)
        if wish is Linked.REQUIRED:
            sets = sets[table.linked[sets]]
        if keep:
            sets = np.array([some for some in sets.tolist() if self.packable(free ^ some, keep)], dtype=np.int64)
        return self._best_of(sets, free, wish)

    def best_of(self, sets: Sequence[int], free: int, wish: Linked) -> int:
        """The best of these sets, which are all of one size; 0 where there are none."""
        return self._best_of(np.array(sets, dtype=np.int64), free, wish)

    def _best_of(self, sets: Table, free: int, wish: Linked) -> int:
        table = self.table
        if wish is Linked.PREFERRED:
            sets = _with_most(sets, table.linked[sets])
        sets = _with_most(sets, table.ring[sets])
        sets = _with_most(sets, table.slowest_pair[sets])
        sets = _with_most(sets, table.remains[free ^ sets])
        sets = _with_most(sets, -table.distance[sets])
        # The distances of all free GPUs are those within the set, within the rest, and between the two.
        sets = _with_most(sets, -table.distance[free ^ sets])
        return int(sets[0]) if len(sets) else 0

    def _may_hold_more(self, free: int, count: int, certain: int) -> bool:
        table = self.table
        most = 0
        while free:
            inside = int(table.component[free])
            most += int(table.popcount[inside]) // count
            free ^= inside
        return certain < most

    def _most(self, free: int, count: int) -> int:
        """Every way to use or leave out the lowest GPU, as long as more could be won."""
        table = self.table
        inside = int(table.component[free])
        if inside != free:
            return self.fits(inside, count) + self.fits(free ^ inside, count)
        lowest = free & -free
        best = self.fits(free ^ lowest, count)
        most = int(table.popcount[free]) // count
        sets = self._subsets(free, count)
        for some in sets[((sets & lowest) != 0) & table.linked[sets]].tolist():
            if best == most:
                break
            best = max(best, 1 + self.fits(free ^ some, count))
        return best


@lru_cache(maxsize=256)
def exact_chooser(graph: LinkGraph) -> Chooser | WideChooser:
    """What chooses freely on a machine type, made once: exact up to `LARGEST` GPUs."""
    return Chooser(graph) if graph.size <= LARGEST else WideChooser(graph)


def usable(devices: Iterable[Device]) -> int:
    """The set of the healthy whole GPUs."""
    return sum(1 << d.index for d in devices if d.healthy and not d.mig_enabled)


def set_of(indexes: Iterable[int]) -> int:
    """The GPUs of these indexes as a set."""
    found = 0
    for index in indexes:
        found |= 1 << index
    return found


def indexes(devices: int) -> tuple[int, ...]:
    """The indexes of the GPUs of a set, ascending."""
    return tuple(i for i in range(devices.bit_length()) if devices >> i & 1)


def largest_first(sizes: Sequence[int]) -> Sizes:
    """Sizes of linked sets in the order that `packable` wants; single GPUs are always linked and left out."""
    return tuple(sorted((n for n in sizes if n > 1), reverse=True))


def _with_most(sets: Table, values: Table | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Table:
    return sets[values == values.max()] if len(sets) > 1 else sets
