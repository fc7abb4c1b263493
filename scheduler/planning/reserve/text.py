"""Reservations in people's words."""

from collections.abc import Sequence

from scheduler.model.names import people_name
from scheduler.model.plan import Reservation
from scheduler.planning.reasons.wording import gpus, lasting, listed


def reserved_line(reservation: Reservation) -> str:
    """What is kept for a workload: `reserved on 4 nodes (32 GPUs), starts in about 2 h, when team/train ends`."""
    count = len(reservation.nodes)
    room = f"reserved on {count} node{'' if count == 1 else 's'} ({gpus(reservation.milli_gpu)})"
    return f"{room}, {starts(reservation)}"


def starts(reservation: Reservation) -> str:
    """When a workload starts, and after whose end."""
    when = f"starts in about {lasting(reservation.start_s - reservation.made_s)}"
    if reservation.latest_s > reservation.start_s:
        when += f" (nine times in ten within {lasting(reservation.latest_s - reservation.made_s)})"
    names = [people_name(key) for key in reservation.after]
    if names:
        when += f", when {listed(names)} {'ends' if len(names) == 1 else 'end'}"
    return f"{when}, {learned_from(reservation.learned_runs)}" if reservation.learned_runs else when


def learned_from(runs: int) -> str:
    """Where an end is known from: `by lengths learned from 12 earlier runs`."""
    return f"by lengths learned from {runs} earlier runs"


def kept_for(reservations: Sequence[Reservation]) -> str:
    """For whom room is kept: `team/big, which starts in about 10 min`."""
    each = [f"{people_name(r.workload)}, which starts in about {lasting(r.start_s - r.made_s)}" for r in reservations]
    return listed(each)
