"""A gang placed group by group, the largest pods first: exact where all pods are equal, quick where they differ."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from scheduler.model.plan import Proof
from scheduler.scoring.cost import Charges
from scheduler.scoring.cover import Forest
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gang import Layout
from scheduler.scoring.problem import Problem, spread
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


def pack(room: Room, problem: Problem) -> Packing | None:
    """The best packing found over all model choices; None where none was found, which proves nothing."""
    found = [packing for choice in problem.choices if (packing := _pack_on(room, problem, choice)) is not None]
    return min(found, key=lambda packing: packing.cost) if found else None


def lower_bound(problem: Problem) -> int:
    """A cost that no packing goes below: that of the dearest group placed by itself, on the cheapest choice."""
    return min((_bound_on(problem, choice) for choice in problem.choices), default=0)


def layout(room: Room, problem: Problem, packing: Packing, bound: int, status: str | None = None) -> Layout:
    """The packing with its proof: `optimal` where the bound is reached, otherwise `status` or `feasible`."""
    if packing.cost <= bound:
        proof = Proof(status="optimal", cost=packing.cost, bound=packing.cost)
    else:
        proof = Proof(
            status="budget hit" if status == "budget hit" else "feasible",
            cost=packing.cost,
            bound=min(bound, packing.cost),
        )
    uses = spread(room, problem.ask, problem.fits, packing.rows)
    return Layout(groups=packing.groups, proof=proof, spread=uses)


def _pack_on(room: Room, problem: Problem, choice: Mask | None) -> Packing | None:
    fits = _limited(problem, choice)
    order = list(range(len(fits)))
    for _ in range(TRIES):
        first: list[Codes] = []
        for attempt in (order, order[::-1]) if len(order) > 1 else (order,):
            groups = _in_turn(room, problem, fits, attempt, first)
            if groups is not None:
                used = np.unique(np.concatenate([rows for rows, _ in groups]))
                return Packing(tuple(groups), problem.charges.cost_of(used))
        if problem.required is None or not first:
            return None
        # The first group's domain does not hold the others beside it: another one may.
        tried = np.unique(problem.required[np.concatenate(first)])
        fits = [np.where(np.isin(problem.required, tried), 0, f) for f in fits]
    return None


def _in_turn(
    room: Room, problem: Problem, fits: Sequence[Codes], order: Iterable[int], first: list[Codes]
) -> list[tuple[Codes, Codes]] | None:
    """Each group where it is cheapest beside those before it; `first` gets the rows of the first one."""
    found: dict[int, tuple[Codes, Codes]] = {}
    charges = problem.charges
    inside: Mask | None = None
    for g in order:
        count = problem.ask.groups[g][1]
        free = _beside(room, problem, fits[g], g, found)
        if inside is not None:
            free = np.where(inside, free, 0)
        cover = Forest(charges, free, count).cover()
        if cover is None:
            return None
        if not found:
            first.append(cover.rows)
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
    return left


def _bound_on(problem: Problem, choice: Mask | None) -> int:
    bound = 0
    for f, (_, count) in zip(_limited(problem, choice), problem.ask.groups, strict=True):
        cover = Forest(problem.charges, f, count).cover()
        if cover is None:
            return 1 << 62
        bound = max(bound, cover.cost)
    return bound


def _limited(problem: Problem, choice: Mask | None) -> list[Codes]:
    """Capacity of each group where those that want devices are kept to the chosen model's nodes."""
    if choice is None:
        return list(problem.fits)
    shapes = (shape for shape, _ in problem.ask.groups)
    return [
        np.where(choice, f, 0) if shape.requests.wants_devices and len(shape.models) > 1 else f
        for f, shape in zip(problem.fits, shapes, strict=True)
    ]


def _with_paid(charges: Charges, rows: Codes) -> Charges:
    return msgspec.structs.replace(charges, paid=tuple(sorted({*charges.paid, *rows.tolist()})))
