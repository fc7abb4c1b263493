"""How much is missing where a gang comes nearest to finding room, and whether it could find room at all."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.resources import GPU
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import amount
from scheduler.scoring.devices.choosers import linked_size
from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import emptied, held_by, usable
from scheduler.scoring.topology import NO_DOMAIN, domains


def never_fits(desk: Desk, ask: Ask) -> bool:
    """Whether the gang would find no room even if everything else left, and no quota stood in its way."""
    ask = msgspec.structs.replace(ask, allowed=None)
    return not _possible(ask, _codes(desk, ask), emptied(desk.room, ask)).any()


def _codes(desk: Desk, ask: Ask) -> Codes:
    """The domain of each node at the required level; all nodes in one where none is required."""
    if ask.required is None:
        return np.zeros(len(desk.fleet), dtype=np.int64)
    return domains(desk.fleet, ask.required).codes


def _possible(ask: Ask, codes: Codes, fits: Sequence[Codes]) -> Codes:
    return np.logical_and.reduce([held_by(codes, f) >= count for f, (_, count) in zip(fits, ask.groups, strict=True)])


def nearest(desk: Desk, ask: Ask) -> str:
    """`nearest is rack r7, which lacks 2 GPUs`, or `2 GPUs more would do`; empty where that is not known.

    Told of gangs of equal pods with GPUs of one model. Each further pod on a node needs what is left over there to
    become as much as it asks for; the pods for which that is least are counted, so that no fewer GPUs will do.
    """
    (shape, count), *others = ask.groups
    column, gpus = desk.room.column(GPU), shape.requests.gpus
    if others or column is None or not gpus or linked_size(shape) or len(shape.models) > 1 or ask.slices:
        return ""
    codes = _codes(desk, ask)
    fits, empty = usable(desk.room, ask)[0], emptied(desk.room, ask)[0]
    rows = np.flatnonzero((empty > fits) & (codes != NO_DOMAIN))
    first = np.maximum(gpus - np.maximum(desk.room.free[rows, column], 0) + fits[rows] * gpus, 0)
    order = np.lexsort((rows, first, codes[rows]))
    rows, first = rows[order], first[order]
    held = held_by(codes, fits)
    where, size = codes[rows], len(held)
    missing = np.maximum(count - held, 0)
    taken = np.arange(len(rows)) - np.searchsorted(where, where) < missing[where]
    lack = np.bincount(where[taken], weights=first[taken], minlength=size).astype(np.int64)
    lack += gpus * (missing - np.bincount(where[taken], minlength=size))
    possible = held + np.bincount(where, weights=(empty - fits)[rows], minlength=size) >= count
    best = int(np.argmin(np.where(possible, lack, np.iinfo(np.int64).max)))
    if not possible[best] or not lack[best]:
        return ""
    short = amount(GPU, int(lack[best]))
    if ask.required is None:
        return f"{short} more would do where least is missing"
    return f"nearest is {ask.required.name} {domains(desk.fleet, ask.required).values[best]}, which lacks {short}"
