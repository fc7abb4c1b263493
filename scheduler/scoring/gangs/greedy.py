"""A gang placed group by group, the largest pods first: exact where all pods are equal, quick where they differ."""

from collections.abc import Iterable, Sequence
from math import gcd

import msgspec
import numpy as np

from scheduler.model.plan import Proof, ProofStatus
from scheduler.model.resources import GPU
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.cost import Charges
from scheduler.scoring.gangs.cover import Cover, Forest, cheapest
from scheduler.scoring.gangs.gang import Layout
from scheduler.scoring.gangs.knapsack import UNREACHABLE
from scheduler.scoring.gangs.problem import Choice, Problem, limited, spread
from scheduler.scoring.room import Room

TRIES = 8
"""Required domains tried before the solver is asked: each group by itself fits into each of them."""


class Packing(msgspec.Struct, frozen=True):
    """Rows and counts per group of a problem, in its order, and the cost of all."""

    groups: tuple[tuple[Codes, Codes], ...]
    cost: int

    @property
    def rows(self) -> Codes:
        """Every node used."""
        return np.unique(np.concatenate([rows for rows, _ in self.groups]))


class Bounded(msgspec.Struct, frozen=True):
    """The best packing found, None where none was, which proves nothing; and a cost that no packing goes below."""

    packing: Packing | None
    bound: int


def pack(room: Room, problem: Problem) -> Bounded:
    """The best packing found over all choices, and a bound that holds for all of them."""
    bound = 0
    if len(problem.choices) > len(problem.models):
        # Without roles; where the choices are many, this is most often reached by one of the first.
        bound = min(_pack_on(room, problem, choice).bound for choice in problem.models)
    best: Packing | None = None
    lowest = UNREACHABLE
    for choice in problem.choices:
        found = _pack_on(room, problem, choice)
        best = _cheaper(best, found.packing)
        lowest = min(lowest, found.bound)
        if best is not None and best.cost <= bound:
            break
    return Bounded(best, max(bound, lowest) if problem.whole and (best is None or best.cost > bound) else bound)


def layout(room: Room, problem: Problem, packing: Packing, bound: int, *, budget_hit: bool = False) -> Layout:
    """The packing with its proof: it is optimal where the bound is reached."""
    rest: ProofStatus = "budget hit" if budget_hit else "feasible"
    proof = Proof(
        status="optimal" if packing.cost <= bound else rest, cost=packing.cost, bound=min(bound, packing.cost)
    )
    uses = spread(room, problem, packing.rows, proven=proof.status == "optimal")
    return Layout(groups=packing.groups, proof=proof, spread=uses)


def _pack_on(room: Room, problem: Problem, choice: Choice) -> Bounded:
    fits = limited(problem, choice)
    counts = [count for _, count in problem.ask.groups]
    covers: list[Cover] = []
    best: Packing | None = None
    bound = 0
    for f, count in zip(fits, counts, strict=True):
        cover, least = cheapest(problem.charges, f, count)
        if cover is None:
            return Bounded(None, least)
        covers.append(cover)
        bound = max(bound, least)
        if len(covers) == 1:
            best = _packing(problem, _in_turn(room, problem, fits, range(len(fits)), cover))
        if best is not None and best.cost <= bound:
            return Bounded(best, bound)
    for groups in range(len(fits), 1, -1):
        together = _devices_cover(room, problem, fits, groups)
        if together is not None:
            bound = max(bound, together.cost)
            if best is None or best.cost > bound:
                best = _cheaper(best, _within(room, problem, fits, groups, together.rows))
    if best is None or best.cost > bound:
        best = _cheaper(best, _in_some_domain(room, problem, fits, covers))
    return Bounded(best, bound)


def _packing(problem: Problem, groups: Sequence[tuple[Codes, Codes]] | None) -> Packing | None:
    if groups is None:
        return None
    rows = np.unique(np.concatenate([rows for rows, _ in groups]))
    if problem.required is not None and len(np.unique(problem.required[rows])) > 1:
        return None
    return Packing(tuple(groups), problem.charges.cost_of(rows))


def _cheaper(a: Packing | None, b: Packing | None) -> Packing | None:
    return b if a is None or (b is not None and b.cost < a.cost) else a


