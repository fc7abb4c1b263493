"""Limits of queues, for the checker: what stands, what is in flight and what a plan adds, summed pod by pod."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import assert_never

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Admit, Decision, Offer, Plan, Reclaim, RollBack, Wait
from scheduler.model.queue import Queue, Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, PodShape, Workload
from scheduler.scoring.rules.node import is_model

Use = defaultdict[tuple[QueueName, str | None], int]
"""What queues use, in milli-GPU: of a flavor, or in total."""

Quotas = dict[tuple[QueueName, str | None], Quota]
"""The quotas of all queues: of a flavor, or in total."""

_Turn = tuple[QueueName, list[tuple[Pod, NodeName]]]
"""What a queue is given at once: pods, and where they go."""


def broken_quotas(snapshot: Snapshot, plan: Plan, before: Use | None = None) -> list[str]:
    """Queues that `plan` takes above nominal and what they may borrow; one that was above before must not grow.

    An offer is counted as if its best node were taken. What queues keep from others is judged decision by decision.
    `before`: what `standing` says, where it is known.
    """
    before = standing(snapshot) if before is None else before
    after = before.copy()
    quotas: Quotas = {(q.name, None): q.total for q in snapshot.queues.values()}
    quotas |= {(q.name, flavor): quota for q in snapshot.queues.values() for flavor, quota in q.flavors}
    kept = sorted({f for (_, f), quota in quotas.items() if quota.lending_limit_milli_gpu is not None}, key=str)
    there = {flavor: _in_all(snapshot, quotas, flavor) for flavor in kept}
    broken: dict[str, None] = {}

    def charged(use: Use, turns: Iterable[_Turn]) -> Use:
        then = use.copy()
        for queue, pods in turns:
            for pod, node in pods:
                add(then, snapshot, queue, pod, node)
        return then

    def keeps(uses: tuple[Use, Use], queue: QueueName) -> list[str]:
        return [text for f in kept for text in _broken_keeps(quotas, snapshot, uses, queue, f, there[f])]

    first, beyond = _by_turn(snapshot, plan)
    for turn in first:
        earlier, after = after, charged(after, [turn])
        broken.update(dict.fromkeys(keeps((earlier, after), turn[0])))
    start, after = after, charged(after, beyond)
    left, full = list(beyond) if kept else [], after

    def as_last(at: int) -> tuple[int, Use, list[str]]:
        others = charged(start, [*left[:at], *left[at + 1 :]])
        return at, others, keeps((others, full), left[at][0])

    while left:
        # Plans do not say in which order gangs grew. Who was allowed to as the last would have been allowed earlier.
        turns = map(as_last, reversed(range(len(left))))
        at, full, found = next((turn for turn in turns if not turn[2]), None) or as_last(len(left) - 1)
        broken.update(dict.fromkeys(found))
        del left[at]
    above = [
        f"queue {name}: {used} milli-GPU{f' of {flavor}' if flavor else ''} of at most {most}"
        for (name, flavor), quota in sorted(quotas.items(), key=lambda entry: (entry[0][0], entry[0][1] or ""))
        if quota.borrowing_limit_milli_gpu is not None
        for used, most in [(after[name, flavor], quota.nominal_milli_gpu + quota.borrowing_limit_milli_gpu)]
        if used > max(most, before[name, flavor])
    ]
    return [*above, *broken, *_broken_nominal(quotas, snapshot, plan), *_broken_users(snapshot, plan)]


def _by_turn(snapshot: Snapshot, plan: Plan) -> tuple[list[_Turn], list[_Turn]]:
    """What a plan gives each queue: first what workloads need to stand, then what gangs have beyond that."""
    first: list[_Turn] = []
    beyond: list[_Turn] = []
    for decision in plan.decisions:
        workload, nodes = snapshot.workloads.get(decision.workload), nodes_of(decision)
        if workload is not None and workload.queue is not None and nodes:
            given = [pod for pod in workload.members if pod.uid in nodes]
            least = needed(workload, given)
            first.append((workload.queue, [(pod, nodes[pod.uid]) for pod in given if pod.uid in least]))
            beyond.append((workload.queue, [(pod, nodes[pod.uid]) for pod in given if pod.uid not in least]))
    return [turn for turn in first if turn[1]], [turn for turn in beyond if turn[1]]


def needed(workload: Workload, given: Sequence[Pod]) -> set[PodUid]:
    """Those of the pods, which are in order of rank, that the workload needs beside what stands of it."""
    missing = {lack.role: lack.needed - lack.there for lack in workload.lacking(workload.placed)}
    of_roles = [[pod.uid for pod in given if pod.role == role][:n] for role, n in missing.items() if role is not None]
    least = {uid for uids in of_roles for uid in uids}
    others = [pod.uid for pod in given if pod.uid not in least]
    return least.union(others[: max(missing.get(None, 0) - len(least), 0)])


def _broken_users(snapshot: Snapshot, plan: Plan) -> Iterator[str]:
    """Users that a plan lets use more of a queue than any one of them may."""
    before: Use = defaultdict(int)
    going: dict[PodUid, NodeName] = {}
    for flight in snapshot.in_flight.values():
        going |= {a.pod: a.node for a in flight.assignments}
    planned = {uid: node for decision in plan.decisions for uid, node in nodes_of(decision).items()}
    after: Use = defaultdict(int)
    for workload in snapshot.workloads.values():
        limited = [] if workload.queue is None else list(upwards(snapshot, workload.queue))
        for name in [name for name in limited if snapshot.queues[name].user_limit_milli_gpu is not None]:
            for pod in workload.members:
                stands = not pod.deleting and (pod.node is not None or pod.uid in going)
                before[name, workload.user] += pod.shape.milli_gpu * stands
                after[name, workload.user] += pod.shape.milli_gpu * (stands or pod.uid in planned)
    for (name, user), used in sorted(after.items(), key=str):
        most = snapshot.queues[name].user_limit_milli_gpu
        if most is not None and used > max(most, before[name, user]):
            yield f"queue {name}: {used} milli-GPU of user {user!r} of at most {most}"


def _broken_keeps(
    quotas: Quotas,
    snapshot: Snapshot,
    uses: tuple[Use, Use],
    queue: QueueName,
    flavor: str | None,
    there: int,
) -> Iterator[str]:
    """Below each ceiling, and in the cluster, nobody borrows what others keep to themselves without using it."""
    of = f" of {flavor}" if flavor else ""
    for name in (*upwards(snapshot, queue), None):
        quota = Quota() if name is None else quotas.get((name, flavor), Quota())
        if name is not None and quota.borrowing_limit_milli_gpu is None:
            continue
        most = there if name is None else quota.nominal_milli_gpu + (quota.borrowing_limit_milli_gpu or 0)
        loads = [_load(quotas, snapshot, use, name, flavor) for use in uses]
        if loads[1] > max(most, loads[0]) and _borrows_more(quotas, snapshot, uses, name, flavor):
            where = "the cluster" if name is None else f"queue {name}"
            yield f"{where}: {loads[1]} milli-GPU{of}, with what queues keep, of at most {most}"


def _in_all(snapshot: Snapshot, quotas: Quotas, flavor: str | None) -> int:
    """What the cluster has of a flavor, or of GPUs in all, in milli-GPU."""
    everything = Queue(name=QueueName(""), flavors=tuple((f, Quota()) for f in {f for _, f in quotas if f}))
    use: Use = defaultdict(int)
    kinds = Counter((node.product, node.allocatable) for node in snapshot.nodes.values())
    for (product, allocatable), count in kinds.items():
        charge_one(use, everything, PodShape(requests=allocatable), product, times=count)
    return use[everything.name, flavor]


def _borrows_more(
    quotas: Quotas, snapshot: Snapshot, uses: tuple[Use, Use], name: QueueName | None, flavor: str | None
) -> bool:
    """Whether a queue right below another one, or at the top, takes more than before, and uses more than it owns."""
    for below in snapshot.queues.values():
        quota = quotas.get((below.name, flavor))
        if below.parent == name and uses[1].get((below.name, flavor), 0) > (quota or Quota()).nominal_milli_gpu:
            before, after = (_taken(quotas, snapshot, use, below.name, flavor) for use in uses)
            if after > before:
                return True
    return False


def _broken_nominal(quotas: Quotas, snapshot: Snapshot, plan: Plan) -> list[str]:
    """Queues whose work that is not preemptible is taken above nominal quota; no more is lent to what never leaves."""
    before, after = Use(int), Use(int)
    firm = {key: workload for key, workload in snapshot.workloads.items() if not workload.preemptible}
    for workload in firm.values():
        for pod in workload.placed:
            if workload.queue is not None and pod.node is not None:
                for use in (before, after):
                    add(use, snapshot, workload.queue, pod, pod.node)
    for decision in plan.decisions:
        workload, nodes = firm.get(decision.workload), nodes_of(decision)
        for pod in workload.members if workload is not None else ():
            if workload is not None and workload.queue is not None and pod.uid in nodes:
                add(after, snapshot, workload.queue, pod, nodes[pod.uid])
    return [
        f"queue {name}: {after[name, flavor]} milli-GPU{f' of {flavor}' if flavor else ''} for work that is not "
        f"preemptible, of {quota.nominal_milli_gpu} that are its own"
        for (name, flavor), quota in sorted(quotas.items(), key=lambda entry: (entry[0][0], entry[0][1] or ""))
        if (flavor is None or quota.is_stated)
        and (
            after[name, flavor] > max(quota.nominal_milli_gpu, before[name, flavor])
            or _over(quotas, snapshot, (before, after), name, flavor)
        )
    ]


def _over(quotas: Quotas, snapshot: Snapshot, uses: tuple[Use, Use], name: QueueName, flavor: str | None) -> bool:
    """Whether queues below borrow more of its nominal quota, and others there keep what then is missing."""
    loads = [_load(quotas, snapshot, use, name, flavor) for use in uses]
    nominal = quotas[name, flavor].nominal_milli_gpu
    return loads[1] > max(nominal, loads[0]) and _borrows_more(quotas, snapshot, uses, name, flavor)


def _load(
    quotas: Quotas,
    snapshot: Snapshot,
    use: Mapping[tuple[QueueName, str | None], int],
    name: QueueName | None,
    flavor: str | None,
) -> int:
    """What a queue uses, or all of them do, and what queues below it keep from others without using it."""
    tops = [queue.name for queue in snapshot.queues.values() if queue.parent is None]
    load = sum(use.get((top, flavor), 0) for top in tops) if name is None else use.get((name, flavor), 0)
    for below in snapshot.queues.values():
        if below.parent == name:
            load += _taken(quotas, snapshot, use, below.name, flavor) - use.get((below.name, flavor), 0)
    return load


def _taken(
    quotas: Quotas,
    snapshot: Snapshot,
    use: Mapping[tuple[QueueName, str | None], int],
    name: QueueName,
    flavor: str | None,
) -> int:
    """As `_load`, or what the queue keeps to itself where that is more."""
    taken = _load(quotas, snapshot, use, name, flavor)
    quota = quotas.get((name, flavor))
    if quota is None or quota.lending_limit_milli_gpu is None:
        return taken
    return max(taken, quota.nominal_milli_gpu - quota.lending_limit_milli_gpu)


def nodes_of(decision: Decision) -> dict[PodUid, NodeName]:
    """Where a decision puts pods."""
    match decision:
        case Admit() | Reclaim():
            return {a.pod: a.node for a in decision.placement.assignments}
        case Offer():
            return {decision.pod: decision.nodes[0][0]} if decision.nodes else {}
        case Wait() | RollBack():
            return {}
        case _:
            assert_never(decision)


def standing(snapshot: Snapshot) -> Use:
    """What queues use of each flavor, and in total, before a plan."""
    seen: dict[tuple[QueueName, int, str], int] = {}
    shapes: dict[int, PodShape] = {}
    nodes = snapshot.nodes
    for key, workload in snapshot.workloads.items():
        flight = snapshot.in_flight.get(key)
        going = {a.pod: a.node for a in flight.assignments} if flight else {}
        for pod in workload.members:
            name = pod.node if pod.node is not None else going.get(pod.uid)
            if name is not None and not pod.deleting and workload.queue is not None:
                # Most pods share few records of shapes, which are sooner told apart by identity than compared.
                kind = workload.queue, id(pod.shape), nodes[name].product if name in nodes else ""
                seen[kind] = seen.get(kind, 0) + 1
                shapes[id(pod.shape)] = pod.shape
    counts: Counter[tuple[QueueName, PodShape, str]] = Counter()
    for (queue, number, product), count in seen.items():
        counts[queue, shapes[number], product] += count
    use: Use = defaultdict(int)
    for (queue, shape, product), count in counts.items():
        for each in upwards(snapshot, queue):
            charge_one(use, snapshot.queues[each], shape, product, times=count)
    for key, flight in snapshot.in_flight.items():
        if key not in snapshot.workloads and flight.queue in snapshot.queues:
            for name in upwards(snapshot, flight.queue):
                use[name, None] += flight.milli_gpu
    return use


def without_use(use: Use, snapshot: Snapshot, gone: Mapping[WorkloadKey, Iterable[Pod]]) -> Use:
    """What queues use, which is `use` on the snapshot, once these members of workloads are gone."""
    left = use.copy()
    for key, pods in gone.items():
        queue, flight = snapshot.workloads[key].queue, snapshot.in_flight.get(key)
        going = {a.pod: a.node for a in flight.assignments} if flight else {}
        for pod in pods:
            node = pod.node if pod.node is not None else going.get(pod.uid)
            if node is not None and not pod.deleting and queue is not None:
                add(left, snapshot, queue, pod, node, times=-1)
    return left


def add(use: Use, snapshot: Snapshot, name: QueueName, pod: Pod, node: NodeName, *, times: int = 1) -> None:
    """Charge a pod on a node to a queue and all above it, so many times."""
    product = snapshot.nodes[node].product if node in snapshot.nodes else ""
    for each in upwards(snapshot, name):
        charge_one(use, snapshot.queues[each], pod.shape, product, times=times)


def add_all(
    use: Use, snapshot: Snapshot, name: QueueName, pods: Iterable[tuple[Pod, NodeName]], *, times: int = 1
) -> None:
    """As `add`, for many pods with their nodes."""
    seen: dict[tuple[int, str], tuple[PodShape, int]] = {}
    for pod, node in pods:
        kind = id(pod.shape), snapshot.nodes[node].product if node in snapshot.nodes else ""
        _, count = seen.get(kind, (pod.shape, 0))
        seen[kind] = pod.shape, count + 1
    for (_, product), (shape, count) in seen.items():
        for each in upwards(snapshot, name):
            charge_one(use, snapshot.queues[each], shape, product, times=times * count)


def charge_one(use: Use, queue: Queue, shape: PodShape, product: str, *, times: int = 1) -> None:
    """Charge pods of a shape on nodes of a product to one queue."""
    requests = shape.requests
    of_model = 1000 * requests.gpus + shape.share_milli * requests.count("nvidia.com/gpu.shared")
    slices = dict(requests.mig_slices)
    use[queue.name, None] += times * (of_model + sum(count * _slice(p) for p, count in requests.mig_slices))
    for flavor, _ in queue.flavors:
        if flavor == "cpu":
            use[queue.name, flavor] += times * requests.milli_cpu
        elif flavor == "memory":
            use[queue.name, flavor] += times * math.ceil(requests.memory_bytes / 2**20)
        elif flavor in slices:
            use[queue.name, flavor] += times * _slice(flavor) * slices[flavor]
        elif of_model and is_model(flavor, product):
            use[queue.name, flavor] += times * of_model


def upwards(snapshot: Snapshot, name: QueueName) -> Iterator[QueueName]:
    """The queue, and all above it."""
    at: QueueName | None = name
    while at is not None and at in snapshot.queues:
        yield at
        at = snapshot.queues[at].parent


def _slice(profile: str) -> int:
    """Sevenths of a GPU, as the name of a profile says; a whole one where it says nothing."""
    sevenths = profile.partition("g.")[0]
    return 1000 * min(int(sevenths), 7) // 7 if sevenths.isdigit() else 1000
