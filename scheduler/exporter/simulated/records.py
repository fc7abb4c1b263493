"""What a real driver would tell of a simulated node, as the records of `scheduler.exporter.reading`.

An `Unread` names the call that the real backend would have made.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from scheduler.exporter.reading import (
    DeviceFacts,
    DeviceState,
    Ecc,
    Fabric,
    FabricState,
    FarEnd,
    MigInstance,
    MigMode,
    MigProfile,
    NvLink,
    Pair,
    RemappedRows,
    Told,
    Unread,
    Utilisation,
    Why,
)
from scheduler.exporter.simulated.faults import Kind
from scheduler.exporter.simulated.machines import ZERO_UUID, Profile, machine
from scheduler.exporter.simulated.node import SimulatedNode, bus_id, stable_uuid

T = TypeVar("T")

CALLS = {
    "model": "nvmlDeviceGetName",
    "memory_mib": "nvmlDeviceGetMemoryInfo",
    "pci_bus_id": "nvmlDeviceGetPciInfo_v3",
    "minor": "nvmlDeviceGetMinorNumber",
    "serial": "nvmlDeviceGetSerial",
    "numa_node": "nvmlDeviceGetMemoryAffinity",
    "architecture": "nvmlDeviceGetArchitecture",
    "compute_capability": "nvmlDeviceGetCudaComputeCapability",
    "mig_profiles": "nvmlDeviceGetGpuInstanceProfileInfo",
    "mig_mode": "nvmlDeviceGetMigMode",
    "instances": "nvmlDeviceGetGpuInstances",
    "nvlinks": "nvmlDeviceGetNvLinkState",
    "fabric": "nvmlDeviceGetGpuFabricInfoV",
    "ecc": "nvmlDeviceGetTotalEccErrors",
    "remapped": "nvmlDeviceGetRemappedRows",
    "recovery_action": "nvmlDeviceGetFieldValues",
    "memory_used_mib": "nvmlDeviceGetMemoryInfo",
    "utilisation": "nvmlDeviceGetUtilizationRates",
    "exclusive_process": "nvmlDeviceGetComputeMode",
    "level": "nvmlDeviceGetTopologyCommonAncestor",
    "p2p": "nvmlDeviceGetP2PStatus",
    "p2p_nvlink": "nvmlDeviceGetP2PStatus",
}
"""The call of the driver behind each field."""

LOST = Unread(why=Why.LOST, call="nvmlDeviceGetHandleByUUID")


def facts(node: SimulatedNode, gpu: int) -> DeviceFacts:
    """What does not change of a GPU that is reachable."""
    model = node.machine.gpus[gpu]
    major, _, minor = model.compute.partition(".")

    def told(field: str, value: T) -> Told[T]:
        return _told(node, gpu, field, lambda: value)

    return DeviceFacts(
        index=node.index(gpu),
        uuid=node.uuids[gpu],
        model=told("model", model.name),
        memory_mib=told("memory_mib", model.memory_mib),
        pci_bus_id=told("pci_bus_id", bus_id(gpu)),
        minor=told("minor", gpu),
        serial=told("serial", serial(node, gpu)),
        numa_node=told("numa_node", node.machine.numa[gpu]),
        architecture=told("architecture", model.architecture),
        compute_capability=told("compute_capability", (int(major), int(minor))),
        mig_profiles=told("mig_profiles", _profiles(model.profiles)),
    )


def state(node: SimulatedNode, gpu: int) -> DeviceState:
    """What changes of a GPU that is reachable."""

    def told(field: str, read: Callable[[], Told[T]]) -> Told[T]:
        return _told(node, gpu, field, read)

    return DeviceState(
        uuid=node.uuids[gpu],
        mig_mode=told("mig_mode", lambda: _mig_mode(node, gpu)),
        instances=told("instances", lambda: _instances(node, gpu)),
        nvlinks=told("nvlinks", lambda: _nvlinks(node, gpu)),
        fabric=told("fabric", lambda: _fabric(node, gpu)),
        ecc=told("ecc", lambda: Ecc(corrected=0, uncorrected=ecc_errors(node, gpu))),
        remapped=told("remapped", lambda: _remapped(node, gpu)),
        recovery_action=told("recovery_action", lambda: recovery_action(node, gpu)),
        memory_used_mib=told("memory_used_mib", lambda: 0),
        utilisation=told("utilisation", lambda: _utilisation(node, gpu)),
        exclusive_process=told("exclusive_process", lambda: False),
    )


def pair(node: SimulatedNode, a: int, b: int) -> Pair:
    """What connects two GPUs that are reachable."""
    level = node.machine.levels[a][b]
    missing = {
        field: next((g for g in (a, b) if node.lacks(field, g)), None) for field in ("level", "p2p", "p2p_nvlink")
    }

    def told(field: str, value: T | None) -> Told[T]:
        if missing[field] is not None or value is None:
            return _unsupported(field)
        return value

    return Pair(
        a=node.uuids[a],
        b=node.uuids[b],
        level=told("level", level),
        p2p=told("p2p", p2p(node, a, b)),
        p2p_nvlink=told("p2p_nvlink", node.nvlinked(a, b)),
    )


def p2p(node: SimulatedNode, a: int, b: int) -> bool:
    """Whether two GPUs read each other's memory."""
    return node.nvlinked(a, b) or all(node.machine.gpus[gpu].p2p for gpu in (a, b))


