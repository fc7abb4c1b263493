"""The cluster as it would be if some of the work that runs had left its nodes and waited again."""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.snapshot import IntTable, Snapshot, amount_of
from scheduler.model.workload import Pod, Workload


def lifted(snapshot: Snapshot, keys: Iterable[WorkloadKey], closed: Collection[NodeName] = ()) -> Snapshot:
    """`snapshot` with all pods of the workloads `keys` off their nodes, waiting to be placed whole.

    The workloads consist of just these pods then, and may not go to the nodes `closed`.
    """
    workloads = dict(snapshot.workloads)
    standing = dict(snapshot.pod_nodes)
    left: dict[NodeName, list[Pod]] = {}
    for key in keys:
        pods = workloads[key].placed
        workloads[key] = _waiting(workloads[key], pods, closed)
        for pod in pods:
            standing.pop(pod.uid, None)
            if pod.node is not None:
                left.setdefault(pod.node, []).append(pod)
    return msgspec.structs.replace(
        snapshot,
        workloads=workloads,
        columns=msgspec.structs.replace(snapshot.columns, used=_used(snapshot, left)),
        ports_used={
            name: tuple(p for p in ports if not any(p in pod.shape.host_ports for pod in left.get(name, ())))
            for name, ports in snapshot.ports_used.items()
        },
        devices_used=_devices(snapshot, left),
        pod_nodes=standing,
    )


def _waiting(workload: Workload, pods: Sequence[Pod], closed: Collection[NodeName]) -> Workload:
    members = tuple(
        msgspec.structs.replace(pod, node=None, bound_s=None, nominated_node=None, devices=(), gated=True)
        for pod in pods
    )
    return msgspec.structs.replace(
        workload,
        members=members,
        size=len(members),
        min_member=len(members),
        avoid=workload.avoid.union(closed),
    )


def _used(snapshot: Snapshot, left: dict[NodeName, list[Pod]]) -> IntTable:
    columns = snapshot.columns
    used = columns.used.copy()
    for name, pods in left.items():
        for pod in pods:
            for column, resource in enumerate(columns.resources):
                used[columns.row_of[name], column] -= amount_of(pod.shape.requests, resource)
    used.setflags(write=False)
    return used


def _devices(snapshot: Snapshot, left: dict[NodeName, list[Pod]]) -> dict[NodeName, frozenset[int]]:
    """The GPUs that stay taken. Of pods whose GPUs are not known, the last of those that nobody is known to hold go."""
    taken = dict(snapshot.devices_used)
    gone = {pod.uid for pods in left.values() for pod in pods}
    known: dict[NodeName, set[int]] | None = None
    for name, pods in left.items():
        there = taken.get(name, frozenset[int]())
        there = there.difference(*(pod.devices for pod in pods))
        unknown = sum(max(0, pod.shape.requests.gpus - len(pod.devices)) for pod in pods)
        if unknown:
            if known is None:
                known = _known(snapshot, gone)
            healthy = {d.index: d.healthy for d in snapshot.nodes[name].devices}
            order = sorted(there - known.get(name, set()), key=lambda i: (not healthy.get(i, True), i))
            there -= set(order[len(order) - min(unknown, len(order)) :])
        taken[name] = there
    return {name: devices for name, devices in taken.items() if devices}


def _known(snapshot: Snapshot, gone: Collection[PodUid]) -> dict[NodeName, set[int]]:
    """The GPUs that members which stay are known to hold."""
    known: dict[NodeName, set[int]] = {}
    for workload in snapshot.workloads.values():
        for pod in workload.members:
            if pod.node is not None and pod.devices and pod.uid not in gone:
                known.setdefault(pod.node, set()).update(pod.devices)
    return known
