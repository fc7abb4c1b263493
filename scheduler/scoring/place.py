"""Where a gang goes."""

from scheduler.scoring.gang import Ask, Layout
from scheduler.scoring.greedy import layout, lower_bound, pack
from scheduler.scoring.problem import prepare
from scheduler.scoring.room import Room


def place(room: Room, ask: Ask) -> Layout | None:
    """The best layout for `ask` in `room`, None where none was found. All pods or none; the room is left as found."""
    problem = prepare(room, ask)
    packing = None if problem is None else pack(room, problem)
    if problem is None or packing is None:
        return None
    # Equal pods are packed exactly.
    bound = packing.cost if len(ask.groups) == 1 else lower_bound(problem)
    return layout(room, problem, packing, bound)