def serial(node: SimulatedNode, gpu: int) -> str:
    """A board's serial number: 13 digits that stay with node and GPU."""
    return f"{int(stable_uuid('serial', node.name, gpu).replace('-', '')[6:], 16) % 10**13:013d}"


def ecc_errors(node: SimulatedNode, gpu: int) -> int:
    """Errors that could not be corrected."""
    fault = node.has(Kind.ECC, gpu)
    return 0 if fault is None else 1 if fault.number is None else fault.number


def recovery_action(node: SimulatedNode, gpu: int) -> int:
    """What the driver asks for, by its number."""
    fault = node.has(Kind.RECOVERY, gpu)
    return 0 if fault is None else 1 if fault.number is None else fault.number


def _told(node: SimulatedNode, gpu: int, field: str, read: Callable[[], Told[T]]) -> Told[T]:
    return _unsupported(field) if node.lacks(field, gpu) else read()


def _unsupported(field: str) -> Unread:
    return Unread(why=Why.NOT_SUPPORTED, call=CALLS[field])


@lru_cache(maxsize=64)
def _profiles(profiles: tuple[Profile, ...]) -> tuple[MigProfile, ...]:
    return tuple(_profile(profile) for profile in profiles)


def _profile(profile: Profile) -> MigProfile:
    return MigProfile(
        id=profile.id,
        name=profile.name,
        most=profile.most,
        slices=profile.compute,
        memory_mib=profile.memory_mib,
        sm=profile.sm,
        decoders=profile.decoders,
        encoders=0,
        jpeg=profile.jpeg,
        ofa=profile.ofa,
        copy_engines=profile.copy,
        size=profile.size,
        starts=profile.starts,
    )


def _mig_mode(node: SimulatedNode, gpu: int) -> Told[MigMode]:
    if not node.machine.gpus[gpu].profiles:
        return _unsupported("mig_mode")
    enabled = gpu in node.divided
    return MigMode(current=enabled, pending=enabled != bool(node.has(Kind.MIG, gpu)))


def _instances(node: SimulatedNode, gpu: int) -> tuple[MigInstance, ...]:
    return tuple(
        MigInstance(
            gpu_instance=one.id,
            profile_id=one.profile.id,
            profile=one.profile.name,
            start=one.start,
            size=one.profile.size,
            uuid=one.uuid,
        )
        for one in node.divided.get(gpu, ())
    )


def _nvlinks(node: SimulatedNode, gpu: int) -> tuple[NvLink, ...]:
    up = tuple(node.lane_up(gpu, link) for link in range(len(node.machine.lanes[gpu])))
    return _links(node.machine.name, gpu, up)


@lru_cache(maxsize=1024)
def _links(name: str, gpu: int, up: tuple[bool, ...]) -> tuple[NvLink, ...]:
    """The same records for nodes alike, of which a fleet has thousands."""
    made = machine(name)
    return tuple(
        NvLink(
            link=link,
            active=up[link],
            far_end=FarEnd.SWITCH if lane.peer is None else FarEnd.GPU,
            peer_bus_id="" if lane.peer is None else bus_id(lane.peer),
            generation=f"{made.nvlink_generation}.0",
            mbps=made.nvlink_mbps,
        )
        for link, lane in enumerate(made.lanes[gpu])
    )


def _fabric(node: SimulatedNode, gpu: int) -> Told[Fabric]:
    told = node.machine.fabric
    if told is None:
        return _unsupported("fabric")
    if node.has(Kind.FABRIC, gpu) or not any(node.lane_up(gpu, link) for link in range(len(node.machine.lanes[gpu]))):
        return Fabric(state=FabricState.IN_PROGRESS, cluster_uuid=ZERO_UUID, clique=0, healthy=False)
    return Fabric(state=told.state, cluster_uuid=told.cluster_uuid, clique=told.clique, healthy=True)


def _remapped(node: SimulatedNode, gpu: int) -> RemappedRows:
    failed, pending = node.has(Kind.ROWS, gpu) is not None, node.has(Kind.PENDING_ROWS, gpu) is not None
    return RemappedRows(correctable=0, uncorrectable=int(failed or pending), pending=pending, failure=failed)


def _utilisation(node: SimulatedNode, gpu: int) -> Told[Utilisation]:
    if gpu in node.divided:
        return _unsupported("utilisation")
    return Utilisation(gpu_percent=0, memory_percent=0)
