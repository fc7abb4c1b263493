"""ResourceSlices of nodes whose GPUs are claimed, as NVIDIA's driver for dynamic resource allocation publishes them.

Attributes and capacities are those of k8s-dra-driver-gpu for whole GPUs and for MIG slices that were made beforehand;
uuids and PCI addresses those that the exporter reports of the same simulated machine.
"""

from collections.abc import Iterator, Mapping

from scheduler.exporter.simulated.node import bus_id, stable_uuid
from scheduler.localcluster.api import Json
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.machines import Machine, profiles
from scheduler.localcluster.nodes import names
from scheduler.localcluster.slices import Slice

DRIVER = "gpu.nvidia.com"


def resource_slices(fleet: Fleet) -> Iterator[Json]:
    """One ResourceSlice for each node whose GPUs are claimed."""
    for group in fleet.groups:
        machine = group.machine_type()
        if machine is None or not group.dra:
            continue
        for name in names(group):
            yield {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": f"{name}-{DRIVER}"},
                "spec": {
                    "driver": DRIVER,
                    "nodeName": name,
                    "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
                    "devices": list(_devices(name, machine, group)),
                },
            }


def _devices(node: str, machine: Machine, group: Group) -> Iterator[Json]:
    """The GPUs that are whole, and in place of each other one the slices that were made of it."""
    slices = group.slices()
    divided = {one.gpu for one in slices}
    whole = (index for index in range(machine.gpus) if index not in divided)
    yield from (_gpu(node, machine, index, shared=group.shared) for index in whole)
    yield from (_slice(node, machine, one) for one in slices)


def _gpu(node: str, machine: Machine, index: int, *, shared: bool) -> Json:
    own = {"type": "gpu", "uuid": stable_uuid("GPU", node, index)}
    memory = f"{machine.model.memory_mib}Mi"
    made = _device(f"gpu-{index}", machine, index, own, {"memory": memory})
    if shared:
        made["capacity"]["memory"]["requestPolicy"] = {"default": memory, "validRange": {"min": "1Gi"}}
        made["allowMultipleAllocations"] = True
    return made


def _slice(node: str, machine: Machine, one: Slice) -> Json:
    profile = profiles(machine)[one.profile]
    own = {
        "type": "mig",
        "uuid": stable_uuid("MIG", node, one.gpu, one.profile, one.start),
        "parentUUID": stable_uuid("GPU", node, one.gpu),
        "profile": one.profile,
    }
    units = {f"memorySlice{unit}": "1" for unit in range(one.start, one.start + one.size)}
    amounts = {"memory": f"{profile.memory_mib}Mi", "multiprocessors": str(profile.sm), **units}
    return _device(f"gpu-{one.gpu}-mig-{profile.id}-{one.start}-{one.size}", machine, one.gpu, own, amounts)


def _device(name: str, machine: Machine, gpu: int, own: Mapping[str, str], amounts: Mapping[str, str]) -> Json:
    texts = {
        **own,
        "productName": machine.product.replace("-", " "),
        "brand": "Nvidia",
        "architecture": machine.model.architecture.capitalize(),
        "resource.kubernetes.io/pciBusID": bus_id(gpu),
    }
    return {
        "name": name,
        "attributes": {key: {"string": text} for key, text in texts.items()},
        "capacity": {key: {"value": amount} for key, amount in amounts.items()},
    }
