"""The future that a plan keeps for blocked workloads: from which time on how much is left of each node and queue.

A slot is a moment at which a reservation begins. Work that is gone by then may use all that is free now. Work that may
still run then has to fit both into what is free now and into what is left at that moment, the reservation taken off.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import msgspec
import numpy as np

from scheduler.model.ends import NEVER
from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.plan import Reservation
from scheduler.model.snapshot import IntTable
from scheduler.model.workload import Workload
from scheduler.planning.reserve.timeline import Use
from scheduler.quota.tree import Bill, Ledger
from scheduler.scoring.room import Room

Passed = tuple[int, ...]
"""The slots, by number, that a workload would still run at if it started now."""


Concern = Literal["all", "known", "unknown"]
"""Whom a slot concerns, by whether it is known how long they run."""


class Slot(msgspec.Struct, eq=False):
    """`free` and `ledger`: what is left and used from `from_s` on, the reservation counted; `end_s`: until when.

    A reservation has one slot for all, or one each for work of known and of unknown length, of which the `first` stands
    for it where its use is counted. `ahead`: made before the turn of its workload; until then only work of the same
    queue is kept from it.
    """

    reservation: Reservation
    from_s: int
    concerns: Concern
    first: bool
    end_s: int
    use: Use
    free: IntTable
    ledger: Ledger
    ahead: bool = False
    withdrawn: bool = False


class Slots:
    """The slots of one plan. Room is narrowed for those who would pass slots, and widened again for others."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.slots: list[Slot] = []
        self.short: list[tuple[int, Use]] = []
        """Until when work that this plan starts runs, where that is known, and what it takes."""
        self.seen = 0
        """Decisions of the plan that were looked at."""
        self.unknown: set[QueueName] = set()
        """Queues of which a workload waits that may start at any time: nobody knows when."""
        self.disturbed = False
        """Whether anything started that room which is kept ahead of its turn was not kept from."""
        self._inside: Passed = ()
        self.held: IntTable | None = None
        """What is taken off the room at present."""

    def passed(self, end_s: int, workload: Workload) -> Passed:
        """The slots of others that begin before `end_s` and count for a workload."""
        other: Concern = "known" if end_s == NEVER else "unknown"
        return tuple(
            i
            for i, slot in enumerate(self.slots)
            if slot.from_s < end_s
            and slot.concerns != other
            and slot.reservation.workload != workload.key
            and not slot.withdrawn
            and (not slot.ahead or slot.use.queue == workload.queue)
        )

    def own(self, key: WorkloadKey) -> list[Slot]:
        """The slots of a workload's reservation."""
        return [slot for slot in self.kept if slot.reservation.workload == key]

    @property
    def kept(self) -> list[Slot]:
        """All slots that count."""
        return [slot for slot in self.slots if not slot.withdrawn]

    def of(self, passed: Passed) -> list[Slot]:
        """These slots."""
        return [self.slots[i] for i in passed]

    @property
    def reservations(self) -> list[Reservation]:
        """All reservations that count."""
        return [slot.reservation for slot in self.kept if slot.first]

    @property
    def inside(self) -> list[Slot]:
        """The slots for which the room is narrowed at present."""
        return self.of(self._inside)

    def narrow(self, passed: Passed) -> None:
        """Leave in the room only what those may use who pass these slots, and all of it to those who pass none."""
        if passed == self._inside:
            return
        if self.held is not None:
            self._change(self.held, 1)
            self.held = None
        self._inside = passed
        if passed:
            least = reduce(np.minimum, [slot.free for slot in self.of(passed)])
            self.held = np.maximum(self._room.free - least, 0)
            self._change(self.held, -1)

    def add(self, slots: Sequence[Slot]) -> None:
        """Keep room for a reservation; the room must not be narrowed."""
        self._count(slots, 1)
        self.slots += slots

    def withdraw(self, slots: Sequence[Slot]) -> None:
        """Keep room no longer for a reservation; the room must not be narrowed."""
        for slot in slots:
            slot.withdrawn = True
        self._count(slots, -1)

    def _count(self, slots: Sequence[Slot], sign: int) -> None:
        """Take a reservation off what is left at the slots of others, or give it back."""
        for slot in (slot for slot in slots if slot.first):
            for other in self.kept:
                if slot.from_s <= other.from_s < slot.end_s:
                    take(other, slot.use, sign)

    def start(self, key: WorkloadKey, use: Use, end_s: int) -> None:
        """The plan starts a workload that takes so much and runs until `end_s`."""
        for slot in self.kept:
            if slot.from_s < end_s and slot.reservation.workload != key:
                take(slot, use)
                self.disturbed |= slot.ahead and slot.use.queue != use.queue
        if end_s < NEVER:
            self.short.append((end_s, use))

    def free_at(self, at_s: int, base: IntTable) -> IntTable:
        """What is left at `at_s` of `base`, which counts all that runs now: reservations taken off, short work gone."""
        free = base
        for end_s, use in self.short:
            if end_s <= at_s:
                free[use.rows] += use.amounts
        for slot in self.kept:
            if slot.first and slot.from_s <= at_s < slot.end_s:
                free[slot.use.rows] -= slot.use.amounts
        return free

    def least_until(self, free: IntTable, at_s: int, end_s: int) -> IntTable:
        """As much of `free` as is there all the time from `at_s` until `end_s`."""
        later = [slot.free for slot in self.kept if at_s < slot.from_s < end_s]
        return reduce(np.minimum, later, free)

    def ledger_at(self, at_s: int, ledger: Ledger) -> Ledger:
        """As `free_at`, of quota."""
        for end_s, use in self.short:
            if end_s <= at_s:
                ledger = ledger.charge(use.queue, use.bill, -1)
        for slot in self.kept:
            if slot.first and slot.from_s <= at_s < slot.end_s:
                ledger = ledger.charge(slot.use.queue, slot.use.bill)
        return ledger

    def _change(self, amounts: IntTable, sign: int) -> None:
        room = self._room
        rows = np.flatnonzero(amounts.any(axis=1))
        room.free[rows] += sign * amounts[rows]
        room.log.extend(rows.tolist())


def take(slot: Slot, use: Use, sign: int = 1) -> None:
    """Work uses so much at the slot's start too; or, by a `sign` of -1, uses it no longer."""
    slot.free[use.rows] -= sign * use.amounts
    slot.ledger = slot.ledger.charge(use.queue, use.bill, sign)


def most_used(now: Ledger, later: Sequence[Ledger]) -> Ledger:
    """The ledger in which every queue uses the most that it does in any of these."""
    used = dict(now.used)
    for ledger in later:
        for name, bill in ledger.used.items():
            used[name] = _most(used.get(name, Bill()), bill)
    return Ledger(now.forest, used, now.capacity)


def _most(one: Bill, other: Bill) -> Bill:
    total = max(one.total_milli_gpu, other.total_milli_gpu)
    if not other.flavors:
        return Bill(total, one.flavors)
    mine, theirs = dict(one.flavors), dict(other.flavors)
    return Bill(total, tuple(sorted((name, max(mine.get(name, 0), theirs.get(name, 0))) for name in {*mine, *theirs})))
