"""Who stands where, and what each workload takes of each node: the table in which to look for those in the way."""

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
        self._places: dict[WorkloadKey, tuple[Workload, Places]] = {}
        self._numbers: dict[PodShape, int] = {}

    def of(self, snapshot: Snapshot, fleet: Fleet, room: Room) -> "Stands":
        """The table of all that stands in the snapshot. Pods that are leaving already are left out."""
        if self._fleet is not fleet or len(self._numbers) > MOST_SHAPES:
            self._fleet, self._places, self._numbers = fleet, {}, {}
        known = self._places
        keys: list[WorkloadKey] = []
        sizes: list[int] = []
        flat: list[int] = []
        for key in sorted(snapshot.workloads):
            workload = snapshot.workloads[key]
            entry = known.get(key)
            if entry is None or entry[0] is not workload:
                entry = known[key] = (workload, self._placed(workload, fleet))
            if entry[1]:
                keys.append(key)
                sizes.append(len(entry[1]))
                flat += entry[1]
        if len(known) > len(snapshot.workloads):
            self._places = {key: entry for key, entry in known.items() if key in snapshot.workloads}
        columns = room.free.shape[1]
        each = np.zeros((len(self._numbers), columns), dtype=np.int64)
        for shape, number in self._numbers.items():
            for column, n in room.demand(shape.requests) or ():
                each[number, column] = n
        table = np.array(flat, dtype=np.int64).reshape(len(flat) // 3, 3)
        return Stands(
            keys=tuple(keys),
            who=np.repeat(np.arange(len(keys)), np.array(sizes, dtype=np.int64) // 3),
            rows=table[:, 0],
            amounts=each[table[:, 1]] * table[:, 2:],
        )

    def _placed(self, workload: Workload, fleet: Fleet) -> Places:
        counts: dict[tuple[int, int], int] = {}
        for pod in workload.members:
            if pod.node is None or pod.deleting:
                continue
            row = fleet.row_of.get(pod.node)
            if row is not None:
                place = (row, self._numbers.setdefault(pod.shape, len(self._numbers)))
                counts[place] = counts.get(place, 0) + 1
        return tuple(n for (row, number), count in counts.items() for n in (row, number, count))


class Stands(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Entry i: workload `keys[who[i]]` takes `amounts[i]` of the columns of node `rows[i]`. Keys are sorted."""

    keys: tuple[WorkloadKey, ...]
    who: Codes
    rows: Codes
    amounts: IntTable
