"""MIG slices that were made before anybody claims them: what ResourceSlices tell of them, by GPU."""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from scheduler.model.claims import DeviceName, MadeSlice, Offered
from scheduler.model.mig import MigModel, Profile, ordered
from scheduler.state.offers import Offer
from scheduler.state.slicing import compute_slices

_GPU_NAME = re.compile(r"gpu-[0-9]+(?=-mig-)", re.ASCII)


class Made(msgspec.Struct, frozen=True):
    """Slices of a node by name. `given`: those that may go to pods."""

    by_name: Mapping[DeviceName, MadeSlice]
    given: tuple[MadeSlice, ...]
    model: MigModel


def hidden_gpus(offer: Offer) -> list[tuple[DeviceName, Offered]]:
    """The GPUs that slices were made of and that are not offered themselves, as they would be.

    One of which no slice is usable has a fault.
    """
    whole = {key for _, one in offer if one.kind == "gpu" for key in (one.name, one.uuid)}
    found: dict[str, tuple[DeviceName, Offered]] = {}
    for name, one in offer:
        if not one.made or not one.parent or one.parent in whole:
            continue
        named = _GPU_NAME.match(name.device)
        device = one.parent if named is None else named[0]
        if device in whole:
            continue
        known = found.get(one.parent)
        found[one.parent] = (
            DeviceName(driver=name.driver, pool=name.pool, device=device),
            Offered(
                name=device,
                uuid="" if one.parent == device else one.parent,
                model=one.model,
                address=one.address,
                usable=one.usable or (known is not None and known[1].usable),
            ),
        )
    return list(found.values())


def made_slices(offer: Offer, index_of: Mapping[str, int]) -> Made | None:
    """The slices of these GPUs, which go by uuid, else by name; None where there are none to give out.

    Those with a taint, and those of which several claims may have parts, are not given out; of several in one place,
    as the compute instances of one GPU instance are, the first is.
    """
    by_name: dict[DeviceName, MadeSlice] = {}
    given: list[MadeSlice] = []
    ours: list[Offered] = []
    taken: set[tuple[int, str, int]] = set()
    known = [(name, one) for name, one in offer if one.made and one.profile and one.parent in index_of]
    for name, one in _numbered(known):
        made = MadeSlice(name=name, device=index_of[one.parent], profile=one.profile, start=one.start)
        by_name[name] = made
        ours.append(one)
        place = (made.device, made.profile, made.start)
        if one.usable and not one.shared and place not in taken:
            given.append(made)
        taken.add(place)
    if not given:
        return None
    return Made(by_name=by_name, given=tuple(given), model=_model(ours))


def _numbered(known: Iterable[tuple[DeviceName, Offered]]) -> list[tuple[DeviceName, Offered]]:
    """The slices, those whose place is not told counted by GPU and profile beyond those whose place is."""
    found = list(known)
    beyond: dict[tuple[str, str], int] = {}
    for _, one in found:
        key = (one.parent, one.profile)
        beyond[key] = max(beyond.get(key, 0), one.start + 1)
    for at, (name, one) in enumerate(found):
        if one.start < 0:
            key = (one.parent, one.profile)
            found[at] = (name, msgspec.structs.replace(one, start=beyond[key]))
            beyond[key] += 1
    return found


def _model(slices: Sequence[Offered]) -> MigModel:
    """Their profiles, none of which can be made anew, so that nothing begins anywhere."""
    sizes: dict[str, int] = {}
    for one in slices:
        sizes[one.profile] = max(sizes.get(one.profile, 0), one.size)
    profiles = tuple(
        Profile(name=name, id=at, starts=(), size=sizes[name], most=0, compute=compute_slices(name))
        for at, name in enumerate(sorted(sizes))
    )
    return ordered(
        MigModel(
            products=(next((one.model for one in slices), "").replace(" ", "-"),),
            units=max(one.start + max(one.size, 1) for one in slices),
            placements="reported",
            source="ResourceSlices",
            profiles=profiles,
        )
    )
