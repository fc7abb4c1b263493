"""Which work could be of use by leaving, told by sums over nodes, domains and queues: mostly none, and that quickly."""

from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.model.names import QueueName
from scheduler.model.resources import GPU, MILLI_GPU
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.rights import is_covered
from scheduler.planning.reclaim.table import Table
from scheduler.planning.reclaim.units import Side
from scheduler.quota.tree import Bill, Ledger
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import held_by, model_choices, usable
from scheduler.scoring.topology import domains

NOBODY: Codes = np.zeros(0, dtype=np.int64)


def useful(desk: Desk, candidate: Candidate, allowed: Mapping[QueueName, Side], bills: Sequence[Bill]) -> Codes:
    """Which workloads of `desk.table` could be of use by leaving; none where even all of them would not do.

    Who has a right to what is judged no further than by what each queue borrows in all. `bills`: what the candidate
    would be charged, one of them.
    """
    stands = desk.stands
    queue_of = _open_to(desk.table, candidate, [(name, allowed[name]) for name in sorted(allowed)], desk.now_s)
    open_to = queue_of >= 0
    if not open_to.any():
        return NOBODY
    entries = open_to[stands.who]
    more = np.zeros_like(desk.room.free)
    np.add.at(more, stands.rows[entries], stands.amounts[entries])
    ask = desk.ask(candidate, ignore_quota=True, ignore_apart=True)
    fits = usable(desk.room, ask, more)
    if not enough(desk, ask, fits):
        return NOBODY
    helps = np.logical_or.reduce([f > 0 for f in fits])
    if _most_gpus(
        desk, entries & helps[stands.rows], queue_of, [allowed[name] for name in sorted(allowed)]
    ) < _least_gpus(desk, ask, helps):
        return NOBODY
    # For the sake of quota alone others may have to leave, wherever they are.
    if all(_is_owned(desk.ledger, QueueName(str(candidate.workload.queue)), bill) for bill in bills):
        keep = np.zeros(len(stands.keys), dtype=np.bool_)
        keep[stands.who[entries & helps[stands.rows]]] = True
        open_to &= keep
    return np.flatnonzero(open_to)


def _is_owned(ledger: Ledger, queue: QueueName, bill: Bill) -> bool:
    """Whether there is quota left for this, and nominal quota of the queue and all above it covers it."""
    if ledger.shortage(queue, bill) is not None:
        return False
    return is_covered(ledger.charge(queue, bill), ledger.forest.chain(queue), bill)


def _open_to(table: Table, candidate: Candidate, sides: Sequence[tuple[QueueName, Side]], now_s: int) -> Codes:
    """At which place of `sides` each workload's queue stands; -1 where nothing of it might have to leave."""
    number_of = {name: at for at, (name, _) in enumerate(sides)}
    places = np.array([*(number_of.get(name, -1) for name in table.queues), -1], dtype=np.int64)
    queue_of = np.where(table.preemptible, places[table.queue], -1)
    for at, (_, side) in enumerate(sides):
        if side.why == "preempt":
            queue_of[(queue_of == at) & (table.priority >= candidate.workload.priority)] = -1
        if side.protected_s:
            queue_of[(queue_of == at) & (table.first_s + side.protected_s > now_s)] = -1
    return queue_of


def enough(desk: Desk, ask: Ask, fits: Sequence[Codes]) -> bool:
    """Whether each group by itself would find room, in one domain where one is required, on one model."""
    codes = np.zeros(len(desk.fleet), dtype=np.int64)
    if ask.required is not None:
        codes = domains(desk.fleet, ask.required).codes
    for choice in model_choices(desk.room, [shape for shape, _ in ask.groups], ask.standing):
        held = [held_by(codes, f if choice is None else np.where(choice, f, 0)) for f in fits]
        if np.logical_and.reduce([h >= count for h, (_, count) in zip(held, ask.groups, strict=True)]).any():
            return True
    return False


def _least_gpus(desk: Desk, ask: Ask, helps: Mask) -> int:
    """GPUs that have to become free at least: for each pod that has no room by them, what the best node lacks."""
    column = desk.room.column(GPU)
    least = 0
    for shape, count in ask.groups:
        gpus = shape.requests.gpus
        if column is not None and gpus and helps.any():
            free = np.maximum(desk.room.free[helps, column], 0)
            missing = count - int((free // gpus).sum())
            least = max(least, missing * (gpus - int((free % gpus).max())))
    return least


def _most_gpus(desk: Desk, entries: Mask, queue_of: Codes, sides: Sequence[Side]) -> int:
    """GPUs that may become free at most: of each queue that only loses what it borrows, that and one workload more."""
    column, stands = desk.room.column(GPU), desk.stands
    if column is None:
        return 0
    held = np.bincount(stands.who[entries], weights=stands.amounts[entries, column], minlength=len(stands.keys))
    total = 0
    for at, side in enumerate(sides):
        own = held[queue_of == at]
        most = int(own.sum())
        if side.why == "reclaim" and most:
            most = min(most, -(-side.borrowed // MILLI_GPU) + int(own.max()))
        total += most
    return total
