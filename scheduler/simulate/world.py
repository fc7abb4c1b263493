"""The cluster of a scenario: what happened until now as events, and what becomes of a decision.

It stands where the API server, kube-scheduler and the kubelets stand in a real cluster; believing and planning are the
real `ClusterState` and `plan`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from scheduler.kube.keys import GPU_PRODUCT_LABEL
from scheduler.model.flavors import model_matches
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey, gang_key, pod_key
from scheduler.model.node import NODE_LEVEL, Node, TopologyLevel
from scheduler.model.policy import policy_named
from scheduler.model.queue import CPU, MEMORY, Queue, Quota
from scheduler.model.resources import GPU, MILLI_GPU, Resources, extended
from scheduler.model.workload import GangClaim, Linked, Pod, PodShape, Requirement
from scheduler.scoring.sharing.parts import NONE, Given
from scheduler.simulate.document import FlavorDoc, NodeDoc, PodsDoc, QueueDoc, ScenarioDoc, WorkloadDoc, node_names
from scheduler.simulate.kubelet import NAMESPACE, Kubelet
from scheduler.state.events import Event, NodeSeen, PodGone, PodSeen, QueueSeen, TopologySeen

if TYPE_CHECKING:
    from scheduler.model.plan import Ring

EPOCH_S = 1_700_000_000
"""The scenario's second 0 on the planner's clock: any moment after 1970, so that times before it stay positive."""

NO_LIMIT_CORES = 1_000_000
NO_LIMIT_GIB = 1_000_000
NO_LIMIT_PODS = 1_000_000
"""What a node has where the format sets no limit: more than the pods of any real scenario ask for."""

GIB = 2**30
MILLI_CPU = 1000
MIB_OF_GIB = 1024


class SimPod(msgspec.Struct, kw_only=True):
    """One pod of the scenario through its lives: an evicted pod waits again under its name with a new uid."""

    name: str
    workload: str
    pod: Pod
    given: Given = NONE
    evictions: int = 0
    lives: int = 1


class World:
    """The scenario's cluster. `pods` are in the order of the file; `uids` finds the one that lives under a uid.

    `rings`: how close the ranks of gangs are as they were placed last. `evicted`: why pods of workloads had to leave.
    """

    def __init__(self, doc: ScenarioDoc) -> None:
        """Set the cluster up as it stands at the scenario's now; `seen_at_start` tells it."""
        self.doc = doc
        self.now_s = EPOCH_S + doc.now
        self.nodes: dict[str, NodeDoc] = {name: node for node in doc.nodes for name in node_names(node)}
        self.pods: list[SimPod] = []
        self.uids: dict[PodUid, SimPod] = {}
        self.rings: dict[WorkloadKey, Ring | None] = {}
        self.evicted: dict[WorkloadKey, str] = {}
        self._kubelets = {name: Kubelet(name, node, shares=doc.shares) for name, node in self.nodes.items()}
        for workload in doc.workloads:
            self._add_pods(workload)

    def seen_at_start(self) -> Iterator[Event]:
        """Everything there is, as a first list of a cluster brings it."""
        if self.doc.topology:
            levels = tuple(TopologyLevel(name=level.name, label=level.label) for level in self.doc.topology)
            yield TopologySeen(name="scenario", levels=levels)
        for queue in self.doc.queues:
            yield QueueSeen(queue=_queue(queue))
        for name, node in self.nodes.items():
            yield NodeSeen(node=_node(name, node))
            yield from self._kubelets[name].report()
        for sim in self.pods:
            yield PodSeen(pod=sim.pod)

    def bind(self, uid: PodUid, node: NodeName, planned: Given) -> Iterator[Event]:
        """The pod is bound to `node` and its kubelet hands it GPUs: the planned ones, or the first free ones."""
        sim = self.uids[uid]
        self._stand(sim, node, planned, bound_s=self.now_s)
        yield PodSeen(pod=sim.pod)
        yield from self._kubelets[node].report()

    def evict(self, uid: PodUid) -> Iterator[Event]:
        """The pod leaves at once; its controller makes another of the same name, which waits."""
        sim = self.uids.pop(uid)
        node = sim.pod.node
        if node is not None:
            self._kubelets[node].take_back(sim.name)
        sim.given = NONE
        sim.evictions += 1
        sim.lives += 1
        yield PodGone(uid=uid)
        if node is not None:
            yield from self._kubelets[node].report()
        fresh = PodUid(f"{sim.name}/{sim.lives}")
        sim.pod = msgspec.structs.replace(
            sim.pod, uid=fresh, node=None, bound_s=None, gated=True, devices=(), slices=(), created_s=self.now_s
        )
        self.uids[fresh] = sim
        yield PodSeen(pod=sim.pod)

    def key_of(self, sim: SimPod) -> WorkloadKey:
        """What the planner calls the gang or lone pod that `sim` belongs to."""
        gang = sim.pod.gang
        return pod_key(NAMESPACE, sim.name) if gang is None else gang_key(NAMESPACE, gang.name)

    def _add_pods(self, workload: WorkloadDoc) -> None:
        index = 0
        for group in workload.pods:
            shape = self._shape(group, workload)
            for k in range(group.count):
                node = None if group.nodes is None else group.nodes[k]
                name = f"{workload.name}-{index}"
                pod = _pod(name, index, workload, group, shape, now_s=self.now_s)
                sim = SimPod(name=name, workload=workload.name, pod=pod)
                if node is not None:
                    self._stand(sim, NodeName(node), NONE, bound_s=self.now_s + (workload.started or 0))
                self.pods.append(sim)
                self.uids[sim.pod.uid] = sim
                index += 1

    def _stand(self, sim: SimPod, node: NodeName, planned: Given, *, bound_s: int) -> None:
        given = self._kubelets[node].give(sim.name, sim.pod.shape, planned)
        sim.given = NONE if given is None else given
        sim.pod = msgspec.structs.replace(
            sim.pod, node=node, bound_s=bound_s, gated=False, devices=sim.given.devices, slices=sim.given.slices
        )

    def _shape(self, group: PodsDoc, workload: WorkloadDoc) -> PodShape:
        """What a pod asks for. The planner takes `A100` for any A100; the format means the model of just that name."""
        requests = Resources(
            milli_cpu=round(group.cpu * 1000),
            memory_bytes=round(group.memory_gib * GIB),
            pods=1,
            extended=extended(group.amounts),
        )
        products = {node.model for node in self.doc.nodes}
        wider = not requests.wants_devices or any(
            model_matches(m, product) for m in group.models for product in products - set(group.models)
        )
        named = Requirement(key=GPU_PRODUCT_LABEL, operator="In", values=group.models)
        return PodShape(
            requests=requests,
            models=group.models,
            affinity=((named,),) if wider and group.models else (),
            linked=Linked.ANY if workload.linked is None else Linked(workload.linked),
            share_milli=group.share_milli,
        )


