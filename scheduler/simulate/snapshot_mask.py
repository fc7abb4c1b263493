"""A snapshot without the names of people's things, of which the same plan is made, up to those names.

Names break ties, so each kind of name is replaced by numbers in the order of the names: `n017`. Kept as they are:
resources, GPU models, machine types, levels and label keys; values of labels that some pod compares as numbers;
priorities, times and amounts. Who knows the cluster can still recognise it.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from scheduler.model.claims import DeviceName, PodClaim
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import CLIQUE_LABEL, NODE_LEVEL, Device, Node
from scheduler.model.plan import Assignment
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Columns, InFlight, Snapshot
from scheduler.model.workload import (
    GangClaim,
    HostPort,
    Pod,
    PodShape,
    Problem,
    Requirement,
    RoleMinimums,
    Slices,
    Toleration,
    Workload,
)
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.filters import EVERY_ADDRESS
from scheduler.scoring.own_rules import OwnRules
from scheduler.simulate.snapshot import SnapshotFile, write_snapshot
from scheduler.version import VERSION

Value = TypeVar("Value")

_TAINT = "values of taints"
"""All of them are told apart together, as a toleration may stand for taints of any key. No label key has blanks."""


def masked(snapshot: Snapshot) -> Snapshot:
    """The snapshot with every name, label value and text replaced."""
    mask = _Mask()
    # The first time, the names are only taken down.
    mask.snapshot(snapshot)
    mask.close()
    return mask.snapshot(snapshot)


def masked_file(snapshot: Snapshot, *, now_s: int, settings: PlanSettings, rules: OwnRules) -> bytes:
    """A snapshot file, masked; without the digest of a plan, as none is made."""
    file = SnapshotFile(
        written_by=VERSION,
        now_s=now_s,
        masked=True,
        settings=settings,
        filters=tuple(rule.name for rule in rules.filters),
        scores=tuple(rule.name for rule in rules.scores),
        snapshot=masked(snapshot),
    )
    return write_snapshot(file, compress=False)


class _Pool:
    """Names of one kind. Until it is closed it takes them down, then it gives their replacements in their order."""

    def __init__(self, prefix: str, order: Callable[[str], str] = str) -> None:
        self._prefix = prefix
        self._order = order
        self._seen: set[str] = set()
        self._names: dict[str, str] | None = None

    def of(self, name: str) -> str:
        """What stands for `name`; an empty name stays empty."""
        if self._names is not None:
            return self._names[name] if name else ""
        if name:
            self._seen.add(name)
        return name

    def close(self) -> None:
        """From now on names are replaced."""
        width = len(str(len(self._seen)))
        ordered = sorted(self._seen, key=self._order)
        self._names = {name: f"{self._prefix}{at:0{width}}" for at, name in enumerate(ordered)}


class _Mask:
    """The pools of one snapshot, and what is replaced where."""

    def __init__(self) -> None:
        self._nodes = _Pool("n")
        self._uids = _Pool("u")
        self._queues = _Pool("q")
        # In `namespace/name` the namespace `a-b` comes before `a`.
        self._namespaces = _Pool("s", lambda name: f"{name}/")
        self._names = _Pool("w")
        self._users = _Pool("p")
        self._texts = _Pool("t")
        self._addresses = _Pool("a")
        self._values: dict[str, _Pool] = {}
        self._as_numbers: set[str] = set()
        self._levels: set[str] = set()
        self._shapes: dict[PodShape, PodShape] = {}

    def close(self) -> None:
        """From now on names are replaced."""
        pools = (
            self._nodes,
            self._uids,
            self._queues,
            self._namespaces,
            self._names,
            self._users,
            self._texts,
            self._addresses,
        )
        for pool in (*pools, *self._values.values()):
            pool.close()
        self._shapes.clear()

    def snapshot(self, snapshot: Snapshot) -> Snapshot:
        """The whole snapshot."""
        self._levels |= {word for level in (*snapshot.topology, NODE_LEVEL) for word in (level.name, level.label)}
        self._levels |= {key for node in snapshot.nodes.values() for key in node.places}
        return replace(
            snapshot,
            nodes={self._node_name(name): self._node(node) for name, node in snapshot.nodes.items()},
            columns=self._columns(snapshot.columns),
            workloads={self._key(key): self._workload(w) for key, w in snapshot.workloads.items()},
            queues={self._queue_name(name): self._queue(queue) for name, queue in snapshot.queues.items()},
            in_flight={self._key(key): self._flight(flight) for key, flight in snapshot.in_flight.items()},
            ports_used={
                self._node_name(name): tuple(self._port(port) for port in ports)
                for name, ports in snapshot.ports_used.items()
            },
            devices_used=self._by_node(snapshot.devices_used),
            devices_unsure=self._by_node(snapshot.devices_unsure),
            shares_used=self._by_node(snapshot.shares_used),
            slices=self._by_node(snapshot.slices),
            ailing=self._by_node(snapshot.ailing),
            closed=self._by_node(snapshot.closed),
            pod_nodes={self._uid(uid): self._node_name(name) for uid, name in snapshot.pod_nodes.items()},
        )

    def _by_node(self, values: Mapping[NodeName, Value]) -> dict[NodeName, Value]:
        return {self._node_name(name): value for name, value in values.items()}

    def _node(self, node: Node) -> Node:
        return replace(
            node,
            name=self._node_name(node.name),
            uid=self._uids.of(node.uid),
            mig_config=self._texts.of(node.mig_config),
            mig_wanted=self._texts.of(node.mig_wanted),
            labels={key: self._value(key, value) for key, value in node.labels.items()},
            clique=self._value(CLIQUE_LABEL, node.clique),
            taints=tuple(replace(t, value=self._value(_TAINT, t.value)) for t in node.taints),
            devices=tuple(self._device(device) for device in node.devices),
            slice_names=tuple(
                replace(each, name=self._names.of(each.name), gpu=self._names.of(each.gpu)) for each in node.slice_names
            ),
            slices_made=tuple(replace(each, name=self._device_name(each.name)) for each in node.slices_made),
            notes=tuple(self._texts.of(text) for text in node.notes),
        )

    def _device(self, device: Device) -> Device:
        return replace(
            device,
            uuid=self._uids.of(device.uuid),
            reasons=tuple(self._texts.of(text) for text in device.reasons),
            claimed_as=_maybe(device.claimed_as, self._device_name),
        )

    def _device_name(self, name: DeviceName) -> DeviceName:
        return replace(name, pool=self._names.of(name.pool), device=self._names.of(name.device))

    def _columns(self, columns: Columns) -> Columns:
        return replace(
            columns,
            names=tuple(self._node_name(name) for name in columns.names),
            row_of={self._node_name(name): row for name, row in columns.row_of.items()},
        )

    def _workload(self, workload: Workload) -> Workload:
        return replace(
            workload,
            key=self._key(workload.key),
            queue=_maybe(workload.queue, self._queue_name),
            members=tuple(self._pod(pod) for pod in workload.members),
            role_minimums=self._roles(workload.role_minimums),
            user=self._users.of(workload.user),
            topology_required=_maybe(workload.topology_required, self._level),
            topology_preferred=_maybe(workload.topology_preferred, self._level),
            topology_slices=self._slices(workload.topology_slices),
            topology_exclusive=_maybe(workload.topology_exclusive, self._level),
            avoid=frozenset(self._node_name(name) for name in workload.avoid),
            problems=tuple(self._problem(problem) for problem in workload.problems),
            notes=tuple(self._texts.of(text) for text in workload.notes),
        )

    def _pod(self, pod: Pod) -> Pod:
        return replace(
            pod,
            uid=self._uid(pod.uid),
            namespace=self._namespaces.of(pod.namespace),
            name=self._names.of(pod.name),
            shape=self._shape(pod.shape),
            node=_maybe(pod.node, self._node_name),
            nominated_node=_maybe(pod.nominated_node, self._node_name),
            scheduler_message=self._texts.of(pod.scheduler_message),
            gang=_maybe(pod.gang, self._claim),
            owner_uid=_maybe(pod.owner_uid, self._uids.of),
            owner_name=self._names.of(pod.owner_name),
            queue=_maybe(pod.queue, self._queue_name),
            priority_class=self._texts.of(pod.priority_class),
            topology_required=_maybe(pod.topology_required, self._level),
            topology_preferred=_maybe(pod.topology_preferred, self._level),
            topology_slices=self._slices(pod.topology_slices),
            topology_exclusive=_maybe(pod.topology_exclusive, self._level),
            user=self._users.of(pod.user),
            role=self._names.of(pod.role),
            role_required=_maybe(pod.role_required, self._level),
            problems=tuple(self._problem(problem) for problem in pod.problems),
            notes=tuple(self._texts.of(text) for text in pod.notes),
            leaves_why=self._texts.of(pod.leaves_why),
            told=None if pod.told is None else (pod.told[0], self._texts.of(pod.told[1])),
            claims=tuple(self._pod_claim(claim) for claim in pod.claims),
        )

    def _pod_claim(self, claim: PodClaim) -> PodClaim:
        return replace(
            claim,
            claim=self._names.of(claim.claim),
            name=self._names.of(claim.name),
            uid=self._uids.of(claim.uid),
            requests=tuple(replace(request, name=self._names.of(request.name)) for request in claim.requests),
            allocated=tuple(self._device_name(name) for name in claim.allocated),
        )

    def _claim(self, claim: GangClaim) -> GangClaim:
        return replace(
            claim,
            name=self._names.of(claim.name),
            group=self._names.of(claim.group),
            role_least=self._roles(claim.role_least),
        )

    def _roles(self, minimums: RoleMinimums) -> RoleMinimums:
        return tuple((self._names.of(role), number) for role, number in minimums)

    def _shape(self, shape: PodShape) -> PodShape:
        known = self._shapes.get(shape)
        if known is None:
            known = self._shapes[shape] = replace(
                shape,
                node_selector=tuple((key, self._value(key, value)) for key, value in shape.node_selector),
                affinity=tuple(tuple(self._requirement(r) for r in term) for term in shape.affinity),
                tolerations=tuple(self._toleration(toleration) for toleration in shape.tolerations),
                host_ports=tuple(self._port(port) for port in shape.host_ports),
            )
        return known

    def _requirement(self, requirement: Requirement) -> Requirement:
        if requirement.on_name:
            return replace(requirement, values=tuple(self._node_name(NodeName(v)) for v in requirement.values))
        if requirement.operator in {"Gt", "Lt"}:
            self._as_numbers.add(requirement.key)
        return replace(requirement, values=tuple(self._value(requirement.key, v) for v in requirement.values))

    def _toleration(self, toleration: Toleration) -> Toleration:
        if toleration.operator in {"Gt", "Lt"}:
            self._as_numbers.add(_TAINT)
        return replace(toleration, value=self._value(_TAINT, toleration.value))

    def _port(self, port: HostPort) -> HostPort:
        return port if port.address == EVERY_ADDRESS else replace(port, address=self._addresses.of(port.address))

    def _queue(self, queue: Queue) -> Queue:
        return replace(
            queue,
            name=self._queue_name(queue.name),
            parent=_maybe(queue.parent, self._queue_name),
            parent_before=_maybe(queue.parent_before, self._queue_name),
            namespaces=tuple(self._namespaces.of(namespace) for namespace in queue.namespaces),
            # What it selects is in force already: every workload has its queue.
            namespace_selector=None,
            uid=self._uids.of(queue.uid),
            user=self._users.of(queue.user),
            taken=tuple((self._namespaces.of(ns), self._queue_name(name)) for ns, name in queue.taken),
            problems=tuple(self._problem(problem) for problem in queue.problems),
        )

    def _flight(self, flight: InFlight) -> InFlight:
        return replace(
            flight,
            workload=self._key(flight.workload),
            queue=self._queue_name(flight.queue),
            assignments=tuple(self._assignment(assignment) for assignment in flight.assignments),
            leaving=tuple(self._uid(uid) for uid in flight.leaving),
        )

    def _assignment(self, assignment: Assignment) -> Assignment:
        return replace(assignment, pod=self._uid(assignment.pod), node=self._node_name(assignment.node))

    def _problem(self, problem: Problem) -> Problem:
        where, _, _ = problem.where.partition(" of ")
        return Problem(where=where, value=self._texts.of(problem.value), allowed=self._texts.of(problem.allowed))

    def _value(self, key: str, value: str) -> str:
        """The value of a label; those of one key are told apart from those of others."""
        pool = self._values.setdefault(key, _Pool("v"))
        replaced = pool.of(value)
        return value if key in self._as_numbers else replaced

    def _level(self, name: str) -> str:
        """A level or a label key; a word that means neither is a text."""
        return name if name in self._levels else self._texts.of(name)

    def _slices(self, slices: Slices) -> Slices:
        return tuple((self._level(name), size) for name, size in slices)

    def _key(self, key: WorkloadKey) -> WorkloadKey:
        kind, _, rest = key.partition(":")
        namespace, _, name = rest.partition("/")
        return WorkloadKey(f"{kind}:{self._namespaces.of(namespace)}/{self._names.of(name)}")

    def _node_name(self, name: NodeName) -> NodeName:
        return NodeName(self._nodes.of(name))

    def _uid(self, uid: PodUid) -> PodUid:
        return PodUid(self._uids.of(uid))

    def _queue_name(self, name: QueueName) -> QueueName:
        return QueueName(self._queues.of(name))


def _maybe(value: Value | None, change: Callable[[Value], Value]) -> Value | None:
    return None if value is None else change(value)
