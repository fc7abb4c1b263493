"""Limits of queues, for the checker: what stands, what is in flight and what a plan adds, summed pod by pod."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import assert_never

from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.plan import Admit, Decision, Offer, Plan, Reclaim, RollBack, Wait
from scheduler.model.queue import Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.scoring.rules.node import is_model

Use = defaultdict[tuple[QueueName, str | None], int]
"""What queues use, in milli-GPU: of a flavor, or in total."""


def broken_quotas(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Queues that `plan` takes above nominal and what they may borrow; one that was above before must not grow.

    An offer is counted as if its best node were taken.
    """
    before = standing(snapshot)
    after = before.copy()
    for decision in plan.decisions:
        workload = snapshot.workloads.get(decision.workload)
        if workload is not None and workload.queue is not None:
            nodes = nodes_of(decision)
            for pod in workload.members:
                if pod.uid in nodes:
                    add(after, snapshot, workload.queue, pod, nodes[pod.uid])
    quotas: dict[tuple[QueueName, str | None], Quota] = {(q.name, None): q.total for q in snapshot.queues.values()}
    quotas |= {(q.name, flavor): quota for q in snapshot.queues.values() for flavor, quota in q.flavors}
    broken: list[str] = []
    for (name, flavor), quota in sorted(quotas.items(), key=lambda entry: (entry[0][0], entry[0][1] or "")):
        if quota.borrowing_limit_milli_gpu is None:
            continue
        most = quota.nominal_milli_gpu + quota.borrowing_limit_milli_gpu
        of = f" of {flavor}" if flavor else ""
        used = after.get((name, flavor), 0)
        if used > max(most, before.get((name, flavor), 0)):
            broken.append(f"queue {name}: {used} milli-GPU{of} of at most {most}")
            continue
        loads = [_load(quotas, snapshot, use, name, flavor) for use in (before, after)]
        if loads[1] > max(most, loads[0]):
            broken.append(f"queue {name}: {loads[1]} milli-GPU{of}, with what queues below it keep, of at most {most}")
    return broken + _broken_nominal(snapshot, plan)


def _broken_nominal(snapshot: Snapshot, plan: Plan) -> list[str]:
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
        f"queue {name}: {after[name, None]} milli-GPU for work that is not preemptible, of {nominal} that are its own"
        for name, queue in sorted(snapshot.queues.items())
        for nominal in [queue.total.nominal_milli_gpu]
        if after[name, None] > max(nominal, before[name, None])
    ]


def _load(
    quotas: Mapping[tuple[QueueName, str | None], Quota],
    snapshot: Snapshot,
    use: Mapping[tuple[QueueName, str | None], int],
    name: QueueName,
    flavor: str | None,
) -> int:
    """What a queue uses, and what queues below it keep from others without using it."""
    load = use.get((name, flavor), 0)
    for below in snapshot.queues.values():
        if below.parent == name:
            taken = _load(quotas, snapshot, use, below.name, flavor)
            quota = quotas.get((below.name, flavor))
            if quota is not None and quota.lending_limit_milli_gpu is not None:
                taken = max(taken, quota.nominal_milli_gpu - quota.lending_limit_milli_gpu)
            load += taken - use.get((below.name, flavor), 0)
    return load


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
    use: Use = defaultdict(int)
    for key, workload in snapshot.workloads.items():
        flight = snapshot.in_flight.get(key)
        going = {a.pod: a.node for a in flight.assignments} if flight else {}
        for pod in workload.members:
            node = pod.node if pod.node is not None else going.get(pod.uid)
            if node is not None and not pod.deleting and workload.queue is not None:
                add(use, snapshot, workload.queue, pod, node)
    for key, flight in snapshot.in_flight.items():
        if key not in snapshot.workloads and flight.queue in snapshot.queues:
            for name in upwards(snapshot, flight.queue):
                use[name, None] += flight.milli_gpu
    return use


def add(use: Use, snapshot: Snapshot, name: QueueName, pod: Pod, node: NodeName, *, times: int = 1) -> None:
    """Charge a pod on a node to a queue and all above it, so many times."""
    requests = pod.shape.requests
    of_model = 1000 * requests.gpus + pod.shape.share_milli * requests.count("nvidia.com/gpu.shared")
    product = snapshot.nodes[node].product if node in snapshot.nodes else ""
    slices = dict(requests.mig_slices)
    for each in upwards(snapshot, name):
        use[each, None] += times * (of_model + sum(count * _slice(p) for p, count in requests.mig_slices))
        for flavor, _ in snapshot.queues[each].flavors:
            if flavor in slices:
                use[each, flavor] += times * _slice(flavor) * slices[flavor]
            elif of_model and is_model(flavor, product):
                use[each, flavor] += times * of_model


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
