"""When a blocked workload will start, from the known ends of running work, and the room that is kept for it from then.

The rule (EASY backfill, Lifka 1995; Mu'alem and Feitelson 2001): of each queue, the first workload in its order that
waits for room or quota is placed, by the placement that it will start by, on what the ends up to the earliest possible
time leave free. Nobody behind it may take what it needs then beyond that time; until then it may be used by work that
surely is gone by then. `conservative` does so for every blocked workload, so that nobody is delayed by a later one.

Work of unknown length is taken to run for ever, so it neither frees room for a reservation nor passes one. Where the
start depends on it no room is reserved (`planning.holds` says what is kept then). Nor is for pods that divide GPUs, or
whose GPUs have to be linked, or that only kube-scheduler can place.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np

from scheduler.model.ends import NEVER
from scheduler.model.names import QueueName
from scheduler.model.plan import Assignment, Reason, Reservation
from scheduler.model.snapshot import IntTable
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.reach import enough
from scheduler.planning.reserve.passing import catch_up, count_in, end_if_started, use_of
from scheduler.planning.reserve.slots import Slot
from scheduler.planning.reserve.timeline import Timeline, Use, is_limited
from scheduler.quota.tree import Ledger
from scheduler.scoring.devices.free import linked_size
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask, Layout
from scheduler.scoring.gangs.problem import usable
from scheduler.scoring.topology import domains, find_level

WAITS_FOR_ENDS = frozenset(
    {Reason.INSUFFICIENT_RESOURCES, Reason.FRAGMENTED, Reason.TOPOLOGY_UNSATISFIED, Reason.QUOTA_EXHAUSTED}
)
"""Reasons that a workload's waiting may end by others leaving."""

MOST = {"easy": 8, "conservative": 64}
"""Reservations of one plan: those that come first in the order."""

TRIES = 5
"""Placements tried for one reservation before the last known end is."""

NAMED = 3
"""Workloads named as those whose end is waited for."""


def reserve_for(desk: Desk, candidate: Candidate, reason: Reason) -> Reservation | None:
    """Keep room for a workload that was just refused for `reason`; None where the rule gives it none, or none is known.

    All of it is kept that it needs to stand; members that it can do without are not.
    """
    policy = desk.settings.backfill
    queue = QueueName(str(candidate.workload.queue))
    if (known := desk.slots.own(candidate.workload.key)) is not None:
        # Others may have started meanwhile.
        desk.slots.narrow(())
        desk.slots.withdraw(known)
    if reason not in WAITS_FOR_ENDS or candidate.workload.key in desk.moving:
        return None
    if len(desk.slots.kept) >= MOST[policy] or not _is_placeable(desk, candidate):
        return None
    if policy == "easy" and any(slot.use.queue == queue for slot in desk.slots.kept):
        return None
    timeline = desk.timeline
    if not desk.slots.slots and not len(timeline.times):
        return None
    least = candidate if candidate.needed == len(candidate.pending) else candidate.first(candidate.needed)
    _open(desk)
    found = _Search(desk, least, timeline).earliest()
    if found is None:
        return None
    at_s, layout = found
    return _kept(desk, least, timeline, at_s, layout)


def reserve_ahead(desk: Desk, candidate: Candidate) -> None:
    """Keep room and quota for a blocked workload before its turn, from work behind it in its queue that goes first.

    That is work which nominal quota covers; it could use up room or quota again and again before a large workload ever
    gets enough of it. Other queues have their own nominal quota and are not kept from anything yet.
    """
    queue = QueueName(str(candidate.workload.queue))
    shortage = desk.ledger.shortage(queue, desk.base_bill(candidate))
    desk.slots.narrow(())
    if shortage is None:
        ask = desk.ask(candidate)
        if enough(desk, ask, usable(desk.room, ask)):
            return
    elif shortage.most_milli_gpu < candidate.milli_gpu:
        return
    if reserve_for(desk, candidate, Reason.QUOTA_EXHAUSTED) is not None:
        desk.slots.slots[-1].ahead = True


