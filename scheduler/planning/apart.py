"""Domains that gangs have for themselves: no other gang stands in a domain where one of an exclusive gang's pods does.

That holds both ways: an exclusive gang goes where no other gang is, and no other gang goes where it is. Pods that stand
alone are let in. Nodes outside the level are of no use to a gang that wants its domains for itself: who is near them is
not known.
"""

from collections.abc import Sequence

import numpy as np

from scheduler.model.names import WorkloadKey, people_name
from scheduler.model.node import TopologyLevel
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level


class Apart:
    """Where gangs stand, as the plan goes on; empty where no gang wants a domain for itself."""

    def __init__(self, snapshot: Snapshot, fleet: Fleet) -> None:
        self._snapshot = snapshot
        self._fleet = fleet
        self._levels: dict[WorkloadKey, TopologyLevel] = {}
        wishes = [w for w in snapshot.workloads.values() if w.topology_exclusive is not None]
        for workload in wishes:
            if (level := exclusive_level(snapshot, fleet, workload)) is not None:
                self._levels[workload.key] = level
        self._rows: dict[WorkloadKey, Codes] = {}
        if self._levels:
            for key, workload in snapshot.workloads.items():
                if workload.is_gang:
                    self._rows[key] = np.array(self._standing(workload), dtype=np.int64)

    def _standing(self, workload: Workload) -> list[int]:
        """Rows of all members that have a node, leaving ones and those of a plan in flight too."""
        names = {pod.node for pod in workload.members if pod.node is not None}
        if (flight := self._snapshot.in_flight.get(workload.key)) is not None:
            names.update(assignment.node for assignment in flight.assignments)
        return self._fleet.rows(names)

    def stands(self, workload: Workload, rows: Codes) -> None:
        """Remember that members of `workload` stand on `rows` too from now on."""
        if self._levels and workload.is_gang:
            self._rows[workload.key] = np.union1d(self._rows[workload.key], rows)

    def knows(self, key: WorkloadKey) -> bool:
        """Whether it matters where this gang stands."""
        return key in self._rows

    def moved(self, key: WorkloadKey, rows: Sequence[int] | Codes) -> Codes:
        """From now on the gang stands on `rows`; returns where it stood."""
        before = self._rows[key]
        self._rows[key] = np.array(rows, dtype=np.int64)
        return before

    def open_to(self, workload: Workload, *, alone: bool = False) -> Mask | None:
        """Nodes on which `workload` is in no other gang's way, nor others in its; None where that is every node.

        `alone`: as if no other gang stood anywhere.
        """
        if not self._levels or not workload.is_gang:
            return None
        mask = np.ones(len(self._fleet), dtype=np.bool_)
        own = self._levels.get(workload.key)
        if own is not None:
            mask &= domains(self._fleet, own).codes != NO_DOMAIN
        if alone:
            return mask
        owners = self.owners(workload)
        for level in dict.fromkeys(self._levels[key] for key in owners):
            mask &= ~self._around([key for key in owners if self._levels[key] == level], level)
        if own is not None:
            mask &= ~self._around([key for key in self._rows if key != workload.key], own)
        return mask

    def owners(self, workload: Workload) -> list[WorkloadKey]:
        """Other gangs that stand somewhere and have their domains for themselves, by name."""
        return sorted(k for k in self._levels if k != workload.key and self._rows[k].size)

    def named(self, workload: Workload) -> list[str]:
        """`owners` for people: `team/train (rack)`."""
        return [f"{people_name(key)} ({self._levels[key].name})" for key in self.owners(workload)]

    def levels(self, workload: Workload) -> str:
        """The levels of `owners`: `rack`, or `rack and block`."""
        return " and ".join(dict.fromkeys(self._levels[key].name for key in self.owners(workload)))

    def _around(self, keys: Sequence[WorkloadKey], level: TopologyLevel) -> Mask:
        """Nodes in the domains of `level` where any of these gangs stands."""
        codes = domains(self._fleet, level).codes
        taken = np.zeros(len(self._fleet) + 1, dtype=np.bool_)
        for key in keys:
            taken[codes[self._rows[key]]] = True
        taken[NO_DOMAIN] = False
        return taken[codes]


def exclusive_level(snapshot: Snapshot, fleet: Fleet, workload: Workload) -> TopologyLevel | None:
    """The level of which a gang wants its domains for itself."""
    if workload.topology_exclusive is None or not workload.is_gang:
        return None
    return find_level(fleet, snapshot.topology, workload.topology_exclusive)
