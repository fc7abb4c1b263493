"""What a blocked gang keeps from those behind it.

The rule: the first gang in the order that finds too little room keeps the room that its members could take now, so that
nobody behind it makes it wait longer. Those behind it use other nodes first, and what is left on these.
Gangs that stand where it wants to be alone, or want to be alone where it could stand, count among what may leave.
A gang keeps nothing where it could not run even if everything else left, where only quota stands in its way, or
where a gang before it already keeps room among the nodes that it could use. Pods that stand alone keep nothing: where
such a pod is blocked, there is no node now that could take it. And no gang keeps room for longer than `hold_s` from its
creation: what stands in its way may never end, and GPUs that idle for nobody help nobody.
"""

from collections.abc import Sequence

import numpy as np

from scheduler.model.names import people_name
from scheduler.model.plan import Reason, Wait
from scheduler.model.workload import PodShape
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import emptied, held_by, model_choices, usable
from scheduler.scoring.topology import domains

HOLDING = frozenset({Reason.INSUFFICIENT_RESOURCES, Reason.FRAGMENTED, Reason.TOPOLOGY_UNSATISFIED})
"""Reasons that a gang's waiting may end by others leaving."""


def hold_for(desk: Desk, candidate: Candidate, wait: Wait) -> None:
    """Keep room for a gang that was just refused with `wait`, if the rule gives it any."""
    if candidate.alone or candidate.standing or wait.reason not in HOLDING:
        return
    if desk.now_s - candidate.workload.created_s >= desk.settings.hold_s:
        return
    ask = desk.ask(candidate, ignore_apart=True)
    possible = emptied(desk.room, ask)
    pool = np.logical_or.reduce([fits > 0 for fits in possible])
    if (desk.holds.pool & pool).any():
        return
    nearest = _nearest(desk, ask, possible)
    if nearest is None:
        return
    before = desk.room.free.copy(order="F")
    for (shape, count), where in zip(ask.groups, nearest, strict=True):
        fits = np.where(pool & where, desk.room.view(shape).fits, 0)
        rows = np.flatnonzero(fits)
        rows = rows[np.lexsort((rows, -fits[rows]))]
        counts = np.diff(np.minimum(np.cumsum(fits[rows]), count), prepend=0)
        rows, counts = rows[counts > 0], counts[counts > 0]
        desk.room.hold_rows(rows, counts, shape)
        desk.holds.rows[rows] = True
    desk.holds.amounts += before - desk.room.free
    desk.holds.pool |= pool
    desk.holds.holders.append(people_name(candidate.workload.key))


def _nearest(desk: Desk, ask: Ask, possible: Sequence[Codes]) -> list[Mask] | None:
    """The nodes among which to keep room for each group.

    Of the GPU models that the gang accepts and the required domains, where these could hold it, those with most room
    now. None where the gang could not run even if everything else left.
    """
    everywhere = np.ones(len(desk.fleet), dtype=np.bool_)
    codes = np.zeros(len(desk.fleet), dtype=np.int64)
    if ask.required is not None:
        codes = domains(desk.fleet, ask.required).codes
    now = usable(desk.room, ask)[0]
    most, nearest = -1, None
    for model in model_choices(desk.room, [shape for shape, _ in ask.groups], ask.standing):
        kept = [model if model is not None and _chooses(shape) else everywhere for shape, _ in ask.groups]
        could = np.logical_and.reduce(
            [
                held_by(codes, np.where(mask, fits, 0)) >= count
                for mask, fits, (_, count) in zip(kept, possible, ask.groups, strict=True)
            ]
        )
        held = np.where(could, held_by(codes, np.where(kept[0], now, 0)), -1)
        best = int(np.argmax(held))
        if held[best] > most:
            most, nearest = int(held[best]), [mask & (codes == best) for mask in kept]
    return nearest


def _chooses(shape: PodShape) -> bool:
    """Whether such pods accept several GPU models, of which the gang gets one."""
    return shape.requests.wants_devices and len(shape.models) > 1
