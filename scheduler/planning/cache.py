"""What one plan leaves for the next so that it need not be worked out again; no decision depends on it."""

from typing import TYPE_CHECKING

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
    from scheduler.model.names import WorkloadKey

_Known = tuple[Workload, Candidate | None, RollBack | None, bool]
"""What is known of a workload, valid while it is the very same record."""


class PlanCache:
    """Derived data of the snapshots of one cluster. Used by one plan at a time."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._candidates: dict[WorkloadKey, _Known] = {}
        self.unfinished: list[RollBack] = []
        self.departing: list[Workload] = []
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

        `unfinished` and `departing` are then the rests of gangs that are to leave, and workloads some of which leaves.
        """
        known, self._candidates = self._candidates, {}
        self.unfinished, self.departing = [], []
        found: list[Candidate] = []
        for key, workload in snapshot.workloads.items():
            entry = known.get(key)
            if entry is None or entry[0] is not workload:
                rest = unfinished(workload)
                candidate = candidate_of(workload) if rest is None else None
                entry = (workload, candidate, rest, any(pod.deleting for pod in workload.members))
            self._candidates[key] = entry
            if entry[1] is not None:
                found.append(entry[1])
            if entry[2] is not None:
                self.unfinished.append(entry[2])
            if entry[3]:
                self.departing.append(workload)
        return found
