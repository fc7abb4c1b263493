"""Which running work would have to end so that a gang finds room: as few workloads as were found to be enough.

One workload that is enough by itself is always found, and of several the smallest. Otherwise workloads are added where
they open most until the gang fits, and then each that is not needed is left out again, so that no part of the answer
will do; small answers are compared with all that are smaller still. Placing the gang proves the answer.
"""

from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np

from scheduler.model.names import WorkloadKey
from scheduler.model.resources import GPU
from scheduler.model.snapshot import IntTable
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.scoring.devices.choosers import linked_size
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import held_by, usable
from scheduler.scoring.topology import NO_DOMAIN, domains

MOST = 6
"""Workloads in an answer; where more would have to end, nobody is named."""

DOMAINS = 4
"""Domains looked at where no single workload is enough: those that lack least."""

TRIES = 60
"""Smaller answers tried in each of them."""


def who_has_to_end(desk: Desk, candidate: Candidate, ask: Ask) -> tuple[WorkloadKey, ...]:
    """Workloads after whose end the gang fits; empty where none were found, or where links or ports matter."""
    if any(linked_size(shape) or shape.host_ports for shape, _ in ask.groups):
        return ()
    search = _Search(desk, candidate, ask)
    who = search.one() or search.several()
    return search.named(who) if who and _proves(desk, candidate, ask, who) else ()


def _proves(desk: Desk, candidate: Candidate, ask: Ask, who: Sequence[int]) -> bool:
    """Whether the gang is placed where these are gone."""
    stands, room = desk.stands, desk.room
    at = np.isin(stands.who, who)
    rows, amounts = stands.rows[at], stands.amounts[at]
    np.add.at(room.free, rows, amounts)
    room.log.extend(rows.tolist())
    layout = desk.could_place(candidate, ask)
    np.subtract.at(room.free, rows, amounts)
    room.log.extend(rows.tolist())
    return layout is not None


class _Entries(msgspec.Struct, frozen=True, eq=False):
    """Who takes how much on which nodes, of those nodes that the gang could use."""

    who: Codes
    rows: Codes
    amounts: IntTable

    def where(self, at: Mask) -> "_Entries":
        return _Entries(self.who[at], self.rows[at], self.amounts[at])


