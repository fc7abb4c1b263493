"""Why a part of a GPU or a MIG slice is not to be had where these are made on demand, and where it could come from."""

from collections.abc import Iterator

import msgspec
import numpy as np

from scheduler.model.mig import MigModel
from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.model.resources import MILLI_GPU, Resources, is_divided
from scheduler.model.workload import PodShape
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import asked, listed
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import model_choices, usable
from scheduler.scoring.sharing.divided import need_of, profile_index
from scheduler.scoring.sharing.mig import Layout, in_the_way

Cost = tuple[int, int, int, int, int]
"""How many things are in the way, how much of the GPU they have, row, device, start."""

Way = tuple[int, int, int, Layout]
"""How many things are in the way of a place on a GPU, how much of it they have, the start, and which they are."""


def no_part(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    """What pods ask of GPUs divided on demand, where there are too few places for it; None: something else is short."""
    for shape, count in candidate.groups:
        if not desk.room.by_parts(shape):
            continue
        divided = tuple((name, n) for name, n in shape.requests.extended if is_divided(name))
        alone = msgspec.structs.replace(shape, requests=Resources(pods=1, extended=divided))
        (fits,) = usable(desk.room, msgspec.structs.replace(ask, groups=((alone, count),), slices=()))
        choices = model_choices(desk.room, [shape for shape, _ in ask.groups], ask.standing)
        room = max((int((fits if on is None else fits[on]).sum()) for on in choices), default=0)
        if room < count:
            return _wait(desk, candidate, alone, count, room, ask)
    return None


def _wait(desk: Desk, candidate: Candidate, shape: PodShape, count: int, room: int, ask: Ask) -> Wait:
    what = listed(asked(shape))
    mask = desk.room.view(shape).mask & desk.room.parts.rows
    rows = np.flatnonzero(mask if ask.allowed is None else mask & ask.allowed).tolist()
    free = sum(desk.room.parts.free_milli(row) for row in rows)
    way = _nearest(desk, shape, rows)
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.FRAGMENTED if free >= count * shape.milli_gpu else Reason.INSUFFICIENT_RESOURCES,
        message=f"no GPU has a free place for {what}" if not room else f"too few GPUs have a free place for {what}",
        detail=f"needs {count} such place{'' if count == 1 else 's'}, there {'is' if room == 1 else 'are'} {room}"
        + (f"; {way[0]}" if way else ""),
        blocking=(Blocker(kind="fragmentation", subject=what, needed=count, available=room, unit="pods"),),
        unblock=way[1] if way else "It starts when enough work with GPUs ends, or when GPUs are added.",
    )


def _nearest(desk: Desk, shape: PodShape, rows: list[int]) -> tuple[str, str] | None:
    """The GPU where least is in the way of one such place: what is there now, and what has to end."""
    slices, parts = shape.requests.mig_slices, shape.requests.shared_gpus
    if len(slices) == 1 and not parts:
        return _nearest_slice(desk, slices[0][0], rows)
    if parts == 1 and not slices:
        return _nearest_part(desk, shape, rows)
    return None


def _nearest_part(desk: Desk, shape: PodShape, rows: list[int]) -> tuple[str, str] | None:
    there = [(row, have, need_of(shape, have.capacities).share) for row in rows if (have := desk.room.parts.of(row))]
    gpus = [(s, row, share) for row, have, share in there for s in have.slots if not s.layout and s.free < share]
    if not gpus:
        return None
    slot, row, share = min(gpus, key=lambda gpu: (-gpu[0].free / gpu[0].whole, gpu[1], gpu[0].device))
    milli, more = slot.milli, (share - slot.free) / slot.whole
    gpu = f"GPU {slot.device} of {desk.room.name(row)}"
    there = f"has {milli / MILLI_GPU:.4g} of it free" if milli else "is in use, as all others are"
    return (
        f"nearest is {gpu}, which {there}",
        f"It starts when {more:.4g} of {gpu} is given back, or as much of another.",
    )


def _nearest_slice(desk: Desk, profile: str, rows: list[int]) -> tuple[str, str] | None:
    known: dict[tuple[MigModel, Layout], list[Way]] = {}
    best = min((way for row in rows for way in _ways(desk, profile, row, known)), default=None)
    if best is None:
        return None
    (_, _, row, device, start), gone = best
    gpu = f"GPU {device} of {desk.room.name(row)}"
    if not gone:
        return (
            f"{gpu} is used whole or in parts",
            f"It starts when {gpu}, or another that can be divided, is free; slices that are there leave no place.",
        )
    holders, model = _holders(desk, row), desk.room.parts.of(row).model
    named = [f"{model.profiles[i].name} at {at}{holders.get((device, at), '')}" for i, at in gone] if model else []
    return (
        f"nearest is {gpu} at {start}, where {listed(named)} {'is' if len(named) == 1 else 'are'} in the way",
        f"It starts when {listed(named)} of {gpu} {'is' if len(named) == 1 else 'are'} given back.",
    )


def _ways(
    desk: Desk, profile: str, row: int, known: dict[tuple[MigModel, Layout], list[Way]]
) -> Iterator[tuple[Cost, Layout]]:
    """What would have to go from each GPU of a node for a slice to have a place there; nothing: the whole GPU.

    `known`: the ways for GPUs seen before.
    """
    have = desk.room.parts.of(row)
    model, index = have.model, profile_index(have.model, profile)
    if model is None or index is None:
        return
    if not model.makes:
        # Slices that were made beforehand: one of the profile has to be given back.
        held = (
            (slot.device, one) for slot in have.slots for one in slot.layout if (slot.device, *one) not in have.spare
        )
        yield from (((1, 1, row, device, one[1]), (one,)) for device, one in held if one[0] == index)
        return
    staying = {(one.device, one.start) for one in desk.snapshot.nodes[desk.room.name(row)].mig_instances}
    for slot in have.slots:
        if not slot.layout:
            if not slot.untouched:
                yield (1, model.units, row, slot.device, 0), ()
            continue
        ways = known.get((model, slot.layout))
        if ways is None:
            found = in_the_way(model, slot.layout, index)
            sizes = [(len(gone), sum(model.profiles[i].size for i, _ in gone), start, gone) for start, gone in found]
            ways = known[model, slot.layout] = sorted(way for way in sizes if way[-1])
        for things, units, start, gone in ways:
            if not staying or not any((slot.device, at) in staying for _, at in gone):
                yield (things, units, row, slot.device, start), gone
                break


def _holders(desk: Desk, row: int) -> dict[tuple[int, int], str]:
    """Whose the instances of a node are, as far as it is known: ` of namespace/name`, by device and start."""
    name = desk.room.name(row)
    found: dict[tuple[int, int], str] = {}
    flights = desk.snapshot.in_flight.values()
    planned = {a.pod: a.slices for flight in flights for a in flight.assignments if a.node == name}
    for workload in desk.snapshot.workloads.values():
        for pod in workload.members:
            slices = pod.slices if pod.node == name else planned.get(pod.uid, ()) if planned else ()
            found.update({(one.device, one.start): f" of {pod.namespace}/{pod.name}" for one in slices})
    return found
