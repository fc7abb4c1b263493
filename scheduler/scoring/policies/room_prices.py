"""Prices of placements in the room of a plan, by what was asked for of late."""

import weakref
from collections.abc import Sequence

import numpy as np

from scheduler.model.demand import Kind, Request
from scheduler.model.flavors import model_matches
from scheduler.model.resources import GPU, MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes
from scheduler.scoring.policies.fragmentation import Amounts
from scheduler.scoring.policies.free import FreeTable
from scheduler.scoring.policies.prices import Prices
from scheduler.scoring.room import Room

MOST_LOG = 1 << 17
"""Changes of rows after which all is priced anew, so that the list of them ends."""

_CPU, _MEMORY = 0, 1
"""Their columns in every table (`scheduler.model.snapshot.BASE_RESOURCES`)."""


class RoomPrices:
    """Follows the rooms of one fleet from plan to plan: only nodes that changed are priced again.

    Which room was seen before makes no difference to a price, only to what it costs to work it out.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._table: FreeTable | None = None
        self._prices: Prices | None = None
        self._whole: Codes = np.zeros(0, dtype=np.int64)
        self._kinds: tuple[Kind, ...] = ()
        self._room: weakref.ref[Room] | None = None
        self._seen = 0

    def of(self, room: Room, request: Request) -> Amounts:
        """The price on each node, infinite where it has no room on whole GPUs and on known parts."""
        return self._follow(room).of(request).price

    def _follow(self, room: Room) -> Prices:
        table, prices = self._table, self._prices
        same = self._room is not None and self._room() is room
        rows = np.unique(np.array(room.log[self._seen :], dtype=np.int64)) if same else np.arange(len(room.fleet))
        self._room, self._seen = weakref.ref(room), len(room.log)
        width = _width(room)
        if (
            table is None
            or prices is None
            or table.devices.shape != (len(room.fleet), width)
            or len(table.log) > MOST_LOG
        ):
            return self._start(room, width)
        changed = self._changed(room, table, rows)
        if len(changed):
            self._whole[changed] = _whole(room, changed)
            table.milli_cpu[changed], table.memory[changed], table.devices[changed] = _free(room, changed, width)
            table.log.extend(changed.tolist())
        if self._kinds != room.snapshot.demand:
            self._kinds = room.snapshot.demand
            prices.learn(self._kinds)
        return prices

    def _changed(self, room: Room, table: FreeTable, rows: Codes) -> Codes:
        """Those of `rows` that may differ from the table."""
        every = len(rows) == len(table)
        at = slice(None) if every else rows
        free = room.free
        differs = (table.milli_cpu[at] != free[at, _CPU]) | (table.memory[at] != free[at, _MEMORY])
        differs |= self._whole[at] != _whole(room, at)
        if room.parts.any:
            differs |= room.parts.rows[at]
        return rows[differs]

    def _start(self, room: Room, width: int) -> Prices:
        milli_cpu, memory, devices = _free(room, np.arange(len(room.fleet)), width)
        products = room.fleet.products
        self._table = FreeTable(
            milli_cpu=milli_cpu,
            memory=memory,
            devices=devices,
            product=products.codes,
            products=products.values,
            matches=model_matches,
        )
        self._whole = _whole(room, slice(None)).copy()
        self._kinds = room.snapshot.demand
        self._prices = Prices(self._table, self._kinds)
        return self._prices


def _width(room: Room) -> int:
    """GPUs of the largest node, at least one."""
    column = room.column(GPU)
    return 1 if column is None else max(1, int(room.allocatable[:, column].max(initial=1)))


def _whole(room: Room, rows: Codes | slice) -> Codes:
    """Free whole GPUs."""
    column = room.column(GPU)
    return np.zeros_like(room.free[rows, _CPU]) if column is None else room.free[rows, column]


def _free(room: Room, rows: Codes, width: int) -> tuple[Codes, Codes, IntTable]:
    """Free CPU, memory and milli-GPU of each GPU: first whole ones, which are all the same, then those in parts."""
    whole = np.clip(_whole(room, rows), 0, width)
    devices: IntTable = (np.arange(width) < whole[:, None]) * np.int64(MILLI_GPU)
    if room.parts.any:
        for at in np.flatnonzero(room.parts.rows[rows]).tolist():
            begun = _begun(room, int(rows[at]))[: width - int(whole[at])]
            devices[at, int(whole[at]) : int(whole[at]) + len(begun)] = begun
    return room.free[rows, _CPU].copy(), room.free[rows, _MEMORY].copy(), devices


def _begun(room: Room, row: int) -> Sequence[int]:
    """What is left of each GPU that is given out in parts."""
    return [milli for slot in room.parts.of(row).slots if not slot.untouched and (milli := slot.milli)]
