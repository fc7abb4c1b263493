"""Who holds which device: ids of device plugins and of DRA drivers, as UUIDs of the driver."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import UNSET, UnsetType

from scheduler.exporter.node import DeviceKnown, Held, HeldDevice
from scheduler.exporter.reading import MigInstance, Unread
from scheduler.kube.wire_report import ReportClaimed, ReportHolding

MOST_IDS = 256
LONGEST_ID = 96
"""What the definition of GPUNode allows."""

GPU_DRIVER = "gpu.nvidia.com"
"""NVIDIA's DRA driver, whose devices are named by the minor numbers of GPUs (dra-driver-nvidia-gpu, deviceinfo.go)."""

_GKE = re.compile(r"nvidia(?P<minor>\d+)(/gi(?P<instance>\d+))?(/vgpu(?P<part>\d+))?", re.ASCII)
"""Ids of GKE's device plugin (container-engine-accelerators, pkg/gpu/nvidia)."""

_DRA = re.compile(r"gpu-(?P<minor>\d+)(-mig-.+-(?P<profile>\d+)-(?P<start>\d+))?", re.ASCII)


def holdings(held: Iterable[Held], devices: Sequence[DeviceKnown]) -> Iterator[ReportHolding]:
    """What containers hold, sorted; ids that are told twice stand there once."""
    by_minor = {minor: one for one in devices if (minor := _minor(one)) is not None}
    for one in sorted(held, key=lambda one: (one.namespace, one.pod, one.container, one.resource)):
        own = [_plugin_id(each, by_minor) for each in one.ids]
        own += [uuid for each in one.claimed if (uuid := _claimed_uuid(each, by_minor))]
        claimed = tuple(_claimed(each) for each in dict.fromkeys(one.claimed))[:MOST_IDS]
        yield ReportHolding(
            pod_namespace=one.namespace,
            pod_name=one.pod,
            container=one.container,
            resource=one.resource,
            device_uuids=tuple(sorted({each[:LONGEST_ID] for each in own}))[:MOST_IDS],
            claimed_devices=claimed or UNSET,
        )


def offered(device: DeviceKnown, ids: frozenset[str] | None, devices: Sequence[DeviceKnown]) -> bool | UnsetType:
    """Whether pods may get the GPU or a slice of it through the device plugin; unset where no GPU is offered at all.

    Then the plugin is away, or DRA hands the GPUs out.
    """
    if not ids:
        return UNSET
    by_minor = {minor: one for one in devices if (minor := _minor(one)) is not None}
    uuids = {_plugin_id(each, by_minor).partition("::")[0] for each in ids}
    known = {one.uuid: _uuids(one) for one in devices}
    return UNSET if all(uuids.isdisjoint(own) for own in known.values()) else not uuids.isdisjoint(known[device.uuid])


def parts_offered(ids: frozenset[str] | None, devices: Sequence[DeviceKnown]) -> int:
    """Into how many parts the device plugin offers a GPU or slice, at most; 0 where it offers them whole."""
    by_minor = {minor: one for one in devices if (minor := _minor(one)) is not None}
    own = {uuid for one in devices for uuid in _uuids(one)}
    told = [_plugin_id(each, by_minor).partition("::") for each in ids or ()]
    return max(Counter(uuid for uuid, part, _ in told if part and uuid in own).values(), default=0)


def _uuids(device: DeviceKnown) -> frozenset[str]:
    """The GPU's UUID and those of its slices."""
    if isinstance(device.state, Unread) or isinstance(device.state.instances, Unread):
        return frozenset({device.uuid})
    return frozenset({device.uuid, *(each.uuid for each in device.state.instances if isinstance(each.uuid, str))})


def _minor(device: DeviceKnown) -> int | None:
    known = device.known
    return None if known is None or isinstance(known.minor, Unread) else known.minor


def _plugin_id(told: str, by_minor: Mapping[int, DeviceKnown]) -> str:
    """The UUID of the GPU or slice, with `::` and a number for a part of it; what is not known stays as it is."""
    found = _GKE.fullmatch(told)
    device = by_minor.get(int(found["minor"])) if found else None
    if found is None or device is None:
        return told
    part = f"::{found['part']}" if found["part"] else ""
    if not found["instance"]:
        return device.uuid + part
    wanted = int(found["instance"])
    uuid = _instance_uuid(device, lambda one: one.gpu_instance == wanted)
    return uuid + part if uuid else told


def _claimed_uuid(told: HeldDevice, by_minor: Mapping[int, DeviceKnown]) -> str:
    """The UUID behind a device of NVIDIA's DRA driver; "" where it is not known."""
    found = _DRA.fullmatch(told.device) if told.driver == GPU_DRIVER else None
    device = by_minor.get(int(found["minor"])) if found else None
    if found is None or device is None:
        return ""
    if not found["profile"]:
        return device.uuid
    place = (int(found["profile"]), int(found["start"]))
    return _instance_uuid(device, lambda one: (one.profile_id, one.start) == place)


def _instance_uuid(device: DeviceKnown, fits: Callable[[MigInstance], bool]) -> str:
    if isinstance(device.state, Unread) or isinstance(device.state.instances, Unread):
        return ""
    return next((u for one in device.state.instances if fits(one) and not isinstance(u := one.uuid, Unread)), "")


def _claimed(told: HeldDevice) -> ReportClaimed:
    return ReportClaimed(
        claim=told.claim, driver=told.driver, pool=told.pool, device=told.device, share_id=told.share_id or UNSET
    )
