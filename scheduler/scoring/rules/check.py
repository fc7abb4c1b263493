"""What any plan has to keep, checked without solver or tables: plain code of its own, so that no error is shared."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import Node
from scheduler.model.plan import Admit, Assignment, Offer, Plan, Reclaim, RollBack
from scheduler.model.resources import GPU, NOTHING, Resources, extended, minus, plus
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import HostPort, Pod, Workload
from scheduler.scoring.rules.aligned import broken_alignment, too_few_aligned
from scheduler.scoring.rules.claims import broken_claims, unnamed_devices
from scheduler.scoring.rules.gang import broken_gang
from scheduler.scoring.rules.gone import leaving, without_pods
from scheduler.scoring.rules.health import needless_suspects
from scheduler.scoring.rules.layout import broken_exclusive
from scheduler.scoring.rules.links import broken_links, too_few_linked
from scheduler.scoring.rules.node import why_not_on
from scheduler.scoring.rules.parts import broken_parts, counted, divides, no_place
from scheduler.scoring.rules.queue import broken_quotas, standing, without_use
from scheduler.scoring.rules.reclaim import broken_reclaims, gone
from scheduler.scoring.rules.reserve import broken_reservations

ANYWHERE = "0.0.0.0"  # noqa: S104  the API's own word for every address


def broken_rules(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Every rule that `plan` breaks on `snapshot`, one sentence each; empty where it breaks none.

    What starts at once has to fit beside all that stands; all together, once what is evicted is gone. Quota is judged
    with the latter gone.
    """
    broken = _one_decision_each(snapshot, plan) + broken_reservations(snapshot, plan, _broken_starts)
    broken += unnamed_devices(snapshot, plan)
    if not any(isinstance(decision, Reclaim) for decision in plan.decisions):
        return [*broken, *_broken_starts(snapshot, plan)]
    at_once = tuple(decision for decision in plan.decisions if not isinstance(decision, Reclaim))
    broken += _broken_places(snapshot, msgspec.structs.replace(plan, decisions=at_once))
    going, likely = gone(plan), _losers(plan)
    after = without_pods(snapshot, going, likely)
    together = tuple(
        Admit(workload=d.workload, placement=d.placement) if isinstance(d, Reclaim) else d
        for d in plan.decisions
        if not isinstance(d, RollBack)
    )
    later = msgspec.structs.replace(plan, decisions=together)
    broken += _broken_places(after, later)
    before = standing(snapshot)
    left = without_use(before, snapshot, leaving(snapshot, going, likely))
    return [*broken, *broken_quotas(after, later, left), *broken_reclaims(snapshot, plan, before)]


def _losers(plan: Plan) -> list[WorkloadKey]:
    """The workloads that most of what leaves belongs to."""
    losing = [decision.workload for decision in plan.decisions if isinstance(decision, RollBack)]
    claims = (decision for decision in plan.decisions if isinstance(decision, Reclaim))
    return [*losing, *(victim.workload for claim in claims for victim in claim.victims)]


def _broken_starts(snapshot: Snapshot, plan: Plan) -> list[str]:
    """What is wrong with a plan without evictions."""
    return [*_broken_places(snapshot, plan), *broken_quotas(snapshot, plan)]


