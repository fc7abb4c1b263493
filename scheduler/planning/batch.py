"""A gang that finds no room after those before it, but would if some of them were placed otherwise.

The order decides who gets in, and a gang once in stays in: the gangs that this plan placed earlier are placed anew only
together, each on one GPU product, in no more domains of any level and on no more nodes than before; where quota is set
per product, on the same one. Among such placements one with room for the later gang too is looked for; among these the
cheapest. What already runs, what is being carried out, pods that stand alone, and gangs with conditions that tie their
pods to each other's places (slices, roles, links, standing members) stay where they are. Nodes that divide their GPUs
on demand take no part.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from scheduler.model.names import QueueName
from scheduler.model.plan import Admit, Plan
from scheduler.model.resources import GPU_SHARED, MIG_PREFIX
from scheduler.model.workload import Linked, PodShape
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk, Seat
from scheduler.planning.gangs import commit
from scheduler.quota.tree import bill_for
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.batch import Part, place_together
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.gangs.greedy import Packing, layout, pack
from scheduler.scoring.gangs.problem import Problem, prepare
from scheduler.scoring.rules.check import broken_rules

MOST_GANGS = 6
"""Gangs placed anew in one batch besides the one that found no room."""

ATTEMPTS = 3
"""Gangs of one plan for which this is tried; those that come first in the order."""

SHARE = 0.25
"""The part of the plan's solver budget that batches may spend, if it is not spent otherwise."""

PLACES = 3
"""Places where the later gang could go if it were alone: who stands there is placed anew before others."""


def admit_beside(desk: Desk, candidate: Candidate) -> Admit | None:
    """Place as many members as the gang needs, and gangs before it anew; None where that was not found to be possible.

    The decisions on gangs that are placed anew are replaced on the desk.
    """
    least = candidate.least
    if not desk.seats or desk.batches >= ATTEMPTS or not _is_free(desk, least) or not _affordable(desk, least):
        return None
    where = _undivided(desk)
    seats = [seat for seat in desk.seats if _is_movable(desk, seat, where)]
    if not seats or not _enough_in_sum(desk, least, seats):
        return None
    desk.batches += 1
    return _together(desk, least, seats, where)


def _is_free(desk: Desk, candidate: Candidate) -> bool:
    """Whether nothing but its level and its amounts says where the pods of a gang may stand."""
    workload = candidate.workload
    if candidate.alone or candidate.standing or workload.topology_slices:
        return False
    if any(pod.role_required is not None for pod in candidate.pending):
        return False
    if desk.apart.open_to(workload) is not None:
        return False
    shapes = [shape for shape, _ in candidate.groups]
    return any(shape.requests.gpus for shape in shapes) and all(_is_plain(shape) for shape in shapes)


def _is_movable(desk: Desk, seat: Seat, where: Mask) -> bool:
    if not _is_free(desk, seat.candidate) or _product(desk, seat) is None:
        return False
    return all(where[rows].all() for rows, _ in seat.layout.groups)


def _undivided(desk: Desk) -> Mask:
    """Nodes whose GPUs are only given out whole."""
    nodes = desk.snapshot.nodes
    divided = [name for name, node in nodes.items() if node.on_demand]
    mask = np.ones(len(desk.fleet), dtype=np.bool_)
    mask[desk.fleet.rows(divided)] = False
    return mask


def _is_plain(shape: PodShape) -> bool:
    if shape.host_ports or (shape.linked is not Linked.ANY and shape.requests.gpus > 1):
        return False
    return not any(name == GPU_SHARED or name.startswith(MIG_PREFIX) for name, _ in shape.requests.extended)


def _affordable(desk: Desk, candidate: Candidate) -> bool:
    left = desk.ledger.headroom(QueueName(str(candidate.workload.queue)))
    return left is None or candidate.milli_gpu <= left


def _product(desk: Desk, seat: Seat) -> int | None:
    """The one GPU product of the gang's nodes; None where there are several."""
    found = _products(desk, [shape for shape, _ in seat.candidate.groups], seat.layout.groups)
    return found[0] if len(found) == 1 else None


