"""What is wrong with what we believe: against a fresh list, against itself, and against the rules that always hold."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from scheduler.model.names import NodeName, PodUid, people_name
from scheduler.model.resources import NOTHING, Resources, larger, plus
from scheduler.model.snapshot import BASE_RESOURCES, Columns, Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.state.audit_divided import given_twice
from scheduler.state.cluster import ClusterState
from scheduler.state.divided import undivided
from scheduler.state.events import (
    ClaimSeen,
    DeviceClassSeen,
    DevicesSeen,
    Event,
    GroupGone,
    GroupSeen,
    JobGone,
    JobSeen,
    NamespaceSeen,
    NodeSeen,
    PodSeen,
    PriorityClassSeen,
    QueueGone,
    QueueSeen,
    SliceSeen,
    TopologySeen,
)


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the state differs from a fresh list, in sentences that name the object.

    `missed`: it exists, and we do not know it. `redundant`: we believe in it, and it does not exist. `different`: we
    know it otherwise than it is.
    """

    missed: tuple[str, ...] = ()
    redundant: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs."""
        return not (self.missed or self.redundant or self.different)


def compare(state: ClusterState, fresh: Iterable[Event]) -> AuditReport:
    """Compare what `state` believes with a `fresh` list of everything, as events.

    Plans in flight and refusals are ours alone and take no part.
    """
    return differences(state.facts(), fresh)


def differences(believed: Iterable[Event], fresh: Iterable[Event]) -> AuditReport:
    """`compare` for the facts of a state: these never change, so another thread can take its time over them."""
    truth = ClusterState()
    for event in fresh:
        truth.apply(event)
    ours, theirs = _by_name(believed), _by_name(truth.facts())
    return AuditReport(
        missed=tuple(f"{name} exists, and the state does not know it" for name in sorted(theirs.keys() - ours.keys())),
        redundant=tuple(f"{name} is believed in, and does not exist" for name in sorted(ours.keys() - theirs.keys())),
        different=tuple(
            f"{name}: {_difference(ours[name], theirs[name])}"
            for name in sorted(ours.keys() & theirs.keys())
            if ours[name] != theirs[name]
        ),
    )


_KINDS = {
    NamespaceSeen: "namespace",
    TopologySeen: "topology",
    PriorityClassSeen: "class",
    SliceSeen: "slice",
    ClaimSeen: "claim",
    DeviceClassSeen: "device class",
}


def _by_name(facts: Iterable[Event]) -> dict[str, msgspec.Struct]:
    named: dict[str, msgspec.Struct] = {}
    jobs: dict[str, str] = {}
    for fact in facts:
        match fact:
            case PodSeen(pod=pod):
                named[f"pod {pod.namespace}/{pod.name}"] = pod
            case NodeSeen(node=node):
                named[f"node {node.name}"] = node
            case DevicesSeen(node=node):
                named[f"report on node {node}"] = fact
            case JobSeen(uid=uid, namespace=namespace, name=name):
                jobs[uid] = f"job {namespace}/{name}"
                named[jobs[uid]] = fact
            case GroupSeen(uid=uid, kind=kind, key=key):
                jobs[uid] = f"{kind} of gang {people_name(key)}"
                named[jobs[uid]] = fact
            case QueueSeen(queue=queue):
                named[f"queue {queue.name}"] = queue
            case JobGone() | GroupGone() | QueueGone():
                del named[f"queue {fact.name}" if isinstance(fact, QueueGone) else jobs[fact.uid]]
            case NamespaceSeen() | TopologySeen() | PriorityClassSeen() | SliceSeen() | DeviceClassSeen() | ClaimSeen():
                space = f"{fact.namespace}/" if isinstance(fact, ClaimSeen) else ""
                named[f"{_KINDS[type(fact)]} {space}{fact.name}"] = fact
            case _:
                pass
    return named


def _difference(ours: msgspec.Struct, theirs: msgspec.Struct) -> str:
    fields = [
        f"{name} is {getattr(theirs, name)!r}, believed {getattr(ours, name)!r}"
        for name in ours.__struct_fields__
        if getattr(ours, name) != getattr(theirs, name, None)
    ]
    return "; ".join(fields)


COMPARED = (
    "nodes",
    "workloads",
    "queues",
    "in_flight",
    "ports_used",
    "devices_used",
    "devices_unsure",
    "shares_used",
    "slices",
    "ailing",
    "closed",
    "pod_nodes",
)
"""Parts of a snapshot that are mappings by name."""


def inconsistencies(state: ClusterState) -> list[str]:
    """Where the snapshot, which is kept up step by step, differs from one that is made from scratch."""
    again = ClusterState()
    for event in state.facts():
        again.apply(event)
    kept, made = state.snapshot(), again.snapshot()
    wrong = [
        f"{part} differs from what is made from scratch: {_first_difference(getattr(kept, part), getattr(made, part))}"
        for part in COMPARED
        if getattr(kept, part) != getattr(made, part)
    ]
    if kept.topology != made.topology:
        wrong.append(f"topology is {kept.topology!r}, from scratch {made.topology!r}")
    return wrong + _column_differences(kept.columns, made.columns)


def _first_difference(kept: Mapping[str, object], made: Mapping[str, object]) -> str:
    name = min(n for n in kept.keys() | made.keys() if kept.get(n) != made.get(n))
    return f"{name} is {kept.get(name)!r}, from scratch {made.get(name)!r}"


def _column_differences(kept: Columns, made: Columns) -> list[str]:
    if (kept.names, kept.resources, kept.row_of) != (made.names, made.resources, made.row_of):
        return [f"columns are for {kept.names} and {kept.resources}, from scratch {made.names} and {made.resources}"]
    return [
        f"{table} of node {kept.names[row]} is {getattr(kept, table)[row]}, from scratch {getattr(made, table)[row]}"
        for table in ("allocatable", "used", "usable")
        for row in np.unique(np.argwhere(getattr(kept, table) != getattr(made, table))[:, :1])
    ]


def violations(snapshot: Snapshot) -> list[str]:
    """Where the cluster breaks the rules that always hold, in sentences; empty where all hold.

    No GPU has two holders, no part or slice of one is given twice · no node with our pods is over-committed · a gang
    does not stand in part with nothing under way for the rest · a pod in flight has no node yet · used is never below
    what our pods and plans take.
    """
    return [
        *_double_holders(snapshot),
        *given_twice(snapshot),
        *_over_committed(snapshot),
        *_partial_gangs(snapshot),
        *_odd_flights(snapshot),
        *_uncounted(snapshot),
    ]


def _double_holders(snapshot: Snapshot) -> Iterator[str]:
    holders: dict[tuple[NodeName, int], list[str]] = {}
    for pod in _members(snapshot):
        if pod.node is not None and not pod.shape.requests.shared_gpus:
            for index in pod.devices:
                holders.setdefault((pod.node, index), []).append(f"{pod.namespace}/{pod.name}")
    planned: dict[tuple[NodeName, int], list[str]] = {}
    sharing = {pod.uid for pod in _members(snapshot) if pod.shape.requests.shared_gpus}
    for flight in snapshot.in_flight.values():
        for assignment in flight.assignments:
            for index in assignment.devices if assignment.pod not in sharing else ():
                planned.setdefault((assignment.node, index), []).append(people_name(flight.workload))
    for verb, taken in (("held by", holders), ("planned for", planned)):
        for (node, index), names in sorted(taken.items()):
            if len(names) > 1:
                yield f"GPU {index} of node {node} is {verb} {' and '.join(sorted(names))}"


def _over_committed(snapshot: Snapshot) -> Iterator[str]:
    """What is used against what the node has; GPUs found unhealthy later stay counted as the node's."""
    columns = snapshot.columns
    for name, ours in sorted(_ours(snapshot).items()):
        row = columns.row_of.get(name)
        if row is None:
            continue
        has = _amounts(snapshot.nodes[name].allocatable)
        wanted = _amounts(ours)
        for resource, used in zip(columns.resources, columns.used[row].tolist(), strict=True):
            if wanted.get(resource, 0) and used > has.get(resource, 0):
                yield f"node {name} has {has.get(resource, 0)} {resource}, and {used} are used"


