"""From counts per class of equal nodes to nodes: pods with the most GPUs first, each on the first node with room."""

from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.slices import sizes_for
from scheduler.scoring.moves.moves import Bundle, Kind, MoveProblem, NodeClass

Counts = dict[tuple[int, int], list[tuple[int, int]]]
"""For each bundle and kind of it (by position): classes, and how many pods stand on the nodes of each."""

Seats = tuple[tuple[Codes, Codes], ...]


def seats_of(
    problem: MoveProblem,
    classes: Sequence[NodeClass],
    bundles: Mapping[int, Bundle],
    counts: Counts,
    moved: Sequence[int],
    opened: Sequence[int],
) -> dict[int, Seats]:
    """Rows and counts per kind for each bundle; empty where the counts of a class do not fit onto its nodes."""
    left = np.maximum(problem.free, 0)
    for at in moved:
        for row, amounts in problem.movers[at].use.items():
            for column, n in amounts:
                left[row, column] += n
    left[list(opened)] = 0
    found: dict[tuple[int, int], dict[int, int]] = {}
    order = sorted(counts, key=lambda each: (-bundles[each[0]].kinds[each[1]][0].gpus, each))
    for each in order:
        kind, _ = bundles[each[0]].kinds[each[1]]
        for c, count in counts[each]:
            on = _take(left, kind, classes[c].rows, count)
            if sum(on.values()) < count:
                return {}
            found.setdefault(each, {}).update(on)
    return {at: _of(found, at, bundle) for at, bundle in bundles.items() if (at, 0) in found}


def _take(left: IntTable, kind: Kind, rows: Sequence[int], count: int) -> dict[int, int]:
    """Fill the rows in turn with at most `count` pods; what they take is left no more."""
    on: dict[int, int] = {}
    for row in rows:
        fits = min((int(left[row, column]) // n for column, n in kind.demand), default=count)
        some = min(count - sum(on.values()), fits, int(kind.fits[row]))
        if some > 0:
            on[row] = some
            for column, n in kind.demand:
                left[row, column] -= n * some
    return on


def _of(found: Mapping[tuple[int, int], Mapping[int, int]], at: int, bundle: Bundle) -> Seats:
    seats: list[tuple[Codes, Codes]] = []
    for g, (_, count) in enumerate(bundle.kinds):
        on = found.get((at, g), {})
        rows = _in_slices(bundle, on, count)
        seats.append((np.array(rows, dtype=np.int64), np.array([on[row] for row in rows], dtype=np.int64)))
    return tuple(seats)


def _in_slices(bundle: Bundle, on: Mapping[int, int], count: int) -> list[int]:
    """The rows so that ranks laid out in this order fill domain after domain, one with a shorter slice last."""
    sizes = sizes_for([size for _, size in bundle.slices], count)
    layers: list[tuple[Codes, Mapping[int, int], int]] = []
    for (codes, _), size in zip(bundle.slices, sizes, strict=True):
        held: dict[int, int] = {}
        for row, pods in on.items():
            held[int(codes[row])] = held.get(int(codes[row]), 0) + pods
        layers.append((codes, held, size))

    def turn(row: int) -> tuple[tuple[bool, int], ...]:
        return (*((held[int(codes[row])] % size > 0, int(codes[row])) for codes, held, size in layers), (False, row))

    return sorted(on, key=turn)
