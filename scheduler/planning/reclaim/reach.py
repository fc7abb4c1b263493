"""Which work could be of use by leaving, told by sums over nodes, domains and queues: mostly none, and that quickly."""

from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.resources import GPU, MILLI_GPU
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.units import Side, is_open
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import held_by, model_choices, usable
from scheduler.scoring.topology import domains


def useful(desk: Desk, candidate: Candidate, allowed: Mapping[QueueName, Side]) -> list[WorkloadKey]:
    """The workloads that could be of use by leaving; none where even all of them together would not do.

    Who has a right to what is judged no further than by what each queue borrows in all.
    """
    stands, workloads = desk.stands, desk.snapshot.workloads
    names = {name: at for at, name in enumerate(sorted(allowed))}
    queue_of = np.full(len(stands.keys), -1, dtype=np.int64)
    for at, key in enumerate(stands.keys):
        workload = workloads[key]
        side = allowed.get(workload.queue) if workload.queue is not None else None
        if side is not None and is_open(side, workload, candidate.workload, desk.now_s):
            queue_of[at] = names[QueueName(str(workload.queue))]
    open_to = queue_of >= 0
    if not open_to.any():
        return []
    entries = open_to[stands.who]
    more = np.zeros_like(desk.room.free)
    np.add.at(more, stands.rows[entries], stands.amounts[entries])
    ask = desk.ask(candidate, ignore_quota=True, ignore_apart=True)
    fits = usable(desk.room, ask, more)
    if not enough(desk, ask, fits):
        return []
    helps = np.logical_or.reduce([f > 0 for f in fits])
    if _most_gpus(
        desk, entries & helps[stands.rows], queue_of, [allowed[name] for name in sorted(allowed)]
    ) < _least_gpus(desk, ask, helps):
        return []
    queue = QueueName(str(candidate.workload.queue))
    if desk.ledger.shortage(queue, desk.base_bill(candidate)) is None:
        keep = np.zeros(len(stands.keys), dtype=np.bool_)
        keep[stands.who[entries & helps[stands.rows]]] = True
        # Whoever borrows beside it may have to leave for the sake of quota alone.
        open_to &= keep | (desk.ledger.own_left(queue) < candidate.milli_gpu)
    return [stands.keys[at] for at in np.flatnonzero(open_to).tolist()]


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
