"""What is known of a node, as its GPUNode says it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from scheduler.exporter.health import Health, Verdict, judge, lasting
from scheduler.exporter.node import DeviceKnown, NodeKnown, Sharing
from scheduler.exporter.reading import DeviceFacts, DeviceState, Told, Unread
from scheduler.exporter.report_held import holdings, offered
from scheduler.exporter.report_links import (
    fabric,
    is_switched,
    links,
    nvlinks_of,
    unread_links,
    version_of,
    wanted_nvlinks,
)
from scheduler.exporter.report_mig import free_placements, instances, profiles_of
from scheduler.exporter.report_sharing import shared
from scheduler.exporter.report_unread import unread_of_device, unread_of_node
from scheduler.exporter.xids import IGNORED
from scheduler.kube.wire_report import (
    Report,
    ReportDevice,
    ReportHealth,
    ReportInstance,
    ReportProfile,
    ReportSharing,
    ReportUnread,
)

MOST_DEVICES = 32
MOST_LINKS = 1024
MOST_UNREAD = 32
MOST_PLACEMENTS = 128
MOST_HOLDINGS = 1024
"""What the definition of GPUNode allows."""

UNKNOWN_MODEL = "unknown"

T = TypeVar("T")
V = TypeVar("V")


def report(node: NodeKnown, *, ignored_xids: frozenset[int] = IGNORED) -> Report:
    """The node's report. GPUs stand in the order of their PCI addresses, lost ones where they were."""
    order = sorted(node.devices, key=_place)[:MOST_DEVICES]
    wanted = wanted_nvlinks(order)
    apart = unread_links(node, order)
    devices = tuple(
        _device(
            index,
            one,
            judge(one, nvlinks=wanted[one.uuid], ignored=ignored_xids, problem=node.problem),
            nvlinks=wanted[one.uuid],
            xids=lasting(one, ignored_xids),
            plugin=offered(one, node.offered, order),
            unread=tuple(unread_of_device(one, apart.get(one.uuid)))[:MOST_UNREAD],
        )
        for index, one in enumerate(order)
    )
    devices = tuple(_profiles_once(devices))
    held = () if isinstance(node.held, Unread) else node.held
    sharing = shared(node, order)
    return Report(
        device_count=len(devices),
        healthy_device_count=sum(one.health.state == Health.HEALTHY.said for one in devices),
        devices=devices,
        links=tuple(links(node, order))[:MOST_LINKS],
        nvswitch=is_switched(order),
        fabric=fabric(order),
        holdings=tuple(holdings(held, order))[:MOST_HOLDINGS],
        sharing=_sharing(sharing),
        mig_strategy=sharing.mig_strategy or None,
        allocation_policy=_policy(node, sharing, order),
        driver_version=_told(node.driver, lambda driver: driver.version),
        cuda_version=_told(node.driver, lambda driver: driver.cuda),
        source="Simulated" if node.simulated else "NVML",
        unread=tuple(unread_of_node(node, order))[:MOST_UNREAD],
    )


def model_name(told: str) -> str:
    """A product as the node label `nvidia.com/gpu.product` has it (gpu-feature-discovery writes - for blanks)."""
    return told.strip().replace(" ", "-") or UNKNOWN_MODEL


def _sharing(sharing: Sharing) -> ReportSharing | None:
    return ReportSharing(strategy=sharing.strategy, replicas=sharing.replicas) if sharing.strategy else None


def _policy(node: NodeKnown, sharing: Sharing, order: Sequence[DeviceKnown]) -> str | None:
    """Whole GPUs are chosen by their links. Which of two ways holds for parts and slices, no label tells."""
    parts = sharing.strategy or any(
        isinstance(one.state, DeviceState) and isinstance(one.state.instances, tuple) and one.state.instances
        for one in order
    )
    return None if isinstance(node.sharing, Unread) or parts or not order else "BestEffort"


