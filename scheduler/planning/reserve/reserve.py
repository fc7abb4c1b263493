"""When a blocked workload will start, from the known ends of running work, and the room that is kept for it from then.

The rule (EASY backfill, Lifka 1995; Mu'alem and Feitelson 2001): of each queue, the first workload in its order that
waits for room or quota is placed, by the placement that it will start by, on what the ends up to the earliest possible
time leave free. Nobody behind it may take what it needs then beyond that time; until then it may be used by work that
surely is gone by then. `conservative` does so for every blocked workload, so that nobody is delayed by a later one.

The administrator may allow that a start is put off (`PlanSettings.backfill_bound_s`): room is kept from so long after
a workload's creation on, and no earlier. It starts as soon as there is room; work behind it may put that off until
then, and no longer. For work of unknown length that bound is one of its own.

Where nobody says how long work runs, and earlier runs of its like tell, it is expected to end as they did, half of the
time; that sets when a reservation starts, and is not sure enough for such work to pass one.

Work of unknown length is taken to run for ever, so it neither frees room for a reservation nor passes one. Where the
start depends on it no room is reserved (`planning.holds` says what is kept then). Nor is for pods that divide GPUs, or
whose GPUs have to be linked, or that only kube-scheduler can place.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from scheduler.model.ends import NEVER
from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.plan import Assignment, Reason, Reservation
from scheduler.model.snapshot import IntTable
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.reach import enough
from scheduler.planning.reserve.passing import away_from, catch_up, count_in, end_if_started, use_of
from scheduler.planning.reserve.slots import Concern, Slot
from scheduler.planning.reserve.timeline import Timeline, Use, is_limited
from scheduler.quota.tree import Ledger
from scheduler.scoring.devices.choosers import linked_size
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask, Layout
from scheduler.scoring.gangs.problem import usable
from scheduler.scoring.topology import domains, find_level

if TYPE_CHECKING:
    from scheduler.model.workload import PodShape

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
    if not desk.known.any_length:
        return None
    if known := desk.slots.own(candidate.workload.key):
        catch_up(desk)
        if not desk.slots.disturbed:
            return _in_turn(known)
        # Work that was not kept from it has started meanwhile.
        desk.slots.narrow(())
        desk.slots.withdraw(known)
    if reason not in WAITS_FOR_ENDS or candidate.workload.key in desk.moving:
        return None
    if len(desk.slots.reservations) >= MOST[policy] or not _is_placeable(desk, candidate):
        return None
    if policy == "easy" and any(known.queue == queue for known in desk.slots.reservations):
        return None
    timeline = desk.timeline
    if not desk.slots.slots and not len(timeline.times):
        desk.slots.unknown.add(queue)
        return None
    least = candidate if candidate.needed == len(candidate.pending) else candidate.first(candidate.needed)
    _open(desk)
    with away_from(desk, candidate, desk.slots.kept):
        return _reserved(desk, least, timeline)


def _reserved(desk: Desk, candidate: Candidate, timeline: Timeline) -> Reservation | None:
    """Room from the earliest time on at which there is enough, or from so much later as the start may be put off."""
    queue = QueueName(str(candidate.workload.queue))
    search = _Search(desk, candidate, timeline)
    found = search.earliest()
    if found is None:
        desk.slots.unknown.add(queue)
        return None
    at_s, layout = found
    created_s, settings = candidate.workload.created_s, desk.settings
    moments = [
        max(at_s, created_s + patience) for patience in (settings.backfill_bound_s, settings.backfill_unknown_bound_s)
    ]
    if min(moments) > at_s:
        later = search.placed(min(moments))
        moments, layout = ([at_s, at_s], layout) if later is None else (moments, later)
    return _kept(desk, candidate, timeline, _Start(at_s, moments[0], moments[1], layout))


def _in_turn(slots: Sequence[Slot]) -> Reservation:
    """The turn has come of a workload that room was kept for already."""
    for slot in slots:
        slot.ahead = False
    return slots[0].reservation


def reserve_ahead(desk: Desk, candidate: Candidate) -> None:
    """Keep room and quota for a blocked workload before its turn, from work behind it in its queue that goes first.

    That is work which nominal quota covers; it could use up room or quota again and again before a large workload ever
    gets enough of it. Other queues have their own nominal quota and are not kept from anything yet.
    """
    if not desk.known.any_length:
        return
    queue = QueueName(str(candidate.workload.queue))
    shortage = desk.ledger.shortage(queue, desk.base_bill(candidate))
    desk.slots.narrow(())
    if shortage is None:
        ask = desk.ask(candidate)
        if enough(desk, ask, usable(desk.room, ask)):
            return
    elif shortage.most_milli_gpu < shortage.needed_milli_gpu:
        return
    if reserve_for(desk, candidate, Reason.QUOTA_EXHAUSTED) is not None:
        for slot in desk.slots.own(candidate.workload.key):
            slot.ahead = True


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


class _Start(msgspec.Struct, frozen=True, eq=False):
    """When a workload can start, from when on room is kept from others of known and of unknown length, and where."""

    at_s: int
    known_s: int
    unknown_s: int
    layout: Layout


class _Search:
    """Looks for the earliest time at which a workload has room and quota."""

    def __init__(self, desk: Desk, candidate: Candidate, timeline: Timeline) -> None:
        self._desk = desk
        self._candidate = candidate
        self._timeline = timeline
        views = [desk.room.view(shape).fits > 0 for shape, _ in candidate.groups]
        self._open_now: Mask = np.logical_or.reduce(views)
        self._is_limited = is_limited(desk.ledger)
        times = _times(desk, timeline)
        self._times = times[np.searchsorted(times, desk.now_s, side="right") :]

    def earliest(self) -> tuple[int, Layout] | None:
        """The time, and where it goes then; None where no known end is enough.

        Free room only grows with time but for other reservations, so the first time at which each group finds room by
        itself is found by halving. From there on placing the workload decides.
        """
        times = self._times
        if not len(times) or not self._could(int(times[-1])):
            return None
        low, high = 0, len(times) - 1
        while low < high:
            middle = (low + high) // 2
            if self._could(int(times[middle])):
                high = middle
            else:
                low = middle + 1
        tries = [*range(low, min(low + TRIES, len(times))), len(times) - 1]
        for at in dict.fromkeys(tries):
            layout = self.placed(int(times[at]))
            if layout is not None:
                return int(times[at]), layout
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

    def placed(self, at_s: int) -> Layout | None:
        """Where the workload goes if it starts at `at_s`."""
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
        return desk.slots.least_until(free, at_s, end_if_started(self._candidate.workload, at_s))


def _times(desk: Desk, timeline: Timeline) -> Codes:
    """When room or quota becomes free, in order, each time once."""
    others = [end_s for end_s, _ in desk.slots.short] + [slot.end_s for slot in desk.slots.kept]
    more = np.array(sorted({end_s for end_s in others if end_s < NEVER}), dtype=np.int64)
    times = timeline.times
    at = np.searchsorted(times, more)
    more, at = (each[~np.isin(more, times)] for each in (more, at))
    return np.insert(times, at, more)


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


def _kept(desk: Desk, candidate: Candidate, timeline: Timeline, start: _Start) -> Reservation:
    queue = desk.payer(candidate.workload)
    assignments: list[Assignment] = []
    placed: Counter[tuple[PodShape, int]] = Counter()
    for members, (rows, counts) in zip(candidate.members, start.layout.groups, strict=True):
        for pod, row in zip(members, np.repeat(rows, counts).tolist(), strict=True):
            assignments.append(Assignment(pod=pod.uid, node=desk.room.name(row)))
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            placed[members[0].shape, row] += count
    first_s = min(start.known_s, start.unknown_s)
    use = _widened(desk, candidate, use_of(desk, queue, placed), table_at(desk, timeline, first_s))
    there = timeline.standing_on(use.rows)
    gone = there[timeline.at[there] <= start.at_s]
    last = gone[timeline.at[gone] == start.at_s]
    if not len(last):
        last = np.flatnonzero(timeline.at == start.at_s)
    highest = timeline.high[[*gone.tolist(), *last.tolist()]]
    reservation = Reservation(
        workload=candidate.workload.key,
        queue=queue.name,
        made_s=desk.now_s,
        start_s=start.at_s,
        latest_s=max(start.known_s, start.unknown_s, int(highest.max(initial=0))),
        kept_from_s=start.known_s,
        kept_from_unknown_s=start.unknown_s,
        sure=bool(timeline.sure[gone].all() and timeline.sure[last].all() and queue.name not in desk.slots.unknown),
        assignments=tuple(sorted(assignments, key=lambda assignment: assignment.pod)),
        milli_gpu=candidate.milli_gpu,
        after=tuple(timeline.keys[who] for who in last.tolist()[:NAMED]),
        learned_runs=_learned_runs(desk, [timeline.keys[who] for who in (*gone.tolist(), *last.tolist())]),
    )
    concerns: list[tuple[Concern, int]] = [("known", start.known_s), ("unknown", start.unknown_s)]
    if start.known_s == start.unknown_s:
        concerns = [("all", start.known_s)]
    slots: list[Slot] = []
    for concern, from_s in concerns:
        free = table_at(desk, timeline, from_s)
        free[use.rows] -= use.amounts
        ledger = ledger_at(desk, timeline, from_s) if is_limited(desk.ledger) else desk.ledger
        slots.append(
            Slot(
                reservation=reservation,
                from_s=from_s,
                concerns=concern,
                first=not slots,
                end_s=end_if_started(candidate.workload, max(start.known_s, start.unknown_s)),
                use=use,
                free=free,
                ledger=ledger.charge(queue.name, use.bill),
            )
        )
    desk.slots.add(slots)
    return reservation


def _learned_runs(desk: Desk, keys: Sequence[WorkloadKey]) -> int:
    """The fewest earlier runs that the length of any of these was learned from; 0 where all were told."""
    workloads = (desk.snapshot.workloads[key] for key in keys)
    return min((each.learned.runs for each in workloads if each.duration_s is None and each.learned), default=0)


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