def _broken_places(snapshot: Snapshot, plan: Plan) -> list[str]:
    """What is wrong with where pods go, quotas left aside."""
    broken: list[str] = []
    placed: list[tuple[Workload, Pod, Assignment]] = []
    for decision in plan.decisions:
        workload = snapshot.workloads.get(decision.workload)
        if workload is None:
            continue
        pods = {pod.uid: pod for pod in workload.members}
        match decision:
            case Admit():
                broken += broken_gang(snapshot, workload, decision.placement.assignments)
                placed += [(workload, pods[a.pod], a) for a in decision.placement.assignments if a.pod in pods]
            case Offer():
                broken += _broken_offer(snapshot, workload, decision)
            case RollBack():
                stand = {pod.uid for pod in workload.placed}
                gone = (uid for uid in decision.evict if uid not in stand)
                broken += [f"{decision.workload}: {uid} is taken back but does not stand" for uid in gone]
            case _:
                pass
    for workload, pod, assignment in placed:
        broken += _broken_node(snapshot, workload, pod, assignment.node)
    in_parts, opened = broken_parts(snapshot, [(pod, a) for _, pod, a in placed])
    broken += in_parts
    broken += _broken_capacity(snapshot, [(pod, a.node) for _, pod, a in placed], opened)
    broken += _broken_ports(snapshot, [(pod, a.node) for _, pod, a in placed])
    broken += _broken_devices(snapshot, [(pod, a) for _, pod, a in placed])
    broken += needless_suspects(snapshot, [(pod, a) for _, pod, a in placed])
    broken += broken_claims(snapshot, [(pod, a) for _, pod, a in placed])
    return broken + broken_exclusive(snapshot, [(workload, pod, a.node) for workload, pod, a in placed])


def _one_decision_each(snapshot: Snapshot, plan: Plan) -> list[str]:
    counts = Counter(decision.workload for decision in plan.decisions)
    broken = [f"{key}: {n} decisions" for key, n in sorted(counts.items()) if n > 1]
    for decision in plan.decisions:
        if decision.workload not in snapshot.workloads:
            broken.append(f"{decision.workload}: decided, but unknown")
        if decision.workload in snapshot.in_flight:
            broken.append(f"{decision.workload}: decided, but its plan is being carried out")
    if plan.generation != snapshot.generation:
        broken.append(f"plan of generation {plan.generation} on a snapshot of {snapshot.generation}")
    return broken


def _broken_node(snapshot: Snapshot, workload: Workload, pod: Pod, name: NodeName) -> list[str]:
    """Whether one pod may stand on a node, whatever else stands there."""
    node = snapshot.nodes.get(name)
    if node is None:
        return [f"{pod.name} on {name}: there is no such node"]
    broken = [f"{pod.name} on {name}: {why}" for why in why_not_on(pod.shape, node)]
    if name in workload.avoid:
        broken.append(f"{pod.name} on {name}: the node refused the workload")
    return broken


def _broken_offer(snapshot: Snapshot, workload: Workload, offer: Offer) -> list[str]:
    pod = next((p for p in workload.pending if p.uid == offer.pod), None)
    if pod is None:
        return [f"{offer.workload}: {offer.pod} is offered nodes but does not wait"]
    scores = [score for _, score in offer.nodes]
    broken: list[str] = []
    if scores != sorted(scores, reverse=True):
        broken.append(f"{offer.workload}: offered nodes are not in the order of their scores")
    if not offer.nodes:
        broken.append(f"{pod.name}: offered no node")
    for name, _ in offer.nodes:
        broken += _broken_node(snapshot, workload, pod, name)
        if name in snapshot.nodes:
            requests = pod.shape.requests
            if divides(requests, snapshot.nodes[name]):
                requests = counted(requests)
                broken += [f"{pod.name} on {name}: {why}" for why in no_place(snapshot, snapshot.nodes[name], pod)]
            broken += _lacking(pod.name, name, _free(snapshot, name), requests)
            free = _usable_devices(snapshot.nodes[name]) - snapshot.devices_used.get(name, frozenset())
            node = snapshot.nodes[name]
            too_few = [*too_few_linked(pod.shape, node, free), *too_few_aligned(pod.shape, node, free)]
            broken += [f"{pod.name} on {name}: {why}" for why in too_few]
            broken += _broken_ports(snapshot, [(pod, name)])
    return broken


