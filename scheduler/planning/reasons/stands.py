"""Who stands where, and what each workload takes of each node: the table in which to look for those in the way."""

from itertools import chain, compress
from operator import is_not

import msgspec
import numpy as np

from scheduler.model.names import WorkloadKey
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.model.workload import PodShape, Workload
from scheduler.scoring.fleet import Codes, Fleet
from scheduler.scoring.room import Room

Places = tuple[int, ...]
"""One after the other: a row, the number of a shape, and how many pods of it stand there."""


MOST_SHAPES = 1024
"""Shapes that are known at once; only speed depends on it."""


class KnownStands:
    """Where workloads stand, valid while a workload is the very same record and the fleet the same; changes nothing."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._keys: list[WorkloadKey] = []
        self._records: list[Workload] = []
        self._places: list[Places] = []
        self._numbers: dict[PodShape, int] = {}
        self._number_of: dict[int, tuple[PodShape, int]] = {}
        self._last: tuple[tuple[str, ...], Stands] | None = None

    def of(self, snapshot: Snapshot, fleet: Fleet, room: Room) -> "Stands":
        """The table of all that stands in the snapshot. Pods that are leaving already are left out."""
        if self._fleet is not fleet or len(self._numbers) > MOST_SHAPES:
            self._fleet, self._keys, self._records, self._places, self._last = fleet, [], [], [], None
            self._numbers, self._number_of = {}, {}
        if not self._take_in(snapshot, fleet) and self._last is not None and self._last[0] == room.resources:
            return self._last[1]
        columns = room.free.shape[1]
        each = np.zeros((len(self._numbers), columns), dtype=np.int64)
        for shape, number in self._numbers.items():
            for column, n in room.demand(shape.requests) or ():
                each[number, column] = n
        sizes = np.fromiter(map(len, self._places), dtype=np.int64, count=len(self._places))
        flat = np.fromiter(chain.from_iterable(self._places), dtype=np.int64, count=int(sizes.sum()))
        table = flat.reshape(len(flat) // 3, 3)
        stands = Stands(
            keys=tuple(compress(self._keys, self._places)),
            who=np.repeat(np.arange(np.count_nonzero(sizes)), sizes[sizes > 0] // 3),
            rows=table[:, 0],
            amounts=each[table[:, 1]] * table[:, 2:],
        )
        self._last = room.resources, stands
        return stands

    def _take_in(self, snapshot: Snapshot, fleet: Fleet) -> bool:
        """The workloads of a snapshot instead of those before; whether anything is new."""
        keys = sorted(snapshot.workloads)
        records = list(map(snapshot.workloads.__getitem__, keys))
        if keys == self._keys:
            places = self._places
            fresh = list(compress(range(len(keys)), map(is_not, records, self._records)))
            if not fresh:
                return False
        else:
            known = dict(zip(self._keys, zip(self._records, self._places, strict=True), strict=True))
            nowhere = None, ()
            before = [known.get(key, nowhere) for key in keys]
            places = [places for _, places in before]
            fresh = [at for at, (record, _) in enumerate(before) if record is not records[at]]
        for at in fresh:
            places[at] = self._placed(records[at], fleet)
        self._keys, self._records, self._places = keys, records, places
        return True

    def _placed(self, workload: Workload, fleet: Fleet) -> Places:
        counts: dict[tuple[int, int], int] = {}
        for pod in workload.members:
            if pod.node is None or pod.deleting:
                continue
            row = fleet.row_of.get(pod.node)
            if row is not None:
                place = row, self._number(pod.shape)
                counts[place] = counts.get(place, 0) + 1
        return tuple(n for (row, number), count in counts.items() for n in (row, number, count))

    def _number(self, shape: PodShape) -> int:
        """Most pods share few records of shapes, which are sooner told apart by identity than compared."""
        known = self._number_of.get(id(shape))
        if known is None:
            if len(self._number_of) > MOST_SHAPES:
                self._number_of = {}
            # The record is kept so that no other one gets its identity.
            known = self._number_of[id(shape)] = shape, self._numbers.setdefault(shape, len(self._numbers))
        return known[1]


class Stands(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Entry i: workload `keys[who[i]]` takes `amounts[i]` of the columns of node `rows[i]`. Keys are sorted."""

    keys: tuple[WorkloadKey, ...]
    who: Codes
    rows: Codes
    amounts: IntTable
