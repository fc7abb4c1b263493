"""The pieces of work among which a search chooses. Where there are many, only those are made that it looks at."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import cast

import numpy as np

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.table import lost_milli
from scheduler.planning.reclaim.units import Side, Unit, units_of
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.topology import NO_DOMAIN, domains

MANY = 300
"""Pieces of work that the solver is asked about at once, where that is enough; those on the cheapest nodes."""


class Pool:
    """The units of some workloads of the desk's table, in order of tier and of what is lost.

    Units of workloads none of which could give up a part are read off the table; the others have to be made.
    """

    def __init__(self, desk: Desk, candidate: Candidate, allowed: Mapping[QueueName, Side], at: Codes) -> None:
        self._desk = desk
        self._candidate = candidate
        self._allowed = allowed
        self._at = at

    def __len__(self) -> int:
        """How many units there are."""
        return len(self.units) if self._rigid is None else len(self._rigid)

    @cached_property
    def units(self) -> Sequence[Unit]:
        """All of them."""
        return _in_order(self._made(self._at))

    def surplus_of(self, keys: Collection[WorkloadKey]) -> set[Unit]:
        """The units of these workloads without which they would stand."""
        if self._rigid is not None:
            return set()
        return {unit for unit in self.units if unit.key in keys and not unit.whole}

    @cached_property
    def places(self) -> Sequence[int]:
        """What `first` counts: units, those of one place (node, or required domain) together, the cheapest first.

        Numbers of entries of the desk's table, or of `units`. Places are in order of tier and of what is lost there.
        """
        required = self._desk.ask(self._candidate).required
        codes = None if required is None else domains(self._desk.fleet, required).codes
        return self._places_of_units(codes) if self._rigid is None else self._places_of_table(self._rigid, codes)

    def first(self, most: int) -> Sequence[Unit]:
        """The first so many of `places`, in order."""
        some = self.places[:most]
        if self._rigid is None:
            return [self.units[number] for number in sorted(some)]
        return _in_order(self._made(np.sort(np.array(some, dtype=np.int64))))

    def _made(self, at: Codes) -> list[Unit]:
        keys, numbers = self._desk.table.keys, cast("list[int]", at.tolist())
        return units_of(self._desk, self._candidate, self._allowed, [keys[number] for number in numbers])

    @cached_property
    def _rigid(self) -> Codes | None:
        """Those of the table that could leave, each as one unit; None where they are few, or some are no one unit."""
        desk, table, at = self._desk, self._desk.table, self._at
        taken = {*desk.snapshot.in_flight, *desk.moving, self._candidate.workload.key}
        victims = [key for key, winner in desk.moving.items() if key != winner]
        if len(at) <= MANY or (table.elastic[at] & _among(table.keys, at, victims)).any():
            return None
        safe = np.zeros(len(table.queues), dtype=np.int64)
        for number, name in enumerate(table.queues):
            side = self._allowed.get(name)
            safe[number] = 0 if side is None else side.protected_s
        protected_s = safe[table.queue[at]]
        open_to = table.leaves[at] & ((protected_s <= 0) | (desk.now_s >= table.core_s[at] + protected_s))
        open_to &= ~_among(table.keys, at, taken)
        found = at[open_to]
        return None if len(found) <= MANY or table.elastic[found].any() else found

    def _places_of_table(self, at: Codes, codes: Codes | None) -> Sequence[int]:
        desk, stands, table = self._desk, self._desk.stands, self._desk.table
        rank = np.full(len(table.keys), -1, dtype=np.int64)
        lost = np.zeros(len(table.keys), dtype=np.int64)
        lost[at] = self._lost(at)
        rank[at[np.lexsort((at, lost[at], table.priority[at]))]] = np.arange(len(at))
        there = rank[stands.who] >= 0
        wide = len(desk.fleet)
        pairs = np.unique(stands.who[there] * wide + stands.rows[there])
        who, place = pairs // wide, pairs % wide
        if codes is not None:
            place = codes[place]
            who, place = who[place != NO_DOMAIN], place[place != NO_DOMAIN]
        if not len(who):
            return []
        highest = np.full(int(place.max()) + 1, np.iinfo(np.int64).min)
        sums = np.zeros(len(highest), dtype=np.int64)
        np.maximum.at(highest, place, table.priority[who])
        np.add.at(sums, place, lost[who])
        used = np.unique(place)
        turn = np.zeros(len(highest), dtype=np.int64)
        turn[used[np.lexsort((used, sums[used], highest[used]))]] = np.arange(len(used))
        ordered = who[np.lexsort((rank[who], turn[place]))]
        _, firsts = np.unique(ordered, return_index=True)
        return ordered[np.sort(firsts)].tolist()

    def _lost(self, at: Codes) -> Codes:
        table, now_s = self._desk.table, self._desk.now_s
        lost = table.milli[at] * now_s - table.weighted[at]
        # Work that starts later, by somebody else's clock, has lost nothing yet.
        for number in np.flatnonzero(table.latest_s[at] > now_s).tolist():
            workload = self._desk.snapshot.workloads[table.keys[int(at[number])]]
            lost[number] = lost_milli(workload.placed[: workload.min_member], now_s)
        return lost

    def _places_of_units(self, codes: Codes | None) -> Sequence[int]:
        places: dict[int, list[int]] = {}
        for number, unit in enumerate(self.units):
            for row in {self._desk.fleet.row_of[pod.node] for pod in unit.pods if pod.node is not None}:
                place = row if codes is None else int(codes[row])
                if codes is None or place != NO_DOMAIN:
                    places.setdefault(place, []).append(number)

        def price(at: int) -> tuple[object, ...]:
            there = [self.units[number] for number in places[at]]
            return max(unit.tier for unit in there), sum(unit.lost for unit in there), at

        return list(dict.fromkeys(number for at in sorted(places, key=price) for number in places[at]))


def _in_order(units: Sequence[Unit]) -> Sequence[Unit]:
    return sorted(units, key=lambda unit: (unit.tier, unit.lost, unit.key, unit.pods[0].name))


def _among(keys: Sequence[WorkloadKey], at: Codes, some: Iterable[WorkloadKey]) -> Mask:
    """Which of the entries `at` of the sorted `keys` have one of `some`."""
    wanted = np.zeros(len(keys), dtype=np.bool_)
    for key in some:
        number = bisect_left(keys, key)
        if number < len(keys) and keys[number] == key:
            wanted[number] = True
    return wanted[at]
