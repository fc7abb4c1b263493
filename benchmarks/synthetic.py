"""Big snapshots made quickly: racks in blocks, whole-GPU nodes, and holes as a busy cluster has them."""

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

import msgspec
import numpy as np

from scheduler.model.names import NodeName, PodUid, QueueName, gang_key, pod_key
from scheduler.model.node import Device, Node, TopologyLevel
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.snapshot import BASE_RESOURCES, Columns, Snapshot
from scheduler.model.workload import Pod, PodShape, Workload

LEVELS = (
    TopologyLevel(name="block", label="example.com/block"),
    TopologyLevel(name="rack", label="example.com/rack"),
)
QUEUE = QueueName("team")
RACK_NODES = 16
BLOCK_NODES = 256
NODE_GPUS = 8
NODE_CPU_MILLI = 192_000
NODE_MEMORY_BYTES = 2 << 40
POD_CPU_MILLI = 2_000
POD_MEMORY_BYTES = 16 << 30

WHOLE_FREE = 0.15
"""Share of nodes with every GPU free; with `PARTLY_FREE` a cluster is 70 % full in the mean."""

PARTLY_FREE = 0.35
"""Share of nodes with 1 to 7 GPUs free, each number as likely."""


@cache
def nodes(count: int) -> tuple[Mapping[NodeName, Node], Columns]:
    """`count` nodes of 8 GPUs by name, and their tables with nothing in use."""
    devices = tuple(Device(index=i) for i in range(NODE_GPUS))
    allocatable = Resources(
        milli_cpu=NODE_CPU_MILLI, memory_bytes=NODE_MEMORY_BYTES, pods=110, extended=extended({GPU: NODE_GPUS})
    )
    made: dict[NodeName, Node] = {}
    for i in range(count):
        name = NodeName(f"gpu-pool-h100-{i:05}.example.internal")
        labels = {
            "kubernetes.io/hostname": name,
            LEVELS[0].label: f"block-{i // BLOCK_NODES:03}",
            LEVELS[1].label: f"rack-{i // RACK_NODES:04}",
        }
        made[name] = Node(
            name=name,
            uid=name,
            labels=labels,
            allocatable=allocatable,
            product="NVIDIA-H100-80GB-HBM3",
            devices=devices,
        )
    row = [NODE_CPU_MILLI, NODE_MEMORY_BYTES, 0, 110, NODE_GPUS]
    table = np.tile(np.array(row, dtype=np.int64), (count, 1))
    return made, Columns(
        names=tuple(made),
        row_of={name: at for at, name in enumerate(made)},
        resources=(*BASE_RESOURCES, GPU),
        allocatable=table,
        used=np.zeros_like(table),
        usable=np.ones(count, dtype=np.bool_),
    )


def holes(count: int, seed: int) -> list[int]:
    """How many GPUs are in use on each node of a cluster that is 70 % full."""
    chance = Random(seed)
    busy: list[int] = []
    for _ in range(count):
        draw = chance.random()
        if draw < WHOLE_FREE:
            busy.append(0)
        elif draw < WHOLE_FREE + PARTLY_FREE:
            busy.append(NODE_GPUS - chance.randint(1, NODE_GPUS - 1))
        else:
            busy.append(NODE_GPUS)
    return busy


def snapshot(busy: Sequence[int], workloads: Sequence[Workload], *, generation: int = 1) -> Snapshot:
    """A cluster of `len(busy)` nodes with so many GPUs in use on each, held by one pod a GPU."""
    made, columns = nodes(len(busy))
    gpus = np.array(busy, dtype=np.int64)
    each = np.array([POD_CPU_MILLI, POD_MEMORY_BYTES, 0, 1, 1], dtype=np.int64)
    taken = [frozenset(range(n)) for n in range(NODE_GPUS + 1)]
    unlimited = Queue(name=QUEUE, total=Quota(nominal_milli_gpu=1000 * NODE_GPUS * len(busy)))
    return Snapshot(
        generation=generation,
        static_generation=1,
        nodes=made,
        columns=msgspec.structs.replace(columns, used=gpus[:, None] * each),
        workloads={w.key: w for w in workloads},
        queues={QUEUE: unlimited},
        topology=LEVELS,
        devices_used={name: taken[n] for name, n in zip(columns.names, busy, strict=True) if n},
    )


def shape(gpus: int) -> PodShape:
    """A pod with `gpus` GPUs and their share of CPU and memory."""
    requests = Resources(
        milli_cpu=POD_CPU_MILLI * max(gpus, 1),
        memory_bytes=POD_MEMORY_BYTES * max(gpus, 1),
        pods=1,
        extended=extended({GPU: gpus}),
    )
    return PodShape(requests=requests)


def gang(name: str, shapes: Sequence[PodShape], *, required: str | None = None, created_s: int = 0) -> Workload:
    """A gang that waits whole."""
    members = tuple(
        Pod(uid=PodUid(f"{name}-{i}"), namespace="team", name=f"{name}-{i}", shape=each, managed=True, index=i)
        for i, each in enumerate(shapes)
    )
    return Workload(
        key=gang_key("team", name),
        is_gang=True,
        queue=QUEUE,
        size=len(members),
        min_member=len(members),
        priority=0,
        created_s=created_s,
        members=members,
        topology_required=required,
    )


def singles(count: int, each: PodShape) -> list[Workload]:
    """Equal pods that stand alone."""
    return [
        Workload(
            key=pod_key("team", f"one-{i:05}"),
            is_gang=False,
            queue=QUEUE,
            size=1,
            min_member=1,
            priority=0,
            created_s=i,
            members=(Pod(uid=PodUid(f"one-{i:05}"), namespace="team", name=f"one-{i:05}", shape=each, managed=True),),
        )
        for i in range(count)
    ]
