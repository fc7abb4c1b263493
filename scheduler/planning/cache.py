"""What one plan leaves for the next so that it need not be worked out again; no decision depends on it."""

from itertools import compress
from operator import is_not
from typing import TYPE_CHECKING

from scheduler.model.ends import length_of
from scheduler.model.plan import RollBack
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.candidate import Candidate, candidate_of
from scheduler.planning.known import Known
from scheduler.planning.partial import unfinished
from scheduler.quota.tree import Ledger
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.model.names import WorkloadKey


class PlanCache:
    """Derived data of the snapshots of one cluster. Used by one plan at a time."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._workloads: Mapping[WorkloadKey, Workload] = {}
        self._candidates: dict[WorkloadKey, Candidate] = {}
        self._unfinished: dict[WorkloadKey, RollBack] = {}
        self._departing: dict[WorkloadKey, Workload] = {}
        self._timed: set[WorkloadKey] = set()
        """Workloads of which it is known how long they run."""
        self.known = Known()

    def fleet(self, snapshot: Snapshot) -> Fleet:
        """The snapshot's nodes as columns; made anew when labels, taints or the set of nodes changed."""
        if self._fleet is None or not self._fleet.is_of(snapshot):
            self._fleet = Fleet(snapshot)
            # Bills depend on the products of nodes.
            self.known.bills.clear()
        return self._fleet

    def ledger(self, snapshot: Snapshot) -> Ledger:
        """What every queue uses; asks for `fleet` first."""
        self.fleet(snapshot)
        return opening_ledger(snapshot, self.known.bills)

    def candidates(self, snapshot: Snapshot) -> list[Candidate]:
        """Workloads with pending members, in no order.

        `unfinished` and `departing` are of the same snapshot from then on.
        """
        before, now = self._workloads, snapshot.workloads
        for known in (self._candidates, self._unfinished, self._departing):
            for key in [key for key in known if key not in now]:
                del known[key]
        for key in compress(now, map(is_not, now.values(), map(before.get, now))):
            self._look_at(key, now[key])
        self._workloads = dict(now)
        self._timed.intersection_update(now)
        self.known.any_length = bool(self._timed)
        return list(self._candidates.values())

    @property
    def unfinished(self) -> list[RollBack]:
        """The rests of gangs that are to leave, by their names."""
        return [self._unfinished[key] for key in sorted(self._unfinished)]

    @property
    def departing(self) -> list[Workload]:
        """The workloads some of which leaves, by their names."""
        return [self._departing[key] for key in sorted(self._departing)]

    def _look_at(self, key: "WorkloadKey", workload: Workload) -> None:
        for known in (self._candidates, self._unfinished, self._departing):
            known.pop(key, None)
        (self._timed.discard if length_of(workload) is None else self._timed.add)(key)
        rest = unfinished(workload)
        candidate = candidate_of(workload) if rest is None else None
        if rest is not None:
            self._unfinished[key] = rest
        if candidate is not None:
            self._candidates[key] = candidate
        if any(pod.deleting for pod in workload.members):
            self._departing[key] = workload
