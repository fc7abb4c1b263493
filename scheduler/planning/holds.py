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
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gang import Ask
from scheduler.scoring.problem import emptied, held_by, usable
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
    where = _nearest(desk, ask, possible)
    if where is None:
        return
    before = desk.room.free.copy(order="F")
    for shape, count in ask.groups:
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


def _nearest(desk: Desk, ask: Ask, possible: Sequence[Codes]) -> Mask | None:
    """The nodes among which to keep room: of the required domains that could hold the gang, the one with most room now.

    Every node where no domain is required. None where the gang could not run even if everything else left.
    """
    counts = [count for _, count in ask.groups]
    if ask.required is None:
        could = all(int(f.sum()) >= count for f, count in zip(possible, counts, strict=True))
        return np.ones(len(desk.fleet), dtype=np.bool_) if could else None
    codes = domains(desk.fleet, ask.required).codes
    could = np.logical_and.reduce([held_by(codes, f) >= n for f, n in zip(possible, counts, strict=True)])
    if not could.any():
        return None
    now = held_by(codes, usable(desk.room, ask)[0])
    return codes == int(np.argmax(np.where(could, now, -1)))
