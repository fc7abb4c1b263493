"""GPUs of one node that are divided as pods need it: what is free of each, and what a pod gets.

A GPU is free, whole with one pod, given out in parts of altogether at most all of it, or divided into MIG instances.
Parts go to the fullest GPU that still takes them; a slice goes where least of what larger profiles could be given is
lost (`scheduler.scoring.sharing.mig`), to an instance that exists first of all. Of equals the lowest index.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from scheduler.model.claims import Capacity
from scheduler.model.mig import MigModel
from scheduler.model.node import MigInstance, Node
from scheduler.model.resources import MILLI_GPU, mig_milli_gpu
from scheduler.model.workload import PodShape
from scheduler.scoring.sharing.mig import EMPTY, Layout, free_starts, loss, memory_units, most, outlook, with_one
from scheduler.scoring.sharing.mig_tables import model_on
from scheduler.scoring.sharing.portions import share_units, whole_of

KEPT = 1 << 14
"""Answers remembered for each question; only speed depends on it."""

Spare = tuple[int, int, int]
"""A MIG instance that exists and that nobody holds: device, index of the profile, start."""


class Slot(NamedTuple):
    """One healthy GPU: what is free of it for parts (all: untouched; 0: none, or divided), and its instances.

    `free` is in units of which the GPU has `whole`: milli-GPU, or those of its capacities that claims share.
    """

    device: int
    free: int = MILLI_GPU
    layout: Layout = EMPTY
    whole: int = MILLI_GPU

    @property
    def untouched(self) -> bool:
        """Whether nobody has anything of it."""
        return self.free == self.whole and not self.layout

    @property
    def milli(self) -> int:
        """What is free for parts in milli-GPU, rounded down."""
        return self.free if self.whole == MILLI_GPU else self.free * MILLI_GPU // self.whole


class Divided(NamedTuple):
    """The GPUs of a node by index. `model` tells which MIG profiles there are; None: no slices are made here.

    `parts`: whether parts are given out; `capacities`: of what, where claims share the GPUs. `opens`: how many
    untouched GPUs may be taken into use.
    """

    slots: tuple[Slot, ...]
    opens: int
    model: MigModel | None = None
    parts: bool = True
    spare: tuple[Spare, ...] = ()
    capacities: tuple[Capacity, ...] = ()


class Need(NamedTuple):
    """What a pod asks of the GPUs: whole ones, parts of how many at what share each, slices by profile.

    `share` is in units of `Slot.whole`.
    """

    whole: int = 0
    parts: int = 0
    share: int = MILLI_GPU
    slices: tuple[tuple[str, int], ...] = ()


class Harm(NamedTuple):
    """What a pod takes from what others could be given: less, read in order, is better.

    `opened`: untouched GPUs. `lost`: of each MIG profile, the largest first, how many fewer could be made on GPUs that
    are divided already. `left_milli`: what stays free of the GPUs that it has a part of.
    """

    opened: int
    lost: tuple[int, ...]
    left_milli: int


class Taken(NamedTuple):
    """What is left, and what the pod got: indexes of GPUs, whole or in part, and instances."""

    left: Divided
    devices: tuple[int, ...] = ()
    slices: tuple[MigInstance, ...] = ()


def need_of(shape: PodShape, capacities: tuple[Capacity, ...]) -> Need:
    """What pods of a shape ask of GPUs of which claims share these capacities; none: they are no matter of claims."""
    requests = shape.requests
    share = share_units(capacities, shape) if requests.shared_gpus else shape.share_milli
    return Need(requests.gpus, requests.shared_gpus, share, requests.mig_slices)


def untouched(node: Node) -> Divided:
    """The healthy GPUs of a node as if nobody had anything of them; instances that exist in any case stand.

    GPUs with instances of unknown profiles count as held whole.
    """
    model = model_on(node) if node.mig_on_demand else None
    strange = {one.device for one in node.mig_instances if model is None or model.index(one.profile) is None}
    spare = tuple(one for one in _spares(node, model) if one[0] not in strange) if model is not None else ()
    layouts: dict[int, Layout] = {}
    for device, profile, start in spare:
        layouts[device] = with_one(layouts.get(device, EMPTY), profile, start)
    before = node.divided_beforehand
    capacities = node.capacities
    whole = whole_of(capacities)
    slots = tuple(
        Slot(d.index, 0 if d.index in layouts or d.index in strange else whole, layouts.get(d.index, EMPTY), whole)
        for d in sorted(node.devices, key=lambda d: d.index)
        if d.healthy
        and (d.index in before or (not d.mig_enabled and (d.claimed_as is not None or not node.claims_only)))
    )
    healthy = {slot.device for slot in slots}
    return Divided(
        slots,
        sum(slot.untouched for slot in slots),
        model,
        node.shares_on_demand,
        tuple(one for one in spare if one[0] in healthy),
        capacities,
    )


def _spares(node: Node, model: MigModel) -> Iterator[Spare]:
    for one in node.mig_instances:
        index = model.index(one.profile)
        if index is not None:
            yield one.device, index, one.start


@lru_cache(maxsize=KEPT)
def count(have: Divided, need: Need) -> int:
    """How many pods with the same need fit, one after the other as `take` places them."""
    if not need.whole and not need.slices and need.parts == 1:
        return _parts_count(have, need.share)
    if not need.whole and not need.parts and len(need.slices) == 1:
        ((profile, each),) = need.slices
        return _slices_count(have, profile) // each
    pods = 0
    while (taken := take(have, need)) is not None and taken.left != have:
        have, pods = taken.left, pods + 1
    return pods


@lru_cache(maxsize=KEPT)
def take(have: Divided, need: Need) -> Taken | None:
    """What one pod gets; None where it finds no room. All ways to place its slices are tried."""
    opened = _whole(have, need.whole)
    if opened is None:
        return None
    shared = _parts(opened.left, need)
    if shared is None:
        return None
    wanted = _wanted(shared.left.model, need.slices)
    sliced = None if wanted is None else _slices(shared.left, wanted)
    return None if sliced is None else Taken(sliced.left, opened.devices + shared.devices, sliced.slices)


@lru_cache(maxsize=KEPT)
def harm(have: Divided, need: Need) -> Harm | None:
    """What one more pod takes from what others could be given; None where it finds no room."""
    taken = take(have, need)
    if taken is None:
        return None
    opened = sum(slot.untouched for slot in have.slots) - sum(slot.untouched for slot in taken.left.slots)
    touched = {*taken.devices, *(one.device for one in taken.slices)}
    left = sum(slot.milli for slot in taken.left.slots if slot.device in touched)
    if not need.slices:
        return Harm(opened, (), left)
    lost = [a - b for a, b in zip(_outlook(have), _outlook(taken.left), strict=True)]
    return Harm(opened, tuple(lost), left)


def _outlook(have: Divided) -> list[int]:
    """For each MIG profile, the largest first, how many more of it could be made on GPUs that are divided already."""
    model = _model(have)
    outlooks = [outlook(model, slot.layout) for slot in have.slots if slot.layout]
    return [sum(counts) for counts in zip(*outlooks, strict=True)] or [0] * len(model.profiles)


def free_milli(have: Divided) -> int:
    """What is free of the GPUs, in milli-GPU; of a GPU with MIG instances its free memory units' part.

    Where nothing can be made any more, it is the instances that nobody holds.
    """
    model = have.model
    free = sum(slot.milli for slot in have.slots)
    if model is not None and not model.makes:
        each = [mig_milli_gpu(profile.name) for profile in model.profiles]
        return free + sum(each[profile] for _, profile, _ in have.spare)
    for slot in have.slots:
        if slot.layout and model is not None:
            free += MILLI_GPU * (model.units - memory_units(model, slot.layout)) // model.units
    return free


def hold(have: Divided, device: int, *, share: int | None = None) -> Divided:
    """What is left when somebody has `share` of a GPU (units of it; None: all), known from elsewhere."""
    slots = tuple(
        s._replace(free=0 if share is None else max(s.free - share, 0)) if s.device == device else s for s in have.slots
    )
    return have._replace(slots=slots, opens=min(have.opens, sum(s.untouched for s in slots)))


def hold_slice(have: Divided, one: MigInstance) -> Divided:
    """What is left when somebody has a MIG instance, known from elsewhere; unknown profiles take the whole GPU."""
    profile = profile_index(have.model, one.profile)
    if profile is None:
        return hold(have, one.device)
    spare = (one.device, profile, one.start)
    if spare in have.spare:
        return have._replace(spare=tuple(s for s in have.spare if s != spare))
    return _with_instance(have, one.device, profile, one.start)


def as_used(empty: Divided, slices: Iterable[MigInstance], shares: Mapping[int, int]) -> Divided:
    """What is left of an untouched node: somebody has these instances, and of each GPU so much, in units of it.

    As `hold` and `hold_slice` come to; GPUs with instances of unknown profiles are left alone.
    """
    spare = set(empty.spare)
    layouts: dict[int, Layout] = {}
    gone: set[int] = set()
    for one in slices:
        profile = profile_index(empty.model, one.profile)
        if profile is None:
            gone.add(one.device)
        elif (one.device, profile, one.start) in spare:
            spare.remove((one.device, profile, one.start))
        else:
            layouts[one.device] = (*layouts.get(one.device, EMPTY), (profile, one.start))
    slots = tuple(_slot_as_used(slot, layouts, gone, shares) for slot in empty.slots)
    left = tuple(one for one in empty.spare if one in spare)
    return empty._replace(slots=slots, opens=sum(slot.untouched for slot in slots), spare=left)


def _slot_as_used(slot: Slot, layouts: Mapping[int, Layout], gone: Collection[int], shares: Mapping[int, int]) -> Slot:
    device = slot.device
    if device in gone:
        return slot._replace(free=0, layout=EMPTY)
    if device in layouts:
        return slot._replace(free=0, layout=tuple(sorted((*slot.layout, *layouts[device]))))
    if slot.layout:
        return slot
    used = shares.get(device, 0)
    return slot._replace(free=max(slot.free - used, 0)) if used else slot


@lru_cache(maxsize=KEPT)
def profile_index(model: MigModel | None, profile: str) -> int | None:
    """The position of a profile among those of a GPU; None for none of it."""
    return None if model is None else model.index(profile)


def instance(have: Divided, device: int, profile: int, start: int) -> MigInstance:
    """The record of an instance."""
    return MigInstance(device=device, profile=_model(have).profiles[profile].name, start=start)


def _model(have: Divided) -> MigModel:
    if have.model is None:
        raise LookupError("these GPUs have no MIG profiles")
    return have.model


def _whole(have: Divided, wanted: int) -> Taken | None:
    free = [slot.device for slot in have.slots if slot.untouched]
    if min(len(free), have.opens) < wanted:
        return None
    for device in free[:wanted]:
        have = hold(have, device)._replace(opens=have.opens - 1)
    return Taken(have, tuple(free[:wanted]))


def _parts_count(have: Divided, share: int) -> int:
    if not have.parts:
        return 0
    begun = sum(slot.free // share for slot in have.slots if not slot.untouched)
    fresh = [slot.free // share for slot in have.slots if slot.untouched][: have.opens]
    return begun + sum(fresh)


def _parts(have: Divided, need: Need) -> Taken | None:
    if not need.parts:
        return Taken(have)
    fitting = [s for s in have.slots if have.parts and s.free >= need.share]
    begun = sorted((s for s in fitting if not s.untouched), key=lambda s: (s.free, s.device))
    fresh = [s for s in fitting if s.untouched][: have.opens]
    chosen = [*begun, *fresh][: need.parts]
    if len(chosen) < need.parts:
        return None
    opens = have.opens - sum(s.untouched for s in chosen)
    for slot in chosen:
        have = hold(have, slot.device, share=need.share)
    return Taken(have._replace(opens=min(have.opens, opens)), tuple(sorted(s.device for s in chosen)))


def _slices_count(have: Divided, profile: str) -> int:
    model = have.model
    index = profile_index(model, profile)
    if model is None or index is None:
        return 0
    spare = sum(one[1] == index for one in have.spare)
    begun = sum(most(model, slot.layout, index) for slot in have.slots if slot.layout)
    free = min(sum(slot.untouched for slot in have.slots), have.opens)
    return spare + begun + free * most(model, EMPTY, index)


def _wanted(model: MigModel | None, slices: tuple[tuple[str, int], ...]) -> tuple[int, ...] | None:
    """The profiles of a pod's slices, one entry each, the largest first; None where one is unknown here."""
    found: list[int] = []
    for profile, number in slices:
        index = profile_index(model, profile)
        if index is None:
            return None
        found += [index] * number
    return tuple(sorted(found))