def _node(name: str, spec: NodeDoc) -> Node:
    cores = NO_LIMIT_CORES if spec.cpu is None else spec.cpu
    gib = NO_LIMIT_GIB if spec.memory_gib is None else spec.memory_gib
    allocatable = Resources(
        milli_cpu=round(cores * 1000),
        memory_bytes=round(gib * GIB),
        pods=NO_LIMIT_PODS,
        extended=extended({GPU: spec.gpus}),
    )
    labels = {NODE_LEVEL.label: name, GPU_PRODUCT_LABEL: spec.model, **spec.labels}
    return Node(name=NodeName(name), uid=name, labels=labels, allocatable=allocatable, product=spec.model)


def _queue(spec: QueueDoc) -> Queue:
    flavors = [(name, _quota(flavor)) for name, flavor in spec.flavors.items()]
    for name, amounts, unit in ((CPU, spec.cpu, MILLI_CPU), (MEMORY, spec.memory_gib, MIB_OF_GIB)):
        if amounts is not None:
            flavors.append((name, _quota(amounts, unit)))
    return Queue(
        name=QueueName(spec.name),
        parent=None if spec.parent is None else QueueName(spec.parent),
        total=_quota(spec),
        flavors=tuple(sorted(flavors)),
        weight=spec.weight,
        priority=spec.priority,
        min_runtime_s=spec.min_runtime,
        user_limit_milli_gpu=None if spec.user_limit is None else MILLI_GPU * spec.user_limit,
        order=spec.order,
        policy=None if spec.policy is None else policy_named(spec.policy),
        generation=1,
    )


def _quota(spec: QueueDoc | FlavorDoc, unit: int = MILLI_GPU) -> Quota:
    return Quota(
        nominal_milli_gpu=unit * (spec.nominal or 0),
        given=spec.nominal is not None,
        borrowing_limit_milli_gpu=None if spec.borrowing_limit is None else unit * spec.borrowing_limit,
        lending_limit_milli_gpu=None if spec.lending_limit is None else unit * spec.lending_limit,
    )


def _pod(name: str, index: int, workload: WorkloadDoc, group: PodsDoc, shape: PodShape, *, now_s: int) -> Pod:
    """A pending pod of `workload`, as the admission policy leaves it: gated."""
    size = max(workload.least, workload.total)
    minimums = tuple(workload.role_minimums.items())
    gang = GangClaim(name=workload.name, size=size, least=workload.least, role_least=minimums)
    return Pod(
        uid=PodUid(f"{name}/1"),
        namespace=NAMESPACE,
        name=name,
        shape=shape,
        managed=True,
        ours=True,
        gated=True,
        priority=workload.priority,
        created_s=now_s + (workload.submitted or 0),
        gang=gang if workload.is_gang else None,
        role=group.role or "",
        role_required=group.topology.required,
        index=index,
        queue=None if workload.queue is None else QueueName(workload.queue),
        user=workload.user or "",
        topology_required=workload.topology.required,
        topology_preferred=workload.topology.preferred,
        policy=None if workload.policy is None else policy_named(workload.policy),
        duration_s=workload.duration,
        checkpointed_s=None if workload.checkpointed is None else now_s + workload.checkpointed,
        preemptible=workload.preemptible,
    )
