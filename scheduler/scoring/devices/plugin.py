"""Which GPUs a pod gets where the kubelet and NVIDIA's device plugin choose, and what can be promised there.

The plugin looks at all ways to cut the free GPUs into sets of the wanted size, with one smaller set for what is left
over, takes those with the largest sum of scores, and of such a cut the set with the highest score (go-gpuallocator,
besteffort_policy.go; its use: k8s-device-plugin, internal/rm/allocate.go). A pair scores 10 to 50 by its PCIe level,
and 100 for each NVLink that leads straight to the other GPU; NVLinks to a switch score nothing, as their far end is the
switch. The kubelet lists free GPUs in no order, so chance decides among equals; a single GPU may be any.

The kubelet may gather the GPUs by NUMA nodes first, and reject pods (`devices.numa`).

A promise has to hold whatever chance does, and in whatever order the pods come.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import combinations

from scheduler.model.alignment import ANYHOW, Alignment
from scheduler.model.links import LinkGraph, PcieLevel
from scheduler.model.workload import Linked
from scheduler.scoring.devices.choose import REMEMBERED, Sizes, exact_chooser
from scheduler.scoring.devices.numa import NumaNodes

PREDICTED = 8
"""Free GPUs up to which the plugin's choice is worked out. With 16 the plugin itself takes seconds."""

PAIR_SCORES: dict[PcieLevel, int] = {"PIX": 50, "PXB": 40, "PHB": 30, "NODE": 20, "SYS": 10}
"""As in go-gpuallocator's calculateGPUPairScore."""

NVLINK_SCORE = 100

_NO_CUT = -1


