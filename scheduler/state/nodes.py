"""Nodes, what stands on them, and the per-node parts of a snapshot."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import reduce

import msgspec

from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Allocator, MigInstance, Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, NOTHING, Resources, larger, plus
from scheduler.model.snapshot import Ailing, Columns, Unsure
from scheduler.model.workload import HostPort, Pod, PodShape
from scheduler.state.devices import ailing_of, devices_taken, healthy_gpus, unsure_of
from scheduler.state.divided import divided_use
from scheduler.state.events import DevicesSeen
from scheduler.state.tables import Tables


class _Use:
    """What stands on a node, or is about to: pods, and assignments in flight with the shape of their pod.

    `leaving` are the pods that plans in flight wait for, `waiting` the assignments of such plans.
    """

    __slots__ = ("flights", "leaving", "pods", "waiting")

    def __init__(self) -> None:
        self.pods: dict[PodUid, Pod] = {}
        self.flights: dict[PodUid, tuple[Assignment, PodShape]] = {}
        self.leaving: set[PodUid] = set()
        self.waiting: set[PodUid] = set()


class NodeViews(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a snapshot that are kept by node."""

    static_generation: int
    nodes: Mapping[NodeName, Node]
    columns: Columns
    ports_used: Mapping[NodeName, tuple[HostPort, ...]]
    devices_used: Mapping[NodeName, frozenset[int]]
    devices_unsure: Mapping[NodeName, Unsure]
    shares_used: Mapping[NodeName, tuple[tuple[int, int], ...]]
    slices: Mapping[NodeName, tuple[MigInstance, ...]]
    ailing: Mapping[NodeName, Ailing]


