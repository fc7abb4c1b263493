"""The GPUs of a node that pods can claim, beside what an exporter reports of them."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from scheduler.model.claims import Amounts, DeviceName, Offered, Part
from scheduler.model.node import Allocator, Device, MigInstance, Node
from scheduler.model.resources import GPU, extended
from scheduler.scoring.devices.profiles import assumed_links
from scheduler.scoring.sharing.portions import total_of, units
from scheduler.state.events import DevicesSeen
from scheduler.state.kinds import alike
from scheduler.state.made import Made, hidden_gpus, made_slices
from scheduler.state.offers import Offer
from scheduler.state.slicing import Slicing, slicing

_NUMBERS = re.compile(r"(\d+)", re.ASCII)


class Claimable(msgspec.Struct, frozen=True):
    """A node's devices with the names by which they are claimed, and the index of the GPU that each name is about.

    `reported`: an exporter tells of them too. `served`: kube-scheduler gives them to pods that ask for whole GPUs.
    """

    devices: tuple[Device, ...]
    index_of: Mapping[DeviceName, int]
    product: str = ""
    slicing: Slicing | None = None
    made: Made | None = None
    reported: bool = False
    served: bool = False

    def whole(self, names: Iterable[DeviceName]) -> set[int]:
        """The GPUs that somebody has who has these, whole as far as it is known."""
        return {self.index_of[name] for name in names if name in self.index_of}

    def parts(self, parts: Iterable[Part]) -> Mapping[int, int]:
        """How much of which GPUs somebody has who has these, in units of each."""
        amounts: dict[int, list[Amounts]] = {}
        for part in parts:
            if part.device in self.index_of:
                amounts.setdefault(self.index_of[part.device], []).append(part.amounts)
        capacities = {device.index: device.capacities for device in self.devices}
        return {index: units(capacities[index], tuple(total_of(some).items())) for index, some in amounts.items()}

    def slices(self, names: Iterable[DeviceName]) -> list[MigInstance]:
        """The MIG slices among these that are given out each by itself."""
        found: list[MigInstance] = []
        for name in names:
            there = None if self.made is None else self.made.by_name.get(name)
            if there is not None:
                found.append(MigInstance(device=there.device, profile=there.profile, start=there.start))
            one = None if self.slicing is None else self.slicing.by_name.get(name.device)
            if one is None:
                continue
            index = self.index_of.get(DeviceName(driver=name.driver, pool=name.pool, device=one.gpu))
            if index is not None:
                found.append(MigInstance(device=index, profile=one.profile, start=one.start))
        return found


def claimable(report: DevicesSeen | None, offer: Offer, *, served: bool = False) -> Claimable:
    """The devices of a report with what slices say of them, matched by uuid, else by PCI address.

    Without a report they are those of the slices, by PCI address. GPUs that claims share are given out where all of the
    node are shared alike, and kube-scheduler gives out none.
    """
    hidden = hidden_gpus(offer)
    gpus = sorted((*(one for one in offer if one[1].kind == "gpu"), *hidden), key=_place)
    divided_before = {name for name, _ in hidden}
    migs = [one for one in offer if one[1].kind == "mig"]
    # A slice that pods are kept off is on a GPU with a fault, but one that was made beforehand stands for itself.
    sick = {one.parent for _, one in migs if not one.usable and not one.made} | {
        gpu.name for _, gpu in gpus if not gpu.usable
    }
    capacities = () if served else alike(offer)
    if report is None:
        devices = [
            Device(
                index=index,
                uuid=gpu.uuid,
                model=gpu.model,
                memory_mib=gpu.memory_mib,
                healthy=gpu.name not in sick,
                mig_enabled=name in divided_before,
                claimed_as=name if bool(capacities) == gpu.shared and name not in divided_before else None,
                capacities=capacities,
            )
            for index, (name, gpu) in enumerate(gpus)
        ]
        index_of = {name: index for index, (name, _) in enumerate(gpus)}
    else:
        devices = list(report.devices)
        addresses = dict(zip(report.addresses, range(len(devices)), strict=False))
        at_of = {device.uuid: at for at, device in enumerate(devices) if device.uuid}
        index_of = dict[DeviceName, int]()
        for name, gpu in gpus:
            at = at_of.get(gpu.uuid, addresses.get(gpu.address) if gpu.address else None)
            if at is None or devices[at].claimed_as is not None:
                continue
            index_of[name] = devices[at].index
            devices[at] = msgspec.structs.replace(
                devices[at],
                healthy=devices[at].healthy and gpu.name not in sick,
                mig_enabled=devices[at].mig_enabled or name in divided_before,
                memory_mib=gpu.memory_mib or devices[at].memory_mib,
                claimed_as=name if bool(capacities) == gpu.shared and name not in divided_before else None,
                capacities=capacities,
            )
    product = next((gpu.model.replace(" ", "-") for _, gpu in gpus if gpu.model), "")
    named = sorted(device.claimed_as.device for device in devices if device.claimed_as is not None)
    sliced = tuple(one if one.usable else msgspec.structs.replace(one, usable=True) for _, one in migs)
    divided = slicing(sliced, tuple(named), product) if migs and named else None
    before = {gpu.uuid or gpu.name: index_of[name] for name, gpu in hidden if name in index_of}
    made = made_slices(offer, before) if before and divided is None else None
    parents = {key: index_of[name] for name, gpu in gpus if name in index_of for key in (name.device, gpu.uuid) if key}
    parents.update((device.uuid, device.index) for device in devices if device.uuid)
    index_of.update(
        (name, parents[one.parent])
        for name, one in migs
        if one.parent in parents
        and (divided is None or name.device not in divided.by_name)
        and (made is None or name not in made.by_name)
    )
    return Claimable(
        devices=tuple(devices),
        index_of=index_of,
        product=product,
        slicing=divided,
        made=made,
        reported=report is not None,
        served=served,
    )


def with_claimable(node: Node, found: Claimable) -> Node:
    """The node with its devices; where no device plugin gives them out, with their number among its resources.

    `node.allocatable` is what the kubelet says: where a device plugin serves GPUs, it goes on to do so. Where nobody
    tells how the GPUs are connected, they are taken to be as in the machines that have them.
    """
    named = sum(device.claimed_as is not None for device in found.devices)
    given = found.made.given if found.made is not None and not found.served else ()
    only = bool(named or given) and not node.allocatable.wants_devices
    devices = found.devices if only else tuple(map(_unshared, found.devices))
    node = msgspec.structs.replace(node, devices=devices, product=node.product or found.product)
    if not only:
        return node
    there = len(found.devices)
    told = None if found.reported else assumed_links(node.product, there, there)
    if told is not None:
        node = msgspec.structs.replace(node, machine=told[0], links=told[1], links_assumed=True)
    if found.slicing is not None and not found.served:
        node = msgspec.structs.replace(
            node, mig_on_demand=True, mig_models=(found.slicing.model,), slice_names=found.slicing.names
        )
    if found.made is not None and given:
        suspect = {device.index for device in found.devices if device.suspect}
        # What comes first is given first.
        order = sorted(given, key=lambda one: (one.device in suspect, one.device, one.start, one.profile))
        node = msgspec.structs.replace(
            node,
            mig_on_demand=True,
            mig_models=(found.made.model,),
            mig_instances=tuple(
                MigInstance(device=one.device, profile=one.profile, start=one.start, in_use=False) for one in order
            ),
            slices_made=given,
        )
    return msgspec.structs.replace(
        node,
        shares_on_demand=bool(node.capacities),
        claims_only=not found.served,
        allocator=Allocator.SCHEDULER if found.served else Allocator.DRA,
        allocatable=msgspec.structs.replace(
            node.allocatable, extended=extended({**dict(node.allocatable.extended), GPU: named})
        ),
    )


def _unshared(device: Device) -> Device:
    """A device as it is where a device plugin gives out GPUs too: parts of it are not for claims."""
    return msgspec.structs.replace(device, claimed_as=None, capacities=()) if device.capacities else device


def _place(one: tuple[DeviceName, Offered]) -> tuple[str, list[tuple[int, str]]]:
    """The order of PCI addresses, and of numbers in names where there are none."""
    name, gpu = one
    return gpu.address, [(int(part), "") if part.isdigit() else (-1, part) for part in _NUMBERS.split(name.device)]
