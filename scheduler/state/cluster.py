"""What is believed of the cluster: changed by `ClusterState.apply` alone, read as immutable snapshots."""

from collections.abc import Collection, Iterable, Iterator
from typing import assert_never

import msgspec

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import Node
from scheduler.model.plan import Assignment
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.state.claim_events import take_in_claim
from scheduler.state.claims import ClaimBook
from scheduler.state.demand import DemandBook
from scheduler.state.events import (
    ClaimEvent,
    ClaimGone,
    ClaimSeen,
    DeviceClassGone,
    DeviceClassSeen,
    DevicesGone,
    DevicesSeen,
    Event,
    GroupGone,
    GroupSeen,
    JobGone,
    JobSeen,
    Kept,
    NamespaceGone,
    NamespaceSeen,
    NodeGone,
    NodeRefused,
    NodeSeen,
    PodGone,
    PodSeen,
    PriorityClassGone,
    PriorityClassSeen,
    QueueGone,
    QueueSeen,
    Released,
    RequestsSeen,
    Reserved,
    RunSeen,
    SliceGone,
    SliceSeen,
    Ticked,
    TopologyGone,
    TopologySeen,
)
from scheduler.state.flights import FlightBook
from scheduler.state.group_events import take_in_group
from scheduler.state.groups import GroupBook
from scheduler.state.holders import Holders
from scheduler.state.nodes import NodeBook
from scheduler.state.offers import OfferBook
from scheduler.state.topologies import TopologyBook