class NodeBook:
    """Nodes, reports on their devices, and their use, which may be known before the node is."""

    def __init__(self) -> None:
        """No nodes."""
        self._nodes: dict[NodeName, Node] = {}
        self._reports: dict[NodeName, DevicesSeen] = {}
        self._held: dict[NodeName, dict[str, tuple[int, ...]]] = {}
        self._slices_held: dict[NodeName, dict[str, tuple[MigInstance, ...]]] = {}
        self._use: dict[NodeName, _Use] = {}
        self._with_resource: dict[str, int] = {}
        self._records: dict[NodeName, Node] = {}
        self._ports: dict[NodeName, tuple[HostPort, ...]] = {}
        self._devices: dict[NodeName, frozenset[int]] = {}
        self._unsure: dict[NodeName, Unsure] = {}
        self._shares: dict[NodeName, tuple[tuple[int, int], ...]] = {}
        self._slices: dict[NodeName, tuple[MigInstance, ...]] = {}
        self._ailing: dict[NodeName, Ailing] = {}
        self._tables = Tables()
        self._stale_nodes: set[NodeName] = set()
        self._stale_use: set[NodeName] = set()
        self._reshape = False
        self._static_generation = 0
        self._views = NodeViews(
            static_generation=0,
            nodes={},
            columns=self._tables.columns(),
            ports_used={},
            devices_used={},
            devices_unsure={},
            shares_used={},
            slices={},
            ailing={},
        )

    # Nodes and reports

    def see(self, node: Node) -> bool:
        """A node as it is now; whether that is news."""
        old = self._nodes.get(node.name)
        if old == node:
            return False
        self._nodes[node.name] = node
        self._count_resources(old, -1)
        self._count_resources(node, 1)
        if old is None or (old.labels, old.taints, old.links) != (node.labels, node.taints, node.links):
            self._static_generation += 1
        self._reshape = self._reshape or old is None
        self._stale_nodes.add(node.name)
        return True

    def forget(self, name: NodeName) -> bool:
        """A node is gone; whether it was known."""
        old = self._nodes.pop(name, None)
        if old is None:
            return False
        self._count_resources(old, -1)
        self._static_generation += 1
        self._reshape = True
        self._stale_nodes.add(name)
        return True

    def see_report(self, report: DevicesSeen) -> bool:
        """A report on devices as it is now; whether that is news."""
        old = self._reports.get(report.node)
        if old == report:
            return False
        if _lasting(report) != _lasting(old) or (old is None and self._assumed(report.node)):
            self._static_generation += 1
        self._reports[report.node] = report
        self._held[report.node] = dict(report.held)
        self._slices_held[report.node] = dict(report.slices_held)
        self._stale_nodes.add(report.node)
        return True

    def forget_report(self, node: NodeName) -> bool:
        """A report is gone; whether there was one."""
        old = self._reports.pop(node, None)
        if old is None:
            return False
        self._static_generation += _lasting(old) != _lasting(None) or self._assumed(node)
        del self._held[node], self._slices_held[node]
        self._stale_nodes.add(node)
        return True

    def _assumed(self, node: NodeName) -> bool:
        """Whether links of the node are assumed while there is no report."""
        known = self._nodes.get(node)
        return known is not None and known.links_assumed

    def devices_held(self, node: NodeName, pod: Pod) -> tuple[int, ...]:
        """The GPUs that the pod holds by the report on `node`, if there is one."""
        held = self._held.get(node)
        return held.get(f"{pod.namespace}/{pod.name}", ()) if held else ()

    def slices_held(self, node: NodeName, pod: Pod) -> tuple[MigInstance, ...]:
        """The MIG instances that the pod holds by the report on `node`, if there is one."""
        held = self._slices_held.get(node)
        return held.get(f"{pod.namespace}/{pod.name}", ()) if held else ()

    def facts(self) -> Iterator[Node | DevicesSeen]:
        """Everything known of nodes themselves."""
        yield from self._nodes.values()
        yield from self._reports.values()

    # Use

    def charge(self, node: NodeName, pod: Pod, *, leaves: bool = False) -> None:
        """The pod takes room on `node`; its record replaces an older one. `leaves`: plans in flight wait for that."""
        use = self._of(node)
        use.pods[pod.uid] = pod
        (use.leaving.add if leaves else use.leaving.discard)(pod.uid)
        self._stale_use.add(node)

    def discharge(self, node: NodeName, uid: PodUid) -> None:
        """The pod takes room on `node` no more."""
        use = self._use.get(node)
        if use is not None and use.pods.pop(uid, None) is not None:
            use.leaving.discard(uid)
            self._drop_if_empty(node, use)

    def reserve(self, assignment: Assignment, shape: PodShape, *, waits: bool = False) -> None:
        """A plan in flight takes room for a pod of `shape`. `waits`: it starts when others have left."""
        use = self._of(assignment.node)
        use.flights[assignment.pod] = (assignment, shape)
        (use.waiting.add if waits else use.waiting.discard)(assignment.pod)
        self._stale_use.add(assignment.node)

    def release(self, assignment: Assignment) -> None:
        """A plan in flight takes this room no more."""
        use = self._use.get(assignment.node)
        if use is not None and use.flights.pop(assignment.pod, None) is not None:
            use.waiting.discard(assignment.pod)
            self._drop_if_empty(assignment.node, use)

    def pods_on(self, node: NodeName) -> tuple[Pod, ...]:
        """The pods that take room on `node`."""
        use = self._use.get(node)
        return tuple(use.pods.values()) if use is not None else ()

    # The snapshot's parts

    def views(self) -> NodeViews:
        """The per-node parts of a snapshot, as of now."""
        if self._reshape or self._stale_nodes or self._stale_use:
            self._refresh()
        return self._views

    def _refresh(self) -> None:
        before = self._views
        if self._reshape or self._resources_changed():
            widened = self._tables.shape(self._nodes, self._resources())
            self._reshape = False
            if widened:
                self._stale_nodes.update(self._nodes)
        # By name, so that the order of a snapshot's mappings is no matter of how Python hashes names.
        for name in sorted(self._stale_nodes):
            self._refresh_node(name)
        renewed = bool(self._stale_nodes)
        self._stale_use |= self._stale_nodes
        for name in sorted(self._stale_use):
            self._refresh_use(name)
        self._stale_nodes.clear()
        self._stale_use.clear()
        self._views = NodeViews(
            static_generation=self._static_generation,
            nodes=self._records.copy() if renewed else before.nodes,
            columns=self._tables.columns(),
            ports_used=before.ports_used if before.ports_used == self._ports else self._ports.copy(),
            devices_used=before.devices_used if before.devices_used == self._devices else self._devices.copy(),
            devices_unsure=before.devices_unsure if before.devices_unsure == self._unsure else self._unsure.copy(),
            shares_used=before.shares_used if before.shares_used == self._shares else self._shares.copy(),
            slices=before.slices if before.slices == self._slices else self._slices.copy(),
            ailing=before.ailing if before.ailing == self._ailing else self._ailing.copy(),
        )

    def _refresh_node(self, name: NodeName) -> None:
        self._ailing.pop(name, None)
        node = self._nodes.get(name)
        if node is None:
            self._records.pop(name, None)
            return
        report = self._reports.get(name)
        if report is not None:
            node = msgspec.structs.replace(
                node,
                devices=report.devices,
                machine=report.machine,
                links=report.links,
                links_assumed=False,
                allocator=report.allocator,
                mig_on_demand=report.mig_on_demand,
                mig_instances=report.mig_instances,
                mig_models=report.mig_models,
                shares_on_demand=report.shares_on_demand,
            )
        self._records[name] = node
        ailing = ailing_of(node.devices)
        if ailing is not None:
            self._ailing[name] = ailing
        self._tables.set_node(
            name, node.allocatable, gpus=healthy_gpus(node), usable=node.ready and not node.unschedulable
        )

    def _refresh_use(self, name: NodeName) -> None:
        self._ports.pop(name, None)
        self._devices.pop(name, None)
        self._shares.pop(name, None)
        self._slices.pop(name, None)
        self._unsure.pop(name, None)
        node = self._records.get(name)
        if node is None:
            return
        use = self._use.get(name)
        if node.on_demand:
            self._refresh_divided(node, use or _Use())
        elif use is None:
            self._tables.set_used(name, ())
        else:
            self._refresh_whole(node, use)
        shapes = _shapes(use) if use is not None else ()
        ports = {port for shape in shapes for port in shape.host_ports}
        if ports:
            self._ports[name] = tuple(sorted(ports, key=lambda p: (p.port, p.protocol, p.address)))

    def _refresh_whole(self, node: Node, use: _Use) -> None:
        """The use of a node whose GPUs are given out as its plugin advertises them."""
        self._tables.set_used(node.name, _taken(use))
        if node.devices:
            flights = [(a, s.requests) for _, (a, s) in sorted(use.flights.items())]
            if use.leaving:
                # What is taken now, and what will be once those have left.
                staying = [pod for uid, pod in use.pods.items() if uid not in use.leaving]
                started = [(a, requests) for a, requests in flights if a.pod not in use.waiting]
                taken = devices_taken(node.devices, use.pods.values(), started)
                taken |= devices_taken(node.devices, staying, flights)
            else:
                taken = devices_taken(node.devices, use.pods.values(), flights)
            if taken:
                self._devices[node.name] = taken
            if node.links is not None and node.allocator is Allocator.DEVICE_PLUGIN:
                unsure = unsure_of(taken, use.pods.values(), flights)
                if unsure is not None:
                    self._unsure[node.name] = unsure

    def _refresh_divided(self, node: Node, use: _Use) -> None:
        found = divided_use(node, use.pods.values(), use.flights.values())
        self._tables.set_used(node.name, found.requests)
        if found.devices:
            self._devices[node.name] = found.devices
        if found.shares:
            self._shares[node.name] = found.shares
        if found.slices:
            self._slices[node.name] = found.slices

    def _of(self, node: NodeName) -> _Use:
        use = self._use.get(node)
        if use is None:
            use = self._use[node] = _Use()
        return use

    def _drop_if_empty(self, node: NodeName, use: _Use) -> None:
        self._stale_use.add(node)
        if not use.pods and not use.flights:
            del self._use[node]

    def _count_resources(self, node: Node | None, step: int) -> None:
        for name, _ in node.allocatable.extended if node is not None else ():
            count = self._with_resource.get(name, 0) + step
            if count:
                self._with_resource[name] = count
            else:
                del self._with_resource[name]

    def _resources_changed(self) -> bool:
        return self._tables.extended != self._resources()

    def _resources(self) -> Collection[str]:
        """The extended resources that nodes have. GPUs divided on demand are there without being advertised."""
        if GPU in self._with_resource or not any(map(_on_demand, self._reports.values())):
            return self._with_resource.keys()
        return {*self._with_resource, GPU}


