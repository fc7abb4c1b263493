"""Snapshots for tests, from drawings of nodes and a few words on what waits.

A drawing has a line a node: where it stands, its name, and a sign a GPU: `#` held by somebody, `.` free, `x` unhealthy.
`b0/r1 n4: ##.. ..x.` is node n4 in block b0 and rack r1; `-` in place of a domain: the label is missing.
"""

# ruff: noqa: ANN401, PLR0913  fields of records are passed on by keyword

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from scheduler.model.demand import Kind
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey, gang_key, pod_key
from scheduler.model.node import Device, Node, TopologyLevel
from scheduler.model.plan import Admit, Offer, Plan, Reclaim, RollBack, Wait
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, MIG_PREFIX, Resources, extended, plus
from scheduler.model.snapshot import BASE_RESOURCES, Columns, InFlight, Snapshot
from scheduler.model.workload import HostPort, Pod, PodShape, Workload
from scheduler.state.devices import ailing_of

LEVELS = (TopologyLevel(name="block", label="b"), TopologyLevel(name="rack", label="r"))
A = QueueName("a")
CPU_MILLI = 64_000
MEMORY_BYTES = 512 << 30


def node(
    name: str,
    gpus: int = 8,
    *,
    product: str = "NVIDIA-H100-80GB-HBM3",
    labels: Mapping[str, str] | None = None,
    unhealthy: Iterable[int] = (),
    suspect: Iterable[int] = (),
    mig: Mapping[str, int] | None = None,
    **more: Any,
) -> Node:
    """A node with `gpus` known devices; `allocatable` counts all of them, healthy or not."""
    counts = {GPU: gpus, **{MIG_PREFIX + profile: n for profile, n in (mig or {}).items()}}
    sick, odd = set(unhealthy), set(suspect)
    return Node(
        name=NodeName(name),
        uid=name,
        labels={"kubernetes.io/hostname": name, **(labels or {})},
        allocatable=more.pop(
            "allocatable",
            Resources(milli_cpu=CPU_MILLI, memory_bytes=MEMORY_BYTES, pods=110, extended=extended(counts)),
        ),
        product=product if gpus or mig else "",
        devices=tuple(Device(index=i, healthy=i not in sick, suspect=i in odd) for i in range(gpus)),
        **more,
    )


def shape(
    gpus: int = 1, *, milli_cpu: int = 100, memory_bytes: int = 0, mig: str | None = None, **more: Any
) -> PodShape:
    """A pod's shape that asks for `gpus` whole GPUs, or one slice of the profile `mig`."""
    counts = {GPU: gpus} if mig is None else {MIG_PREFIX + mig: 1}
    requests = Resources(milli_cpu=milli_cpu, memory_bytes=memory_bytes, pods=1, extended=extended(counts))
    return PodShape(requests=requests, **more)


def pods(name: str, shapes: Sequence[PodShape], *, on: Sequence[str | None] = (), **more: Any) -> tuple[Pod, ...]:
    """Pods `name-0`, `name-1` … of the given shapes; `on[i]` is where the i-th stands."""
    nodes = [*on, *([None] * (len(shapes) - len(on)))]
    return tuple(
        Pod(
            uid=PodUid(f"{name}-{i}"),
            namespace="team",
            name=f"{name}-{i}",
            shape=each,
            managed=True,
            gated=at is None,
            index=i,
            node=None if at is None else NodeName(at),
            **more,
        )
        for i, (each, at) in enumerate(zip(shapes, nodes, strict=True))
    )


def gang(name: str, members: Sequence[Pod], *, least: int | None = None, **more: Any) -> Workload:
    """A gang of `members`; `least` of them have to stand together, all where it is left out."""
    size = more.pop("size", len(members))
    return Workload(
        key=gang_key("team", name),
        is_gang=True,
        queue=more.pop("queue", A),
        size=size,
        min_member=size if least is None else least,
        priority=more.pop("priority", 0),
        created_s=more.pop("created_s", 0),
        members=tuple(members),
        **more,
    )


def equal(name: str, count: int, gpus: int = 8, **more: Any) -> Workload:
    """A waiting gang of `count` pods with `gpus` GPUs each."""
    return gang(name, pods(name, [shape(gpus)] * count), **more)


def single(name: str, each: PodShape | None = None, *, on: str | None = None, **more: Any) -> Workload:
    """A pod that stands alone."""
    (pod,) = pods(name, [each or shape()], on=[on])
    pod = msgspec.structs.replace(pod, name=name)
    return Workload(
        key=pod_key("team", name),
        is_gang=False,
        queue=more.pop("queue", A),
        size=1,
        min_member=1,
        priority=more.pop("priority", 0),
        created_s=more.pop("created_s", 0),
        members=(pod,),
        **more,
    )


def queue(
    name: str = "a", *, nominal: int = 0, borrow: int | None = None, flavors: Mapping[str, int] | None = None
) -> Queue:
    """A queue that owns `nominal` GPUs and may borrow `borrow`; `flavors` are hard limits per model, in GPUs."""
    limit = None if borrow is None else 1000 * borrow
    limits = tuple(
        (f, Quota(nominal_milli_gpu=1000 * n, borrowing_limit_milli_gpu=0)) for f, n in (flavors or {}).items()
    )
    total = Quota(nominal_milli_gpu=1000 * nominal, borrowing_limit_milli_gpu=limit)
    return Queue(name=QueueName(name), total=total, flavors=limits)