def _broken_capacity(
    snapshot: Snapshot, placed: Iterable[tuple[Pod, NodeName]], opened: Mapping[NodeName, int]
) -> list[str]:
    """Per node: what its new pods ask for together, against what was free. A node over-committed before may stay so.

    `opened`: GPUs that are taken into use for parts and slices.
    """
    wanted: dict[NodeName, Resources] = {}
    for pod, name in placed:
        if name in snapshot.nodes:
            requests = pod.shape.requests
            requests = counted(requests) if divides(requests, snapshot.nodes[name]) else requests
            wanted[name] = plus(wanted.get(name, NOTHING), _at_least_one_pod(requests))
    for name, gpus in opened.items():
        wanted[name] = plus(wanted[name], Resources(extended=extended({GPU: gpus})))
    broken: list[str] = []
    for name, requests in sorted(wanted.items()):
        broken += _lacking("new pods", name, _free(snapshot, name), requests)
    return broken


def _lacking(who: str, name: NodeName, free: Mapping[str, int], requests: Resources) -> list[str]:
    asked = {
        "milli_cpu": requests.milli_cpu,
        "memory_bytes": requests.memory_bytes,
        "ephemeral_bytes": requests.ephemeral_bytes,
        "pods": requests.pods,
        **dict(requests.extended),
    }
    return [
        f"{who} on {name}: {n} of {resource} asked for, {free.get(resource, 0)} free"
        for resource, n in asked.items()
        if n > 0 and n > free.get(resource, 0)
    ]


def _free(snapshot: Snapshot, name: NodeName) -> dict[str, int]:
    columns = snapshot.columns
    row = columns.row_of[name]
    have, used = columns.allocatable[row].tolist(), columns.used[row].tolist()
    return {resource: have[i] - used[i] for i, resource in enumerate(columns.resources)}


def _at_least_one_pod(requests: Resources) -> Resources:
    return requests if requests.pods else minus(requests, Resources(pods=-1))


def _broken_ports(snapshot: Snapshot, placed: Iterable[tuple[Pod, NodeName]]) -> list[str]:
    taken: dict[NodeName, list[HostPort]] = {}
    broken: list[str] = []
    for pod, name in placed:
        there = taken.setdefault(name, list(snapshot.ports_used.get(name, ())))
        for port in pod.shape.host_ports:
            for other in there:
                same_address = port.address == other.address or ANYWHERE in {port.address, other.address}
                if port.port == other.port and port.protocol == other.protocol and same_address:
                    broken.append(f"{pod.name} on {name}: host port {port.protocol} {port.port} is taken")
        there.extend(pod.shape.host_ports)
    return broken


def _broken_devices(snapshot: Snapshot, placed: Iterable[tuple[Pod, Assignment]]) -> list[str]:
    """No device twice, none that is taken, unhealthy, sliced or unknown; as many as the pod asks for, or none named."""
    holder: dict[tuple[NodeName, int], PodUid] = {}
    broken: list[str] = []
    for pod, assignment in placed:
        name, devices = assignment.node, assignment.devices
        if divides(pod.shape.requests, snapshot.nodes.get(name)):
            continue
        if devices and len(devices) != pod.shape.requests.gpus:
            broken.append(f"{pod.name} on {name}: {len(devices)} devices for {pod.shape.requests.gpus} GPUs")
        node = snapshot.nodes.get(name)
        if node is not None:
            why_not = [*broken_links(pod.shape, node, devices), *broken_alignment(pod.shape, node, devices)]
            broken += [f"{pod.name} on {name}: {why}" for why in why_not]
        usable = _usable_devices(node)
        for index in devices:
            if index not in usable:
                broken.append(f"{pod.name} on {name}: device {index} is unknown, unhealthy or sliced")
            if index in snapshot.devices_used.get(name, frozenset()):
                broken.append(f"{pod.name} on {name}: device {index} is taken")
            if (name, index) in holder:
                broken.append(f"{pod.name} on {name}: device {index} is also given to {holder[name, index]}")
            holder[name, index] = pod.uid
    return broken


def _usable_devices(node: Node | None) -> set[int]:
    return set() if node is None else {d.index for d in node.devices if d.healthy and not d.mig_enabled}
