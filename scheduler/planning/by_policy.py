"""The order of nodes for pods that stand alone, by the policy of the pod or of its queue."""

from collections.abc import Iterator

import numpy as np

from scheduler.model.policy import DEFAULT_POLICY, Policy
from scheduler.model.queue import Queue
from scheduler.model.resources import GPU, MILLI_GPU
from scheduler.model.workload import PodShape
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reserve.last_ends import keys_by_ends
from scheduler.scoring.fleet import Codes
from scheduler.scoring.policies.free import request_of
from scheduler.scoring.policies.policies import packing_keys, price_keys
from scheduler.scoring.policies.room_prices import RoomPrices
from scheduler.scoring.room import Room

HELD, PLACE = 60, 24
"""Bits of the sort key from which on things are written: room held back, the policy's key; then the place."""

TAKEN_OUT = np.iinfo(np.int64).max


def policy_of(candidate: Candidate, queue: Queue) -> Policy:
    """How the pod is placed: as it says itself, else as its queue says."""
    return candidate.pending[0].policy or queue.policy or DEFAULT_POLICY


def fills_up(policy: Policy) -> bool:
    """Whether a node that takes a pod is still the best one for the next equal pod, as long as it has room."""
    return policy in {Policy.TOPOLOGY_PRESERVING, Policy.MOST_ALLOCATED}


def keys(desk: Desk, candidate: Candidate, policy: Policy, rows: Codes, column: int) -> Codes:
    """A key of each of `rows`, the lowest is the best node; of equals the first. `column`: what packing goes by.

    Nodes where nothing is held back for a waiting gang go first whatever the policy says.
    """
    shape = candidate.groups[0][0]
    by_policy = _prices(desk, shape, rows) if policy is Policy.LEAST_FRAGMENTATION else None
    if policy is Policy.TOPOLOGY_PRESERVING:
        by_policy = keys_by_ends(desk, candidate, rows, *_amounts(desk.room, shape, rows, column))
    if by_policy is None:
        by_policy = packing_keys(policy, *_amounts(desk.room, shape, rows, column))
    held = desk.holds.rows[rows].astype(np.int64)
    return (held << HELD) | (by_policy << PLACE) | np.arange(len(rows))


def one_by_one(desk: Desk, candidate: Candidate, policy: Policy, rows: Codes, column: int) -> Iterator[tuple[int, int]]:
    """The best node for the next pod, again and again, and that it takes one pod.

    Its place has to be taken before the next is asked for; a node where it is not is not named again.
    """
    room, shape = desk.room, candidate.groups[0][0]
    while len(rows):
        order = keys(desk, candidate, policy, rows, column)
        out = np.zeros(len(rows), dtype=np.bool_)
        taken = len(room.log)
        while len(room.log) == taken and not out.all():
            at = int(np.argmin(order))
            yield int(rows[at]), 1
            if len(room.log) == taken:
                order[at], out[at] = TAKEN_OUT, True
        rows = rows[~out]
        rows = rows[room.view(shape).fits[rows] > 0]


def _amounts(room: Room, shape: PodShape, rows: Codes, column: int) -> tuple[Codes, Codes]:
    """What is free and what there is of a resource; in milli-GPU, for parts of GPUs that are made on demand."""
    free, capacity = room.free[rows, column], room.allocatable[rows, column]
    gpus = room.column(GPU)
    if not room.by_parts(shape) or gpus is None:
        return free, capacity
    divided = room.parts.rows[rows]
    capacity[divided] = room.allocatable[rows[divided], gpus] * MILLI_GPU
    return room.left(column)[rows], capacity


def _prices(desk: Desk, shape: PodShape, rows: Codes) -> Codes | None:
    """Keys by price; None where the request has none. Nodes of which it takes nothing that has a price go first."""
    request = request_of(shape)
    if request is None or not desk.snapshot.demand:
        return None
    prices = desk.fleet.remember("prices", RoomPrices).of(desk.room, request)[rows]
    return price_keys(np.where(np.isfinite(prices), prices, 0.0))
