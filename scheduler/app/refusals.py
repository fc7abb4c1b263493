"""How often nodes refused plans of a workload in a row, and what follows: how long it rests, how long they are avoided.

A refusal may rest on a passing moment (a cycle of kube-scheduler's on an older view, an extender call that broke), so
the first is remembered for seconds only; one that comes again and again is believed for longer each time.
"""

from collections.abc import Iterable

from scheduler.model.names import PodUid, WorkloadKey

FREE_TRIES = 3
"""Plans of a workload that nodes may refuse in a row before it has to rest."""

FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0

FIRST_MEMORY_S = 2.0
"""How long nodes are avoided after the first refusal in a row; twice as long after each further one."""

_DOUBLINGS = 16
"""Enough to get from any first time to any longest one."""


class Refusals:
    """Refusals in a row, by workload."""

    def __init__(self, *, memory_s: float) -> None:
        """No refusal. `memory_s`: how long nodes are avoided at most."""
        self._memory_s = memory_s
        self._counts: dict[WorkloadKey, int] = {}
        self._pods: dict[WorkloadKey, tuple[PodUid, ...]] = {}
        self._of: dict[PodUid, WorkloadKey] = {}

    def add(self, workload: WorkloadKey, pods: Iterable[PodUid]) -> None:
        """A plan for these pods of the workload was refused."""
        count = self._counts.get(workload, 0)
        self.end(workload)
        self._counts[workload] = count + 1
        self._pods[workload] = tuple(pods)
        self._of.update(dict.fromkeys(self._pods[workload], workload))

    def end(self, workload: WorkloadKey) -> None:
        """The workload stands."""
        if self._counts.pop(workload, None) is not None:
            for uid in self._pods.pop(workload):
                self._of.pop(uid, None)

    def pod_gone(self, uid: PodUid) -> WorkloadKey | None:
        """A pod is no more; the workload of which it was refused.

        Whatever comes of that workload, perhaps another of the same name, starts at none.
        """
        workload = self._of.get(uid)
        if workload is not None:
            self.end(workload)
        return workload

    def rest_s(self, workload: WorkloadKey) -> float:
        """How long the workload is not to be planned; 0 after few refusals."""
        surplus = self._counts.get(workload, 0) - FREE_TRIES
        return _doubled(FIRST_REST_S, surplus, LONGEST_REST_S) if surplus > 0 else 0.0

    def memory_s(self, workload: WorkloadKey) -> float:
        """How long the nodes of the latest refusal are to be avoided for the workload."""
        return _doubled(FIRST_MEMORY_S, self._counts.get(workload, 1), self._memory_s)


def _doubled(first_s: float, times: int, most_s: float) -> float:
    """`first_s` at one time, twice as much at each further one, `most_s` at most."""
    return min(first_s * 2.0 ** min(times - 1, _DOUBLINGS), most_s)
