"""A cluster as it would be with GPUs divided otherwise."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from scheduler.model.names import NodeName
from scheduler.model.node import MigInstance, Node
from scheduler.model.resources import GPU, MIG_PREFIX, extended
from scheduler.model.snapshot import BASE_RESOURCES, IntTable, Snapshot
from scheduler.planning.repartition.proposal import GpuLayout, NodeChange


def divided_anew(snapshot: Snapshot, changed: Sequence[NodeChange]) -> Snapshot:
    """`snapshot` with the GPUs of these nodes as they are after the changes; nothing that leaves is taken off."""
    columns = snapshot.columns
    gains = {each.node: gain_of(each) for each in changed}
    named = sorted({*columns.resources[len(BASE_RESOURCES) :], *(name for gain in gains.values() for name in gain)})
    resources = (*BASE_RESOURCES, *named)
    at = [resources.index(name) for name in columns.resources]
    tables: list[IntTable] = []
    for known in (columns.allocatable, columns.used):
        table: IntTable = np.zeros((len(known), len(resources)), dtype=np.int64)
        table[:, at] = known
        tables.append(table)
    nodes = dict(snapshot.nodes)
    for each in changed:
        for name, n in gains[each.node].items():
            tables[0][columns.row_of[each.node], resources.index(name)] += n
        nodes[each.node] = _node(nodes[each.node], each, gains[each.node])
    for table in tables:
        table.setflags(write=False)
    return msgspec.structs.replace(
        snapshot,
        static_generation=snapshot.static_generation + 1,
        nodes=nodes,
        columns=msgspec.structs.replace(columns, resources=resources, allocatable=tables[0], used=tables[1]),
    )


def gain_of(change: NodeChange) -> dict[str, int]:
    """What the node advertises more of than before, or less."""
    gain: Counter[str] = Counter()
    for one in change.changes:
        gain.update(advertised(one.after))
        gain.subtract(advertised(one.before))
    return {name: n for name, n in sorted(gain.items()) if n}


def advertised(gpu: GpuLayout) -> Counter[str]:
    """What the device plugin advertises for a GPU with strategy mixed, by resource."""
    if not gpu.divided:
        return Counter({GPU: 1})
    return Counter(MIG_PREFIX + one.profile.replace("+", ".") for one in gpu.instances)


def _node(node: Node, change: NodeChange, gain: dict[str, int]) -> Node:
    divided = {one.after.device: one.after.divided for one in change.changes}
    devices = tuple(
        msgspec.structs.replace(device, mig_enabled=divided.get(device.index, device.mig_enabled))
        for device in node.devices
    )
    counts = dict(node.allocatable.extended)
    for name, n in gain.items():
        counts[name] = counts.get(name, 0) + n
    return msgspec.structs.replace(
        node,
        devices=devices,
        mig_instances=tuple(_instances(node, change)),
        allocatable=msgspec.structs.replace(node.allocatable, extended=extended(counts)),
    )


def _instances(node: Node, change: NodeChange) -> Iterable[MigInstance]:
    changed = {one.after.device for one in change.changes}
    yield from (one for one in node.mig_instances if one.device not in changed)
    for one in change.changes:
        yield from one.after.instances


def free_of(snapshot: Snapshot, node: NodeName, resource: str) -> int:
    """How much of an extended resource a node has free; 0 where nobody has any."""
    columns = snapshot.columns
    if resource not in columns.resources:
        return 0
    return int(columns.free[columns.row_of[node], columns.resources.index(resource)])


def used_of(snapshot: Snapshot, node: NodeName, resource: str) -> int:
    """How much of an extended resource of a node is in use; 0 where nobody has any."""
    columns = snapshot.columns
    if resource not in columns.resources:
        return 0
    return int(columns.used[columns.row_of[node], columns.resources.index(resource)])
