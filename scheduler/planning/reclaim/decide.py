"""Whether running work makes way for a workload that has no room or no quota left, and which."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Admit, Assignment, Offer, Placement, Plan, Proof, Reclaim, Victim
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.gangs import commit
from scheduler.planning.reclaim.firm import may_fill
from scheduler.planning.reclaim.lift import Lifter
from scheduler.planning.reclaim.options import options_of
from scheduler.planning.reclaim.pool import Pool
from scheduler.planning.reclaim.reach import useful
from scheduler.planning.reclaim.search import Found, Search
from scheduler.planning.reclaim.units import Side, Unit, sides
from scheduler.quota.tree import Bill
from scheduler.scoring.fleet import Mask
from scheduler.scoring.gangs.gang import Layout
from scheduler.scoring.rules.check import broken_rules


def reclaim_for(desk: Desk, candidate: Candidate) -> Reclaim | None:
    """The cheapest work makes way for as many members as have to stand, and they take the room; None where none may.

    For members that a gang can do without nobody has to leave, nor for pods of which only kube-scheduler can judge
    where they fit, or that ask for no GPUs.
    """
    least = candidate.least
    workload = candidate.workload
    if not desk.settings.reclaim or not least.milli_gpu or workload.key in desk.moving:
        return None
    if candidate.standing and workload.topology_slices:
        return None
    if any(shape.scheduler_rules for shape, _ in least.groups):
        return None
    options = [(nodes, bill) for nodes, bill in options_of(desk, least) if may_fill(desk, least, bill)]
    bills = [bill for _, bill in options]
    lifter = Lifter(desk)
    tried: list[Mapping[QueueName, Side]] = []
    for outright, own in ((True, False), (False, False), (False, True)):
        allowed = sides(desk.ledger, least, bills, outright=outright)
        allowed = {name: side for name, side in allowed.items() if own or side.why == "reclaim"}
        # The same queues may lose more where it is enough that one on their way borrows.
        found = (
            _cheapest(desk, lifter, least, allowed, options, outright=outright)
            if allowed and allowed not in tried
            else None
        )
        if found is not None:
            return _carried(desk, lifter, least, found)
        if not outright or all(desk.snapshot.queues[name].parent is None for name in allowed):
            tried.append(allowed)
    return None


def _cheapest(
    desk: Desk,
    lifter: Lifter,
    candidate: Candidate,
    allowed: Mapping[QueueName, Side],
    options: Sequence[tuple[Mask, Bill]],
    *,
    outright: bool,
) -> Found | None:
    at = useful(desk, candidate, allowed, [bill for _, bill in options])
    if not len(at):
        return None
    pool = Pool(desk, candidate, allowed, at)
    found: list[Found] = []
    for nodes, _ in options:
        one = Search(desk, lifter, candidate, pool, nodes, outright=outright).run() if len(pool) else None
        found += [] if one is None else [one]
    return min(found, key=lambda one: one.price, default=None)


def _carried(desk: Desk, lifter: Lifter, candidate: Candidate, found: Found) -> Reclaim | None:
    """Take the victims off, and put the workload where they were."""
    key, queue = candidate.workload.key, QueueName(str(candidate.workload.queue))
    victims = tuple(_victims(found.units))
    cost = sum(victim.cost_gpu_seconds for victim in victims)
    used, nominal = desk.ledger.used_by(queue), desk.snapshot.queues[queue].total.nominal_milli_gpu
    made = Reclaim(
        workload=key,
        queue=queue,
        placement=Placement(assignments=tuple(_assignments(desk, candidate, found.layout))),
        victims=victims,
        proof=Proof(status="optimal" if found.proven else "feasible", cost=cost, bound=cost if found.proven else 0),
        lent_milli_gpu=max(nominal - used.total_milli_gpu, 0),
        after=_leaving(desk, (desk.room.name(row) for rows, _ in found.layout.groups for row in rows.tolist())),
    )
    if broken_rules(desk.snapshot, Plan(generation=desk.snapshot.generation, decisions=(*desk.decisions, made))):
        return None
    lifted = lifter.lift(found.units)
    admit = commit(desk, candidate, found.layout)
    lifter.keep(lifted)
    desk.gone.update(uid for victim in victims for uid in victim.pods)
    for unit in found.units:
        for pod in unit.pods:
            if pod.node is not None:
                desk.leaving.setdefault(desk.fleet.row_of[pod.node], set()).add(pod.uid)
    desk.moving.update({victim.workload: key for victim in victims})
    desk.moving[key] = key
    desk.forget_refusals()
    return msgspec.structs.replace(made, placement=admit.placement)


def _leaving(desk: Desk, nodes: Iterable[NodeName]) -> tuple[PodUid, ...]:
    """The pods that leave these nodes already, sorted."""
    rows = {desk.fleet.row_of[name] for name in nodes}
    return tuple(sorted(uid for row in rows for uid in desk.leaving.get(row, ())))


def _assignments(desk: Desk, candidate: Candidate, layout: Layout) -> Iterator[Assignment]:
    """The node of each member, GPUs left open."""
    for members, (rows, counts) in zip(candidate.members, layout.groups, strict=True):
        for pod, row in zip(members, np.repeat(rows, counts).tolist(), strict=True):
            yield Assignment(pod=pod.uid, node=desk.room.name(row))


def _victims(units: Iterable[Unit]) -> Iterator[Victim]:
    """What each workload gives up, by key."""
    parts: dict[WorkloadKey, list[Unit]] = {}
    for unit in units:
        parts.setdefault(unit.key, []).append(unit)
    for key, some in sorted(parts.items()):
        whole = next((unit for unit in some if unit.whole), some[0])
        pods: list[PodUid] = [pod.uid for unit in some for pod in unit.pods]
        yield Victim(
            workload=key,
            queue=whole.queue,
            pods=tuple(sorted(pods)),
            cost_gpu_seconds=sum(unit.lost for unit in some) // 1000,
            why=whole.why,
        )


def when_gone(desk: Desk, decision: Admit | Offer) -> Admit | Offer | Reclaim | None:
    """The decision, which waits for work to leave where nodes are used that work leaves by the same plan.

    An offer names other nodes only; None where there are none.
    """
    names = {desk.room.name(row) for row in desk.leaving}
    if isinstance(decision, Offer):
        nodes = tuple((name, score) for name, score in decision.nodes if name not in names)
        return msgspec.structs.replace(decision, nodes=nodes) if nodes else None
    after = _leaving(desk, (assignment.node for assignment in decision.placement.assignments))
    if not after:
        return decision
    queue = QueueName(str(desk.snapshot.workloads[decision.workload].queue))
    return Reclaim(workload=decision.workload, queue=queue, placement=decision.placement, after=after)
