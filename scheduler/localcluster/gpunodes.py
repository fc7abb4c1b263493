"""GPUNode objects of a fleet, as the exporter would report them: devices, links, slices."""

import itertools
import uuid
from collections.abc import Iterator, Sequence

from scheduler.localcluster.api import Json
from scheduler.localcluster.fleet import Fleet
from scheduler.localcluster.machines import Machine, profiles
from scheduler.localcluster.nodes import names
from scheduler.localcluster.slices import Slice, free_starts
from scheduler.model.links import LinkGraph
from scheduler.scoring.devices.machines import machine_graph

API_VERSION = "bayplan.dev/v1alpha1"
_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "bayplan.dev")
_DRIVER = "580.95.05"
_FIRST_BUS, _BUS_STEP = 0x18, 0x11
"""PCI buses in even steps, as on many eight-GPU machines."""


def gpu_nodes(fleet: Fleet, *, now: str) -> Iterator[Json]:
    """One GPUNode for each node that has GPUs and an exporter, looked at `now` (RFC 3339)."""
    for group in fleet.groups:
        machine, graph = group.machine_type(), machine_graph(group.machine)
        if machine is None or graph is None or not group.reports:
            continue
        slices = group.slices()
        for name in names(group):
            yield {
                "apiVersion": API_VERSION,
                "kind": "GPUNode",
                "metadata": {"name": name},
                "status": {
                    "deviceCount": machine.gpus,
                    "healthyDeviceCount": machine.gpus,
                    "devices": [_device(name, machine, graph.numa[i], slices, i) for i in range(machine.gpus)],
                    "links": list(_links(graph)),
                    "nvswitch": graph.switched,
                    "driverVersion": _DRIVER,
                    "observedTime": now,
                    "generation": 1,
                },
            }


def _uuid(kind: str, *parts: object) -> str:
    """A UUID that is the same each time for the same place in the fleet."""
    return f"{kind}-{uuid.uuid5(_SPACE, '/'.join(map(str, parts)))}"


def _device(node: str, machine: Machine, numa: int, slices: Sequence[Slice], index: int) -> Json:
    device: Json = {
        "index": index,
        "uuid": _uuid("GPU", node, index),
        "model": machine.product,
        "memoryMiB": machine.memory_mib,
        "pciBusId": f"0000:{_FIRST_BUS + _BUS_STEP * index:02x}:00.0",
        "numaNode": numa,
        "health": {"state": "Healthy"},
        "migMode": "Disabled" if machine.mig else "NotSupported",
    }
    own = [s for s in slices if s.gpu == index]
    if not own:
        return device
    known = profiles(machine)
    device["migMode"] = "Enabled"
    device["migInstances"] = [
        {
            "profile": s.profile,
            "profileId": known[s.profile].id,
            "start": s.start,
            "size": s.size,
            "uuid": _uuid("MIG", node, index, s.profile, s.start),
        }
        for s in own
    ]
    device["freePlacements"] = [
        {"profile": name, "profileId": profile.id, "start": start, "size": profile.size}
        for name, profile in known.items()
        for start in free_starts(profile, own)
    ]
    return device


def _links(graph: LinkGraph) -> Iterator[Json]:
    for a, b in itertools.combinations(range(graph.size), 2):
        if graph.nvlinks[a][b]:
            yield {
                "a": a,
                "b": b,
                "type": "NVLink",
                "count": graph.nvlinks[a][b],
                "gigabytesPerSecond": graph.mbps[a][b] // 1000,
            }
        yield {"a": a, "b": b, "type": "PCIe", "pcieLevel": graph.pcie[a][b]}