def snapshot(
    nodes: Sequence[Node],
    workloads: Sequence[Workload] = (),
    *,
    queues: Sequence[Queue] = (queue(),),
    held: Mapping[str, Iterable[int]] | None = None,
    used: Mapping[str, Resources] | None = None,
    ports: Mapping[str, tuple[HostPort, ...]] | None = None,
    topology: Sequence[TopologyLevel] = LEVELS,
    in_flight: Sequence[InFlight] = (),
    generation: int = 1,
    demand: Sequence[Kind] = (),
) -> Snapshot:
    """The snapshot in which `held` GPUs are held by others and members with a node stand on the lowest free GPUs."""
    ordered = sorted(nodes, key=lambda n: n.name)
    by_name = {n.name: n for n in ordered}
    taken = {NodeName(name): set(devices) for name, devices in (held or {}).items()}
    amounts = {name: Resources(extended=extended({GPU: len(devices)})) for name, devices in taken.items()}
    for name, more in (used or {}).items():
        amounts[NodeName(name)] = plus(amounts.get(NodeName(name), Resources()), more)
    standing: dict[PodUid, NodeName] = {}
    for pod in (pod for workload in workloads for pod in workload.members):
        if pod.node is not None and pod.node in by_name:
            standing[pod.uid] = pod.node
            amounts[pod.node] = plus(amounts.get(pod.node, Resources()), pod.shape.requests)
            gone = taken.setdefault(pod.node, set())
            free = [d.index for d in by_name[pod.node].devices if d.healthy and d.index not in gone]
            gone.update(free[: pod.shape.requests.gpus])
    for flight in in_flight:
        shapes = {p.uid: p.shape for w in workloads for p in w.members}
        for a in flight.assignments:
            amounts[a.node] = plus(amounts.get(a.node, Resources()), shapes[a.pod].requests)
            taken.setdefault(a.node, set()).update(a.devices)
            standing[a.pod] = a.node
    return Snapshot(
        generation=generation,
        static_generation=1,
        nodes=by_name,
        columns=columns(ordered, amounts),
        workloads={w.key: w for w in workloads},
        queues={q.name: q for q in queues},
        in_flight={flight.workload: flight for flight in in_flight},
        topology=tuple(topology),
        ports_used={NodeName(name): taken_ports for name, taken_ports in (ports or {}).items()},
        devices_used={name: frozenset(devices) for name, devices in taken.items() if devices},
        pod_nodes=standing,
        demand=tuple(demand),
        ailing={n.name: ailing for n in ordered if (ailing := ailing_of(n.devices)) is not None},
    )


def columns(nodes: Sequence[Node], used: Mapping[NodeName, Resources]) -> Columns:
    """Tables of `nodes`, which are sorted by name; unhealthy GPUs are taken off what is allocatable."""
    names = tuple(n.name for n in nodes)
    wanted = {r for amount in (*used.values(), *(n.allocatable for n in nodes)) for r, _ in amount.extended}
    resources = (*BASE_RESOURCES, *sorted(wanted))

    def table(amounts: Iterable[Resources]) -> np.ndarray[Any, np.dtype[np.int64]]:
        rows = [
            [a.milli_cpu, a.memory_bytes, a.ephemeral_bytes, a.pods, *(a.count(r) for r in resources[4:])]
            for a in amounts
        ]
        return np.array(rows, dtype=np.int64).reshape(len(nodes), len(resources))

    allocatable = table(n.allocatable for n in nodes)
    if GPU in resources:
        allocatable[:, resources.index(GPU)] -= [n.unhealthy_devices for n in nodes]
    tables = allocatable, table(used.get(name, Resources()) for name in names)
    for each in tables:
        each.setflags(write=False)
    usable = np.array([n.ready and not n.unschedulable for n in nodes], dtype=np.bool_)
    usable.setflags(write=False)
    return Columns(
        names=names,
        row_of={name: row for row, name in enumerate(names)},
        resources=resources,
        allocatable=tables[0],
        used=tables[1],
        usable=usable,
    )


def drawn(drawing: str, *, product: str = "NVIDIA-H100-80GB-HBM3") -> tuple[list[Node], dict[str, list[int]]]:
    """Nodes and held GPUs of a drawing."""
    nodes: list[Node] = []
    held: dict[str, list[int]] = {}
    for line in filter(None, (line.strip() for line in drawing.splitlines())):
        place, _, signs = line.partition(":")
        *path, name = place.split()
        labels = [label for label in zip("br", "".join(path).split("/"), strict=False) if label[1] not in {"", "-"}]
        gpus = signs.replace(" ", "")
        held[name] = [i for i, sign in enumerate(gpus) if sign == "#"]
        sick = [i for i, sign in enumerate(gpus) if sign == "x"]
        nodes.append(node(name, len(gpus), product=product, labels=dict(labels), unhealthy=sick))
    return nodes, held


def draw(drawing: str, *workloads: Workload, **more: Any) -> Snapshot:
    """The snapshot of a drawing and what waits in it."""
    nodes, held = drawn(drawing)
    return snapshot(nodes, workloads, held=held, **more)


def outcome(plan: Plan, name: str) -> str:
    """What became of a workload, in a line: `n1 n1 n2`, a reason, `offered n2 n1`, or `taken back`."""
    for decision in plan.decisions:
        if decision.workload not in {WorkloadKey(f"gang:team/{name}"), WorkloadKey(f"pod:team/{name}")}:
            continue
        match decision:
            case Admit() | Reclaim():
                return " ".join(a.node for a in decision.placement.assignments)
            case Offer():
                return "offered " + " ".join(n for n, _ in decision.nodes)
            case RollBack():
                return "taken back"
            case Wait():
                return decision.reason.value
    return "no decision"


def waiting(plan: Plan, name: str) -> Wait:
    """Why a workload waits."""
    (wait,) = (d for d in plan.decisions if isinstance(d, Wait) and d.workload.endswith(f"/{name}"))
    return wait
