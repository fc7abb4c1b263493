"""Nodes, what stands on them, and the per-node parts of a snapshot."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from scheduler.model.claims import DeviceName
from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Allocator, MigInstance, Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.snapshot import Ailing, Closed, Columns, Unsure
from scheduler.model.workload import HostPort, Pod
from scheduler.state.claimable import Claimable, claimable, with_claimable
from scheduler.state.claims import ClaimBook, Pool
from scheduler.state.devices import ailing_of, closed_to, devices_taken, healthy_gpus, unsure_of
from scheduler.state.divided import DividedUse, divided_use
from scheduler.state.events import DevicesSeen
from scheduler.state.offers import OfferBook
from scheduler.state.tables import Tables
from scheduler.state.use import Use, shapes_of, taken_by


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
    closed: Mapping[NodeName, Closed]


class NodeBook:
    """Nodes, reports on their devices, and their use, which may be known before the node is."""

    def __init__(self, offers: OfferBook, claims: ClaimBook) -> None:
        """No nodes. `offers`: which devices can be claimed; `claims`: which are."""
        self._offers = offers
        self._claims = claims
        self._claimable: dict[NodeName, Claimable] = {}
        self._closed: dict[NodeName, Closed] = {}
        self._nodes: dict[NodeName, Node] = {}
        self._reports: dict[NodeName, DevicesSeen] = {}
        self._held: dict[NodeName, dict[str, tuple[int, ...]]] = {}
        self._slices_held: dict[NodeName, dict[str, tuple[MigInstance, ...]]] = {}
        self._use: dict[NodeName, Use] = {}
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
            closed={},
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
        served = node.name in self._claimable and (old is None or _served(old) != _served(node))
        if old is None or served or (old.labels, old.taints, old.links) != (node.labels, node.taints, node.links):
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
        if _lasting(report) != _lasting(old):
            self._static_generation += 1
        self._reports[report.node] = report
        self._held[report.node] = dict(report.held)
        self._slices_held[report.node] = dict(report.slices_held)
        self._stale_nodes.add(report.node)
        self.see_offer(report.node)
        return True

    def forget_report(self, node: NodeName) -> bool:
        """A report is gone; whether there was one."""
        old = self._reports.pop(node, None)
        if old is None:
            return False
        self._static_generation += _lasting(old) != _lasting(None)
        del self._held[node], self._slices_held[node]
        self._stale_nodes.add(node)
        self.see_offer(node)
        return True

    def see_offer(self, node: NodeName) -> None:
        """What can be claimed of a node is what the offers say now."""
        offer = self._offers.of(node)
        before = self._claimable.pop(node, None)
        if offer:
            self._claimable[node] = claimable(self._reports.get(node), offer, served=self._offers.served)
        if before != self._claimable.get(node):
            self._static_generation += 1
            self._stale_nodes.add(node)

    def see_claims(self, pools: Iterable[Pool]) -> None:
        """What claims have of these pools is what the claims say now."""
        self._stale_use.update(node for pool in pools if (node := self._offers.node_of.get(pool)) is not None)

    def devices_held(self, node: NodeName, pod: Pod) -> tuple[int, ...]:
        """The GPUs that the pod holds by the report on `node`, if there is one, and by its claims."""
        held = self._held.get(node)
        known = held.get(f"{pod.namespace}/{pod.name}", ()) if held else ()
        found = self._claimable.get(node) if pod.claims else None
        return known if found is None else tuple(sorted({*known, *found.whole(_charged(pod))}))

    def slices_held(self, node: NodeName, pod: Pod) -> tuple[MigInstance, ...]:
        """The MIG instances that the pod holds by the report on `node`, if there is one, or by its claims."""
        held = self._slices_held.get(node)
        known = held.get(f"{pod.namespace}/{pod.name}", ()) if held else ()
        found = self._claimable.get(node) if pod.claims else None
        return tuple(found.slices(_charged(pod))) or known if found is not None else known

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

    def reserve(self, assignment: Assignment, pod: Pod, *, waits: bool = False) -> None:
        """A plan in flight takes room for a pod. `waits`: it starts when others have left."""
        use = self._of(assignment.node)
        use.flights[assignment.pod] = (assignment, pod.shape)
        if pod.claims or use.claims:
            use.claims[assignment.pod] = frozenset(claim.uid for claim in pod.claims)
        (use.waiting.add if waits else use.waiting.discard)(assignment.pod)
        self._stale_use.add(assignment.node)

    def release(self, assignment: Assignment) -> None:
        """A plan in flight takes this room no more."""
        use = self._use.get(assignment.node)
        if use is not None and use.flights.pop(assignment.pod, None) is not None:
            use.waiting.discard(assignment.pod)
            use.claims.pop(assignment.pod, None)
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
            closed=before.closed if before.closed == self._closed else self._closed.copy(),
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
                clique=report.clique,
            )
        if name in self._claimable:
            node = with_claimable(node, self._claimable[name])
        self._records[name] = node
        ailing = ailing_of(node.devices)
        if ailing is not None:
            self._ailing[name] = ailing
        usable = node.ready and not node.unschedulable and not node.mig_changing
        self._tables.set_node(name, node.allocatable, gpus=healthy_gpus(node), usable=usable)

    def _refresh_use(self, name: NodeName) -> None:
        self._ports.pop(name, None)
        self._devices.pop(name, None)
        self._shares.pop(name, None)
        self._slices.pop(name, None)
        self._unsure.pop(name, None)
        self._closed.pop(name, None)
        node = self._records.get(name)
        if node is None:
            return
        use = self._use.get(name)
        found, claimed, sliced = self._claimable.get(name), set[int](), list[MigInstance]()
        parts: Mapping[int, int] = {}
        if found is not None:
            use = use or Use()
            claimed, sliced, parts = self._claimed(found, node, use)
            if not node.on_demand:
                # Whoever has a slice of a GPU keeps all of it from others.
                claimed |= {one.device for one in sliced}
                claimed |= {one.device for pod in use.pods.values() for one in found.slices(_charged(pod))}
            held = {*claimed, *parts, *(one.device for one in sliced)}
            closed = closed_to(node, use.pods.values(), use.flights.values(), held)
            if closed is not None:
                self._closed[name] = closed
        if node.on_demand:
            taken = divided_use(
                node, (use or Use()).pods.values(), (use or Use()).flights.values(), claimed, sliced, parts
            )
            self._note_divided(node, taken)
        elif use is None:
            self._tables.set_used(name, ())
        else:
            self._refresh_whole(node, use, claimed)
        shapes = shapes_of(use) if use is not None else ()
        ports = {port for shape in shapes for port in shape.host_ports}
        if ports:
            self._ports[name] = tuple(sorted(ports, key=lambda p: (p.port, p.protocol, p.address)))

    def _claimed(self, found: Claimable, node: Node, use: Use) -> tuple[set[int], list[MigInstance], Mapping[int, int]]:
        """GPUs, slices and parts that claims have of a node which no pod there, or in flight to it, is charged for."""
        charged = {claim.uid for pod in use.pods.values() for claim in pod.claims}
        charged.update(*use.claims.values())
        held = self._claims.in_pools(self._offers.pools_of(node.name))
        nobodys = [uid for uid in sorted(held) if uid not in charged]
        parts = [part for uid in nobodys for part in self._claims.parts_of(uid)] if node.shares_on_demand else []
        shared = {part.device for part in parts}
        names = [device for uid in nobodys for device in held[uid]]
        return found.whole(n for n in names if n not in shared), found.slices(names), found.parts(parts)

    def _refresh_whole(self, node: Node, use: Use, claimed: set[int]) -> None:
        """The use of a node whose GPUs are given out whole, or as its plugin advertises them."""
        # A GPU that is divided is no more among those that are given out whole.
        lost = len(claimed.difference(d.index for d in node.devices if d.mig_enabled))
        others = [Resources(extended=extended({GPU: lost}))] if lost else []
        self._tables.set_used(node.name, [*taken_by(use), *others])
        if node.devices:
            flights = [(a, s.requests) for _, (a, s) in sorted(use.flights.items())]
            if use.leaving:
                # What is taken now, and what will be once those have left.
                staying = [pod for uid, pod in use.pods.items() if uid not in use.leaving]
                started = [(a, requests) for a, requests in flights if a.pod not in use.waiting]
                taken = devices_taken(node.devices, use.pods.values(), started, claimed)
                taken |= devices_taken(node.devices, staying, flights, claimed)
            else:
                taken = devices_taken(node.devices, use.pods.values(), flights, claimed)
            if taken:
                self._devices[node.name] = taken
            if node.links is not None and node.allocator is not Allocator.DRA:
                unsure = unsure_of(taken, use.pods.values(), [shape for _, shape in use.flights.values()])
                if unsure is not None:
                    self._unsure[node.name] = unsure

    def _note_divided(self, node: Node, found: DividedUse) -> None:
        self._tables.set_used(node.name, found.requests)
        if found.devices:
            self._devices[node.name] = found.devices
        if found.shares:
            self._shares[node.name] = found.shares
        if found.slices:
            self._slices[node.name] = found.slices

    def _of(self, node: NodeName) -> Use:
        use = self._use.get(node)
        if use is None:
            use = self._use[node] = Use()
        return use

    def _drop_if_empty(self, node: NodeName, use: Use) -> None:
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
        """The extended resources that nodes have. GPUs to be claimed or divided are there without being advertised."""
        hidden = bool(self._claimable) or any(map(_on_demand, self._reports.values()))
        if GPU in self._with_resource or not hidden:
            return self._with_resource.keys()
        return {*self._with_resource, GPU}


def _charged(pod: Pod) -> list[DeviceName]:
    """What the claims have that a pod is charged for."""
    return [name for claim in pod.claims if claim.requests or claim.served for name in claim.allocated]


def _on_demand(report: DevicesSeen) -> bool:
    return report.mig_on_demand or report.shares_on_demand


def _served(node: Node) -> tuple[bool, str]:
    """What decides who gives out GPUs that can be claimed, and what they are."""
    return node.allocatable.wants_devices, node.product


def _lasting(report: DevicesSeen | None) -> tuple[object, ...]:
    """What of a report is a matter of the machine and its set-up."""
    if report is None:
        return None, None, False, False, (), ""
    on_demand = report.mig_on_demand, report.shares_on_demand
    return report.links, report.allocator, *on_demand, report.mig_models, report.clique
