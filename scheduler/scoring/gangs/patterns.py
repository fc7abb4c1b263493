"""Nodes as classes of equal ones, and the ways in which pods of different shapes share a node of each class."""

from collections.abc import Sequence
from itertools import product

import msgspec
import numpy as np

from scheduler.scoring.filters import ports_clash
from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.patterns_in_parts import InParts
from scheduler.scoring.gangs.problem import Problem
from scheduler.scoring.room import Room

Pattern = tuple[int, ...]
"""How many pods of each group stand on a node."""

MOST_PATTERNS = 64
"""Patterns kept for a class; with more of them the class is described incompletely."""


class NodeClass(msgspec.Struct, frozen=True):
    """Nodes that are the same to a problem: same domain at every level, same patterns, same price.

    `patterns` are the largest ones: any way to share the node is within one of them.
    """

    rows: tuple[int, ...]
    patterns: tuple[Pattern, ...]
    units: int
    paid: bool
    path: tuple[int, ...]
    required: int


class Classes(msgspec.Struct, frozen=True):
    """All classes; `complete`: every way to place the pods is among their patterns."""

    classes: tuple[NodeClass, ...]
    complete: bool


def classes_of(room: Room, problem: Problem, fits: Sequence[Codes], rows: Codes) -> Classes:
    """The classes of `rows` for groups of which `fits[g][row]` pods fit on a node by themselves."""
    counts = np.array([count for _, count in problem.ask.groups])
    table = np.minimum(np.stack([f[rows] for f in fits], axis=1), counts)
    demands, columns = _demands(room, problem)
    # More of a resource than all that fits could use says nothing.
    free = np.minimum(np.maximum(room.free[rows][:, columns], 0), table @ demands)
    clashes = _clashes(problem)
    paid = set(problem.charges.paid)
    in_parts = InParts(room, problem)
    known: dict[tuple[Pattern, Pattern, object], tuple[Pattern, ...]] = {}
    complete = True
    grouped: dict[tuple[object, ...], list[int]] = {}
    where = (
        np.stack([codes[rows] for codes in problem.charges.codes], axis=1).tolist() if problem.charges.codes else None
    )
    required = [0] * len(rows) if problem.required is None else problem.required[rows].tolist()
    for at, (row, most, left) in enumerate(zip(rows.tolist(), table.tolist(), free.tolist(), strict=True)):
        key = (tuple(most), tuple(left), in_parts.state(row))
        patterns = known.get(key)
        if patterns is None:
            found = largest_patterns(most, np.array(left), demands, clashes)
            found, every = in_parts.within(row, found)
            complete = complete and every and len(found) <= MOST_PATTERNS
            patterns = known[key] = tuple(found[:MOST_PATTERNS])
        path = () if where is None else tuple(where[at])
        kind = (patterns, int(problem.charges.units[row]), row in paid, path, required[at])
        grouped.setdefault(kind, []).append(row)
    classes = tuple(NodeClass(tuple(members), *kind) for kind, members in grouped.items())  # pyright: ignore[reportArgumentType]  the key's parts are the fields
    return Classes(classes, complete)


def fewest_classes(problem: Problem, fits: Sequence[Codes], rows: Codes) -> int:
    """No fewer classes than this are among `rows`; quickly counted."""
    counts = [count for _, count in problem.ask.groups]
    keys = [np.minimum(f[rows], count) for f, count in zip(fits, counts, strict=True)]
    if problem.charges.codes:
        keys.append(problem.charges.codes[-1][rows])
    ordered = np.stack(keys)[:, np.lexsort(keys)]
    return 1 + int((np.diff(ordered, axis=1) != 0).any(axis=0).sum())


def _demands(room: Room, problem: Problem) -> tuple[Codes, list[int]]:
    """What a pod of each group needs, one row a group, and the columns that these are of."""
    wanted = [dict(room.demand(shape.requests) or ()) for shape, _ in problem.ask.groups]
    columns = sorted({column for each in wanted for column in each})
    return np.array([[each.get(column, 0) for column in columns] for each in wanted], dtype=np.int64), columns


def _clashes(problem: Problem) -> set[tuple[int, int]]:
    """Groups that cannot share a node because of their host ports."""
    shapes = [shape for shape, _ in problem.ask.groups]
    return {
        (a, b) for a in range(len(shapes)) for b in range(a) if ports_clash(shapes[a].host_ports, shapes[b].host_ports)
    }


def largest_patterns(most: Sequence[int], free: Codes, demands: Codes, clashes: set[tuple[int, int]]) -> list[Pattern]:
    """The patterns that no other one contains. All but the last group are tried, the last takes what is left."""
    *tried, last = range(len(most))
    found: list[Pattern] = []
    for counts in product(*(range(most[g], -1, -1) for g in tried)):
        left = free - np.array(counts, dtype=np.int64) @ demands[tried] if tried else free
        if (left < 0).any() or any(counts[a] and counts[b] for a, b in clashes if a != last):
            continue
        clash = any(counts[b] for a, b in clashes if a == last)
        need = demands[last]
        rest = 0 if clash else min(int((left[need > 0] // need[need > 0]).min()), most[last])
        pattern = (*counts, rest)
        if any(pattern) and not any(all(a <= b for a, b in zip(pattern, other, strict=True)) for other in found):
            found = [o for o in found if not all(b <= a for a, b in zip(pattern, o, strict=True))]
            found.append(pattern)
        if len(found) > MOST_PATTERNS:
            break
    return found
