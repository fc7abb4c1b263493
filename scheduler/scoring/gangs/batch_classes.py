"""Nodes as classes that are equal to every gang of a batch, and how pods of the batch share a node of each class."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.batch import Part
from scheduler.scoring.gangs.patterns import MOST_PATTERNS, Pattern, largest_patterns
from scheduler.scoring.room import Room

Seat = tuple[int, int]
"""A group of pods: the part's place in the batch, and the group's in the part."""


class BatchClass(msgspec.Struct, frozen=True, eq=False):
    """Equal nodes. `patterns`: pods of each kind that share one; `holds[seat]`: pods of a group on one, if any fit."""

    rows: tuple[int, ...]
    patterns: tuple[Pattern, ...]
    holds: dict[Seat, int]


class BatchClasses(msgspec.Struct, frozen=True, eq=False):
    """All classes; `kinds[seat]`: the place of a group's pods in the patterns; `complete`: no pattern is left out."""

    classes: tuple[BatchClass, ...]
    kinds: dict[Seat, int]
    complete: bool


def batch_classes(room: Room, parts: Sequence[Part], rows: Codes) -> BatchClasses:
    """The classes of `rows`. Pods that ask for the same amounts are of one kind, whichever gang they belong to."""
    seats = [(at, g) for at, part in enumerate(parts) for g in range(len(part.problem.ask.groups))]
    asked = {
        (at, g): (
            tuple(room.demand(parts[at].problem.ask.groups[g][0].requests) or ()),
            parts[at].problem.ask.groups[g][1],
        )
        for at, g in seats
    }
    demands = list(dict.fromkeys(demand for demand, _ in asked.values()))
    kinds = {seat: demands.index(demand) for seat, (demand, _) in asked.items()}
    columns = sorted({column for demand in demands for column, _ in demand})
    table = np.array([[dict(demand).get(column, 0) for column in columns] for demand in demands], dtype=np.int64)
    free = np.maximum(room.free[rows][:, columns], 0)
    most = np.zeros((len(rows), len(demands)), dtype=np.int64)
    for (at, g), kind in kinds.items():
        np.maximum(most[:, kind], parts[at].problem.fits[g][rows], out=most[:, kind])
    totals = np.zeros(len(demands), dtype=np.int64)
    for seat, kind in kinds.items():
        totals[kind] += asked[seat][1]
    most = np.minimum(most, totals)
    # More of a resource than all that fits could use says nothing.
    states, state_of = _distinct(np.concatenate([most, np.minimum(free, most @ table)], axis=1))
    shared = [_patterns(state[: len(demands)], state[len(demands) :], table) for state in states]
    keys = [state_of, *(array[rows] for array in _differing(parts))]
    keys += [(parts[at].problem.fits[g][rows] > 0).astype(np.int64) for at, g in seats]
    _, class_of = _distinct(np.stack(keys, axis=1))
    order = np.lexsort((rows, class_of))
    bounds = np.flatnonzero(np.diff(class_of[order], prepend=-1, append=-1))
    classes: list[BatchClass] = []
    for start, end in zip(bounds.tolist(), bounds[1:].tolist(), strict=False):
        members = rows[order[start:end]]
        patterns, _ = shared[int(state_of[order[start]])]
        holds = {
            (at, g): max(pattern[kinds[at, g]] for pattern in patterns)
            for at, g in seats
            if parts[at].problem.fits[g][members[0]] > 0
        }
        classes.append(BatchClass(tuple(members.tolist()), patterns, {seat: n for seat, n in holds.items() if n}))
    return BatchClasses(tuple(classes), kinds, all(whole for _, whole in shared))


def _patterns(most: Codes, free: Codes, table: Codes) -> tuple[tuple[Pattern, ...], bool]:
    found = largest_patterns(most.tolist(), free, table, set())
    return tuple(found[:MOST_PATTERNS]) or ((0,) * len(most),), len(found) <= MOST_PATTERNS


def _differing(parts: Sequence[Part]) -> list[Codes]:
    """What of a node counts for the parts besides room: its domains and its price, each array once."""
    found: dict[bytes, Codes] = {}
    for part in parts:
        arrays = [*part.problem.charges.codes, part.problem.charges.units]
        if part.problem.required is not None:
            arrays.append(part.problem.required)
        found.update((array.tobytes(), array) for array in arrays)
    return list(found.values())


def _distinct(table: Codes) -> tuple[Codes, Codes]:
    """The distinct rows of a table, and for each row which of them it is."""
    values, places = np.unique(table, axis=0, return_inverse=True)
    return values, places.reshape(len(table)).astype(np.int64)
