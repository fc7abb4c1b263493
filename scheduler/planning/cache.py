"""What one plan leaves for the next so that it need not be worked out again; no decision depends on it."""

from scheduler.model.snapshot import Snapshot
from scheduler.planning.candidate import Candidate, KnownCandidates, candidate_of
from scheduler.planning.known import Known
from scheduler.quota.tree import Ledger
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.fleet import Fleet


class PlanCache:
    """Derived data of the snapshots of one cluster. Used by one plan at a time."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._candidates: KnownCandidates = {}
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
        """Workloads with pending members, in no order."""
        known, self._candidates = self._candidates, {}
        found: list[Candidate] = []
        for key, workload in snapshot.workloads.items():
            entry = known.get(key)
            if entry is None or entry[0] is not workload:
                entry = (workload, candidate_of(workload))
            self._candidates[key] = entry
            if entry[1] is not None:
                found.append(entry[1])
        return found
