"""Placing a gang: all pending members, or as many as it needs to stand, or none."""

from itertools import islice

import msgspec
import numpy as np

from scheduler.model.names import QueueName
from scheduler.model.plan import Admit, Assignment, Placement
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.quota.tree import bill_for
from scheduler.scoring.fleet import Mask
from scheduler.scoring.gang import Layout


def admit_gang(desk: Desk, candidate: Candidate) -> Admit | None:
    """Place the pending members and charge them; None where not even as many as needed can be placed.

    A gang that may stand with fewer members takes as many as quota and room allow, the first by rank.
    """
    most = _affordable_members(desk, candidate)
    if most < candidate.needed:
        return None
    whole = candidate if most == len(candidate.pending) else candidate.first(most)
    layout = _place(desk, whole)
    if layout is not None:
        return _commit(desk, whole, layout)
    low, high = candidate.needed, most - 1
    best: tuple[Candidate, Layout] | None = None
    while low <= high:
        middle = (low + high) // 2
        part = candidate.first(middle)
        layout = _place(desk, part)
        if layout is None:
            high = middle - 1
        else:
            best, low = (part, layout), middle + 1
    return None if best is None else _commit(desk, *best)


def _affordable_members(desk: Desk, candidate: Candidate) -> int:
    """How many pending members, by rank, the queue's limit over all flavors allows."""
    left = desk.ledger.headroom(QueueName(str(candidate.workload.queue)))
    if left is None or candidate.milli_gpu <= left:
        return len(candidate.pending)
    sums = np.cumsum([pod.shape.milli_gpu for pod in candidate.pending])
    return int(np.searchsorted(sums, left, side="right"))


def _place(desk: Desk, candidate: Candidate) -> Layout | None:
    """The best layout, on nodes that nobody else needs if there is one.

    Nodes where nothing is held back go before those where something is, and for a gang that asks for no devices, nodes
    without devices go before all.
    """
    ask = desk.ask(candidate)
    for mask in _preferred(desk, candidate):
        allowed = mask if ask.allowed is None else ask.allowed & mask
        elsewhere = desk.place(candidate, msgspec.structs.replace(ask, allowed=allowed))
        if elsewhere is not None:
            return elsewhere
    return desk.place(candidate, ask)


def _preferred(desk: Desk, candidate: Candidate) -> list[Mask]:
    """Nodes to try before all of them are tried."""
    apart = [~desk.holds.rows] if desk.holds.holders else []
    if any(shape.requests.wants_devices for shape, _ in candidate.groups):
        return apart
    bare = desk.room.without_devices
    return [*(bare & mask for mask in apart), bare, *apart]


def _commit(desk: Desk, candidate: Candidate, layout: Layout) -> Admit:
    """Take the room, charge the queue, and give every member its node and devices: ranks follow the layout's order."""
    queue = desk.snapshot.queues[QueueName(str(candidate.workload.queue))]
    products = desk.fleet.products
    ledger = desk.ledger
    assigned: dict[str, Assignment] = {}
    for (shape, _), members, (rows, counts) in zip(candidate.groups, candidate.members, layout.groups, strict=True):
        desk.room.take_rows(rows, counts, shape)
        bills: dict[int, int] = {}
        waiting = iter(members)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            bills[int(products.codes[row])] = bills.get(int(products.codes[row]), 0) + count
            for pod in islice(waiting, count):
                devices = desk.room.take_devices(row, shape)
                assigned[pod.uid] = Assignment(pod=pod.uid, node=desk.room.name(row), devices=devices)
        for code, count in sorted(bills.items()):
            product = products.values[code] if code >= 0 else ""
            ledger = ledger.charge(queue.name, bill_for(queue, shape, product), count)
    desk.ledger = ledger
    return Admit(
        workload=candidate.workload.key,
        placement=Placement(
            assignments=tuple(assigned[pod.uid] for pod in candidate.pending), proof=layout.proof, spread=layout.spread
        ),
    )
