"""Readings for tests: a whole, healthy GPU with what a test wants otherwise."""

# ruff: noqa: ANN401  fields of any type are given by name

from collections.abc import Sequence
from typing import Any

import msgspec

from scheduler.exporter.backend import NvmlBackend
from scheduler.exporter.node import DeviceKnown, NodeKnown
from scheduler.exporter.reading import (
    DeviceFacts,
    DeviceState,
    DriverFacts,
    Ecc,
    Fabric,
    FabricState,
    FarEnd,
    MigMode,
    NvLink,
    Pair,
    PcieLevel,
    RemappedRows,
    Slot,
    Unread,
    Utilisation,
    Why,
)

NOT_SUPPORTED = Unread(why=Why.NOT_SUPPORTED)
DRIVER = DriverFacts(version="580.1", cuda="13.0", nvml="13.580")
CLIQUE = Fabric(state=FabricState.COMPLETED, cluster_uuid="5f0c6a52-1111", clique=2, healthy=True)


def uuid(index: int) -> str:
    return f"GPU-{index}"


def bus(index: int) -> str:
    return f"0000:{index + 16:02x}:00.0"


def facts(index: int, **more: Any) -> DeviceFacts:
    made = DeviceFacts(
        index=index,
        uuid=uuid(index),
        model="NVIDIA H100 80GB HBM3",
        memory_mib=81559,
        pci_bus_id=bus(index),
        minor=index,
        serial=str(index),
        numa_node=0,
        architecture="hopper",
        compute_capability=(9, 0),
        mig_profiles=(),
    )
    return msgspec.structs.replace(made, **more)


def state(index: int, **more: Any) -> DeviceState:
    made = DeviceState(
        uuid=uuid(index),
        mig_mode=MigMode(current=False, pending=False),
        instances=(),
        nvlinks=(),
        fabric=Fabric(state=FabricState.NOT_SUPPORTED, cluster_uuid="", clique=0, healthy=False),
        ecc=Ecc(corrected=0, uncorrected=0),
        remapped=RemappedRows(correctable=0, uncorrectable=0, pending=False, failure=False),
        recovery_action=0,
        memory_used_mib=0,
        utilisation=Utilisation(gpu_percent=0, memory_percent=0),
        exclusive_process=False,
    )
    return msgspec.structs.replace(made, **more)


def device(
    index: int, *, errors: tuple[Any, ...] = (), links_up: frozenset[int] = frozenset(), **more: Any
) -> DeviceKnown:
    """A GPU; `facts` and `state` may be given as Unread, other names are fields of either."""
    own_facts = more.pop("facts", None)
    own_state = more.pop("state", None)
    of_facts = {key: more.pop(key) for key in list(more) if key in DeviceFacts.__struct_fields__}
    read = facts(index, **of_facts) if own_facts is None else own_facts
    return DeviceKnown(
        uuid=uuid(index),
        facts=read,
        state=state(index, **more) if own_state is None else own_state,
        before=facts(index, **of_facts),
        errors=errors,
        links_up=links_up,
    )


def switched(*up: bool, mbps: Any = 26562) -> tuple[NvLink, ...]:
    """NVLinks to a switch."""
    return tuple(
        NvLink(link=i, active=on, far_end=FarEnd.SWITCH if on else NOT_SUPPORTED, generation="4.0", mbps=mbps)
        for i, on in enumerate(up)
    )


def direct(*peers: int, down: tuple[int, ...] = ()) -> tuple[NvLink, ...]:
    """NVLinks to other GPUs; -1 leads nowhere, as without a bridge."""
    return tuple(
        NvLink(
            link=i,
            active=peer >= 0 and i not in down,
            far_end=NOT_SUPPORTED if peer < 0 or i in down else FarEnd.GPU,
            peer_bus_id="" if peer < 0 or i in down else bus(peer),
            generation="3.0",
            mbps=25000,
        )
        for i, peer in enumerate(peers)
    )


def pairs(size: int, level: Any = PcieLevel.NODE, **more: Any) -> dict[tuple[str, str], Pair]:
    told = {"p2p": True, "p2p_nvlink": True, **more}
    return {(uuid(a), uuid(b)): Pair(a=uuid(a), b=uuid(b), level=level, **told) for b in range(size) for a in range(b)}


def node(*devices: DeviceKnown, **more: Any) -> NodeKnown:
    return NodeKnown(driver=more.pop("driver", DRIVER), devices=devices, **more)


def slots(backend: NvmlBackend) -> list[Slot]:
    """All GPUs that a driver counts."""
    return [backend.slot(index) for index in range(backend.count())]


def deaf(backend: NvmlBackend, uuids: Sequence[str]) -> list[str]:
    """Watch these GPUs; those of which that is not possible."""
    backend.watch_anew()
    return [uuid for uuid in uuids if not backend.watch(uuid)]