def _is_placeable(desk: Desk, candidate: Candidate) -> bool:
    shapes = [shape for shape, _ in candidate.groups]
    return not any(
        shape.scheduler_rules or linked_size(shape) or desk.room.by_parts(shape) for shape in shapes
    ) and not (candidate.standing and candidate.workload.topology_slices)


def _open(desk: Desk) -> None:
    """All room in sight, and all that the plan started so far counted."""
    desk.slots.narrow(())
    if not desk.slots.slots:
        desk.slots.short.clear()
        for decision in desk.decisions:
            count_in(desk, decision)
        desk.slots.seen = len(desk.decisions)
    catch_up(desk)


class _Search:
    """Looks for the earliest time at which a workload has room and quota."""

    def __init__(self, desk: Desk, candidate: Candidate, timeline: Timeline) -> None:
        self._desk = desk
        self._candidate = candidate
        self._timeline = timeline
        views = [desk.room.view(shape).fits > 0 for shape, _ in candidate.groups]
        self._open_now: Mask = np.logical_or.reduce(views)
        self._is_limited = is_limited(desk.ledger)
        self._times = [at_s for at_s in _times(desk, timeline) if at_s > desk.now_s]

    def earliest(self) -> tuple[int, Layout] | None:
        """The time, and where it goes then; None where no known end is enough.

        Free room only grows with time but for other reservations, so the first time at which each group finds room by
        itself is found by halving. From there on placing the workload decides.
        """
        times = self._times
        if not times or not self._could(times[-1]):
            return None
        low, high = 0, len(times) - 1
        while low < high:
            middle = (low + high) // 2
            if self._could(times[middle]):
                high = middle
            else:
                low = middle + 1
        tries = [*range(low, min(low + TRIES, len(times))), len(times) - 1]
        for at in dict.fromkeys(tries):
            layout = self._placed(times[at])
            if layout is not None:
                return times[at], layout
        return None

    def _could(self, at_s: int) -> bool:
        """Whether quota and, for each group by itself, room would do."""
        desk, candidate = self._desk, self._candidate
        with at_time(desk, ledger_at(desk, self._timeline, at_s) if self._is_limited else desk.ledger):
            queue = QueueName(str(candidate.workload.queue))
            if desk.ledger.shortage(queue, desk.base_bill(candidate)) is not None:
                return False
            ask = desk.ask(candidate)
            return enough(desk, ask, usable(desk.room, ask, self._table(at_s) - desk.room.free))

    def _placed(self, at_s: int) -> Layout | None:
        desk, candidate = self._desk, self._candidate
        ledger = ledger_at(desk, self._timeline, at_s) if self._is_limited else desk.ledger
        with at_time(desk, ledger, self._table(at_s)):
            if desk.ledger.shortage(QueueName(str(candidate.workload.queue)), desk.base_bill(candidate)) is not None:
                return None
            ask = desk.ask(candidate)
            sparing = self._sparing(ask)
            return (None if sparing is None else desk.could_place(candidate, sparing)) or desk.could_place(
                candidate, ask
            )

    def _sparing(self, ask: Ask) -> Ask | None:
        """The same on nodes that have no room now and as few others as seem to do: these are left to work that stays.

        None where that is all of them.
        """
        rows = np.flatnonzero(self._open_now)
        low, high = 0, len(rows)
        while low < high:
            middle = (low + high) // 2
            fewer = self._without(ask, rows[middle:])
            if enough(self._desk, fewer, usable(self._desk.room, fewer)):
                high = middle
            else:
                low = middle + 1
        return self._without(ask, rows[low:]) if low < len(rows) else None

    def _without(self, ask: Ask, rows: Codes) -> Ask:
        mask = np.ones(len(self._desk.fleet), dtype=np.bool_) if ask.allowed is None else ask.allowed.copy()
        mask[rows] = False
        return msgspec.structs.replace(ask, allowed=mask)

    def _table(self, at_s: int) -> IntTable:
        desk = self._desk
        free = table_at(desk, self._timeline, at_s)
        return desk.slots.least_until(free, at_s, end_if_started(self._candidate, at_s))