class PluginChooser:
    """As `devices.Chooser`: `best` is what is expected of the plugin, and only what is sure counts as linked."""

    def __init__(self, graph: LinkGraph, predicted: int = PREDICTED, alignment: Alignment = ANYHOW) -> None:
        """`predicted`: free GPUs up to which the choice is worked out; 0 where nothing is known of how it is made."""
        self._predicted = predicted
        self._numa = NumaNodes(graph.numa, alignment)
        self._by_pod = alignment.by_pod
        self.rejects = self._numa.rejects
        """Whether the kubelet rejects pods whose GPUs are not near to each other."""
        self._free_choice = exact_chooser(graph)
        self.all = self._free_choice.all
        self._adjacent = [1 << a | sum(1 << b for b, n in enumerate(row) if n) for a, row in enumerate(graph.nvlinks)]
        self.always_sure = self._is_alike(self.all)
        """Whether it does not matter which of the machine's GPUs a pod gets."""
        straight = 0 if graph.switched else NVLINK_SCORE
        self._pairs = {
            1 << a | 1 << b: PAIR_SCORES[graph.pcie[a][b]] + straight * graph.nvlinks[a][b]
            for a, b in combinations(range(graph.size), 2)
        }
        self._best: dict[tuple[int, int, Linked, Sizes, Sizes], int] = {}
        self._may_get: dict[tuple[int, Sizes, Sizes, Sizes], frozenset[int]] = {}
        self._tolls: dict[tuple[int, int, Sizes], tuple[int, int]] = {}
        self._scores: dict[int, int] = {}
        self._cuts: dict[tuple[int, int, int], int] = {}
        self._picks: dict[tuple[int, int], tuple[int, ...]] = {}
        self._in_turn: dict[tuple[int, Sizes], tuple[int, ...]] = {}
        self._fits: dict[tuple[int, int, Sizes, bool], int] = {}
        self._packable: dict[tuple[int, Sizes, bool], bool] = {}
        self._states: dict[tuple[int, Sizes], frozenset[int]] = {}

    def could_link(self, count: int) -> bool:
        """Whether some state of the machine has a linked set of `count` GPUs to give."""
        possible = self._free_choice.could_link(count)
        if not possible or not self._numa.gathers:
            return possible
        return any(self._free_choice.fits(some, count) for some in self._numa.among(self.all, count))

    def could_admit(self, count: int, steps: Sizes = ()) -> bool:
        """Whether the kubelet would take a pod of `count` GPUs if all were free; `steps` as of `best`."""
        wholes = (count,) if self._by_pod or not steps else steps
        if self.all.bit_count() <= PREDICTED:
            return bool(self.picks_in_turn(self.all, wholes))
        return count <= self.all.bit_count() and all(self._numa.among(self.all, each) for each in wholes)

    def best(self, free: int, count: int, wish: Linked = Linked.ANY, keep: Sizes = (), steps: Sizes = ()) -> int:
        """The best set that the plugin may give; 0 where there are too few, or `wish` requires what is not sure.

        `keep`: linked sets of these sizes are sure to fit into what is left. `steps`: containers ask for so many, one
        after the other; empty: for all at once.
        """
        key = (free, count, wish, keep, steps)
        found = self._best.get(key)
        if found is None:
            if len(self._best) >= REMEMBERED:
                self._best.clear()
            found = self._best[key] = self._expected(free, count, wish, keep, steps)
        return found

    def toll(self, free: int, count: int, steps: Sizes = ()) -> tuple[int, int]:
        """As `Chooser.toll`, of the worst that the plugin may give: how slow the set is, what others lose at most.

        Of more free GPUs than are looked at, of the best set. `steps` as of `best`.
        """
        found = self._tolls.get((free, count, steps))
        if found is None:
            if free.bit_count() > PREDICTED:
                picks: tuple[int, ...] = (self.best(free, count),)
            else:
                picks = self.picks_in_turn(free, steps or (count,)) or (0,)
            tolls = [self._free_choice.toll(free, some) for some in picks]
            if len(self._tolls) >= REMEMBERED:
                self._tolls.clear()
            found = min(speed for speed, _ in tolls), max(loss for _, loss in tolls)
            self._tolls[free, count, steps] = found
        return found

    def fits(self, free: int, count: int, steps: Sizes = (), *, linked: bool = True) -> int:
        """How many pods, one after the other, are sure to get `count` GPUs, linked ones if asked; `steps` as of `best`.

        Of more free GPUs than are looked at, a lower bound.
        """
        if count < 1 or count > free.bit_count():
            return 0
        if count == 1 or self._is_alike(free) or not (linked or self.rejects):
            return free.bit_count() // count
        all_linked = self._all_linked(free)
        if free.bit_count() > self._predicted:
            least = self._numa.at_least(free, count) if all_linked or not linked else 0
            # A container that needs few GPUs may take those that another pod's needed near to each other.
            return min(least, 1) if steps and not self._by_pod else least
        found = self._fits.get((free, count, steps, linked))
        if found is None:
            picks = self._sure(free, steps or (count,))
            good = bool(picks) and (not linked or all(self._is_linked(some) for some in picks))
            found = 1 + min(self.fits(free ^ some, count, steps, linked=linked) for some in picks) if good else 0
            self._fits[free, count, steps, linked] = found
        return found

    def could_fit(self, free: int, count: int) -> bool:
        """Whether a linked set of `count` GPUs is free, sure to be given or not."""
        return self._free_choice.fits(free, count) > 0

    def states(self, free: int, given: int, sizes: Sizes) -> frozenset[int]:
        """What may be free where pods of `sizes` are only expected to hold `given`: they may hold others."""
        pool = free | given
        if self._is_alike(pool):
            return frozenset({free})
        if pool.bit_count() > self._predicted:
            return frozenset({0})
        return self._left(pool, sizes) | {free}

    def packable(self, free: int, sizes: Sizes, *, linked: bool = True) -> bool:
        """Whether pods of all `sizes` are sure to get their GPUs, linked ones if asked, in whatever order they come."""
        if sum(sizes) > free.bit_count():
            return False
        if not sizes or self._is_alike(free) or not (linked or self.rejects):
            return True
        if free.bit_count() > self._predicted:
            return False
        found = self._packable.get((free, sizes, linked))
        if found is None:
            found = all(self._packs(free, sizes, count, linked=linked) for count in set(sizes))
            if len(self._packable) >= REMEMBERED:
                self._packable.clear()
            self._packable[free, sizes, linked] = found
        return found

    def _packs(self, free: int, sizes: Sizes, first: int, *, linked: bool) -> bool:
        """The same, where a pod that gets `first` GPUs comes first."""
        picks, others = self.picks(free, first), _without(sizes, first)
        return bool(picks) and all(
            (not linked or self._is_linked(some)) and self.packable(free ^ some, others, linked=linked)
            for some in picks
        )

    def picks(self, free: int, count: int) -> tuple[int, ...]:
        """All sets that the plugin may give of at most `PREDICTED` free GPUs, lowest number first."""
        found = self._picks.get((free, count))
        if found is None:
            given = {some for among in self._numa.among(free, count) for some in self._may_give(among, count)}
            found = self._picks[free, count] = tuple(sorted(given))
        return found

    def picks_in_turn(self, free: int, steps: Sizes) -> tuple[int, ...]:
        """As `picks`, for containers of one pod that ask one after the other: what they may be given together."""
        if len(steps) == 1:
            return self.picks(free, steps[0])
        found = self._in_turn.get((free, steps))
        if found is None:
            given: set[int] = set()
            for among in self._numa.among(free, sum(steps)) if self._by_pod else (free,):
                some = {0}
                for count in steps:
                    some = {held | more for held in some for more in self._next(among & ~held, count)}
                given |= some
            found = self._in_turn[free, steps] = tuple(sorted(given))
        return found

    def _next(self, free: int, count: int) -> Collection[int]:
        """What one more container of a pod may be given."""
        return set(self._may_give(free, count)) if self._by_pod else self.picks(free, count)

    def _sure(self, free: int, steps: Sizes) -> tuple[int, ...]:
        """As `picks_in_turn`; none where one of the containers may come too late for the kubelet to take the pod."""
        if self.rejects and not self._by_pod:
            held = 0
            for done, count in enumerate(steps):
                before = self.picks_in_turn(free, steps[:done]) if done else (held,)
                if not all(self._numa.among(free & ~some, count) for some in before):
                    return ()
        return self.picks_in_turn(free, steps)

    def may_get(self, pool: int, before: Sizes, steps: Sizes, others: Sizes = ()) -> frozenset[int]:
        """What a pod whose containers ask for `steps` may be given of a `pool` of at most `PREDICTED` GPUs.

        Pods of the sizes `before` get theirs first; those of `others` come in any order, before it or after it.
        """
        key = (pool, before, steps, tuple(sorted(others)))
        found = self._may_get.get(key)
        if found is None:
            comes_first = {some for count in range(len(others) + 1) for some in combinations(key[-1], count)}
            states = {left for some in comes_first for left in self._left(pool, (*before, *some))}
            found = frozenset(some for left in states for some in self.picks_in_turn(left, steps))
            if len(self._may_get) >= REMEMBERED:
                self._may_get.clear()
            self._may_get[key] = found
        return found

    def _expected(self, free: int, count: int, wish: Linked, keep: Sizes, steps: Sizes) -> int:
        if not 0 < count <= free.bit_count():
            return 0
        if free.bit_count() > self._predicted:
            sure = wish is not Linked.REQUIRED or self._all_linked(free)
            if not sure or not self.packable(free, keep):
                return 0
            best = (self._free_choice.best(some, count, wish, keep) for some in self._numa.among(free, count))
            found = [some for some in best if some]
            return self._free_choice.best_of(found, free, wish) if len(found) > 1 else sum(found)
        picks = self._sure(free, steps or (count,))
        if wish is Linked.REQUIRED and not all(self._is_linked(some) for some in picks):
            return 0
        kept = [some for some in picks if self.packable(free ^ some, keep)]
        return self._free_choice.best_of(kept, free, wish) if kept else 0

    def _left(self, pool: int, sizes: Sizes) -> frozenset[int]:
        """What may be left of `pool` after pods of `sizes`, in whatever order they came."""
        if not sizes:
            return frozenset({pool})
        found = self._states.get((pool, sizes))
        if found is None:
            found = frozenset[int]().union(
                *(
                    self._left(pool ^ some, _without(sizes, count))
                    for count in set(sizes)
                    for some in (self.picks(pool, count) or (0,) if count <= pool.bit_count() else (pool,))
                )
            )
            if len(self._states) >= REMEMBERED:
                self._states.clear()
            self._states[pool, sizes] = found
        return found

    def _may_give(self, free: int, count: int) -> Iterator[int]:
        if count in (1, free.bit_count()):
            yield from _subsets(free, count)
            return
        most = self._cut(free, count, self._score(free))
        spare = free.bit_count() % count
        for small in _subsets(free, spare) if spare else ():
            # The plugin would take the smaller set for the best one, and fail: nothing is sure then.
            if self._score(small) + self._cut(free ^ small, count, self._score(small)) == most:
                yield from _subsets(free, count)
                return
        for some in _subsets(free, count):
            score = self._score(some)
            rest = self._cut(free ^ some, count, score)
            if rest != _NO_CUT and score + rest == most:
                yield some

    def _cut(self, free: int, count: int, highest: int) -> int:
        """The largest sum of scores of a cut, none of whose sets scores above `highest`; `_NO_CUT` where none does."""
        if not free:
            return 0
        found = self._cuts.get((free, count, highest))
        if found is not None:
            return found
        found = _NO_CUT
        lowest, others = free & -free, free & (free - 1)
        for size in {count, free.bit_count() % count} - {0}:
            for more in _subsets(others, size - 1):
                score = self._score(lowest | more)
                rest = self._cut(others ^ more, count, highest) if score <= highest else _NO_CUT
                if rest != _NO_CUT:
                    found = max(found, score + rest)
        self._cuts[free, count, highest] = found
        return found

    def _score(self, some: int) -> int:
        found = self._scores.get(some)
        if found is None:
            found = self._scores[some] = sum(self._pairs[pair] for pair in _subsets(some, 2))
        return found

    def _is_alike(self, free: int) -> bool:
        """Whether it does not matter which of these GPUs a pod gets."""
        return not self.rejects and self._all_linked(free)

    def _all_linked(self, free: int) -> bool:
        """Whether every two of these GPUs are connected by NVLink."""
        return all(near & free == free for at, near in enumerate(self._adjacent) if free >> at & 1)

    def _is_linked(self, some: int) -> bool:
        return self._free_choice.fits(some, some.bit_count()) == 1


@lru_cache(maxsize=256)
def plugin_chooser(graph: LinkGraph, alignment: Alignment = ANYHOW) -> PluginChooser:
    """What is expected of the plugin on a machine type, made once."""
    return PluginChooser(graph, alignment=alignment)


def _subsets(some: int, size: int) -> Iterator[int]:
    bits = [1 << i for i in range(some.bit_length()) if some >> i & 1]
    return (sum(each) for each in combinations(bits, size))


def _without(sizes: Sizes, one: int) -> Sizes:
    at = sizes.index(one)
    return sizes[:at] + sizes[at + 1 :]
