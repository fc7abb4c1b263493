"""Elastic gangs beyond the members that they need.

The rule: what all workloads need comes first, in their order; then gangs grow in their turn with what that leaves,
first as far as nominal quota covers, then by borrowing. A gang that this plan starts is laid out anew with as many
members as there is room for, so that all of them stand well together; one that stands grows around its members.
Nobody makes way for growth; it takes nothing that is kept for others, and no node that work leaves by the same plan.
Who has to leave is chosen by where everybody stands, so a gang that was placed before that stays there, and grows by
the next plan.
"""

from collections.abc import Sequence

import msgspec

from scheduler.model.names import WorkloadKey
from scheduler.model.plan import Admit, Reason, Reclaim, Wait
from scheduler.planning.batch import set_down, take_up
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk, Seat
from scheduler.planning.gangs import admit_gang, paying
from scheduler.planning.most import covered_members
from scheduler.planning.order import by_turn, turns_of
from scheduler.planning.reasons.refuse import refuse
from scheduler.planning.reclaim.firm import filled, gives_way, overfilled, own_quota
from scheduler.planning.reserve.passing import beside_reservations


def grow(desk: Desk, candidates: Sequence[Candidate]) -> None:
    """Decide on the members that gangs among `candidates` can do without, once all that they need is decided."""
    elastic = [candidate for candidate in candidates if candidate.stands or candidate.needed < len(candidate.pending)]
    if not elastic:
        return
    desk.shut = frozenset(desk.leaving)
    seats = {seat.admit.workload: seat for seat in desk.seats}
    claims = [at for at, decision in enumerate(desk.decisions) if isinstance(decision, Reclaim) and decision.victims]
    later = desk.decisions[max(claims, default=-1) + 1 :]
    admitted = {decision.workload for decision in later if isinstance(decision, Admit)}
    able: list[Candidate] = []
    for candidate in elastic:
        key = candidate.workload.key
        seat = seats.get(key) if key in admitted else None
        if (candidate.stands and key not in desk.moving) or (seat is not None and _can_be_moved(desk, seat)):
            able.append(candidate)
    for borrow in (False, True):
        turns = turns_of(desk, able)
        able = []
        while batch := turns.next_batch(desk.ledger):
            turns.decided(batch, len(batch))
            if _grow(desk, batch[0], seats, borrow=borrow):
                able.append(batch[0])
    desk.shut = frozenset()
    decided = {decision.workload for decision in desk.decisions}
    for candidate in by_turn(candidate for candidate in elastic if candidate.stands):
        if candidate.workload.key not in decided:
            desk.decisions.append(_stays(desk, candidate))


def _grow(desk: Desk, candidate: Candidate, seats: dict[WorkloadKey, Seat], *, borrow: bool) -> bool:
    """Take as many members as there are quota and room for; whether more may be had by borrowing."""
    seat = seats.get(candidate.workload.key)
    before = 0 if seat is None else len(seat.admit.placement.assignments)
    with own_quota(desk, candidate), beside_reservations(desk, candidate):
        if seat is not None:
            take_up(desk, [seat])
        affordable = most = covered_members(candidate, paying(desk))
        if not borrow:
            most = min(covered_members(candidate, paying(desk, nominal=True)), affordable)
        seated = len(desk.seats)
        admit = admit_gang(desk, candidate, nominal=not borrow)
        reached = 0 if admit is None else len(admit.placement.assignments)
        if admit is None or reached <= before:
            if admit is not None:
                take_up(desk, desk.seats[seated:])
                del desk.seats[seated:]
            if seat is not None:
                set_down(desk, [seat])
            return most <= before < affordable
    fresh = desk.seats[seated:]
    seats.update((each.admit.workload, each) for each in fresh)
    _decide(desk, admit, seat)
    filled(desk, candidate, [admit])
    # What cannot be laid out anew takes the rest by the next plan.
    return most <= reached < affordable and any(_can_be_moved(desk, each) for each in fresh)


def _decide(desk: Desk, admit: Admit, seat: Seat | None) -> None:
    """Let `admit` be the one decision on its gang."""
    desk.moving[admit.workload] = admit.workload
    if seat is None:
        desk.decisions.append(admit)
        return
    desk.seats.remove(seat)
    desk.decisions[:] = [admit if decision.workload == admit.workload else decision for decision in desk.decisions]


def _can_be_moved(desk: Desk, seat: Seat) -> bool:
    """Whether what the gang was given can be taken up again as if it had never been."""
    if desk.slots.slots:
        # What it takes is counted against reservations already.
        return False
    workload = seat.candidate.workload
    shapes = [shape for shape, _ in seat.candidate.groups]
    apart = desk.apart.open_to(workload) is not None
    return (
        workload.preemptible
        and not apart
        and not any(shape.host_ports or desk.room.by_parts(shape) for shape in shapes)
    )


def _stays(desk: Desk, candidate: Candidate) -> Wait:
    """Why the members that a gang can do without wait."""
    workload = candidate.workload
    if (winner := desk.moving.get(workload.key)) is not None:
        wait = gives_way(candidate, winner)
    else:
        with beside_reservations(desk, candidate):
            wait = overfilled(desk, candidate) or refuse(desk, candidate, briefly=True)
    return msgspec.structs.replace(
        wait,
        reason=Reason.RUNS_WITH_FEWER,
        message=f"runs with {len(candidate.standing)} of {workload.size} pods; grows when there is room",
        detail=f"{wait.message}: {wait.detail}" if wait.detail else wait.message,
        unblock="It grows by itself as soon as room and quota allow; no other work has to make way for that.",
    )
