"""Placing a gang: all pending members, or as many as it needs to stand, or none."""

from collections.abc import Sequence
from itertools import islice

import msgspec

from scheduler.model.plan import Admit, Assignment, Placement, Proof
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk, Seat
from scheduler.planning.mend import Part, mended
from scheduler.planning.most import Pays, most_that_fit
from scheduler.planning.ranks import ring_of
from scheduler.quota.tree import bill_for
from scheduler.scoring.devices.choosers import firmly
from scheduler.scoring.fleet import Mask
from scheduler.scoring.gangs.gang import Layout


def admit_gang(desk: Desk, candidate: Candidate, *, nominal: bool = False) -> Admit | None:
    """Place the pending members and charge them; None where not even as many as needed can be placed.

    A gang that may stand with fewer members takes as many as quota and room allow, the first by rank. `nominal`: no
    more than nominal quota covers.
    """
    best = most_that_fit(candidate, paying(desk, nominal=nominal), lambda part: _placed(desk, part))
    if best is None:
        return None
    admits = [commit(desk, part, layout) for part, layout in best]
    if len(best) == 1:
        desk.seats.append(Seat(*best[0], admits[0]))
    return _together(desk, candidate, admits)


def paying(desk: Desk, *, nominal: bool = False) -> Pays:
    """Whether the queue allows the pending members of a candidate on whatever nodes; `nominal`: without borrowing."""

    def pays(candidate: Candidate) -> bool:
        queue, bill = desk.payer(candidate.workload), desk.base_bill(candidate)
        for flavor, amount in ((None, bill.total_milli_gpu), *bill.flavors):
            left = desk.ledger.headroom(queue.name, flavor)
            # Who asks for none of it takes nothing from a queue, not even from one that is above its limit.
            if left is not None and amount > max(left, 0):
                return False
        return not nominal or bill.total_milli_gpu <= desk.ledger.own_left(queue.name)

    return pays


def _placed(desk: Desk, candidate: Candidate) -> list[Part] | None:
    """All pending members, on suspect GPUs only where there is no other way.

    Half of the solver's budget is kept for that, so that sparing them keeps nobody from starting.
    """
    for sound_only in desk.room.passes:
        kept_ms = desk.solver_left_ms / 2 if sound_only else 0.0
        desk.solver_left_ms -= kept_ms
        with desk.room.kept_sound(sound_only=sound_only):
            found = _parts(desk, candidate)
        desk.solver_left_ms += kept_ms
        if found is not None:
            return found
    return None


def _parts(desk: Desk, candidate: Candidate) -> list[Part] | None:
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