def _products(desk: Desk, shapes: Sequence[PodShape], groups: Sequence[tuple[Codes, Codes]]) -> list[int]:
    codes = desk.fleet.products.codes
    rows = [rows for shape, (rows, _) in zip(shapes, groups, strict=True) if shape.requests.gpus]
    return np.unique(codes[np.concatenate(rows)]).tolist()


def _enough_in_sum(desk: Desk, candidate: Candidate, seats: Sequence[Seat]) -> bool:
    """Whether what is free on all nodes in question is enough in sum: placing anew frees nothing."""
    shapes = {shape for who in (candidate, *(seat.candidate for seat in seats)) for shape, _ in who.groups}
    mask = np.logical_or.reduce([desk.room.view(shape).mask for shape in shapes])
    needed: dict[int, int] = {}
    for shape, count in candidate.groups:
        for column, n in desk.room.demand(shape.requests) or ():
            needed[column] = needed.get(column, 0) + n * count
    return all(int(np.maximum(desk.room.free[mask, column], 0).sum()) >= n for column, n in needed.items())


def _together(desk: Desk, candidate: Candidate, seats: Sequence[Seat], where: Mask) -> Admit | None:
    """Take the gangs up, look for places for all, and set them down there, or where they were."""
    take_up(desk, seats)
    chosen = _in_the_way(desk, candidate, seats, where)
    staying = {seat.admit.workload for seat in seats} - {seat.admit.workload for seat in chosen}
    set_down(desk, [seat for seat in seats if seat.admit.workload in staying])
    parts = _parts(desk, candidate, chosen, where)
    budget_ms = max(desk.solver_left_ms - desk.settings.solver_budget_ms * (1 - SHARE), 0.0)
    limits = Limits(budget_ms=budget_ms, seed=desk.settings.seed, workers=desk.settings.workers)
    answer = place_together(desk.room, parts, limits) if parts else None
    if answer is not None:
        desk.solver_left_ms -= answer.spent_ms
    if answer is None or answer.packings is None:
        set_down(desk, chosen)
        return None
    layouts = [
        layout(desk.room, part.problem, packing, part.bound, budget_hit=answer.budget_hit)
        for part, packing in zip(parts, answer.packings, strict=True)
    ]
    placed = [*(seat.candidate for seat in chosen), candidate]
    fresh = [Seat(each, made, commit(desk, each, made)) for each, made in zip(placed, layouts, strict=True)]
    if not _keeps_the_rules(desk, fresh):
        take_up(desk, fresh)
        set_down(desk, chosen)
        return None
    _replace(desk, fresh)
    return fresh[-1].admit


def take_up(desk: Desk, seats: Iterable[Seat]) -> None:
    """Undo `commit`."""
    _change(desk, seats, -1)


def set_down(desk: Desk, seats: Iterable[Seat]) -> None:
    """Put gangs that were taken up back exactly where they were."""
    _change(desk, seats, 1)


def _change(desk: Desk, seats: Iterable[Seat], sign: int) -> None:
    products = desk.fleet.products
    for seat in seats:
        queue = desk.payer(seat.candidate.workload)
        for (shape, _), (rows, counts) in zip(seat.candidate.groups, seat.layout.groups, strict=True):
            if sign > 0:
                desk.room.take_rows(rows, counts, shape)
            else:
                desk.room.put_back(rows, counts, shape)
            codes = products.codes[rows]
            for code in sorted(set[int](codes.tolist())):
                bill = bill_for(queue, shape, products.values[code] if code >= 0 else "")
                desk.ledger = desk.ledger.charge(queue.name, bill, sign * int(counts[codes == code].sum()))
        for assignment in seat.admit.placement.assignments:
            if assignment.devices:
                row = desk.fleet.row_of[assignment.node]
                change = desk.room.devices.take if sign > 0 else desk.room.devices.put_back
                change(row, assignment.devices)