def _times(desk: Desk, timeline: Timeline) -> Sequence[int]:
    """When room or quota becomes free."""
    others = [end_s for end_s, _ in desk.slots.short] + [slot.end_s for slot in desk.slots.kept]
    return sorted({*timeline.times, *(end_s for end_s in others if end_s < NEVER)})


def table_at(desk: Desk, timeline: Timeline, at_s: int) -> IntTable:
    """What is free of each node at `at_s`; the room must not be narrowed."""
    room = desk.room
    return desk.slots.free_at(at_s, room.free + timeline.freed(at_s, room.free.shape))


def ledger_at(desk: Desk, timeline: Timeline, at_s: int) -> Ledger:
    """What the queues use at `at_s`."""
    ledger = desk.ledger
    for name, bill in sorted(timeline.bills(at_s, desk.known.bills).items()):
        ledger = ledger.charge(name, bill, -1)
    return desk.slots.ledger_at(at_s, ledger)


@contextmanager
def at_time(desk: Desk, ledger: Ledger, table: IntTable | None = None) -> Generator[None]:
    """Inside, the desk has this ledger and, where a table is given, this much room."""
    before, room = desk.ledger, desk.room
    desk.ledger = ledger
    free = room.free.copy(order="F")
    rows = [] if table is None else np.flatnonzero((table != free).any(axis=1)).tolist()
    if table is not None:
        room.free[:] = table
        room.log.extend(rows)
    try:
        yield
    finally:
        desk.ledger = before
        room.free[:] = free
        room.log.extend(rows)


def _kept(desk: Desk, candidate: Candidate, timeline: Timeline, at_s: int, layout: Layout) -> Reservation:
    queue = desk.payer(candidate.workload)
    assignments: list[Assignment] = []
    placed = [
        (shape, row, count)
        for (shape, _), (rows, counts) in zip(candidate.groups, layout.groups, strict=True)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True)
    ]
    for members, (rows, counts) in zip(candidate.members, layout.groups, strict=True):
        for pod, row in zip(members, np.repeat(rows, counts).tolist(), strict=True):
            assignments.append(Assignment(pod=pod.uid, node=desk.room.name(row)))
    use = use_of(desk, queue, [(shape, row) for shape, row, count in placed for _ in range(count)])
    free = table_at(desk, timeline, at_s)
    use = _widened(desk, candidate, use, free)
    there = timeline.standing_on(use.rows)
    gone = there[timeline.at[there] <= at_s]
    last = gone[timeline.at[gone] == at_s]
    if not len(last):
        last = np.flatnonzero(timeline.at == at_s)
    reservation = Reservation(
        workload=candidate.workload.key,
        queue=queue.name,
        made_s=desk.now_s,
        start_s=at_s,
        latest_s=max(at_s, int(timeline.high[gone].max(initial=0)), int(timeline.high[last].max(initial=0))),
        sure=bool(timeline.sure[gone].all() and timeline.sure[last].all()),
        assignments=tuple(sorted(assignments, key=lambda assignment: assignment.pod)),
        milli_gpu=candidate.milli_gpu,
        after=tuple(timeline.keys[who] for who in last.tolist()[:NAMED]),
    )
    ledger = ledger_at(desk, timeline, at_s) if is_limited(desk.ledger) else desk.ledger
    free[use.rows] -= use.amounts
    slot = Slot(reservation, end_if_started(candidate, at_s), use, free, ledger.charge(queue.name, use.bill))
    desk.slots.add(slot)
    return reservation


def _widened(desk: Desk, candidate: Candidate, use: Use, free: IntTable) -> Use:
    """Whole nodes where pods want ports, and whole domains for a gang that wants them for itself."""
    rows = use.rows
    name = candidate.workload.topology_exclusive
    level = None if name is None else find_level(desk.fleet, desk.snapshot.topology, name)
    if level is not None:
        codes = domains(desk.fleet, level).codes
        rows = np.flatnonzero(np.isin(codes, codes[rows]))
    elif not any(shape.host_ports for shape, _ in candidate.groups):
        return use
    return msgspec.structs.replace(use, rows=rows, amounts=np.maximum(free[rows], 0))
