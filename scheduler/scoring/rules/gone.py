"""The cluster as it would be if some of the pods that stand were gone."""

from collections.abc import Collection, Iterable

import msgspec

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.snapshot import IntTable, Snapshot, amount_of
from scheduler.model.workload import Pod, Workload


def leaving(
    snapshot: Snapshot, uids: Collection[PodUid], likely: Iterable[WorkloadKey] = ()
) -> dict[WorkloadKey, list[Pod]]:
    """The members of these uids by workload; `likely` are workloads to look in before all others."""
    found: dict[WorkloadKey, list[Pod]] = {}
    for keys in (dict.fromkeys(likely), snapshot.workloads):
        for key in keys:
            workload = snapshot.workloads.get(key)
            some = [] if workload is None else [pod for pod in workload.members if pod.uid in uids]
            if some:
                found[key] = some
        if sum(map(len, found.values())) == len(uids):
            break
    return found


def without_pods(snapshot: Snapshot, uids: Collection[PodUid], likely: Iterable[WorkloadKey] = ()) -> Snapshot:
    """`snapshot` without these members. Not for pods with parts or slices of GPUs that are divided on demand.

    `likely`: workloads that they are probably of.
    """
    gone: dict[NodeName, list[Pod]] = {}
    workloads = dict(snapshot.workloads)
    for key, pods in leaving(snapshot, uids, likely).items():
        workloads[key] = _less(workloads[key], uids)
        for pod in pods:
            if pod.node is not None:
                gone.setdefault(pod.node, []).append(pod)
    ports = dict(snapshot.ports_used)
    for name, pods in gone.items():
        left = list(ports.get(name, ()))
        for port in (port for pod in pods for port in pod.shape.host_ports if port in left):
            left.remove(port)
        ports[name] = tuple(left)
    stands = dict(snapshot.pod_nodes)
    for uid in uids:
        stands.pop(uid, None)
    return msgspec.structs.replace(
        snapshot,
        workloads=workloads,
        columns=msgspec.structs.replace(snapshot.columns, used=_used(snapshot, gone)),
        ports_used={name: some for name, some in ports.items() if some},
        devices_used=_devices(snapshot, gone, uids),
        pod_nodes=stands,
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
    held: dict[NodeName, set[int]] | None = None
    for name, pods in gone.items():
        there = taken.get(name, frozenset[int]()).difference(*(pod.devices for pod in pods))
        unknown = sum(max(0, pod.shape.requests.gpus - len(pod.devices)) for pod in pods)
        if there and unknown and name in snapshot.nodes:
            held = _held(snapshot, gone, uids) if held is None else held
            usable = {d.index for d in snapshot.nodes[name].devices if d.healthy and not d.mig_enabled}
            order = sorted(there - held.get(name, set()), key=lambda index: (index not in usable, index))
            there -= set(order[len(order) - min(unknown, len(order)) :])
        taken[name] = there
    return {name: devices for name, devices in taken.items() if devices}


def _held(snapshot: Snapshot, nodes: Collection[NodeName], without: Collection[PodUid]) -> dict[NodeName, set[int]]:
    """The GPUs of these nodes that members are known to hold."""
    held: dict[NodeName, set[int]] = {}
    for workload in snapshot.workloads.values():
        for pod in workload.members:
            if pod.node is not None and pod.node in nodes and pod.uid not in without:
                held.setdefault(pod.node, set()).update(pod.devices)
    return held
