"""MIG geometry and instances of a report."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec

from scheduler.kube.wire_own import GPUNodeStatus, Holding, WireDevice, WireInstance, WireProfile
from scheduler.model.mig import MigModel, Profile, ordered
from scheduler.model.node import MigInstance
from scheduler.scoring.sharing.mig import Layout, free_starts
from scheduler.scoring.sharing.mig_tables import mig_model

Instances = Mapping[str, MigInstance]
"""By the driver's name of the instance (MIG-…); those without one by their place."""

KEPT = 256
"""Reported geometries that are kept to be shared: a cluster has one for each GPU model and driver."""

MOST_UNITS = 64
"""Memory units that a GPU may be reported to have; the largest today has 12."""


class Geometry(msgspec.Struct, frozen=True):
    """What a driver tells of the profiles of one product; `said`: what of it is odd. None: it tells nothing of use."""

    model: MigModel | None
    said: tuple[str, ...] = ()


def read_models(status: GPUNodeStatus) -> tuple[tuple[MigModel, ...], tuple[str, ...]]:
    """How GPUs can be divided, where the driver tells, one for each product, and a sentence for each thing assumed.

    Equal ones are the same record, on however many nodes they are told.
    """
    found: dict[str, Geometry] = {}
    said: list[str] = []
    for device in status.devices:
        if not device.mig_profiles:
            continue
        told = _geometry(device.model, device.mig_profiles)
        first = found.setdefault(device.model, told)
        if first is told:
            said += [sentence for sentence in told.said if sentence not in said]
        else:
            said.append(
                f"GPU {device.index} has other MIG profiles than the first {device.model}; those of the first are "
                "assumed"
            )
    return _shared(tuple(each.model for each in found.values() if each.model is not None)), tuple(said)


def read_instances(status: GPUNodeStatus, models: Sequence[MigModel] = ()) -> tuple[Instances, tuple[str, ...]]:
    """The instances that there are, and a sentence for each thing assumed of them. `models`: what the driver tells.

    Where slices are made beforehand, `in_use` says whether somebody holds one.
    """
    held = {name for one in status.holdings for text in one.device_uuids for name in [text.partition("::")[0]]}
    found: dict[str, MigInstance] = {}
    said: list[str] = []
    for device in status.devices:
        model = next((each for each in models if device.model in each.products), None) or mig_model(device.model)
        if model is None and status.mig_on_demand:
            said.append(f"GPU {device.index}: no MIG profiles of {device.model!r} are known; no slices are made on it")
        layout: list[tuple[int, int]] = []
        for one in device.mig_instances:
            index = None if model is None else _index(model, one)
            name = one.profile if model is None or index is None else model.profiles[index].name
            in_use = not status.mig_on_demand and one.uuid in held
            made = MigInstance(device=device.index, profile=name, start=one.start, in_use=in_use)
            found[one.uuid or f"{device.index}/{one.start}"] = made
            if index is not None:
                layout.append((index, one.start))
            elif model is not None:
                said.append(f"GPU {device.index}: {_unknown(one, model)}; the whole GPU is taken to be in use")
        if model is not None and len(layout) == len(device.mig_instances):
            said += _other_placements(device, model, tuple(sorted(layout)))
    return found, tuple(said)


def slices_held(holdings: Sequence[Holding], instances: Instances) -> tuple[tuple[str, tuple[MigInstance, ...]], ...]:
    """Which pod holds which instances."""
    held: dict[str, list[MigInstance]] = {}
    for holding in holdings:
        names = dict.fromkeys(text.partition("::")[0] for text in holding.device_uuids)
        mine = [instances[name] for name in names if name in instances]
        if mine:
            there = held.setdefault(f"{holding.pod_namespace}/{holding.pod_name}", [])
            there += [one for one in mine if one not in there]
    return tuple((pod, tuple(some)) for pod, some in sorted(held.items()))


@lru_cache(maxsize=KEPT)
def _geometry(product: str, told: tuple[WireProfile, ...]) -> Geometry:
    """The geometry that a driver tells of a product, and how it differs from what is known of the product."""
    table = mig_model(product)
    said: list[str] = []
    profiles: list[Profile] = []
    for one in told:
        same = None if table is None else _same(table, one)
        name = one.profile or ("" if same is None else same.name)
        reach = max(one.starts, default=0) + one.size
        if not name or not one.starts or min(one.starts) < 0 or one.size < 1 or one.max < 1 or reach > MOST_UNITS:
            said.append(
                f"{product}: the driver's MIG profile {one.profile!r} (number {one.profile_id}) has no name or no "
                "places; no slices are made of it"
            )
            continue
        profiles.append(
            Profile(
                name=name,
                id=one.profile_id,
                starts=tuple(sorted(set(one.starts))),
                size=one.size,
                most=one.max,
                compute=one.compute_slices,
                sm=one.multiprocessors,
                memory_mib=one.memory_mib,
                decoders=one.decoders,
                jpeg=one.jpeg,
                ofa=one.ofa,
                copy=one.copy_engines,
            )
        )
    if not profiles:
        return Geometry(None, tuple(said))
    units = max(profile.starts[-1] + profile.size for profile in profiles)
    model = MigModel(
        products=(product,), units=units, placements="reported", source="the driver", profiles=tuple(profiles)
    )
    if table is not None:
        said += _differences(product, table, model)
    return Geometry(ordered(model), tuple(said))


@lru_cache(maxsize=KEPT)
def _shared(models: tuple[MigModel, ...]) -> tuple[MigModel, ...]:
    return models


def _same(table: MigModel, one: WireProfile) -> Profile | None:
    """The profile of the table that is this one: names differ between drivers, number and places do not."""
    places = (one.profile_id, one.size, tuple(sorted(set(one.starts))))
    return next((p for p in table.profiles if (p.id, p.size, p.starts) == places), None)


def _differences(product: str, table: MigModel, told: MigModel) -> Iterator[str]:
    """One sentence where a driver tells other places or counts than the table; a profile only one has is no matter."""
    known = {p.id: p for p in table.profiles}
    odd = [
        p.name
        for p in told.profiles
        if p.id in known and (p.size, p.starts, p.most) != (known[p.id].size, known[p.id].starts, known[p.id].most)
    ]
    if odd:
        yield f"{product}: the driver tells other places for {', '.join(odd)} than are known; the driver's count"


def _index(model: MigModel, one: WireInstance) -> int | None:
    """The profile by the driver's number, since names differ between drivers; else by its name."""
    for index, profile in enumerate(model.profiles):
        if (profile.id, profile.size) == (one.profile_id, one.size):
            return index
    return model.index(one.profile)


def _unknown(one: WireInstance, model: MigModel) -> str:
    known = ", ".join(profile.name for profile in model.profiles)
    return f"MIG profile {one.profile!r} (number {one.profile_id}) is not one of {known}"


def _other_placements(device: WireDevice, model: MigModel, layout: Layout) -> Iterator[str]:
    """A sentence where the driver reports other free places for a profile than its table and its instances leave."""
    told: dict[int, set[int]] = {}
    for place in device.free_placements:
        told.setdefault(place.profile_id, set()).add(place.start)
    for index, profile in enumerate(model.profiles):
        free = set(free_starts(model, layout, index))
        if profile.id in told and told[profile.id] != free:
            reported = ", ".join(map(str, sorted(told[profile.id])))
            expected = ", ".join(map(str, sorted(free))) or "none"
            yield (
                f"GPU {device.index} reports free places for {profile.name} at {reported}, and its instances leave "
                f"{expected}; the latter is assumed"
            )