@lru_cache(maxsize=KEPT)
def _slices(have: Divided, wanted: tuple[int, ...]) -> Taken | None:
    if not wanted:
        return Taken(have)
    first = wanted[0]
    for device, start in _places(_model(have), have, first):
        spare = (device, first, start)
        if spare in have.spare:
            left = have._replace(spare=tuple(s for s in have.spare if s != spare))
        else:
            left = _with_instance(have, device, first, start)
        rest = _slices(left, wanted[1:])
        if rest is not None:
            return Taken(rest.left, (), (instance(have, device, first, start), *rest.slices))
    return None


def _places(model: MigModel, have: Divided, profile: int) -> Iterator[tuple[int, int]]:
    """Where an instance may be, the best place first; of GPUs in the same state only the first."""
    yield from ((device, start) for device, index, start in have.spare if index == profile)
    seen: set[tuple[Layout, tuple[tuple[int, int], ...]]] = set()
    found: list[tuple[tuple[int, ...], int, int]] = []
    for slot in have.slots:
        free = tuple((index, start) for device, index, start in have.spare if device == slot.device)
        usable = bool(slot.layout) or (slot.untouched and have.opens > 0)
        if not usable or (slot.layout, free) in seen:
            continue
        seen.add((slot.layout, free))
        starts = free_starts(model, slot.layout, profile)
        found += [(loss(model, slot.layout, profile, start), slot.device, -start) for start in starts]
    yield from ((device, -start) for _, device, start in sorted(found))


def _with_instance(have: Divided, device: int, profile: int, start: int) -> Divided:
    slots: list[Slot] = []
    opens = have.opens
    for slot in have.slots:
        if slot.device == device:
            opens -= slot.untouched
            slots.append(slot._replace(free=0, layout=with_one(slot.layout, profile, start)))
        else:
            slots.append(slot)
    return have._replace(slots=tuple(slots), opens=max(opens, 0))
