"""ResourceSlices of nodes whose GPUs are claimed, as NVIDIA's driver for dynamic resource allocation publishes them.

Attributes and capacities are those of k8s-dra-driver-gpu for whole GPUs; uuids and PCI addresses those that the
exporter reports of the same simulated machine.
"""

from collections.abc import Iterator

from scheduler.exporter.simulated.node import bus_id, stable_uuid
from scheduler.localcluster.api import Json
from scheduler.localcluster.fleet import Fleet
from scheduler.localcluster.machines import Machine
from scheduler.localcluster.nodes import names

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
                    "devices": [_gpu(name, machine, index, shared=group.shared) for index in range(machine.gpus)],
                },
            }


def _gpu(node: str, machine: Machine, index: int, *, shared: bool) -> Json:
    texts = {
        "type": "gpu",
        "uuid": stable_uuid("GPU", node, index),
        "productName": machine.product.replace("-", " "),
        "brand": "Nvidia",
        "architecture": machine.model.architecture.capitalize(),
        "resource.kubernetes.io/pciBusID": bus_id(index),
    }
    memory = f"{machine.model.memory_mib}Mi"
    policy = {"requestPolicy": {"default": memory, "validRange": {"min": "1Gi"}}} if shared else {}
    return {
        "name": f"gpu-{index}",
        "attributes": {name: {"string": text} for name, text in texts.items()},
        "capacity": {"memory": {"value": memory, **policy}},
        **({"allowMultipleAllocations": True} if shared else {}),
    }
