"""Placing a gang: all pending members, or as many as it needs to stand, or none."""

from collections.abc import Sequence
from itertools import islice

import msgspec
import numpy as np

from scheduler.model.plan import Admit, Assignment, Placement, Proof
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk, Seat
from scheduler.planning.mend import Part, mended
from scheduler.planning.ranks import ring_of
from scheduler.quota.tree import base_bill, bill_for
from scheduler.scoring.devices.free import firmly
from scheduler.scoring.fleet import Mask
from scheduler.scoring.gangs.gang import Layout


def admit_gang(desk: Desk, candidate: Candidate) -> Admit | None:
    """Place the pending members and charge them; None where not even as many as needed can be placed.

    A gang that may stand with fewer members takes as many as quota and room allow, the first by rank.
    """
    most = _affordable_members(desk, candidate)
    if most < candidate.needed:
        return None
    whole = candidate if most == len(candidate.pending) else candidate.first(most)
    best = _placed(desk, whole)
    low, high = (candidate.needed, most - 1) if best is None else (1, 0)
    while low <= high:
        middle = (low + high) // 2
        parts = _placed(desk, candidate.first(middle))
        if parts is None:
            high = middle - 1
        else:
            best, low = parts, middle + 1
    if best is None:
        return None
    admits = [commit(desk, part, layout) for part, layout in best]
    if len(best) == 1:
        desk.seats.append(Seat(*best[0], admits[0]))
    return _together(desk, candidate, admits)


def _affordable_members(desk: Desk, candidate: Candidate) -> int:
    """How many pending members, by rank, the queue allows on whatever nodes."""
    queue, count = desk.payer(candidate.workload), len(candidate.pending)
    whole = base_bill(queue, candidate.groups)
    for flavor, amount in ((None, whole.total_milli_gpu), *whole.flavors):
        left = desk.ledger.headroom(queue.name, flavor)
        # Who asks for none of it takes nothing from a queue, not even from one that is above its limit.
        if left is not None and amount > (left := max(left, 0)):
            bills = [base_bill(queue, ((pod.shape, 1),)) for pod in candidate.pending]
            sums = np.cumsum([bill.total_milli_gpu if flavor is None else bill.of(flavor) for bill in bills])
            count = min(count, int(np.searchsorted(sums, left, side="right")))
    return count


def _placed(desk: Desk, candidate: Candidate) -> list[Part] | None:
    """All pending members in one layout; where some stand and slices bind them, slice by slice."""
    if candidate.standing and candidate.workload.topology_slices:
        return mended(desk, candidate)
    layout = _place(desk, candidate)
    return None if layout is None else [(candidate, layout)]


def _together(desk: Desk, candidate: Candidate, parts: Sequence[Admit]) -> Admit:
    """One admission of all parts. What is proven of each alone bounds them together from below."""
    first, *others = parts
    if not others:
        return first
    proofs = [part.placement.proof for part in parts]
    proof = Proof(status="feasible", cost=sum(p.cost for p in proofs), bound=max(p.bound for p in proofs))
    assignments = tuple(assignment for part in parts for assignment in part.placement.assignments)
    placement = Placement(assignments=assignments, proof=proof, ring=ring_of(desk, candidate, assignments))
    return Admit(workload=first.workload, placement=placement)


def _place(desk: Desk, candidate: Candidate) -> Layout | None:
    """The best layout, on nodes that nobody else needs if there is one.

    Linked GPUs where they are preferred go before all else. Nodes where nothing is held back go before those where
    something is, and for a gang that asks for no devices, nodes without devices go before all.
    """
    ask = desk.ask(candidate)
    groups = tuple((firmly(shape), count) for shape, count in ask.groups)
    firm = [] if groups == ask.groups else [msgspec.structs.replace(ask, groups=groups)]
    preferred = _preferred(desk, candidate)
    for each in (*firm, ask):
        for mask in preferred:
            allowed = mask if each.allowed is None else each.allowed & mask
            elsewhere = desk.place(candidate, msgspec.structs.replace(each, allowed=allowed))
            if elsewhere is not None:
                return elsewhere
        anywhere = desk.place(candidate, each)
        if anywhere is not None:
            return anywhere
    return None


def _preferred(desk: Desk, candidate: Candidate) -> list[Mask]:
    """Nodes to try before all of them are tried."""
    apart = [~desk.holds.rows] if desk.holds.holders else []
    if any(shape.requests.wants_devices for shape, _ in candidate.groups):
        return apart
    bare = desk.room.without_devices
    return [*(bare & mask for mask in apart), bare, *apart]


def commit(desk: Desk, candidate: Candidate, layout: Layout) -> Admit:
    """Take the room, charge the queue, and give every member its node and devices: ranks follow the layout's order."""
    queue = desk.payer(candidate.workload)
    products = desk.fleet.products
    ledger = desk.ledger
    assigned: dict[str, Assignment] = {}
    devices = _hand_out(desk, candidate, layout)
    for g, (members, (rows, counts)) in enumerate(zip(candidate.members, layout.groups, strict=True)):
        shape, _ = candidate.groups[g]
        desk.room.take_rows(rows, counts, shape)
        desk.apart.stands(candidate.workload, rows)
        bills: dict[int, int] = {}
        waiting = iter(members)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            bills[int(products.codes[row])] = bills.get(int(products.codes[row]), 0) + count
            for pod, given in zip(islice(waiting, count), devices[row, g], strict=True):
                assigned[pod.uid] = desk.room.assignment(pod.uid, row, shape, given)
        for code, count in sorted(bills.items()):
            product = products.values[code] if code >= 0 else ""
            ledger = ledger.charge(queue.name, bill_for(queue, shape, product), count)
    desk.ledger = ledger
    assignments = tuple(assigned[pod.uid] for pod in candidate.pending)
    return Admit(
        workload=candidate.workload.key,
        placement=Placement(
            assignments=assignments,
            proof=layout.proof,
            spread=layout.spread,
            ring=ring_of(desk, candidate, assignments),
        ),
    )


def _hand_out(desk: Desk, candidate: Candidate, layout: Layout) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    """The GPUs of every member, per row and group; those that share a node are given theirs together."""
    wants: dict[int, list[tuple[int, int]]] = {}
    for g, (rows, counts) in enumerate(layout.groups):
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            wants.setdefault(row, []).append((g, count))
    given: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for row, some in wants.items():
        sets = desk.room.hand_out(row, [(candidate.groups[g][0], count) for g, count in some])
        given.update({(row, g): each for (g, _), each in zip(some, sets, strict=True)})
    return given
