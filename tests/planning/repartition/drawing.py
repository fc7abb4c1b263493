"""Nodes whose GPUs are divided beforehand, from drawings."""

from collections import Counter

from msgspec.structs import replace

from scheduler.model.node import Device, MigInstance, Node
from scheduler.model.resources import GPU, MIG_PREFIX, Resources, extended
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from tests.planning.build import node, queue, snapshot

SMALL, MIDDLE, LARGE = "1g.10gb", "2g.20gb", "3g.40gb"
SIZES = {"1": SMALL, "2": MIDDLE, "3": LARGE, "4": "4g.40gb", "7": "7g.80gb"}
UNITS = {"1": 1, "2": 2, "3": 4, "4": 4, "7": 8}
HELD = "bayplan.dev/held"
"""Label of a drawn node: the whole GPUs of it that somebody holds."""


def drawn(name: str, *gpus: str, milli_cpu: int = 64_000) -> Node:
    """A node of H100s. `.`: whole and free, `#`: whole and held; `32`: slices by compute, `1#1`: the first in use."""
    instances: list[MigInstance] = []
    counts: Counter[str] = Counter()
    for index, gpu in enumerate(gpus):
        counts[GPU] += gpu in {".", "#"}
        start = 0
        for at, sign in enumerate(gpu):
            if sign in SIZES:
                in_use = gpu[at + 1 : at + 2] == "#"
                instances.append(MigInstance(device=index, profile=SIZES[sign], start=start, in_use=in_use))
                counts[MIG_PREFIX + SIZES[sign]] += 1
                start += UNITS[sign]
    made = node(
        name,
        gpus=len(gpus),
        labels={HELD: ",".join(str(index) for index, gpu in enumerate(gpus) if gpu == "#")},
        mig_strategy="mixed",
        mig_instances=tuple(instances),
        allocatable=Resources(milli_cpu=milli_cpu, memory_bytes=2**40, pods=110, extended=extended(counts)),
    )
    model = "NVIDIA-H100-80GB-HBM3"
    devices = (Device(index=i, model=model, mig_enabled=gpu not in {".", "#"}) for i, gpu in enumerate(gpus))
    return replace(made, devices=tuple(devices))


def cluster(nodes: list[Node], *workloads: Workload) -> Snapshot:
    """The snapshot: what the drawings say is in use counts as used by others."""
    used = {
        n.name: Resources(extended=extended(Counter(MIG_PREFIX + one.profile for one in n.mig_instances if one.in_use)))
        for n in nodes
    }
    held = {str(n.name): [int(index) for index in n.labels[HELD].split(",") if index] for n in nodes}
    return snapshot(
        nodes, workloads, queues=[queue(nominal=1000)], held=held, used={str(k): v for k, v in used.items()}
    )
