"""Node objects of a fleet, as kubelets, the device plugin and GPU feature discovery would make them."""

from collections import Counter
from collections.abc import Iterator, Mapping

from scheduler.localcluster.api import Json
from scheduler.localcluster.build import KUBERNETES_VERSION
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.machines import Machine, profiles

FAKE = {"kwok.x-k8s.io/node": "fake"}
"""The annotation by which KWOK knows the nodes that it plays."""

_RACK = "fabric.topograph.run/tier-0"
_BLOCK = "fabric.topograph.run/tier-1"
"""Labels of NVIDIA topograph v1; tier 0 is nearest to the node."""

_RESERVED_MIB = 1024
"""Memory that a kubelet keeps back for the system, so that allocatable is less than capacity as on real nodes."""

_CONDITIONS = {
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}


def names(group: Group) -> list[str]:
    """The names of the group's nodes."""
    return [f"{group.name}-{index}" for index in range(group.count)]


def nodes(fleet: Fleet, *, now: str) -> Iterator[Json]:
    """All Node objects, ready since `now` (RFC 3339)."""
    for group in fleet.groups:
        for name in names(group):
            yield _node(group, name, now)


def _node(group: Group, name: str, now: str) -> Json:
    machine = group.machine_type()
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        **_place_labels(group),
        **(_gpu_labels(group, machine) if machine else {}),
        **group.labels,
    }
    capacity = _capacity(group, machine)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": FAKE},
        "spec": {"taints": [{"key": t.key, "value": t.value, "effect": t.effect} for t in group.taints]},
        "status": {
            "capacity": capacity,
            "allocatable": {**capacity, "memory": f"{_memory_mib(group, machine) - _RESERVED_MIB}Mi"},
            "addresses": [{"type": "Hostname", "address": name}],
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
                for kind, (status, reason, message) in _CONDITIONS.items()
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "",
                "kernelVersion": "",
                "kubeProxyVersion": "",
                "kubeletVersion": KUBERNETES_VERSION,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "",
                "systemUUID": "",
            },
        },
    }


def _place_labels(group: Group) -> Mapping[str, str]:
    places = {_RACK: group.rack, _BLOCK: group.block, "topology.kubernetes.io/zone": group.zone}
    places["node.kubernetes.io/instance-type"] = group.machine
    return {key: value for key, value in places.items() if value}


def _memory_mib(group: Group, machine: Machine | None) -> int:
    return 1024 * (group.memory_gib or (machine.memory_gib if machine else 0))


def _capacity(group: Group, machine: Machine | None) -> Json:
    capacity: Json = {
        "cpu": str(group.cpu or (machine.cpu if machine else 0)),
        "memory": f"{_memory_mib(group, machine)}Mi",
        "ephemeral-storage": f"{group.ephemeral_gib}Gi",
        "pods": str(group.pods),
    }
    if machine and not group.dra:
        slices = group.slices()
        capacity["nvidia.com/gpu"] = str(machine.gpus - len({s.gpu for s in slices}))
        counts = Counter(s.profile for s in slices)
        capacity |= {f"nvidia.com/mig-{profile}": str(count) for profile, count in counts.items()}
    return capacity


def _gpu_labels(group: Group, machine: Machine) -> Mapping[str, str]:
    major, _, minor = machine.compute.partition(".")
    slices = group.slices()
    own = {
        "present": "true",
        "product": machine.product,
        "count": machine.gpus,
        "memory": machine.memory_mib,
        "family": machine.family,
        "machine": group.machine,
        "compute.major": major,
        "compute.minor": minor,
        "replicas": 0 if len({s.gpu for s in slices}) == machine.gpus else 1,
        "sharing-strategy": "none",
        "mode": "compute",
    }
    labels = {f"nvidia.com/gpu.{key}": str(value) for key, value in own.items()}
    labels["nvidia.com/mig.capable"] = str(machine.mig).lower()
    labels["nvidia.com/mig.strategy"] = "mixed" if slices else "single"
    for name, count in Counter(s.profile for s in slices).items():
        profile = profiles(machine)[name]
        values = {
            "count": count,
            "product": f"{machine.product}-MIG-{name}",
            "memory": profile.memory_mib,
            "replicas": 1,
            "sharing-strategy": "none",
            "slices.gi": profile.compute,
            "slices.ci": profile.compute,
        }
        labels |= {f"nvidia.com/mig-{name}.{key}": str(value) for key, value in values.items()}
    return labels
