"""Sets of GPUs on machines with more of them than tables are made for: good sets, not proven best ones."""

from collections.abc import Sequence

from scheduler.model.links import LinkGraph
from scheduler.model.workload import Linked

SEEDS = 8
"""GPUs of each connected part from which a set is grown."""


class WideChooser:
    """As `devices.Chooser`, by growing a set from each GPU, always by the one best connected to it.

    What it finds is real: sets that it counts as linked are, and there may be more.
    """

    def __init__(self, graph: LinkGraph) -> None:
        self._speeds = graph.mbps
        self._adjacent = [sum(1 << b for b, n in enumerate(row) if n) for row in graph.nvlinks]
        self.all = (1 << graph.size) - 1
        self._largest_linked = max((part.bit_count() for part in self._parts(self.all)), default=0)

    def could_link(self, count: int) -> bool:
        """Whether some state of the machine has a linked set of `count` GPUs to give."""
        return count <= self._largest_linked

    def best(self, free: int, count: int, wish: Linked = Linked.ANY, keep: tuple[int, ...] = ()) -> int:
        """The best `count` GPUs that were found; 0 where none were. `keep` has to fit into what is left."""
        if not 0 < count <= free.bit_count():
            return 0
        found = [self._grow(part, 1 << seed, count) for part in self._parts(free) for seed in _bits(part)[:SEEDS]]
        linked = [some for some in found if some and self.packable(free ^ some, keep)]
        if linked or wish is Linked.REQUIRED:
            return self.best_of(linked)
        loose = [self._grow(free, 1 << seed, count, over_nvlink=False) for seed in _bits(free)[:SEEDS]]
        kept = [some for some in loose if self.packable(free ^ some, keep)]
        return self.best_of(kept)

    def best_of(self, sets: Sequence[int], free: int = 0, wish: Linked = Linked.ANY) -> int:  # noqa: ARG002  as Chooser
        """The set with the fastest slowest pair; 0 where there are none."""
        return max(sets, key=lambda some: (self._slowest(some), -some), default=0)

    def toll(self, free: int, some: int) -> tuple[int, int]:  # noqa: ARG002  as Chooser
        """How fast a set is, by its slowest pair; what others lose by it is not known."""
        return self._slowest(some), 0

    def fits(self, free: int, count: int) -> int:
        """How many disjoint linked sets of `count` GPUs were found in `free`."""
        if count < 1:
            return 0
        found = 0
        while (some := self.best(free, count, Linked.REQUIRED)) and count <= free.bit_count():
            free ^= some
            found += 1
        return found

    def packable(self, free: int, sizes: tuple[int, ...]) -> bool:
        """Whether linked sets of all `sizes` were found in `free`, one after the other."""
        for count in sizes:
            some = self.best(free, count, Linked.REQUIRED)
            if not some:
                return False
            free ^= some
        return True

    def _parts(self, free: int) -> list[int]:
        """The GPUs that reach each other over NVLink, apart."""
        parts: list[int] = []
        while free:
            part = free & -free
            while (more := self._near(part) & free & ~part) != 0:
                part |= more
            parts.append(part)
            free ^= part
        return parts

    def _near(self, some: int) -> int:
        near = 0
        for i in _bits(some):
            near |= self._adjacent[i]
        return near

    def _grow(self, free: int, some: int, count: int, *, over_nvlink: bool = True) -> int:
        """The GPU `some` and those added to it; 0 where there are too few."""
        reach = list(self._speeds[some.bit_length() - 1])
        while some.bit_count() < count:
            open_to = free & ~some & (self._near(some) if over_nvlink else free)
            if not open_to:
                return 0
            new = max(_bits(open_to), key=lambda i: (reach[i], -i))
            some |= 1 << new
            reach = [min(pair) for pair in zip(reach, self._speeds[new], strict=True)]
        return some

    def _slowest(self, some: int) -> int:
        inside = _bits(some)
        return min((self._speeds[a][b] for a in inside for b in inside if a != b), default=0)


def _bits(some: int) -> list[int]:
    return [i for i in range(some.bit_length()) if some >> i & 1]
