"""The cluster as it would be if some of the pods that stand were gone."""

from collections.abc import Collection

import msgspec

from scheduler.model.names import NodeName, PodUid
from scheduler.model.snapshot import IntTable, Snapshot, amount_of
from scheduler.model.workload import Pod, Workload


def without_pods(snapshot: Snapshot, uids: Collection[PodUid]) -> Snapshot:
    """`snapshot` without these members. Not for pods with parts or slices of GPUs that are divided on demand."""
    gone: dict[NodeName, list[Pod]] = {}
    workloads = dict(snapshot.workloads)
    for key, workload in snapshot.workloads.items():
        leaving = [pod for pod in workload.members if pod.uid in uids]
        if leaving:
            workloads[key] = _less(workload, uids)
        for pod in leaving:
            if pod.node is not None:
                gone.setdefault(pod.node, []).append(pod)
    ports = dict(snapshot.ports_used)
    for name, pods in gone.items():
        left = list(ports.get(name, ()))
        for port in (port for pod in pods for port in pod.shape.host_ports if port in left):
            left.remove(port)
        ports[name] = tuple(left)
    return msgspec.structs.replace(
        snapshot,
        workloads=workloads,
        columns=msgspec.structs.replace(snapshot.columns, used=_used(snapshot, gone)),
        ports_used={name: some for name, some in ports.items() if some},
        devices_used=_devices(snapshot, gone, uids),
        pod_nodes={uid: name for uid, name in snapshot.pod_nodes.items() if uid not in uids},
    )


def _less(workload: Workload, uids: Collection[PodUid]) -> Workload:
    members = tuple(pod for pod in workload.members if pod.uid not in uids)
    return msgspec.structs.replace(workload, members=members)


def _used(snapshot: Snapshot, gone: dict[NodeName, list[Pod]]) -> IntTable:
    columns = snapshot.columns
    used = columns.used.copy()
    for name, pods in gone.items():
        for pod in pods if name in columns.row_of else ():
            for column, resource in enumerate(columns.resources):
                used[columns.row_of[name], column] -= amount_of(pod.shape.requests, resource)
    used.setflags(write=False)
    return used


def _devices(
    snapshot: Snapshot, gone: dict[NodeName, list[Pod]], uids: Collection[PodUid]
) -> dict[NodeName, frozenset[int]]:
    """The GPUs that stay taken. Of pods whose GPUs are not known, the last of those that nobody is known to hold go."""
    taken = dict(snapshot.devices_used)
    held: dict[NodeName, set[int]] = {}
    for workload in snapshot.workloads.values():
        for pod in workload.members:
            if pod.node is not None and pod.node in gone and pod.uid not in uids:
                held.setdefault(pod.node, set()).update(pod.devices)
    for name, pods in gone.items():
        there = taken.get(name, frozenset[int]()).difference(*(pod.devices for pod in pods))
        unknown = sum(max(0, pod.shape.requests.gpus - len(pod.devices)) for pod in pods)
        if unknown and name in snapshot.nodes:
            usable = {d.index for d in snapshot.nodes[name].devices if d.healthy and not d.mig_enabled}
            order = sorted(there - held.get(name, set()), key=lambda index: (index not in usable, index))
            there -= set(order[len(order) - min(unknown, len(order)) :])
        taken[name] = there
    return {name: devices for name, devices in taken.items() if devices}