def _place(device: DeviceKnown) -> tuple[bool, str, str]:
    known = device.known
    if known is None or isinstance(known.pci_bus_id, Unread):
        return True, "", device.uuid
    return False, known.pci_bus_id, device.uuid


def _device(
    index: int,
    one: DeviceKnown,
    verdict: Verdict,
    *,
    nvlinks: int | None,
    xids: tuple[int, ...],
    plugin: bool | UnsetType,
    unread: tuple[ReportUnread, ...],
) -> ReportDevice:
    known, state = one.known, None if isinstance(one.state, Unread) else one.state
    model = UNKNOWN_MODEL if known is None or isinstance(known.model, Unread) else model_name(known.model)
    mode = None if state is None or isinstance(state.mig_mode, Unread) else state.mig_mode
    profiles = _profiles(known)
    divided = mode is not None and mode.current
    made: tuple[ReportInstance, ...] = ()
    if divided and state is not None and not isinstance(state.instances, Unread):
        made = tuple(instances(state.instances))
    active = nvlinks_of(one)
    return ReportDevice(
        index=index,
        uuid=one.uuid,
        model=model,
        memory_mib=_or_unset(known, lambda facts: facts.memory_mib),
        pci_bus_id=_or_unset(known, lambda facts: facts.pci_bus_id),
        numa_node=_or_unset(known, lambda facts: facts.numa_node),
        minor_number=_or_unset(known, lambda facts: facts.minor),
        architecture=_or_unset(known, lambda facts: facts.architecture),
        compute_capability=_capability(known),
        mig_mode=_mig_mode(mode.current if mode else None, profiles),
        pending_mig_mode=UNSET if mode is None or mode.pending == mode.current else _mode(on=mode.pending),
        health=ReportHealth(state=verdict.health.said, reasons=verdict.reasons or UNSET, xids=xids or UNSET),
        offered=plugin,
        nvlinks=nvlinks or UNSET,
        active_nvlinks=UNSET if active is None or not nvlinks else sum(link.active for link in active),
        nvlink_version=version_of(active or ()),
        mig_profiles=profiles or UNSET,
        mig_instances=made or UNSET,
        free_placements=tuple(free_placements(profiles, made))[:MOST_PLACEMENTS] if divided and profiles else UNSET,
        unread=unread or UNSET,
    )


def _profiles_once(devices: Sequence[ReportDevice]) -> Iterator[ReportDevice]:
    """Profiles stand at the first GPU of a model and at those that offer others: they are most of a report."""
    told: dict[str, tuple[ReportProfile, ...]] = {}
    for one in devices:
        own = one.mig_profiles
        if isinstance(own, UnsetType) or told.setdefault(one.model, own) is own or told[one.model] != own:
            yield one
        else:
            yield msgspec.structs.replace(one, mig_profiles=UNSET)


def _profiles(known: DeviceFacts | None) -> tuple[ReportProfile, ...]:
    return () if known is None or isinstance(known.mig_profiles, Unread) else tuple(profiles_of(known.mig_profiles))


def _mig_mode(current: bool | None, profiles: Sequence[ReportProfile]) -> str:  # noqa: FBT001  a value that was read
    if current is None:
        return "Disabled" if profiles else "NotSupported"
    return _mode(on=current)


def _mode(*, on: bool) -> str:
    return "Enabled" if on else "Disabled"


def _capability(known: DeviceFacts | None) -> str | UnsetType:
    told = _or_unset(known, lambda facts: facts.compute_capability)
    return UNSET if isinstance(told, UnsetType) else f"{told[0]}.{told[1]}"


def _or_unset(known: DeviceFacts | None, read: Callable[[DeviceFacts], Told[T]]) -> T | UnsetType:
    if known is None:
        return UNSET
    told = read(known)
    return UNSET if isinstance(told, Unread) else told


def _told(whole: Told[V], read: Callable[[V], Told[T]]) -> T | None:
    if isinstance(whole, Unread):
        return None
    told = read(whole)
    return None if isinstance(told, Unread) else told
