"""Where a gang goes: packed group by group, then by the solver where that is not proven best."""

import msgspec

from scheduler.scoring.gangs.gang import Ask, Layout, Limits
from scheduler.scoring.gangs.greedy import layout, pack
from scheduler.scoring.gangs.knapsack import UNREACHABLE
from scheduler.scoring.gangs.problem import prepare
from scheduler.scoring.room import Room


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A layout, or None where none was found, and what the solver spent of its budget.

    `certain`: where there is no layout, that there is none is proved.
    """

    layout: Layout | None
    certain: bool = True
    spent_ms: float = 0.0


def place(room: Room, ask: Ask, limits: Limits) -> Placed:
    """The best layout for `ask` in `room`. All pods or none; the room is left as found."""
    problem = prepare(room, ask)
    if problem is None:
        return Placed(layout=None)
    found = pack(room, problem)
    best = found.packing
    if best is not None and best.cost <= found.bound:
        return Placed(layout=layout(room, problem, best, found.bound))
    if best is None and ((len(ask.groups) == 1 and not ask.together) or ask.slices):
        return Placed(layout=None, certain=found.bound >= UNREACHABLE)
    if limits.budget_ms <= 0 or ask.slices:
        return Placed(layout=None if best is None else layout(room, problem, best, found.bound), certain=False)
    # Loading the solver takes half a second, which only those pay who need it.
    from scheduler.scoring.gangs.cpsat import solve  # noqa: PLC0415

    solved = solve(room, problem, best, found.bound, limits)
    if solved.packing is None:
        return Placed(layout=None, certain=problem.whole and solved.outcome == "infeasible", spent_ms=solved.spent_ms)
    bound = solved.bound if problem.whole else found.bound
    made = layout(room, problem, solved.packing, bound, budget_hit=solved.outcome == "budget hit")
    return Placed(layout=made, spent_ms=solved.spent_ms)
