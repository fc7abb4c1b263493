"""MIG slices that are made as they are claimed: what ResourceSlices tell of how GPUs can be divided (KEP-4815)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from scheduler.model.claims import Offered, SliceName
from scheduler.model.mig import ENGINES, MigModel, Profile, ordered

KEPT = 256
"""Sets of slices that are kept to be shared: a cluster has one for each kind of machine."""


class Slicing(msgspec.Struct, frozen=True):
    """How the GPUs of a node can be divided, all in the same way, and how each slice is claimed."""

    model: MigModel
    names: tuple[SliceName, ...]
    by_name: Mapping[str, SliceName]


@lru_cache(maxsize=KEPT)
def slicing(slices: tuple[Offered, ...], gpus: tuple[str, ...], product: str) -> Slicing | None:
    """How GPUs of these names can be divided; None where they cannot, or not all in the same way.

    Only placements that are offered count, so that every slice of a plan has a name; those of slices that were made
    beforehand do not.
    """
    known = [one for one in slices if one.start >= 0 and one.profile and one.parent in gpus and not one.made]
    ways = {gpu: frozenset(_way(one) for one in known if one.parent == gpu) for gpu in gpus}
    if not known or len(set(ways.values())) > 1:
        return None
    names = tuple(SliceName(name=one.name, gpu=one.parent, profile=one.profile, start=one.start) for one in known)
    return Slicing(
        model=_model([one for one in known if one.parent == gpus[0]], product),
        names=names,
        by_name={one.name: one for one in names},
    )


def _way(one: Offered) -> tuple[str, int, int, tuple[int, ...]]:
    return one.profile, one.start, one.size, one.engines


def _model(slices: Sequence[Offered], product: str) -> MigModel:
    starts: dict[str, set[int]] = {}
    for one in slices:
        starts.setdefault(one.profile, set()).add(one.start)
    first = {one.profile: one for one in reversed(slices)}
    profiles = tuple(
        Profile(
            name=name,
            id=at,
            starts=tuple(sorted(starts[name])),
            size=first[name].size,
            most=len(starts[name]),
            compute=compute_slices(name),
            **dict(zip(ENGINES, first[name].engines, strict=False)),
        )
        for at, name in enumerate(sorted(first))
    )
    return ordered(
        MigModel(
            products=(product,),
            units=max(one.start + one.size for one in slices),
            placements="reported",
            source="ResourceSlices",
            profiles=profiles,
        )
    )


def compute_slices(profile: str) -> int:
    """How many compute slices a profile of this name has."""
    number, _, _ = profile.partition("g.")
    return int(number) if number.isascii() and number.isdigit() else 1
