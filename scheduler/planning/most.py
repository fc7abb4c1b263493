"""The most members of a gang that find room and quota together, and no fewer than it needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from scheduler.planning.candidate import Candidate
from scheduler.scoring.gangs.slices import kind_of

if TYPE_CHECKING:
    from scheduler.model.workload import Pod

T = TypeVar("T")

Pays = Callable[[Candidate], bool]
"""Whether quota pays for the pending members."""


def most_that_fit(candidate: Candidate, pays: Pays, place: Callable[[Candidate], T | None]) -> T | None:
    """What `place` says of as many members as it places; None where not even those needed can be placed.

    Members are taken by their turn, as many as quota pays for. Where the next one finds no room, others that are not of
    its role or shape are taken.
    """
    most = covered_members(candidate, pays)
    if most < candidate.needed:
        return None
    count, best = most, place(candidate if most == len(candidate.pending) else candidate.first(most))
    low, high = (candidate.needed, most - 1) if best is None else (1, 0)
    if low < high:
        # Where there is room for no more than needed, as in a full cluster, this is known at once.
        count, best = low, place(candidate.least)
        low, high = (low + 1, high) if best is not None else (1, 0)
    while low <= high:
        middle = (low + high) // 2
        placed = place(candidate.first(middle))
        if placed is None:
            high = middle - 1
        else:
            count, best, low = middle, placed, middle + 1
    if best is None or count == len(candidate.pending):
        return best
    return _with_others(candidate, count, lambda part: place(part) if pays(part) else None) or best


def _with_others(candidate: Candidate, count: int, place: Callable[[Candidate], T | None]) -> T | None:
    """As many of the other kinds of members as fit beside the first `count`; None where no more do."""
    turn = candidate.in_turn
    taken, best = list(turn[:count]), None
    kinds: dict[object, list[Pod]] = {}
    for pod in turn[count:]:
        kinds.setdefault((pod.role, kind_of(pod)), []).append(pod)
    for pods in list(kinds.values())[1:]:
        low, high, middle, more = 1, len(pods), len(pods), 0
        while low <= high:
            some = {pod.uid for pod in (*taken, *pods[:middle])}
            placed = place(candidate.only([pod for pod in candidate.pending if pod.uid in some]))
            if placed is None:
                high = middle - 1
            else:
                best, more, low = placed, middle, middle + 1
            middle = (low + high) // 2
        taken += pods[:more]
    return best


def covered_members(candidate: Candidate, pays: Pays) -> int:
    """How many pending members, by their turn, quota pays for."""
    low, high, middle = 0, len(candidate.pending), len(candidate.pending)
    while low < high:
        if pays(candidate if middle == len(candidate.pending) else candidate.first(middle)):
            low = middle
        else:
            high = middle - 1
        middle = (low + high + 1) // 2
    return low