def _on_demand(report: DevicesSeen) -> bool:
    return report.mig_on_demand or report.shares_on_demand


def _lasting(report: DevicesSeen | None) -> tuple[object, ...]:
    """What of a report is a matter of the machine and its set-up."""
    if report is None:
        return None, None, False, False, ()
    return report.links, report.allocator, report.mig_on_demand, report.shares_on_demand, report.mig_models


def _taken(use: _Use) -> list[Resources]:
    """What is used, in parts: of those that leave and of those that wait for it, whichever take more."""
    if not use.leaving:
        return [shape.requests for shape in _shapes(use)]
    staying = [pod.shape.requests for uid, pod in use.pods.items() if uid not in use.leaving]
    started = [shape.requests for uid, (_, shape) in use.flights.items() if uid not in use.waiting]
    leaving = _sum(pod.shape.requests for uid, pod in use.pods.items() if uid in use.leaving)
    waiting = _sum(shape.requests for uid, (_, shape) in use.flights.items() if uid in use.waiting)
    return [*staying, *started, larger(leaving, waiting)]


def _sum(amounts: Iterable[Resources]) -> Resources:
    return reduce(plus, amounts, NOTHING)


def _shapes(use: _Use) -> list[PodShape]:
    return [pod.shape for pod in use.pods.values()] + [shape for _, shape in use.flights.values()]