class ClusterState:
    """Nodes, pods, workloads, queues and plans in flight, as the events told them.

    Events about things unknown change nothing, and what belongs together may come in any order. The state is used from
    one thread; snapshots may go to others.
    """

    def __init__(self) -> None:
        """An empty cluster."""
        self._pods: dict[PodUid, Pod] = {}
        self._uid_of: dict[str, PodUid] = {}
        self._charged: dict[PodUid, NodeName] = {}
        self._standing: dict[PodUid, NodeName] = {}
        self._marked: set[PodUid] = set()
        self._offers = OfferBook()
        self._flights = FlightBook()
        self._claims = ClaimBook(carries=self._flights.carries)
        self._nodes = NodeBook(self._offers, self._claims)
        self._groups = GroupBook(flying=lambda: {flight.queue for flight in self._flights.view().values()})
        self._demand = DemandBook()
        self._topologies = TopologyBook()
        self._generation = 0
        self._standing_changed = False
        self._flights_changed = False
        self._snapshot = _snapshot_of(self._nodes, generation=0)

    def apply(self, event: Event) -> bool:
        """Take in what happened; whether it changed anything."""
        changed = self._take_in(event)
        if changed:
            self._generation += 1
        return changed

    def snapshot(self) -> Snapshot:
        """The cluster of this moment. What did not change since the last snapshot is shared with it."""
        before = self._snapshot
        if before.generation == self._generation:
            return before
        views = self._nodes.views()
        self._snapshot = Snapshot(
            generation=self._generation,
            static_generation=views.static_generation,
            nodes=views.nodes,
            columns=views.columns,
            workloads=self._groups.workloads(),
            queues=self._groups.queues,
            in_flight=self._flights.view() if self._flights_changed else before.in_flight,
            topology=self._topologies.levels(views),
            topology_found=not self._topologies.named,
            ports_used=views.ports_used,
            devices_used=views.devices_used,
            devices_unsure=views.devices_unsure,
            shares_used=views.shares_used,
            slices=views.slices,
            ailing=views.ailing,
            closed=views.closed,
            pod_nodes=self._standing.copy() if self._standing_changed else before.pod_nodes,
            demand=self._demand.kinds,
        )
        self._standing_changed = self._flights_changed = False
        return self._snapshot

    # Look-ups, as of now

    def pod(self, uid: PodUid) -> Pod | None:
        """The pod, where it is known and counts."""
        return self._pods.get(uid)

    @property
    def claims(self) -> Holders:
        """Claims and what they have, to look at."""
        return Holders(self._claims, self._offers)

    def marked(self) -> Collection[PodUid]:
        """The pods that were told that they are to leave."""
        return self._marked

    def workload_of(self, uid: PodUid) -> WorkloadKey | None:
        """The workload that the pod is a member of."""
        return self._groups.key(uid)

    def workloads_on(self, node: NodeName) -> set[WorkloadKey]:
        """The workloads with pods on the node."""
        return {key for pod in self._nodes.pods_on(node) if (key := self._groups.key(pod.uid)) is not None}

    def uid_of(self, namespace: str, name: str) -> PodUid | None:
        """The uid of the pod of this name, where it is known and counts."""
        return self._uid_of.get(f"{namespace}/{name}")

    def job_known(self, uid: str) -> bool:
        """Whether the Job was seen; until then nobody can say whether its pods are a gang."""
        return self._groups.job_known(uid)

    def unclear(self) -> list[str]:
        """What is seen of devices and cannot be used as it is, in sentences."""
        return self._offers.unclear()

    def facts(self) -> Iterator[Event]:
        """Events that would bring a fresh state to where this one is."""
        for fact in self._nodes.facts():
            yield NodeSeen(node=fact) if isinstance(fact, Node) else fact
        yield from self._offers.facts()
        yield from self._claims.facts()
        for pod in self._pods.values():
            yield PodSeen(pod=self._claims.seen(pod))
        for fact in self._groups.facts():
            yield QueueSeen(queue=fact) if isinstance(fact, Queue) else fact
        yield from self._topologies.facts()
        yield from self._demand.facts(self._pods.values())
        yield from self._flights.facts()

    # Events

    def _take_in(self, event: Event) -> bool:
        match event:
            case PodSeen(pod=pod):
                others = self._claims.put(pod) if _counts(pod) else self._claims.remove(pod.uid)
                changed = self._see_pod(pod)
                self._see_again(others)
                return changed
            case PodGone(uid=uid):
                return self._forget_pod(uid)
            case NodeSeen() | NodeGone() | DevicesSeen() | DevicesGone():
                return self._take_in_node(event)
            case (
                JobSeen()
                | JobGone()
                | GroupSeen()
                | GroupGone()
                | PriorityClassSeen()
                | PriorityClassGone()
                | QueueSeen()
                | QueueGone()
                | NamespaceSeen()
                | NamespaceGone()
                | NodeRefused()
                | Kept()
                | RunSeen()
                | Ticked()
            ):
                changed, pods = take_in_group(self._groups, event)
                return changed and self._regroup(pods)
            case TopologySeen() | TopologyGone():
                return self._topologies.take(event)
            case SliceSeen() | SliceGone() | DeviceClassSeen() | DeviceClassGone() | ClaimSeen() | ClaimGone():
                return self._take_in_claim(event)
            case RequestsSeen():
                return self._demand.recall(event)
            case Reserved():
                return self._reserve(event)
            case Released(workload=workload):
                return self._release(workload)
            case _:
                assert_never(event)

    def _take_in_claim(self, event: ClaimEvent) -> bool:
        taken = take_in_claim(self._offers, self._claims, self._nodes, event)
        if taken is None:
            return False
        for node in taken.nodes:
            self._groups.node_changed(node)
        self._see_again(taken.pods)
        return True

    def _see_again(self, uids: Iterable[PodUid]) -> None:
        """What these pods have, or ask for, may be something else now."""
        for pod in [self._pods[uid] for uid in uids if uid in self._pods]:
            self._see_pod(self._claims.seen(pod))

    def _take_in_node(self, event: NodeSeen | NodeGone | DevicesSeen | DevicesGone) -> bool:
        match event:
            case NodeSeen(node=node):
                name, changed = node.name, self._nodes.see(node)
            case NodeGone(name=name):
                changed = self._nodes.forget(name)
            case DevicesSeen(node=name):
                changed = self._nodes.see_report(event)
            case DevicesGone(node=name):
                changed = self._nodes.forget_report(name)
            case _:
                assert_never(event)
        if changed:
            self._groups.node_changed(name)
            if isinstance(event, DevicesSeen | DevicesGone):
                self._see_again(pod.uid for pod in self._nodes.pods_on(name))
        return changed

    def _see_pod(self, seen: Pod) -> bool:
        pod = self._claims.resolve(seen, self._offers.node_of, self._offers.kinds)
        if not _counts(pod):
            return self._forget_pod(pod.uid)
        held = self._nodes.devices_held(pod.node, pod) if pod.node is not None else ()
        slices = self._nodes.slices_held(pod.node, pod) if pod.node is not None else ()
        if held != pod.devices or slices != pod.slices:
            pod = msgspec.structs.replace(pod, devices=held, slices=slices)
        before = self._pods.get(pod.uid)
        if before == pod:
            return False
        if before is None:
            self._take_name(pod)
        self._pods[pod.uid] = pod
        (self._marked.add if pod.makes_way else self._marked.discard)(pod.uid)
        self._demand.see(pod, before)
        self._place(pod, before)
        return True

    def _take_name(self, pod: Pod) -> None:
        """Of two pods with one name the one seen later is there; the end of the other was missed."""
        name = f"{pod.namespace}/{pod.name}"
        namesake = self._uid_of.get(name)
        if namesake is not None:
            self._forget_pod(namesake)
        self._uid_of[name] = pod.uid

    def _place(self, pod: Pod, before: Pod | None) -> None:
        """Put the pod into its workload, and its use where it belongs."""
        leaves = self._flights.leaves(pod.uid) and pod.node is not None
        seen = msgspec.structs.replace(pod, deleting=True) if leaves and not pod.deleting else pod
        key = self._groups.put(seen, before)
        if pod.node is not None:
            self._end_flight(pod.uid)
        node = pod.node or (pod.nominated_node if key is None else None)
        charged = self._charged.get(pod.uid)
        if charged is not None and charged != node:
            self._discharge(pod.uid, charged)
        if node is not None:
            self._charged[pod.uid] = node
            self._nodes.charge(node, pod, leaves=leaves)
        flight = self._flights.of_pod(pod.uid)
        if flight is not None:
            self._nodes.reserve(flight, pod, waits=self._flights.waits(pod.uid))
        self._stand(pod.uid, key)

    def _forget_pod(self, uid: PodUid) -> bool:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return False
        del self._uid_of[f"{pod.namespace}/{pod.name}"]
        self._marked.discard(uid)
        self._end_flight(uid, pod)
        charged = self._charged.get(uid)
        if charged is not None:
            self._discharge(uid, charged)
        self._groups.remove(pod)
        self._stand(uid, None)
        self._see_again(self._claims.remove(uid))
        return True

    def _discharge(self, uid: PodUid, node: NodeName) -> None:
        del self._charged[uid]
        self._nodes.discharge(node, uid)
        self._groups.node_changed(node)

    def _regroup(self, pods: Iterable[PodUid]) -> bool:
        for uid in pods:
            pod = self._pods[uid]
            self._place(pod, pod)
        return True

    def _reserve(self, reserved: Reserved) -> bool:
        changed = self._release(reserved.workload)
        kept = dict[PodUid, Assignment]()
        charge = reserved.milli_gpu
        for assignment in reserved.assignments:
            pod = self._pods.get(assignment.pod)
            if pod is None or pod.node is not None or pod.uid in kept:
                charge -= pod.shape.milli_gpu if pod is not None else 0
                continue
            self._end_flight(pod.uid)
            kept[pod.uid] = assignment
            self._nodes.reserve(assignment, pod, waits=bool(reserved.leaving))
        self._flights.start(reserved, kept.values(), max(0, charge))
        for uid in kept:
            self._stand(uid, self._groups.key(uid))
        self._see_again(self._claims.sharing(kept))
        self._flights_changed = True
        self._renew_leaving()
        return changed or bool(kept) or not reserved.assignments

    def _release(self, workload: WorkloadKey) -> bool:
        left = self._flights.give_up(workload)
        if left is None:
            return False
        for assignment in left:
            self._nodes.release(assignment)
            self._stand(assignment.pod, self._groups.key(assignment.pod))
        self._see_again(self._claims.sharing(each.pod for each in left))
        self._flights_changed = True
        self._renew_leaving()
        return True

    def _end_flight(self, uid: PodUid, gone: Pod | None = None) -> None:
        assignment = self._flights.of_pod(uid)
        pod = gone or self._pods.get(uid)
        if assignment is None or pod is None:
            return
        self._nodes.release(assignment)
        self._flights.end(uid, pod.shape.milli_gpu)
        self._flights_changed = True
        self._renew_leaving()

    def _renew_leaving(self) -> None:
        """Pods that plans wait for, and those that they do not wait for any more, count as what they are."""
        for uid in self._flights.turned():
            pod = self._pods.get(uid)
            if pod is not None:
                self._place(pod, pod)

    def _stand(self, uid: PodUid, key: WorkloadKey | None) -> None:
        """Note where a member of a workload stands, or is about to."""
        pod = self._pods.get(uid)
        flight = self._flights.of_pod(uid)
        node = pod.node if pod is not None and pod.node is not None else flight.node if flight is not None else None
        if key is None or node is None:
            self._standing_changed = self._standing.pop(uid, None) is not None or self._standing_changed
        elif self._standing.get(uid) != node:
            self._standing[uid] = node
            self._standing_changed = True


def _counts(pod: Pod) -> bool:
    """Whether a pod is ours, or takes room of a node."""
    return bool(pod.node or pod.nominated_node or pod.ours or pod.managed)


def _snapshot_of(nodes: NodeBook, *, generation: int) -> Snapshot:
    views = nodes.views()
    return Snapshot(
        generation=generation,
        static_generation=views.static_generation,
        nodes=views.nodes,
        columns=views.columns,
        topology_found=True,
    )
