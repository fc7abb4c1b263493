"""Several gangs placed together: where each of them goes so that all fit, and none is worse off than it has to be."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.resources import GPU
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.gangs.greedy import Packing, pack
from scheduler.scoring.gangs.problem import Problem
from scheduler.scoring.room import Room

ALTERNATIVES = 2
"""Other places that are looked at for each gang, where not all nodes can be."""

MOST_ROWS = 1024
"""Up to so many nodes, none is left out of the model."""

Groups = tuple[tuple[Codes, Codes], ...]


class Part(msgspec.Struct, frozen=True, eq=False):
    """A gang of a batch: its problem where none of the batch stands, and what its answer has to keep.

    `most`: the domains of each level of the problem's prices that it may use, and at last the nodes; None: any number.
    `home`: where it goes if the others are left out of account; () where that is not known. `bound`: a cost that it
    does not go below, the others left out of account.
    """

    problem: Problem
    most: tuple[int, ...] | None = None
    home: Groups = ()
    bound: int = 0

    @property
    def home_rows(self) -> Codes:
        """The nodes of `home`."""
        return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(rows for rows, _ in self.home)]))

    def keeps(self, packing: Packing) -> bool:
        """Whether an answer uses no more domains of any level and no more nodes than it may."""
        required = self.problem.required
        if required is not None and len(np.unique(required[packing.rows])) > 1:
            return False
        if self.most is None:
            return True
        used = self.problem.charges.parts_of(packing.rows)
        return all(n <= most for n, most in zip(used, self.most, strict=False))


class Together(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A packing for every part, in their order, or none; what the solver spent, and whether its budget ended it."""

    packings: tuple[Packing, ...] | None
    spent_ms: float = 0.0
    budget_hit: bool = False


def place_together(room: Room, parts: Sequence[Part], limits: Limits) -> Together:
    """Packings of all parts into `room`, in which none of them stands; the room is left as found.

    The last part is the one that found no room after the others. Each of the others keeps its `most`. Other orders are
    tried first; then the solver looks for the cheapest answer, and is told the one that an order gave.
    """
    if not could_hold(room, parts):
        return Together(packings=None)
    known = _in_other_order(room, parts)
    if limits.budget_ms <= 0:
        return Together(packings=known)
    # Loading the solver takes half a second, which only those pay who need it.
    from scheduler.scoring.gangs.cpsat_batch import solve_batch  # noqa: PLC0415

    rows = worth_a_look(room, parts, known)
    left_ms, budget_hit = limits.budget_ms, False
    for apart in (False, True):
        within = msgspec.structs.replace(limits, budget_ms=left_ms)
        solved = solve_batch(room, parts, rows, known, within, apart=apart)
        left_ms -= solved.spent_ms
        budget_hit = solved.outcome in {"budget hit", "unknown"} and solved.spent_ms > 0
        if solved.packings is None:
            break
        if all(part.keeps(packing) for part, packing in zip(parts, solved.packings, strict=True)):
            return Together(
                packings=solved.packings,
                spent_ms=limits.budget_ms - left_ms,
                budget_hit=budget_hit,
            )
    return Together(packings=known, spent_ms=limits.budget_ms - left_ms, budget_hit=budget_hit)


def worth_a_look(room: Room, parts: Sequence[Part], known: Sequence[Packing] | None) -> Codes:
    """Nodes for the model: all that any part could use.

    Where these are too many: for each part the innermost domains of where it is and of the next best places. Bounds of
    the parts are for all nodes, so that they hold all the same.
    """
    usable = np.logical_or.reduce([f > 0 for part in parts for f in part.problem.fits])
    if int(usable.sum()) <= MOST_ROWS:
        return np.flatnonzero(usable)
    chosen = np.zeros_like(usable)
    for at, part in enumerate(parts):
        left = np.ones_like(usable)
        rows = part.home_rows if known is None else np.union1d(part.home_rows, known[at].rows)
        for _ in range(ALTERNATIVES + 1):
            around = _around(part.problem, rows)
            chosen |= around
            left &= ~around
            fits = tuple(np.where(left, f, 0) for f in part.problem.fits)
            packing = pack(room, msgspec.structs.replace(part.problem, fits=fits)).packing
            if packing is None:
                break
            rows = packing.rows
    return np.flatnonzero(chosen & usable)


def _around(problem: Problem, rows: Codes) -> Mask:
    """Nodes in the innermost domains of `rows`, and these themselves."""
    mask = np.zeros(len(problem.fits[0]), dtype=np.bool_)
    if problem.charges.codes:
        inner = problem.charges.codes[-1]
        mask = np.isin(inner, inner[rows])
    mask[rows] = True
    return mask


def could_hold(room: Room, parts: Sequence[Part]) -> bool:
    """Whether the GPUs that are free on each node could be enough for all pods, whichever domains they go to.

    For any size s, a node has room for no more than free // s pods, where a pod of n GPUs counts as n // s.
    """
    column = room.column(GPU)
    usable = np.logical_or.reduce([f > 0 for part in parts for f in part.problem.fits])
    if column is None:
        return True
    free = np.maximum(room.free[usable, column], 0)
    pods = [(shape.requests.gpus, count) for part in parts for shape, count in part.problem.ask.groups]
    sizes = {gpus for gpus, _ in pods if gpus}
    return all(int((free // s).sum()) >= sum(gpus // s * count for gpus, count in pods) for s in sizes)


def _in_other_order(room: Room, parts: Sequence[Part]) -> tuple[Packing, ...] | None:
    """The last part and then the others in order, or all by size: the first order in which all find room, if any."""
    *before, last = range(len(parts))
    by_size = sorted(range(len(parts)), key=lambda at: (-_size(parts[at]), -at))
    for order in dict.fromkeys([(last, *before), tuple(by_size)]):
        found = _in_order(room, parts, order)
        if found is not None:
            return found
    return None


def _size(part: Part) -> int:
    return sum(shape.requests.gpus * count for shape, count in part.problem.ask.groups)


def _in_order(room: Room, parts: Sequence[Part], order: Sequence[int]) -> tuple[Packing, ...] | None:
    """Each part beside those before it, if all find room so."""
    found: dict[int, Packing] = {}
    for at in order:
        part = parts[at]
        packing = pack(room, _beside(room, part.problem)).packing
        if packing is None or not part.keeps(packing):
            break
        found[at] = packing
        for (shape, _), (rows, counts) in zip(part.problem.ask.groups, packing.groups, strict=True):
            room.take_rows(rows, counts, shape)
    for at, packing in found.items():
        for (shape, _), (rows, counts) in zip(parts[at].problem.ask.groups, packing.groups, strict=True):
            room.put_back(rows, counts, shape)
    return tuple(found[at] for at in range(len(parts))) if len(found) == len(parts) else None


def _beside(room: Room, problem: Problem) -> Problem:
    """The problem with no more room than there is now."""
    fits = tuple(
        np.minimum(f, room.view(shape).fits) for f, (shape, _) in zip(problem.fits, problem.ask.groups, strict=True)
    )
    return msgspec.structs.replace(problem, fits=fits)
