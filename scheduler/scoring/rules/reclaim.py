"""What evictions have to keep, for the checker: who may lose work to whom, and gangs that stand whole or not at all."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.plan import Plan, Reclaim, RollBack
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.scoring.rules.queue import Use, add_all, nodes_of, upwards

Losing = tuple[Workload, list[tuple[Pod, NodeName]]]
"""A workload and those of its pods that are in question, each with its node."""


def evicted(plan: Plan) -> frozenset[PodUid]:
    """The pods that make way in a plan."""
    claims = (decision for decision in plan.decisions if isinstance(decision, Reclaim))
    return frozenset(uid for claim in claims for victim in claim.victims for uid in victim.pods)


def gone(plan: Plan) -> frozenset[PodUid]:
    """The pods that stand, or are leaving, and will be gone when all of a plan starts."""
    back = (uid for decision in plan.decisions if isinstance(decision, RollBack) for uid in decision.evict)
    leaving = (uid for decision in plan.decisions if isinstance(decision, Reclaim) for uid in decision.after)
    return evicted(plan).union(back, leaving)


def _staying(snapshot: Snapshot, plan: Plan, claim: Reclaim) -> Iterator[str]:
    """Pods that a claim counts on to leave, and that nobody makes leave."""
    back = (uid for decision in plan.decisions if isinstance(decision, RollBack) for uid in decision.evict)
    sent = evicted(plan).union(back)
    members = (pod for workload in snapshot.workloads.values() for pod in workload.members)
    deleting = {pod.uid for pod in members if pod.deleting} if set(claim.after) - sent else set[PodUid]()
    for uid in sorted(set(claim.after) - sent - deleting):
        yield f"{claim.workload}: it counts on {uid} to leave, which stays"


def broken_reclaims(snapshot: Snapshot, plan: Plan, before: Use) -> list[str]:
    """Every rule that the evictions of a plan break, one sentence each; rights as they are when each is decided.

    `before`: what queues use on the snapshot.
    """
    leaving = gone(plan)
    times = Counter(
        uid for d in plan.decisions if isinstance(d, Reclaim) for victim in d.victims for uid in victim.pods
    )
    broken = [f"{uid} is evicted {n} times" for uid, n in sorted(times.items()) if n > 1]
    use = before.copy()
    moved: dict[PodUid, NodeName | None] = {}
    for decision in plan.decisions:
        asking = snapshot.workloads.get(decision.workload)
        if asking is None:
            continue
        if isinstance(decision, RollBack):
            back = [(pod, pod.node) for pod in asking.placed if pod.uid in decision.evict and pod.node is not None]
            _charge(use, snapshot, asking, back, times=-1)
            moved.update(dict.fromkeys(decision.evict))
        nodes = nodes_of(decision)
        placed = [(pod, nodes[pod.uid]) for pod in asking.members if pod.uid in nodes]
        _charge(use, snapshot, asking, placed)
        if isinstance(decision, Reclaim):
            for victim in decision.victims:
                moved.update(dict.fromkeys(victim.pods))
            broken += _broken_claim(snapshot, use, decision, (asking, placed), leaving, moved)
            broken += _staying(snapshot, plan, decision)
        moved.update(nodes)
    return broken


def _broken_claim(
    snapshot: Snapshot,
    use: Use,
    claim: Reclaim,
    asking: Losing,
    gone: Collection[PodUid],
    moved: Mapping[PodUid, NodeName | None],
) -> Iterator[str]:
    """What is wrong with one claim; `use`, which contains what it places, is charged with what leaves for it.

    `moved`: where pods are by then that the plan has touched, without what the claim places; None is nowhere.
    """
    lost: list[Losing] = []
    for victim in claim.victims:
        losing = snapshot.workloads.get(victim.workload)
        there = [] if losing is None else [pod for pod in losing.placed if pod.uid in victim.pods]
        if losing is None or len(there) < len(victim.pods):
            yield f"{victim.workload}: pods are evicted that do not stand"
            continue
        lost.append((losing, [(pod, pod.node) for pod in there if pod.node is not None]))
    for losing, pods in lost:
        _charge(use, snapshot, losing, pods, times=-1)
    asked = _amounts(snapshot, *asking)
    firm: dict[tuple[QueueName | None, int], Use] = {}
    for each in (asking[0], *(losing for losing, _ in lost)):
        if (each.queue, each.priority) not in firm:
            firm[each.queue, each.priority] = _firm(snapshot, use, each, moved)
    mine = firm[asking[0].queue, asking[0].priority]
    for losing, pods in lost:
        left = firm[losing.queue, losing.priority]
        rights = _no_right(snapshot, use, (mine, left), (asking[0], asked), (losing, pods))
        for why in (*_odd(snapshot, losing, gone), *rights):
            yield f"{losing.key}: evicted for {claim.workload}, but {why}"


def _firm(snapshot: Snapshot, use: Use, losing: Workload, moved: Mapping[PodUid, NodeName | None]) -> Use:
    """What queues use without what could make way for a workload in its own queue."""
    firm = use.copy()
    soft: list[tuple[Pod, NodeName]] = []
    for other in snapshot.workloads.values():
        if other.queue == losing.queue and other.priority < losing.priority and other.preemptible:
            for pod in other.members:
                stands = None if pod.deleting else pod.node
                node = moved.get(pod.uid, stands)
                if node is not None:
                    soft.append((pod, node))
    _charge(firm, snapshot, losing, soft, times=-1)
    return firm


def _charge(
    use: Use, snapshot: Snapshot, workload: Workload, pods: list[tuple[Pod, NodeName]], *, times: int = 1
) -> None:
    if workload.queue is not None:
        add_all(use, snapshot, workload.queue, pods, times=times)


def _odd(snapshot: Snapshot, losing: Workload, gone: Collection[PodUid]) -> Iterator[str]:
    if not losing.preemptible:
        yield "it is not preemptible"
    if losing.key in snapshot.in_flight:
        yield "it is being started"
    left = [pod.role for pod in losing.placed if pod.uid not in gone]
    if 0 < len(left) < losing.min_member:
        yield f"{len(left)} of at least {losing.min_member} pods would be left"
    for role, least in losing.role_minimums if left else ():
        if left.count(role) < least:
            yield f"{left.count(role)} of at least {least} pods of role {role} would be left"


def _no_right(
    snapshot: Snapshot,
    use: Use,
    firm_of: tuple[Use, Use],
    asking: tuple[Workload, Use],
    losing: Losing,
) -> Iterator[str]:
    """Why the one workload, for which queues are charged so, may not have pods of the other evicted.

    `use` is what queues use afterwards, `firm_of` the same without what could make way for the one, and for the other,
    in its own queue.
    """
    one, other = asking[0], losing[0]
    firm = firm_of[1]
    if one.queue is None or other.queue is None:
        yield "one of the two has no queue"
    elif one.queue == other.queue:
        if other.priority >= one.priority:
            yield "it is of the same queue and of no lower priority"
        gone = _amounts(snapshot, *losing)
        for name, flavor, _, nominal in _counted(snapshot, _that_lend(snapshot, one.queue), asking[1]):
            if firm_of[0][name, flavor] > nominal and not gone[name, flavor]:
                yield "it does not use what its queue would borrow for the asking workload"
                break
    else:
        mine, theirs = list(upwards(snapshot, one.queue)), list(upwards(snapshot, other.queue))
        up = [name for name in mine if name not in theirs] or mine[:1]
        down = [name for name in theirs if name not in mine] or theirs[:1]
        if any(use[name, flavor] > most for name, flavor, _, most in _counted(snapshot, up[-1:], asking[1])):
            yield "the asking queue is above nominal quota"
        elif all(
            firm[name, flavor] + n - _of_others(snapshot, firm, down, flavor) <= nominal
            for name, flavor, n, nominal in _counted(snapshot, down[-1:], _amounts(snapshot, *losing))
        ):
            yield "its queue does not borrow that much"


def _that_lend(snapshot: Snapshot, name: QueueName) -> list[QueueName]:
    """The queue and those above it, without one that has nothing beside it or above it, and so lends to nobody."""
    way = list(upwards(snapshot, name))
    return way[:-1] if sum(queue.parent not in snapshot.queues for queue in snapshot.queues.values()) == 1 else way


def _of_others(snapshot: Snapshot, use: Use, way: list[QueueName], flavor: str | None) -> int:
    """What the last queue on the way uses because queues beside those on the way use more than they own."""
    over = 0
    for queue in snapshot.queues.values():
        quota = queue.total if flavor is None else dict(queue.flavors).get(flavor)
        beside = queue.parent in way[1:] and queue.name not in way
        if beside and quota is not None and (flavor is None or quota.is_stated):
            over += max(use[queue.name, flavor] - quota.nominal_milli_gpu, 0)
    return over


def _amounts(snapshot: Snapshot, workload: Workload, pods: list[tuple[Pod, NodeName]]) -> Use:
    """What queues are charged for these pods."""
    amounts: Use = defaultdict(int)
    _charge(amounts, snapshot, workload, pods)
    return amounts


def _counted(
    snapshot: Snapshot, names: Collection[QueueName], amounts: Use
) -> Iterator[tuple[QueueName, str | None, int, int]]:
    """What counts of these charges against nominal quota of each queue.

    Flavors that it states; the total where it states that, or none of GPUs.
    """
    for name in names:
        queue = snapshot.queues[name]
        inner = any(below.parent == name for below in snapshot.queues.values())
        stated = [(f, q) for f, q in queue.flavors if q.given or (inner and q.summed)]
        named = [(name, f, amounts[name, f], q.nominal_milli_gpu) for f, q in stated if amounts[name, f]]
        yield from named
        of_gpus = [flavor for _, flavor, _, _ in named if flavor not in {"cpu", "memory"}]
        if amounts[name, None] and (queue.total.given or not of_gpus):
            yield name, None, amounts[name, None], queue.total.nominal_milli_gpu
