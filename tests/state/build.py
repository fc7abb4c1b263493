"""Short ways to write a cluster down."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from scheduler.model.claims import Capacity, ClaimRequest, DeviceName, Offered, Part, PodClaim
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Device, MigInstance, Node
from scheduler.model.plan import Assignment
from scheduler.model.queue import Queue
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX, Resources, extended
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import GangClaim, Pod, PodShape
from scheduler.state.cluster import ClusterState
from scheduler.state.events import (
    ClaimSeen,
    DevicesSeen,
    Event,
    JobSeen,
    NodeSeen,
    PodSeen,
    QueueSeen,
    Reserved,
    SliceSeen,
)

N1, N2, N3 = NodeName("n1"), NodeName("n2"), NodeName("n3")


Thing = Event | Node | Pod | Queue
"""An event, or what stands for having been seen."""


def shape(gpus: int = 1, *, milli_cpu: int = 1000, **fields: object) -> PodShape:
    requests = Resources(milli_cpu=milli_cpu, pods=1, extended=extended({GPU: gpus}))
    return replace(PodShape(requests=requests), **fields)


def part(milli: int, number: int = 1, **fields: object) -> PodShape:
    """A part of `milli` of `number` GPUs."""
    requests = Resources(pods=1, extended=extended({GPU_SHARED: number}))
    return replace(PodShape(requests=requests, share_milli=milli), **fields)


def sliced(profile: str, number: int = 1) -> PodShape:
    return PodShape(requests=Resources(pods=1, extended=extended({MIG_PREFIX + profile: number})))


def mig(device: int, profile: str, start: int, **fields: bool) -> MigInstance:
    return MigInstance(device=device, profile=profile, start=start, **fields)


def pod(name: str, *, gpus: int = 1, gang: str | None = None, size: int | None = None, **fields: object) -> Pod:
    """A managed pod `a/<name>`; uid as its name."""
    claim = GangClaim(name=gang, size=size) if gang else None
    plain = Pod(uid=PodUid(name), namespace="a", name=name, shape=shape(gpus), ours=True, managed=True, gang=claim)
    return replace(plain, **fields)


def foreign(name: str, **fields: object) -> Pod:
    """A pod of another scheduler."""
    return replace(Pod(uid=PodUid(name), namespace="a", name=name, shape=shape(0)), **fields)


def job(uid: str = "j", **fields: object) -> JobSeen:
    return replace(JobSeen(uid=uid, namespace="a", name=uid), **fields)


def node(name: str = "n1", *, gpus: int = 8, **fields: object) -> Node:
    allocatable = Resources(milli_cpu=64_000, memory_bytes=2**40, pods=110, extended=extended({GPU: gpus}))
    return replace(Node(name=NodeName(name), allocatable=allocatable), **fields)


def report(name: str = "n1", *, gpus: int = 8, sick: Iterable[int] = (), **held: tuple[int, ...]) -> DevicesSeen:
    """A report on the GPUs of a node; `held` names pods of namespace a."""
    devices = tuple(Device(index=i, uuid=f"GPU-{i}", healthy=i not in sick) for i in range(gpus))
    holdings = tuple((f"a/{p}", indexes) for p, indexes in held.items())
    return DevicesSeen(node=NodeName(name), machine="", devices=devices, held=holdings)


GPU_NAMES = "gpu.nvidia.com"


def gpu_name(node_name: str, device: int | str) -> DeviceName:
    """GPU `device` of a node, as slices and claims call it."""
    return DeviceName(driver=GPU_NAMES, pool=node_name, device=f"gpu-{device}")


def offer(
    name: str = "n1", *, gpus: int | Iterable[int] = 8, sick: Iterable[int] = (), generation: int = 1, slices: int = 1
) -> SliceSeen:
    """A ResourceSlice with GPUs of a node, those that `report` tells of."""
    numbers = range(gpus) if isinstance(gpus, int) else sorted(gpus)
    return SliceSeen(
        uid=f"{name}-{'-'.join(map(str, numbers))}-{generation}",
        name=f"{name}-slice-{generation}-{'-'.join(map(str, numbers))}",
        driver=GPU_NAMES,
        pool=name,
        generation=generation,
        slices=slices,
        node=NodeName(name),
        devices=tuple(
            Offered(name=f"gpu-{i}", uuid=f"GPU-{i}", address=f"0000:{i:02x}:00.0", usable=i not in sick)
            for i in numbers
        ),
    )


PLACES = {"1g.10gb": ((0, 1, 2, 3, 4, 5, 6), 1), "3g.40gb": ((0, 4), 4), "7g.80gb": ((0,), 8)}
"""Of some MIG profiles of an A100 where slices may begin, and their size."""


def sliceable(name: str = "n1", *, gpus: int = 2, **fields: object) -> SliceSeen:
    """As `offer`, of GPUs whose slices are made as they are claimed."""
    whole = offer(name, gpus=gpus)
    slices = tuple(
        Offered(name=slice_name("", gpu, profile, start).device, kind="mig", parent=f"gpu-{gpu}", profile=profile)
        for gpu in range(gpus)
        for profile, (starts, _) in PLACES.items()
        for start in starts
    )
    placed = tuple(
        replace(one, start=int(one.name.rpartition("-")[2]), size=PLACES[one.profile][1], engines=(0, 0, 0, 0))
        for one in slices
    )
    gpus_of = tuple(replace(gpu, model="NVIDIA A100-SXM4-80GB") for gpu in whole.devices)
    return replace(replace(whole, devices=(*gpus_of, *placed)), **fields)


def slice_name(node_name: str, gpu: int, profile: str, start: int) -> DeviceName:
    """How a slice of `sliceable` is claimed."""
    return DeviceName(driver=GPU_NAMES, pool=node_name, device=f"gpu-{gpu}-mig-{profile}-0-{start}")


MADE = {0: (("3g.40gb", 4), ("1g.10gb", 0), ("1g.10gb", 1)), 1: (("1g.10gb", 0),)}
"""Of some GPUs the slices that were made of each."""


def presliced(
    name: str = "n1",
    made: Mapping[int, Sequence[tuple[str, int]]] = MADE,
    *,
    whole: Iterable[int] = (),
    sick: Iterable[tuple[int, str, int]] = (),
) -> SliceSeen:
    """As `offer`, of the slices that were made of GPUs beforehand, and of GPUs that are `whole`."""
    slices = tuple(
        Offered(
            name=made_name("", gpu, profile, start).device,
            kind="mig",
            uuid=f"MIG-{gpu}-{start}",
            model="NVIDIA A100-SXM4-80GB",
            address=f"0000:{gpu:02x}:00.0",
            usable=(gpu, profile, start) not in sick,
            parent=f"GPU-{gpu}",
            profile=profile,
            start=start,
            size=PLACES[profile][1],
            made=True,
        )
        for gpu, there in made.items()
        for profile, start in there
    )
    seen = offer(name, gpus=whole)
    gpus = tuple(replace(gpu, model="NVIDIA A100-SXM4-80GB") for gpu in seen.devices)
    return replace(seen, uid=f"{name}-made", name=f"{name}-made", devices=(*gpus, *slices))


def made_name(node_name: str, gpu: int, profile: str, start: int) -> DeviceName:
    """How a slice of `presliced` is claimed."""
    return DeviceName(driver=GPU_NAMES, pool=node_name, device=f"gpu-{gpu}-mig-{profile}-{start}-made")


def slice_claim(name: str, profile: str, *devices: DeviceName, count: int = 1) -> ClaimSeen:
    """A claim `a/<name>` for MIG slices."""
    asked = ClaimRequest(name="slices", resource=MIG_PREFIX + profile, count=count)
    return replace(claim(name, *devices), requests=(asked,))


def claim(name: str, *devices: DeviceName, gpus: int = 1, ours: bool = True, **fields: object) -> ClaimSeen:
    """A claim `a/<name>` for whole GPUs, with the `devices` that it has."""
    asked = (ClaimRequest(name="gpus", resource=GPU, count=gpus),) if ours else ()
    plain = ClaimSeen(uid=f"claim-{name}", namespace="a", name=name, ours=ours, requests=asked, allocated=devices)
    return replace(plain, **fields)


GIB = 1 << 30
MEMORY = Capacity(name="memory", total=80 * GIB, default=10 * GIB, least=5 * GIB, step=5 * GIB)


def sharing(name: str = "n1", *capacities: Capacity, gpus: int = 2, model: str = "", **fields: object) -> SliceSeen:
    """As `offer`, of GPUs that claims share; without `capacities` those of `MEMORY`."""
    whole = offer(name, gpus=gpus)
    ways = capacities or (MEMORY,)
    memory_mib = max((c.total for c in ways if c.name == "memory"), default=0) >> 20
    shared = (
        replace(gpu, shared=True, capacities=ways, memory_mib=memory_mib, model=model, **fields)
        for gpu in whole.devices
    )
    return replace(whole, devices=tuple(shared))


def part_claim(name: str, gib: int = 0, *devices: DeviceName, has: int = 0, **fields: object) -> ClaimSeen:
    """A claim `a/<name>` for so much of the memory of a GPU (0: it names none); `has`: how much of `devices`."""
    capacity = (("memory", gib * GIB),) if gib else ()
    asked = ClaimRequest(name="gpus", resource=GPU_SHARED if gib else GPU, count=1, capacity=capacity)
    parts = tuple(Part(device=device, amounts=(("memory", (has or gib) * GIB),)) for device in devices)
    return replace(claim(name, *devices), **{"requests": (asked,), "parts": parts, **fields})


def claiming(name: str, *claims: str, shared: bool = False, **fields: object) -> Pod:
    """A managed pod `a/<name>` that names claims and asks for no GPUs otherwise; "" is one not made yet."""
    named = tuple(PodClaim(name=f"c{i}", claim=c, uid="", requests=(), shared=shared) for i, c in enumerate(claims))
    return replace(pod(name, gpus=0, claims=named), **fields)


def queue(name: str = "default", *namespaces: str) -> Queue:
    return Queue(name=QueueName(name), namespaces=namespaces)


def reserved(key: str, *assignments: tuple[str, str, tuple[int, ...]], milli_gpu: int = 0) -> Reserved:
    """A plan of workload `key` in flight: pod, node, GPU indexes."""
    return Reserved(
        workload=WorkloadKey(key),
        queue=QueueName("default"),
        assignments=tuple(Assignment(pod=PodUid(p), node=NodeName(n), devices=d) for p, n, d in assignments),
        milli_gpu=milli_gpu,
        priority=0,
        now_s=0,
    )


def event_of(thing: Thing) -> Event:
    match thing:
        case Node():
            return NodeSeen(node=thing)
        case Pod():
            return PodSeen(pod=thing)
        case Queue():
            return QueueSeen(queue=thing)
        case _:
            return thing


def state_of(*things: Thing) -> ClusterState:
    state = ClusterState()
    for thing in things:
        state.apply(event_of(thing))
    return state


def used(snapshot: Snapshot, node_name: str, resource: str = GPU) -> int:
    columns = snapshot.columns
    return int(columns.used[columns.row_of[NodeName(node_name)], columns.resources.index(resource)])


def allocatable(snapshot: Snapshot, node_name: str, resource: str = GPU) -> int:
    columns = snapshot.columns
    return int(columns.allocatable[columns.row_of[NodeName(node_name)], columns.resources.index(resource)])


def content(snapshot: Snapshot) -> dict[str, object]:
    """All of a snapshot but its generations, in a form that compares by value."""
    whole = {f: getattr(snapshot, f) for f in snapshot.__struct_fields__ if not f.endswith("generation")}
    columns = msgspec.structs.asdict(snapshot.columns)
    tables = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in columns.items()}
    return {**whole, "columns": tables}
