"""Which of the ways to share a node hold where its GPUs are divided on demand: the tables know nothing of that."""

from collections.abc import Sequence

from scheduler.scoring.gangs.problem import Problem
from scheduler.scoring.room import Room

MOST_TRIED = 512
"""Patterns looked at for one node; of what is left then some is lost."""

Pattern = tuple[int, ...]


class InParts:
    """The groups of a problem on nodes that make parts of GPUs and slices on demand."""

    def __init__(self, room: Room, problem: Problem) -> None:
        self._parts = room.parts
        self._shapes = [shape for shape, _ in problem.ask.groups]
        self._room = room if any(room.by_parts(shape) for shape in self._shapes) else None

    def state(self, row: int) -> object:
        """What decides on such a node which ways to share it hold; None on other nodes."""
        if self._room is None or not self._parts.rows[row]:
            return None
        return self._parts.of(row), self._limit(self._room, row)

    def within(self, row: int, found: Sequence[Pattern]) -> tuple[list[Pattern], bool]:
        """The largest patterns within those `found` that hold, and whether all of these do.

        Pods are placed one after the other, so that of those that do not, some may hold in another order.
        """
        if self._room is None or not self._parts.rows[row]:
            return list(found), True
        limit = self._limit(self._room, row)
        kept: list[Pattern] = []
        seen: set[Pattern] = set()
        left = list(found)
        while left and len(seen) < MOST_TRIED:
            pattern = left.pop(0)
            if pattern in seen or not any(pattern):
                continue
            seen.add(pattern)
            if not self._parts.clash(row, limit, zip(self._shapes, pattern, strict=True)):
                kept.append(pattern)
                continue
            left += [(*pattern[:g], n - 1, *pattern[g + 1 :]) for g, n in enumerate(pattern) if n]
        largest = [p for p in kept if not any(p != o and _inside(p, o) for o in kept)]
        return largest, len(kept) == len(found)

    def _limit(self, room: Room, row: int) -> int:
        gpus = room.gpus([row])
        return 0 if gpus is None else int(gpus[0])


def _inside(pattern: Pattern, other: Pattern) -> bool:
    return all(a <= b for a, b in zip(pattern, other, strict=True))
