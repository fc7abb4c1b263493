"""Where a gang goes."""

from scheduler.scoring.gang import Ask, Layout
from scheduler.scoring.greedy import layout, pack
from scheduler.scoring.problem import prepare
from scheduler.scoring.room import Room


def place(room: Room, ask: Ask) -> Layout | None:
    """The best layout for `ask` in `room`, None where none was found. All pods or none; the room is left as found."""
    problem = prepare(room, ask)
    if problem is None:
        return None
    found = pack(room, problem)
    return None if found.packing is None else layout(room, problem, found.packing, found.bound)
