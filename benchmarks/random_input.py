"""Random clusters as the service would hear of them: small, and full of everything that a plan looks at."""

# ruff: noqa: ANN401  fields of records are passed on by keyword

from random import Random
from typing import Any

from msgspec.structs import replace

from scheduler.model.flavors import model_matches
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Allocator, Device, Node, Taint, TopologyLevel
from scheduler.model.plan import Assignment
from scheduler.model.policy import Policy
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX, MILLI_GPU, Resources, extended
from scheduler.model.workload import GangClaim, HostPort, Linked, Pod, PodShape, Requirement, Slices, Toleration
from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.state.events import (
    DevicesSeen,
    Event,
    JobSeen,
    NodeRefused,
    NodeSeen,
    PodSeen,
    QueueSeen,
    Reserved,
    TopologySeen,
)

PRODUCTS = ("NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "NVIDIA-L40S")
PROFILES = ("1g.10gb", "2g.20gb", "3g.40gb", "7g.80gb")
MODELS = ((), (), ("H100",), ("A100", "H100"))
LEVELS = (TopologyLevel(name="block", label="example.com/block"), TopologyLevel(name="rack", label="example.com/rack"))
FOUND = ("topology.kubernetes.io/zone", "nvidia.com/gpu.clique")
"""Labels in which levels are found where no Topology names any."""

NAMESPACE = "team"
BIG = 20
"""One cluster of so many is big, and much of it alike: there the solver has something to choose from."""


def events(seed: int) -> list[Event]:
    """All objects of the cluster `seed`, in an order in which watches could bring them; then what the planner did."""
    return _Cluster(Random(seed)).events()


class _Cluster:
    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._named = chance.random() < 0.8
        self._divides = chance.random() < 0.3
        self._big = chance.randrange(BIG) == 0
        self._nodes = [f"n{i:03}" for i in range(chance.randint(80, 160) if self._big else chance.randint(1, 12))]
        self._products: dict[str, str] = {}
        self._pods: list[Pod] = []
        self._events: list[Event] = []
        self._later: list[Event] = []

    def events(self) -> list[Event]:
        if self._named:
            self._events.append(TopologySeen(name="fabric", levels=LEVELS))
        for name in ("a", "b"):
            self._events.append(QueueSeen(queue=self._queue(name)))
        for name in self._nodes:
            self._add_node(name)
        for i in range(self._chance.randint(1, 7)):
            self._add_gang(f"g{i}") if self._chance.random() < 0.6 else self._add_lone(f"p{i}")
        self._events += [PodSeen(pod=pod) for pod in self._pods]
        return [*self._events, *self._later]

    def _one_in(self, of: int) -> bool:
        return self._chance.randrange(of) == 0

    def _queue(self, name: str) -> Queue:
        limit = self._chance.choice([None, None, 0, 8])
        total = Quota(
            nominal_milli_gpu=MILLI_GPU * self._chance.choice([16, 64, 2000]),
            borrowing_limit_milli_gpu=None if limit is None else MILLI_GPU * limit,
        )
        flavors = (("H100", Quota(nominal_milli_gpu=8000, borrowing_limit_milli_gpu=0)),) if self._one_in(4) else ()
        policy = self._chance.choice([None, None, *Policy])
        return Queue(name=QueueName(name), total=total, flavors=flavors, policy=policy)

    def _add_node(self, name: str) -> None:
        machine = "hgx_h100" if self._big else self._chance.choice([*machine_types(), ""])
        graph = machine_graph(machine)
        gpus = 8 if graph is None else graph.size
        if not self._big and self._one_in(8):
            gpus, graph = 0, None
        keys = [level.label for level in LEVELS] if self._named else FOUND
        number = self._nodes.index(name)
        labels = {"kubernetes.io/hostname": name, "example.com/pool": self._chance.choice("xy")}
        for key, width in zip(keys, (32, 8) if self._big else (4, 2), strict=True):
            if not self._one_in(8):
                labels[key] = f"{key[-4:]}-{number // width}"
        amounts = Resources(
            milli_cpu=64_000, memory_bytes=512 << 30, pods=110, extended=extended({GPU: gpus} if gpus else {})
        )
        node = Node(
            name=NodeName(name),
            uid=name,
            labels=labels,
            taints=(Taint(key="spot", value="yes"),) if self._one_in(8) else (),
            unschedulable=self._one_in(12),
            ready=not self._one_in(12),
            allocatable=amounts,
            product=(PRODUCTS[0] if self._big else self._chance.choice(PRODUCTS)) if gpus else "",
        )
        self._events.append(NodeSeen(node=node))
        if gpus and not self._one_in(6):
            sick = self._chance.randrange(gpus) if self._one_in(4) else None
            devices = tuple(Device(index=i, uuid=f"{name}-{i}", healthy=i != sick) for i in range(gpus))
            held = self._stand(name, gpus)
            self._events.append(
                DevicesSeen(
                    node=NodeName(name),
                    machine=machine,
                    devices=devices,
                    links=graph,
                    allocator=self._chance.choice(list(Allocator)),
                    held=held,
                    mig_on_demand=self._divides and self._one_in(2),
                    shares_on_demand=self._divides and self._one_in(2),
                )
            )
        elif gpus:
            self._stand(name, gpus)
        self._products[name] = node.product

    def _stand(self, node: str, gpus: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Pods of others that run on a node; the GPUs of some are reported, those of others are not."""
        free = list(range(gpus))
        self._chance.shuffle(free)
        held: list[tuple[str, tuple[int, ...]]] = []
        for k in range(self._chance.choice([0, 0, 1, 2])):
            count = self._chance.randint(0, len(free) // 2)
            taken, free = free[:count], free[count:]
            name = f"other-{node}-{k}"
            self._pods.append(self._pod(name, self._shape(count), node=NodeName(node), bound_s=self._time()))
            if not self._one_in(3):
                held.append((f"{NAMESPACE}/{name}", tuple(sorted(taken))))
        return tuple(held)

    def _shape(self, gpus: int, **more: Any) -> PodShape:
        requests = Resources(
            milli_cpu=self._chance.choice([500, 2000]), pods=1, extended=extended({GPU: gpus} if gpus else {})
        )
        return PodShape(requests=requests, **more)

    def _part(self) -> PodShape:
        """A pod that asks for slices, or for parts of GPUs."""
        if self._one_in(2):
            wanted = {MIG_PREFIX + self._chance.choice(PROFILES): self._chance.randint(1, 2)}
            share_milli = MILLI_GPU
        else:
            wanted = {GPU_SHARED: self._chance.randint(1, 2)}
            share_milli = self._chance.choice([250, 400, 500])
        requests = Resources(milli_cpu=500, pods=1, extended=extended(wanted))
        return PodShape(requests=requests, share_milli=share_milli)

    def _wanted(self) -> PodShape:
        if self._divides and self._one_in(2):
            return self._part()
        gpus = self._chance.choice([0, 1, 1, 2, 3, 4, 8])
        pool = Requirement(key="example.com/pool", operator="In", values=("x",))
        return self._shape(
            gpus,
            models=self._chance.choice(MODELS) if gpus else (),
            linked=self._chance.choice([Linked.ANY, Linked.ANY, Linked.PREFERRED, Linked.REQUIRED]),
            affinity=((pool,),) if self._one_in(8) else (),
            tolerations=(Toleration(key="spot", operator="Exists"),) if self._one_in(3) else (),
            host_ports=(HostPort(port=80),) if self._one_in(10) else (),
        )

    def _pod(self, name: str, shape: PodShape, **more: Any) -> Pod:
        return Pod(
            uid=PodUid(f"uid-{name}"),
            namespace=NAMESPACE,
            name=name,
            shape=shape,
            ours=True,
            managed=True,
            queue=more.pop("queue", None) or QueueName(self._chance.choice("ab")),
            created_s=more.pop("created_s", self._time()),
            **more,
        )

    def _time(self) -> int:
        return self._chance.randint(0, 50)

    def _level(self) -> str | None:
        known = [level.name for level in LEVELS] if self._named else ["zone", "clique"]
        return self._chance.choice([None, None, *known, "node"])

    def _slices(self) -> Slices:
        if not self._named or not self._one_in(4):
            return ()
        return self._chance.choice(
            [(("node", 2),), (("rack", 2),), (("rack", 4), ("node", 2)), (("block", 8), ("rack", 4), ("node", 2))]
        )

    def _add_gang(self, name: str) -> None:
        kinds = [self._wanted() for _ in range(self._chance.randint(1, 2))]
        size = self._chance.randint(24, 96) if self._big else self._chance.randint(1, 8)
        by_job = self._one_in(4)
        common: dict[str, Any] = {
            "queue": QueueName(self._chance.choice("ab")),
            "priority": self._chance.choice([0, 0, 10]),
            "created_s": self._time(),
            "topology_required": self._level(),
            "topology_preferred": self._level(),
            "topology_slices": self._slices(),
            "topology_exclusive": self._chance.choice(["block", "rack"]) if self._named and self._one_in(6) else None,
        }
        lead = {"role": "lead", "role_required": "rack"} if self._named and self._one_in(5) else {}
        if by_job:
            self._events.append(JobSeen(uid=f"job-{name}", namespace=NAMESPACE, name=name, completions=size))
            common["owner_uid"] = f"job-{name}"
        claim = GangClaim(name=name, size=None if by_job else size)
        stands = self._one_in(6)
        missing = size > 1 and self._one_in(8)
        for i in range(size - missing):
            kind = kinds[min(i, len(kinds) - 1)]
            node = self._standing_place(kind) if stands and self._one_in(2) else None
            bound = {} if node is None else {"node": node, "bound_s": 60}
            made = self._pod(f"{name}-{i}", kind, gang=claim, index=i, gated=node is None, **common, **bound)
            self._pods.append(replace(made, **lead) if i < size // 2 else made)
        if self._one_in(6):
            refused = NodeName(self._chance.choice(self._nodes))
            self._later.append(NodeRefused(workload=WorkloadKey(f"gang:{NAMESPACE}/{name}"), node=refused, until_s=999))

    def _standing_place(self, shape: PodShape) -> NodeName | None:
        """A node where a pod may stand by its GPU model, if there is one."""
        suits = [
            name
            for name, product in self._products.items()
            if (product or not shape.requests.gpus)
            and (not shape.models or any(model_matches(model, product) for model in shape.models))
        ]
        return NodeName(self._chance.choice(suits)) if suits else None

    def _add_lone(self, name: str) -> None:
        for i in range(self._chance.choice([1, 1, 2, 12])):
            offered = ("volumes",) if self._one_in(6) else ()
            shape = self._shape(self._chance.choice([1, 2, 4]), scheduler_rules=offered)
            if self._divides and self._one_in(2):
                shape = self._part()
            policy = self._chance.choice([None, None, None, *Policy])
            made = self._pod(f"{name}-{i}", shape, gated=True, topology_required=self._level(), policy=policy)
            self._pods.append(made)
        if self._one_in(3):
            pod = self._pods[-1]
            node = NodeName(self._chance.choice(self._nodes))
            self._later.append(
                Reserved(
                    workload=WorkloadKey(f"pod:{NAMESPACE}/{pod.name}"),
                    queue=QueueName(str(pod.queue)),
                    assignments=(Assignment(pod=pod.uid, node=node),),
                    milli_gpu=pod.shape.milli_gpu,
                    priority=0,
                    now_s=90,
                )
            )
