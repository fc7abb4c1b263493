"""Among which free GPUs the kubelet lets the device plugin choose, by the policy of its topology manager.

The device manager names every set of NUMA nodes that have enough free devices between them, and prefers those of as few
NUMA nodes as would do if all devices were free (kubernetes 1.36.3, pkg/kubelet/cm/devicemanager/topology_hints.go); the
policy takes the narrowest of them, and rejects the pod or not (pkg/kubelet/cm/topologymanager/policy*.go). Of equally
narrow sets the one with the lowest numbers is taken, unless CPUs or memory decide otherwise: that is not known here, so
it may be any of them. Devices of no known NUMA node take no part.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from scheduler.model.alignment import Alignment, NumaPolicy
from scheduler.model.links import UNKNOWN_NUMA


class NumaNodes:
    """The NUMA nodes of a machine's GPUs. Sets of GPUs are numbers: bit i stands for GPU i."""

    def __init__(self, numa: Sequence[int], alignment: Alignment) -> None:
        """`numa`: the NUMA node of each GPU."""
        self._policy = alignment.policy
        self._nodes = [
            sum(1 << at for at, name in enumerate(numa) if name == node) for node in sorted({*numa} - {UNKNOWN_NUMA})
        ]
        self._all = sum(self._nodes)
        self.gathers = bool(self._nodes) and alignment.policy is not NumaPolicy.NONE
        """Whether it makes any difference which GPUs are near to each other."""
        self.rejects = self.gathers and alignment.rejects

    def among(self, free: int, count: int) -> tuple[int, ...]:
        """The sets of free GPUs from one of which a container gets its `count`; none where the pod is rejected."""
        if not self.gathers:
            return (free,) if count <= free.bit_count() else ()
        for size, sets in self._by_size(free, count):
            if self.rejects and size > self.fewest(count):
                break
            if sets:
                return sets
        # The kubelet prefers nothing then, and takes whatever is free.
        return () if self.rejects or count > free.bit_count() else (free,)

    def fewest(self, count: int) -> int:
        """Of how many NUMA nodes `count` GPUs may be for the pod not to be rejected; 0: it is in any case."""
        if self._policy is NumaPolicy.SINGLE_NUMA_NODE:
            return 1
        return next((size for size, sets in self._by_size(self._all, count) if sets), 0)

    def at_least(self, free: int, count: int) -> int:
        """How many pods of `count` GPUs are sure not to be rejected, one after the other; a lower bound."""
        if not self.rejects:
            return free.bit_count() // count
        if self.fewest(count) == 1:
            return sum((free & node).bit_count() // count for node in self._nodes)
        return int(bool(self.among(free, count)))

    def _by_size(self, free: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """For each number of NUMA nodes, the free GPUs of those so many that have `count`."""
        for size in range(1, len(self._nodes) + 1):
            sets = (sum(some) & free for some in combinations(self._nodes, size))
            yield size, tuple(sorted({some for some in sets if some.bit_count() >= count}))