def _in_the_way(desk: Desk, candidate: Candidate, seats: Sequence[Seat], where: Mask) -> list[Seat]:
    """The gangs to place anew, in order: those where the later gang could go, then the last ones."""
    problem = _problem(desk, candidate, where)
    chosen: dict[int, None] = {}
    for _ in range(PLACES):
        packing = None if problem is None else pack(desk.room, problem).packing
        if problem is None or packing is None:
            break
        around = np.zeros(len(desk.fleet), dtype=np.bool_)
        around[packing.rows] = True
        if problem.charges.codes:
            inner = problem.charges.codes[-1]
            around |= np.isin(inner, inner[packing.rows])
        chosen.update(
            (at, None) for at, seat in enumerate(seats) if any(around[r].any() for r, _ in seat.layout.groups)
        )
        problem = msgspec.structs.replace(problem, fits=tuple(np.where(around, 0, f) for f in problem.fits))
    if chosen:
        chosen.update((at, None) for at in range(len(seats) - 1, -1, -1))
    return [seats[at] for at in sorted(list(chosen)[:MOST_GANGS])]


def _parts(desk: Desk, candidate: Candidate, chosen: Sequence[Seat], where: Mask) -> list[Part]:
    """What to place together, the later gang last; empty where that gang has no room even by itself."""
    last = _problem(desk, candidate, where)
    alone = None if last is None else pack(desk.room, last)
    if last is None or alone is None or alone.packing is None or not chosen:
        return []
    shapes = [shape for shape, _ in candidate.groups]
    products = _products(desk, shapes, alone.packing.groups)
    if any(len(shape.models) > 1 for shape in shapes) and len(products) == 1:
        last = _on_product(desk, last, products[0])
    parts: list[Part] = []
    for seat in chosen:
        flavors = desk.snapshot.queues[QueueName(str(seat.candidate.workload.queue))].flavors
        problem = _problem(desk, seat.candidate, where, _product(desk, seat) if flavors else None)
        if problem is None:
            return []
        home = Packing(seat.layout.groups, 0)
        most = problem.charges.parts_of(home.rows)[:-1]
        parts.append(Part(problem, most, seat.layout.groups, pack(desk.room, problem).bound))
    return [*parts, Part(last, None, alone.packing.groups, alone.bound)]


def _problem(desk: Desk, candidate: Candidate, where: Mask, product: int | None = None) -> Problem | None:
    """Where a gang could go on `where` as the room is now, nodes that others hold left out; on one product if given."""
    ask = desk.ask(candidate)
    allowed = where & ~desk.holds.rows
    ask = msgspec.structs.replace(ask, allowed=allowed if ask.allowed is None else ask.allowed & allowed)
    problem = prepare(desk.room, ask)
    return problem if problem is None or product is None else _on_product(desk, problem, product)


def _on_product(desk: Desk, problem: Problem, product: int) -> Problem:
    mask: Mask = desk.fleet.products.codes == product
    return msgspec.structs.replace(
        problem,
        fits=tuple(
            np.where(mask, f, 0) if shape.requests.gpus else f
            for f, (shape, _) in zip(problem.fits, problem.ask.groups, strict=True)
        ),
    )


def _keeps_the_rules(desk: Desk, fresh: Sequence[Seat]) -> bool:
    """Whether the plan as it would be breaks no rule, by the checker that shares no code with what made it."""
    anew = {seat.admit.workload: seat.admit for seat in fresh}
    others = [decision for decision in desk.decisions if decision.workload not in anew]
    return not broken_rules(
        desk.snapshot, Plan(generation=desk.snapshot.generation, decisions=(*others, *anew.values()))
    )


def _replace(desk: Desk, fresh: Sequence[Seat]) -> None:
    anew = {seat.admit.workload: seat for seat in fresh}
    desk.decisions[:] = [
        anew[decision.workload].admit if decision.workload in anew else decision for decision in desk.decisions
    ]
    desk.seats[:] = [anew.pop(seat.admit.workload, seat) for seat in desk.seats]
    desk.seats += anew.values()
