"""MIG instances of a report, where slices are made as pods ask for them."""

from collections.abc import Iterator, Mapping, Sequence

from scheduler.kube.wire_own import GPUNodeStatus, Holding, WireDevice, WireInstance
from scheduler.model.node import MigInstance
from scheduler.scoring.sharing.mig import Layout, free_starts
from scheduler.scoring.sharing.mig_tables import MigModel, mig_model

Instances = Mapping[str, MigInstance]
"""By the driver's name of the instance (MIG-…); those without one by their place."""


def read_instances(status: GPUNodeStatus) -> tuple[Instances, tuple[str, ...]]:
    """The instances that there are on a node that makes them on demand, and a sentence for each thing assumed of them.

    Where slices are made beforehand, what the node advertises is all that counts, and there are none here.
    """
    if not status.mig_on_demand:
        return {}, ()
    found: dict[str, MigInstance] = {}
    said: list[str] = []
    for device in status.devices:
        model = mig_model(device.model)
        if model is None:
            said.append(f"GPU {device.index}: no MIG profiles of {device.model!r} are known; no slices are made on it")
        layout: list[tuple[int, int]] = []
        for one in device.mig_instances:
            index = None if model is None else _index(model, one)
            name = one.profile if model is None or index is None else model.profiles[index].name
            made = MigInstance(device=device.index, profile=name, start=one.start, in_use=False)
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
