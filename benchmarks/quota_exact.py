"""What small clusters could run, by trying everything; it knows neither the planner nor the solver.

Only rooms are counted here, GPUs of nodes by model and rack; whether quota and rights allow something is asked of the
checker of plans (`scheduler.scoring.rules`).
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Admit, Assignment, Decision, Placement, Plan, Reclaim, Victim
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.scoring.rules.check import broken_rules
from scheduler.scoring.rules.queue import needed, nodes_of, upwards

Free = dict[NodeName, int]
"""Free GPUs of each node."""

MOST_VICTIMS = 4
"""Workloads that leave together at most, where all choices of victims are tried."""


def free_gpus(snapshot: Snapshot) -> Free:
    """What no member of a workload stands on."""
    free = {name: node.allocatable.gpus for name, node in snapshot.nodes.items()}
    for workload in snapshot.workloads.values():
        for pod in workload.members:
            if pod.node is not None:
                free[pod.node] -= pod.shape.requests.gpus
    return free


def after(snapshot: Snapshot, free: Free, decisions: Iterable[Decision]) -> Free:
    """What is free once these happened."""
    left = dict(free)
    pods = {pod.uid: pod for workload in snapshot.workloads.values() for pod in workload.members}
    for decision in decisions:
        for uid, node in nodes_of(decision).items():
            left[node] -= pods[uid].shape.requests.gpus
        if isinstance(decision, Reclaim):
            for victim in decision.victims:
                give_back(left, [pods[uid] for uid in victim.pods])
    return left


def give_back(free: Free, pods: Iterable[Pod]) -> None:
    """The pods left their nodes."""
    for pod in pods:
        if pod.node is not None:
            free[pod.node] += pod.shape.requests.gpus


def placements(snapshot: Snapshot, free: Free, workload: Workload, pods: Sequence[Pod]) -> Iterator[Placement]:
    """Every way, but for who of equal pods goes where, to put pods of a workload on free GPUs."""
    suits = [
        name
        for name, node in sorted(snapshot.nodes.items())
        if not pods[0].shape.models or node.product in pods[0].shape.models
    ]
    kinds = [list(some) for _, some in itertools.groupby(sorted(pods, key=_kind), key=_kind)]
    for names in _domains(snapshot, workload, suits):
        for assignments in _spread(names, free, kinds):
            yield Placement(assignments=assignments)


def _kind(pod: Pod) -> tuple[str, int, int, int]:
    requests = pod.shape.requests
    return pod.role, requests.gpus, requests.milli_cpu, requests.memory_bytes


def _spread(names: Sequence[NodeName], free: Free, kinds: Sequence[Sequence[Pod]]) -> Iterator[tuple[Assignment, ...]]:
    """Every way to put pods of each kind on these nodes."""
    if not kinds:
        yield ()
        return
    pods, *others = kinds
    gpus = pods[0].shape.requests.gpus
    for chosen in itertools.combinations_with_replacement(names, len(pods)):
        if all(chosen.count(name) * gpus <= free[name] for name in set(chosen)):
            left = {name: n - chosen.count(name) * gpus for name, n in free.items()}
            made = tuple(Assignment(pod=pod.uid, node=name) for pod, name in zip(pods, chosen, strict=True))
            for rest in _spread(names, left, others):
                yield (*made, *rest)


def _domains(snapshot: Snapshot, workload: Workload, suits: Sequence[NodeName]) -> Iterator[list[NodeName]]:
    if workload.topology_required is None:
        yield list(suits)
        return
    stands = {snapshot.nodes[pod.node].labels["rack"] for pod in workload.placed if pod.node is not None}
    for rack in sorted({snapshot.nodes[name].labels["rack"] for name in suits}):
        if not stands or stands == {rack}:
            yield [name for name in suits if snapshot.nodes[name].labels["rack"] == rack]


def least_pods(workload: Workload) -> tuple[Pod, ...]:
    """As many waiting pods as it takes for the workload to stand, at least one."""
    least = needed(workload, workload.pending)
    return tuple(pod for pod in workload.pending if pod.uid in least) or workload.pending[:1]


def held_back(snapshot: Snapshot) -> set[WorkloadKey]:
    """What waits behind others of its queue, which keeps its order."""
    return {key for line in strict_lines(snapshot).values() for key in line[1:]}


def strict_lines(snapshot: Snapshot) -> dict[QueueName, list[WorkloadKey]]:
    """What waits to start, in its order, of each queue that keeps that."""
    waits: dict[QueueName, list[tuple[int, int, WorkloadKey]]] = {}
    for key, workload in snapshot.workloads.items():
        stands = len(workload.placed) >= workload.min_member
        if workload.pending and workload.queue is not None and snapshot.queues[workload.queue].order == "StrictFIFO":
            first = (-workload.priority, workload.created_s, key)
            waits.setdefault(workload.queue, []).extend([] if stands else [first])
    return {name: [key for _, _, key in sorted(line)] for name, line in waits.items()}


def most_added(snapshot: Snapshot) -> int:
    """GPUs of the most waiting work that free GPUs and quota have room for, with nothing moved and nobody evicted."""
    free = free_gpus(snapshot)
    plan = Plan(generation=snapshot.generation, decisions=())
    items = [w for _, w in sorted(snapshot.workloads.items()) if w.pending and _complete(w)]
    behind = held_back(snapshot)
    items = [w for w in items if w.key not in behind]
    items = [w for w in items if next(_added(snapshot, free, plan, w), None) is not None]
    return _best(snapshot, free, plan, items)


def _best(snapshot: Snapshot, free: Free, plan: Plan, items: Sequence[Workload]) -> int:
    if not items:
        return 0
    workload, *others = items
    best = _best(snapshot, free, plan, others)
    size = sum(pod.shape.requests.gpus for pod in least_pods(workload))
    seen: set[tuple[tuple[NodeName, int], ...]] = set()
    for longer in _added(snapshot, free, plan, workload):
        left = after(snapshot, free, longer.decisions[-1:])
        if (key := tuple(sorted(left.items()))) not in seen:
            seen.add(key)
            best = max(best, size + _best(snapshot, left, longer, others))
    return best


def _added(snapshot: Snapshot, free: Free, plan: Plan, workload: Workload) -> Iterator[Plan]:
    """The plan with a workload placed in every way that breaks no rule."""
    for placement in placements(snapshot, free, workload, least_pods(workload)):
        decisions = (*plan.decisions, Admit(workload=workload.key, placement=placement))
        longer = Plan(generation=plan.generation, decisions=decisions)
        if not broken_rules(snapshot, longer):
            yield longer


def _complete(workload: Workload) -> bool:
    return len(workload.members) >= workload.min_member and workload.queue is not None


def spared(snapshot: Snapshot, earlier: Sequence[Decision], claim: Reclaim) -> Victim | None:
    """A victim without whom the claim would break no rule, wherever its pods go; `earlier`: decided before it."""
    free = after(snapshot, free_gpus(snapshot), earlier)
    workload = snapshot.workloads[claim.workload]
    going = {a.pod for a in claim.placement.assignments}
    pods = [pod for pod in workload.members if pod.uid in going]
    for victim in claim.victims:
        others = [other for other in claim.victims if other is not victim]
        if _lawful(snapshot, earlier, free, workload, pods, others):
            return victim
    return None


def could_claim(snapshot: Snapshot, workload: Workload, now_s: int) -> tuple[str, ...] | None:
    """Workloads that could lawfully make way for a waiting one now; None where no choice of them would do."""
    pods = least_pods(workload)
    if not workload.lacking(workload.placed) or not _complete(workload):
        return None
    free = free_gpus(snapshot)
    units = [
        (other, some)
        for key, other in sorted(snapshot.workloads.items())
        if key != workload.key and other.preemptible
        for some in _pieces(snapshot, workload, other, now_s)
    ]
    for count in range(1, MOST_VICTIMS + 1):
        for some in itertools.combinations(units, count):
            if len({other.key for other, _ in some}) < count:
                continue
            victims = [
                Victim(
                    workload=other.key,
                    queue=QueueName(str(other.queue)),
                    pods=tuple(uids),
                    cost_gpu_seconds=0,
                    why="reclaim",
                )
                for other, uids in some
            ]
            if _lawful(snapshot, (), free, workload, pods, victims):
                return tuple(other.key for other, _ in some)
    return None


def _lawful(
    snapshot: Snapshot,
    earlier: Sequence[Decision],
    free: Free,
    workload: Workload,
    pods: Sequence[Pod],
    victims: Sequence[Victim],
) -> bool:
    """Whether the pods could stand somewhere if just these made way, and no rule were broken."""
    left = dict(free)
    every = {pod.uid: pod for other in snapshot.workloads.values() for pod in other.members}
    give_back(left, [every[uid] for victim in victims for uid in victim.pods])
    queue = QueueName(str(workload.queue))
    seen: set[tuple[object, ...]] = set()
    for placement in placements(snapshot, left, workload, pods):
        # Rules ask for nothing of a place but its room and its model.
        models = Counter((_kind(every[a.pod]), snapshot.nodes[a.node].product) for a in placement.assignments)
        key = tuple(sorted(models.items()))
        if key in seen:
            continue
        seen.add(key)
        claim: Decision = Admit(workload=workload.key, placement=placement)
        if victims:
            claim = Reclaim(workload=workload.key, queue=queue, placement=placement, victims=tuple(victims))
        if not broken_rules(snapshot, Plan(generation=snapshot.generation, decisions=(*earlier, claim))):
            return True
    return False


def _pieces(snapshot: Snapshot, asking: Workload, other: Workload, now_s: int) -> Iterator[list[PodUid]]:
    """What of a workload may leave for another: some of its surplus, or all of it."""
    placed = other.placed
    if other.queue is None or len(placed) < max(other.min_member, 1):
        return
    if other.queue == asking.queue and other.priority >= asking.priority:
        return
    safe_s = _safe_s(snapshot, asking, other)
    core = needed(msgspec.structs.replace(other, members=()), placed)
    surplus = [pod for pod in placed if pod.uid not in core and now_s >= (pod.bound_s or 0) + safe_s]
    for count in range(1, len(surplus) + 1):
        yield [pod.uid for pod in surplus[:count]]
    if all(now_s >= (pod.bound_s or 0) + safe_s for pod in placed):
        yield [pod.uid for pod in placed]


def _safe_s(snapshot: Snapshot, asking: Workload, other: Workload) -> int:
    if asking.queue == other.queue:
        return 0
    mine = set(upwards(snapshot, QueueName(str(asking.queue))))
    theirs = [name for name in upwards(snapshot, QueueName(str(other.queue))) if name not in mine]
    return max((snapshot.queues[name].min_runtime_s for name in theirs), default=0)