class _Search:
    """Workloads by number, as in the table of what stands."""

    def __init__(self, desk: Desk, candidate: Candidate, ask: Ask) -> None:
        self._desk = desk
        self._counts = [count for _, count in ask.groups]
        self._codes: Codes = np.zeros(len(desk.fleet), dtype=np.int64)
        if ask.required is not None:
            self._codes = domains(desk.fleet, ask.required).codes
        self._held = [held_by(self._codes, fits) for fits in usable(desk.room, ask)]
        views = [desk.room.view(shape) for shape, _ in ask.groups]
        self._demands = [view.demand or [] for view in views]
        self._open = [view.mask if ask.allowed is None else view.mask & ask.allowed for view in views]
        self._keys = desk.stands.keys
        self._matters = desk.room.column(GPU) or 0
        stands = _Entries(desk.stands.who, desk.stands.rows, desk.stands.amounts)
        self._loss = np.bincount(stands.who, weights=stands.amounts[:, self._matters], minlength=len(self._keys))
        own = np.array([key == candidate.workload.key for key in (*self._keys, "")], dtype=np.bool_)
        useful = np.logical_or.reduce(self._open)[stands.rows] & (self._codes[stands.rows] != NO_DOMAIN)
        self._entries = stands.where(useful & ~own[stands.who])

    def named(self, who: Sequence[int]) -> tuple[WorkloadKey, ...]:
        """The workloads of these numbers, by name."""
        return tuple(sorted(self._keys[each] for each in who))

    def one(self) -> list[int]:
        """The workload that is enough by itself and gives up least by ending."""
        entries, size = self._entries, len(self._held[0])
        pairs, entry = np.unique(entries.who * size + self._codes[entries.rows], return_inverse=True)
        enough = np.ones(len(pairs), dtype=np.bool_)
        for g, count in enumerate(self._counts):
            more = np.bincount(entry.reshape(-1), weights=self._gains(g, entries, None), minlength=len(pairs))
            enough &= self._held[g][pairs % size] + more >= count
        who: list[int] = np.unique(pairs[enough] // size).tolist()
        return [min(who, key=lambda each: (self._loss[each], self._keys[each]))] if who else []

    def several(self) -> list[int]:
        """The best of what is found in those domains that lack least."""
        missing = [np.maximum(count - held, 0) for held, count in zip(self._held, self._counts, strict=True)]
        found: list[list[int]] = []
        for code in np.argsort(np.sum(missing, axis=0), kind="stable")[:DOMAINS].tolist():
            inside = self._entries.where(self._codes[self._entries.rows] == code)
            some = self._enough(inside, code)
            found += [some] if some else []
        return min(found, key=lambda some: (len(some), self._loss[some].sum(), some)) if found else []

    def _enough(self, inside: _Entries, code: int) -> list[int]:
        """Workloads after whose end all groups fit into a domain, none of them needless; empty where too many."""
        who, at = np.unique(inside.who, return_inverse=True)
        frees = np.bincount(at.reshape(-1), weights=inside.amounts[:, self._matters], minlength=len(who))
        if np.sort(frees)[::-1][:MOST].sum() < self._lack(code):
            return []
        gone: list[int] = []
        while not self._fits(inside, code, gone):
            pods = np.zeros(len(who), dtype=np.int64)
            for g in range(len(self._counts)):
                gains = self._gains(g, inside, self._freed(inside, gone))
                pods += np.bincount(at.reshape(-1), weights=gains, minlength=len(who)).astype(np.int64)
            order = np.lexsort((who, self._loss[who], -frees, -pods, np.isin(who, gone)))
            if len(gone) == min(MOST, len(who)):
                return []
            gone.append(int(who[order[0]]))
        for each in sorted(gone, key=lambda each: -self._loss[each]):
            fewer = [other for other in gone if other != each]
            if self._fits(inside, code, fewer):
                gone = fewer
        return self._smaller(inside, code, who.tolist(), gone)

    def _smaller(self, inside: _Entries, code: int, who: Sequence[int], gone: list[int]) -> list[int]:
        """The first smaller set that is enough, among as many as one can look at."""
        tries = 0
        for size in range(2, len(gone)):
            for some in combinations(who, size):
                tries += 1
                if tries > TRIES:
                    return gone
                if self._fits(inside, code, some):
                    return list(some)
        return gone

    def _lack(self, code: int) -> int:
        """GPUs, at least, that have to become free in a domain."""
        rows = np.flatnonzero((self._codes == code) & np.logical_or.reduce(self._open))
        needed = sum(
            dict(demand).get(self._matters, 0) * count
            for demand, count in zip(self._demands, self._counts, strict=True)
        )
        return needed - int(np.maximum(self._desk.room.free[rows, self._matters], 0).sum())

    def _fits(self, inside: _Entries, code: int, gone: Sequence[int]) -> bool:
        freed = self._freed(inside, gone)
        rows = np.unique(inside.rows[np.isin(inside.who, gone)])
        free = self._desk.room.free[rows]
        return all(
            self._held[g][code] + (self._pods(g, rows, free + freed[rows]) - self._pods(g, rows, free)).sum() >= count
            for g, count in enumerate(self._counts)
        )

    def _freed(self, inside: _Entries, gone: Sequence[int]) -> IntTable:
        """What becomes free on every node by the end of these."""
        at = np.isin(inside.who, gone)
        freed = np.zeros_like(self._desk.room.free)
        np.add.at(freed, inside.rows[at], inside.amounts[at])
        return freed

    def _gains(self, group: int, entries: _Entries, more: IntTable | None) -> Codes:
        """How many more pods of a group fit on each entry's node once the entry is gone; `more` is free besides."""
        free = self._desk.room.free[entries.rows]
        free = free if more is None else free + more[entries.rows]
        return self._pods(group, entries.rows, free + entries.amounts) - self._pods(group, entries.rows, free)

    def _pods(self, group: int, rows: Codes, free: IntTable) -> Codes:
        fits = np.full(len(rows), 1 << 30, dtype=np.int64)
        for column, n in self._demands[group]:
            np.minimum(fits, np.maximum(free[:, column], 0) // n, out=fits)
        return np.where(self._open[group][rows], fits, 0)