def _partial_gangs(snapshot: Snapshot) -> Iterator[str]:
    for key, workload in sorted(snapshot.workloads.items()):
        if workload.never_stood and key not in snapshot.in_flight:
            lack = workload.lacking(workload.placed)[0]
            of_role = "" if lack.role is None else f" of the role {lack.role}"
            yield (
                f"gang {people_name(key)} stands with {lack.there} of {lack.needed} pods{of_role}, "
                "and nothing is under way for the rest"
            )


def _odd_flights(snapshot: Snapshot) -> Iterator[str]:
    for key, flight in sorted(snapshot.in_flight.items()):
        workload = snapshot.workloads.get(key)
        members = {p.uid: p for p in workload.members} if workload is not None else {}
        for assignment in flight.assignments:
            pod = members.get(assignment.pod)
            if pod is None:
                yield f"the plan of {people_name(key)} places pod {assignment.pod}, which is no member"
            elif pod.node is not None:
                yield f"pod {pod.namespace}/{pod.name} is bound to {pod.node}, and still in flight"


def _uncounted(snapshot: Snapshot) -> Iterator[str]:
    columns = snapshot.columns
    for name, ours in sorted(_ours(snapshot).items()):
        row = columns.row_of.get(name)
        if row is None:
            continue
        wanted = _amounts(ours)
        for resource, used in zip(columns.resources, columns.used[row].tolist(), strict=True):
            if used < wanted.get(resource, 0):
                yield f"node {name} counts {used} {resource} as used, and ours take {wanted[resource]}"


def _ours(snapshot: Snapshot) -> dict[NodeName, Resources]:
    """What managed pods and plans in flight take of each node: of what leaves and what waits for it, the larger."""
    waiting: set[PodUid] = set()
    leaving: set[PodUid] = set()
    for flight in snapshot.in_flight.values():
        leaving.update(flight.leaving)
        if flight.leaving:
            waiting.update(assignment.pod for assignment in flight.assignments)
    sums: tuple[dict[NodeName, Resources], ...] = ({}, {}, {})
    for pod in _members(snapshot):
        node = snapshot.pod_nodes.get(pod.uid)
        if node is not None:
            requests = pod.shape.requests
            if node in snapshot.nodes and snapshot.nodes[node].on_demand:
                requests = undivided(requests)
            taken = sums[1 if pod.uid in leaving else 2 if pod.uid in waiting else 0]
            taken[node] = plus(taken[node], requests) if node in taken else requests
    staying, going, coming = sums
    both = {node: larger(going.get(node, NOTHING), coming.get(node, NOTHING)) for node in {*going, *coming}}
    return {node: plus(staying.get(node, NOTHING), both.get(node, NOTHING)) for node in {*staying, *both}}


def _members(snapshot: Snapshot) -> Iterator[Pod]:
    workloads: Iterable[Workload] = snapshot.workloads.values()
    for workload in workloads:
        yield from workload.members


def _amounts(resources: Resources) -> dict[str, int]:
    base = (resources.milli_cpu, resources.memory_bytes, resources.ephemeral_bytes, resources.pods)
    return {**dict(zip(BASE_RESOURCES, base, strict=True)), **dict(resources.extended)}