def _devices_cover(room: Room, problem: Problem, fits: Sequence[Codes], groups: int) -> Cover | None:
    """The cheapest nodes on which as many GPUs can be given out as the first `groups` ask for together.

    Every packing uses such nodes, so none is cheaper.
    """
    sizes = [shape.requests.gpus for shape, _ in problem.ask.groups[:groups]]
    column = room.column(GPU)
    if column is None or 0 in sizes:
        return None
    unit = gcd(*sizes)
    counts = [count for _, count in problem.ask.groups[:groups]]
    holds = np.zeros(len(room.fleet), dtype=np.int64)
    for size, f, count in zip(sizes, fits, counts, strict=False):
        holds += np.minimum(f, count) * (size // unit)
    free = np.maximum(room.free[:, column], 0)
    holds = np.minimum(holds, _most_given(int(free.max(initial=0)), sizes)[free] // unit)
    unsliced = msgspec.structs.replace(problem.charges, slices=())
    return Forest(unsliced, holds, sum(s * n for s, n in zip(sizes, counts, strict=True)) // unit).cover()


def _most_given(free: int, sizes: Sequence[int]) -> Codes:
    """For 0, 1 … `free` GPUs of a node the most of them that pods of these sizes can take."""
    most = np.zeros(free + 1, dtype=np.int64)
    for have in range(1, free + 1):
        most[have] = max((size + int(most[have - size]) for size in sizes if size <= have), default=0)
    return most


def _within(room: Room, problem: Problem, fits: Sequence[Codes], groups: int, rows: Codes) -> Packing | None:
    """A packing that puts the first `groups` onto `rows` alone."""
    chosen = np.zeros(len(room.fleet), dtype=np.bool_)
    chosen[rows] = True
    kept = [np.where(chosen, f, 0) if g < groups else f for g, f in enumerate(fits)]
    return _packing(problem, _in_turn(room, problem, kept, range(len(fits))))


def _in_some_domain(room: Room, problem: Problem, fits: list[Codes], covers: Sequence[Cover]) -> Packing | None:
    """The smallest pods first; where a domain is required, then in one after the other of those not tried yet."""
    best = _packing(problem, _in_turn(room, problem, fits, range(len(fits) - 1, -1, -1), covers[-1]))
    if problem.required is None:
        return best
    first: Cover | None = covers[0]
    for _ in range(TRIES):
        if best is not None or first is None:
            return best
        fits = [np.where(problem.required == problem.required[first.rows[0]], 0, f) for f in fits]
        first, _ = cheapest(problem.charges, fits[0], problem.ask.groups[0][1])
        if first is not None:
            best = _packing(problem, _in_turn(room, problem, fits, range(len(fits)), first))
    return best


def _in_turn(
    room: Room, problem: Problem, fits: Sequence[Codes], order: Iterable[int], first: Cover | None = None
) -> list[tuple[Codes, Codes]] | None:
    """Each group where it is cheapest beside those before it; `first`: where the first one goes, if that is known."""
    found: dict[int, tuple[Codes, Codes]] = {}
    charges = problem.charges
    inside: Mask | None = None
    for g in order:
        cover = first
        if found or cover is None:
            free = _beside(room, problem, fits[g], g, found)
            if inside is not None:
                free = np.where(inside, free, 0)
            cover, _ = cheapest(charges, free, problem.ask.groups[g][1])
        if cover is None:
            return None
        if problem.required is not None:
            inside = problem.required == problem.required[cover.rows[0]]
        found[g] = (cover.rows, cover.counts)
        charges = _with_paid(charges, cover.rows)
    return [found[g] for g in range(len(fits))]


def _beside(room: Room, problem: Problem, fits: Codes, group: int, found: dict[int, tuple[Codes, Codes]]) -> Codes:
    """`fits` of a group less what the groups placed before it use."""
    if not found:
        return fits
    rows = np.unique(np.concatenate([r for r, _ in found.values()]))
    used = np.zeros((len(rows), room.free.shape[1]), dtype=np.int64)
    at = {row: i for i, row in enumerate(rows.tolist())}
    left = fits.copy()
    shape = problem.ask.groups[group][0]
    for g, (group_rows, counts) in found.items():
        other = problem.ask.groups[g][0]
        places = [at[row] for row in group_rows.tolist()]
        for column, n in room.demand(other.requests) or ():
            used[places, column] += n * counts
        if shape.host_ports and other.host_ports:
            clash = room.view(shape).fits_beside(group_rows, used[places], other.host_ports)
            left[group_rows] = np.minimum(left[group_rows], clash)
    left[rows] = np.minimum(left[rows], room.view(shape).fits_beside(rows, used, ()))
    if any(room.by_parts(s) for s, _ in problem.ask.groups):
        _limit_parts(room, problem, left, group, found)
    return left


def _limit_parts(room: Room, problem: Problem, left: Codes, group: int, found: dict[int, tuple[Codes, Codes]]) -> None:
    """Keep what is left for a group to what GPUs divided on demand give beside the groups placed before it."""
    there: dict[int, list[tuple[int, int]]] = {}
    for g, (rows, counts) in sorted(found.items()):
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            if room.parts.rows[row] and left[row]:
                there.setdefault(row, []).append((g, count))
    gpus = room.gpus(list(there))
    limits = [0] * len(there) if gpus is None else gpus.tolist()
    shapes = [shape for shape, _ in problem.ask.groups]
    for (row, others), limit in zip(there.items(), limits, strict=True):
        at = sum(g < group for g, _ in others)
        beside = room.parts.beside(row, limit, [(shapes[g], n) for g, n in others], at, shapes[group])
        left[row] = min(int(left[row]), beside)


def _with_paid(charges: Charges, rows: Codes) -> Charges:
    return msgspec.structs.replace(charges, paid=tuple(sorted({*charges.paid, *rows.tolist()})))
