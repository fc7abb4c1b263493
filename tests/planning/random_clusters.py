"""Random small clusters with random work, for the laws that any plan keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from scheduler.model.demand import Kind, Request
from scheduler.model.names import NodeName
from scheduler.model.node import Allocator, Node, Taint
from scheduler.model.policy import Policy
from scheduler.model.queue import Queue
from scheduler.model.resources import Resources
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import HostPort, PodShape, Toleration, Workload
from tests.planning.build import gang, node, pods, queue, shape, single, snapshot

PRODUCTS = ("NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-40GB")
SPOT = Taint(key="spot", value="yes")


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is made of, so that variants of it can be made."""

    nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...]
    queues: tuple[Queue, ...]
    held: Mapping[str, frozenset[int]]
    used: Mapping[str, Resources]
    demand: tuple[Kind, ...] = ()

    def snapshot(self) -> Snapshot:
        return snapshot(
            self.nodes, self.workloads, queues=self.queues, held=self.held, used=self.used, demand=self.demand
        )


@st.composite
def nodes(draw: st.DrawFn, name: str) -> Node:
    labels = {"b": draw(st.sampled_from(["b0", "b1", ""])), "r": draw(st.sampled_from(["r0", "r1", ""]))}
    gpus = draw(st.sampled_from([0, 2, 4, 8]))
    return node(
        name,
        gpus,
        product=draw(st.sampled_from(PRODUCTS)),
        labels={key: value for key, value in labels.items() if value},
        unhealthy=draw(st.sets(st.integers(0, gpus - 1), max_size=1)) if gpus else (),
        suspect=draw(st.sets(st.integers(0, gpus - 1), max_size=1)) if gpus and draw(st.booleans()) else (),
        allocator=draw(st.sampled_from(list(Allocator))),
        taints=(SPOT,) if draw(st.integers(0, 5)) == 0 else (),
        unschedulable=draw(st.integers(0, 9)) == 0,
        ready=draw(st.integers(0, 9)) > 0,
    )


@st.composite
def shapes(draw: st.DrawFn) -> PodShape:
    return shape(
        draw(st.sampled_from([0, 1, 1, 2, 4, 8])),
        milli_cpu=draw(st.sampled_from([0, 1000, 20_000, 40_000])),
        models=draw(st.sampled_from([(), (), ("H100",), ("A100", "H100")])),
        tolerations=draw(st.sampled_from([(), (), (Toleration(key="spot", operator="Exists"),)])),
        host_ports=draw(st.sampled_from([(), (), (), (HostPort(port=80),)])),
        node_selector=draw(st.sampled_from([(), (), (), (("b", "b0"),)])),
    )


@st.composite
def workloads(draw: st.DrawFn, name: str, names: Sequence[NodeName]) -> Workload:
    more: dict[str, Any] = {
        "queue": queue(draw(st.sampled_from(["a", "b"]))).name,
        "priority": draw(st.sampled_from([0, 0, 0, 5])),
        "created_s": draw(st.integers(0, 3)),
        "topology_required": draw(st.sampled_from([None, None, None, "rack", "block", "node"])),
        "topology_preferred": draw(st.sampled_from([None, None, "rack"])),
        "avoid": frozenset(draw(st.sets(st.sampled_from(list(names)), max_size=1))) if names else frozenset[NodeName](),
    }
    if draw(st.booleans()):
        rules = draw(st.sampled_from([(), (), ("volumes",)]))
        each = msgspec.structs.replace(draw(shapes()), scheduler_rules=rules)
        made = single(name, each, **more)
        policy = draw(st.sampled_from([None, *Policy]))
        members = tuple(msgspec.structs.replace(pod, policy=policy) for pod in made.members)
        return msgspec.structs.replace(made, members=members)
    kinds = draw(st.lists(shapes(), min_size=1, max_size=2))
    members = [draw(st.sampled_from(kinds)) for _ in range(draw(st.integers(1, 5)))]
    least = draw(st.sampled_from([None, None, 1]))
    stand = (
        draw(st.lists(st.sampled_from(list(names)), max_size=len(members) - 1)) if draw(st.integers(0, 3)) == 0 else []
    )
    made = pods(name, members, on=stand, bound_s=draw(st.sampled_from([None, 2, 9])), created_s=draw(st.integers(0, 9)))
    levels = {role: draw(st.sampled_from([None, None, "rack", "block"])) for role in ("leader", "worker")}
    roles = [draw(st.sampled_from(["", "", *levels])) for _ in made]
    made = tuple(
        msgspec.structs.replace(pod, role=role, role_required=levels.get(role))
        for pod, role in zip(made, roles, strict=True)
    )
    more["topology_exclusive"] = draw(st.sampled_from([None, None, None, "rack", "block"]))
    more["topology_slices"] = draw(st.sampled_from([(), (), (), (("rack", 2),), (("rack", 4), ("node", 2))]))
    return gang(name, made, least=least, **more)


@st.composite
def queues(draw: st.DrawFn, name: str) -> Queue:
    made = queue(
        name,
        nominal=draw(st.integers(0, 12)),
        borrow=draw(st.sampled_from([None, 0, 4])),
        flavors=draw(st.sampled_from([None, None, {"H100": 4}])),
    )
    return msgspec.structs.replace(made, policy=draw(st.sampled_from([None, *Policy])))


@st.composite
def demands(draw: st.DrawFn) -> tuple[Kind, ...]:
    weights = draw(st.dictionaries(st.sampled_from([1, 2, 4, 8]), st.integers(1, 1 << 20), max_size=4))
    return tuple(Kind(Request(milli_cpu=1000, devices=gpus), weight) for gpus, weight in weights.items())


@st.composite
def clusters(draw: st.DrawFn, *, most_nodes: int = 6, most_workloads: int = 6) -> Cluster:
    made = tuple(draw(nodes(f"n{i}")) for i in range(draw(st.integers(1, most_nodes))))
    healthy = {n.name: [d.index for d in n.devices if d.healthy] for n in made}
    return Cluster(
        nodes=made,
        workloads=tuple(
            draw(workloads(f"w{i}", [n.name for n in made])) for i in range(draw(st.integers(0, most_workloads)))
        ),
        queues=(draw(queues("a")), draw(queues("b"))),
        held={name: frozenset(draw(st.sets(st.sampled_from(devices)))) for name, devices in healthy.items() if devices},
        used={n.name: Resources(milli_cpu=draw(st.sampled_from([0, 0, 30_000]))) for n in made},
        demand=draw(demands()),
    )


def renamed(cluster: Cluster, names: Mapping[NodeName, NodeName]) -> Cluster:
    """The same cluster with other names of nodes; labels but the hostname stay."""

    def rename(each: Node) -> Node:
        name = names[each.name]
        return msgspec.structs.replace(each, name=name, labels={**each.labels, "kubernetes.io/hostname": name})

    def move(workload: Workload) -> Workload:
        members = tuple(
            pod if pod.node is None else msgspec.structs.replace(pod, node=names[pod.node]) for pod in workload.members
        )
        avoid = frozenset(names[name] for name in workload.avoid)
        return msgspec.structs.replace(workload, members=members, avoid=avoid)

    return msgspec.structs.replace(
        cluster,
        nodes=tuple(rename(each) for each in cluster.nodes),
        workloads=tuple(move(workload) for workload in cluster.workloads),
        held={names[NodeName(name)]: devices for name, devices in cluster.held.items()},
        used={names[NodeName(name)]: amount for name, amount in cluster.used.items()},
    )
