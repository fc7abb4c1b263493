"""What any advice has to keep, checked without solver or search: moves whole, rules unbroken, the goal reached."""

from collections.abc import Iterator

from scheduler.model.names import NodeName, WorkloadKey, gang_key, pod_key
from scheduler.model.node import Node
from scheduler.model.plan import Admit, Assignment, Placement, Plan
from scheduler.model.resources import MIG_PREFIX
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.planning.defrag.advice import Advice, MakeFit, OpenDomain
from scheduler.planning.defrag.lifted import lifted
from scheduler.scoring.rules.check import broken_rules
from scheduler.scoring.rules.layout import place_of

DEVICES = ("nvidia.com/gpu", "nvidia.com/gpu.shared")


def broken_advice(snapshot: Snapshot, advice: Advice, *, now_s: int, let_wait: bool = False) -> list[str]:
    """Everything that is wrong with `advice` on `snapshot`, one sentence each; empty where nothing is.

    `let_wait`: work that moves may be left without a place.
    """
    broken = [*_broken_moves(snapshot, advice, now_s)]
    if advice.generation != snapshot.generation:
        broken.append(f"advice of generation {advice.generation} on a snapshot of {snapshot.generation}")
    if broken:
        return broken
    after = lifted(snapshot, [move.workload for move in advice.moves], advice.opens)
    admits: list[Admit] = []
    for move in advice.moves:
        homes = [(pod, pod.target) for pod in move.pods if pod.target is not None]
        if len(homes) < len(move.pods):
            broken += [f"{move.workload}: it has no place afterwards"] * (not let_wait or bool(homes))
        else:
            placed = tuple(
                Assignment(pod=pod.pod, node=node, devices=pod.devices, slices=pod.slices) for pod, node in homes
            )
            admits.append(Admit(workload=move.workload, placement=Placement(assignments=placed)))
    match advice.target:
        case MakeFit():
            starts = tuple(
                Assignment(pod=s.pod, node=s.node, devices=s.devices, slices=s.slices) for s in advice.starts
            )
            key = next((k for k, w in snapshot.workloads.items() if starts and starts[0].pod in _uids(w)), None)
            if key is None or not _is_called(snapshot, key, advice.target.workload):
                broken.append(f"{advice.target.workload}: it does not start")
            else:
                admits.append(Admit(workload=key, placement=Placement(assignments=starts)))
        case OpenDomain():
            broken += _not_open(
                after, advice, advice.target, [a for admit in admits for a in admit.placement.assignments]
            )
    broken += broken_rules(after, Plan(generation=after.generation, decisions=tuple(admits)))
    return broken


def _broken_moves(snapshot: Snapshot, advice: Advice, now_s: int) -> Iterator[str]:
    """Work that may not move, or not so, and sums that are wrong."""
    total = 0
    seen: set[WorkloadKey] = set()
    for move in advice.moves:
        workload = snapshot.workloads.get(move.workload)
        if workload is None or move.workload in seen:
            yield f"{move.workload}: unknown, or moved twice"
            continue
        seen.add(move.workload)
        if move.queue != workload.queue:
            yield f"{move.workload}: it is of another queue than {move.queue}"
        if not workload.preemptible or move.workload in snapshot.in_flight:
            yield f"{move.workload}: it may not move"
        stand = {pod.uid: pod.node for pod in workload.members if pod.node is not None and not pod.deleting}
        if sorted((p.pod, p.source) for p in move.pods) != sorted(stand.items()):
            yield f"{move.workload}: it does not move whole"
            continue
        milli = sum(
            pod.shape.milli_gpu * max(0, now_s - (pod.created_s if pod.bound_s is None else pod.bound_s))
            for pod in workload.members
            if pod.uid in stand
        )
        if move.lost_gpu_seconds != milli // 1000:
            yield f"{move.workload}: {move.lost_gpu_seconds} GPU-seconds are said to be lost, {milli // 1000} are"
        if move.milli_gpu != sum(pod.shape.milli_gpu for pod in workload.members if pod.uid in stand):
            yield f"{move.workload}: {move.milli_gpu} milli-GPU are said to move"
        total += milli // 1000
    if total != advice.lost_gpu_seconds or total != advice.proof.cost:
        yield f"{advice.lost_gpu_seconds} GPU-seconds are said to be lost in all, {total} are"
    if advice.proof.bound > advice.proof.cost:
        yield f"the bound {advice.proof.bound} is above the cost {advice.proof.cost}"


def _uids(workload: object) -> set[str]:
    return {pod.uid for pod in getattr(workload, "members", ())}


def _is_called(snapshot: Snapshot, key: WorkloadKey, name: str) -> bool:
    namespace, _, rest = name.partition("/")
    members = snapshot.workloads[key].members
    return key in {gang_key(namespace, rest), pod_key(namespace, rest)} or any(
        (pod.namespace, pod.name) == (namespace, rest) for pod in members
    )


def _not_open(after: Snapshot, advice: Advice, target: OpenDomain, placed: list[Assignment]) -> Iterator[str]:
    """Nodes that are said to be open and are not, or of other domains, or too few."""
    places = {place_of(after, target.level, name) for name in advice.opens}
    if len(advice.opens) != len(set(advice.opens)) or not advice.opens:
        yield "no node is opened, or one twice"
    if len(places) > 1 or None in places or (target.domain is not None and places - {target.domain}):
        yield f"the opened nodes are in {len(places)} domains of {target.level}, not just in the one asked for"
    if target.nodes is not None and len(advice.opens) != target.nodes:
        yield f"{len(advice.opens)} nodes are opened, {target.nodes} were asked for"
    pods = {pod.uid: pod for workload in after.workloads.values() for pod in workload.members}
    taken = {a.node for a in placed if a.pod in pods and pods[a.pod].shape.requests.wants_devices}
    named_whole = target.domain is not None and target.nodes is None
    for name in advice.opens:
        if name not in after.nodes or not _may_open(after.nodes[name], cordoned=named_whole):
            yield f"{name}: it is opened, but no work may start there"
        elif name in taken or _devices(after, after.columns.used, name):
            yield f"{name}: it is opened, but GPUs are in use there"
    if target.nodes is None and len(places) == 1:
        for name in sorted(_domain(after, target.level, next(iter(places)), cordoned=named_whole) - set(advice.opens)):
            yield f"{name}: it is not opened, though the whole domain was asked for"


def _may_open(node: Node, *, cordoned: bool) -> bool:
    return node.ready and (cordoned or not node.unschedulable)


def _domain(after: Snapshot, level: str, place: str | None, *, cordoned: bool) -> set[NodeName]:
    """The nodes of a domain that have GPUs and that may be opened."""
    return {
        name
        for name, node in after.nodes.items()
        if _may_open(node, cordoned=cordoned)
        and place_of(after, level, name) == place
        and _devices(after, after.columns.allocatable, name)
    }


def _devices(after: Snapshot, table: IntTable, name: NodeName) -> int:
    """GPUs, parts of GPUs and MIG slices of a node in a table."""
    row = after.columns.row_of[name]
    return sum(
        max(0, int(table[row, column]))
        for column, resource in enumerate(after.columns.resources)
        if resource in DEVICES or resource.startswith(MIG_PREFIX)
    )
