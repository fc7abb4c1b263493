"""Limits of queues, for the checker: what stands, what is in flight and what a plan adds, summed pod by pod."""

from collections import defaultdict
from typing import assert_never

from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.plan import Admit, Decision, Offer, Plan, RollBack, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.scoring.rules_node import is_model


def broken_quotas(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Queues that `plan` takes above nominal and what they may borrow; one that was above before must not grow.

    An offer is counted as if its best node were taken.
    """
    before = _standing(snapshot)
    after = before.copy()
    for decision in plan.decisions:
        workload = snapshot.workloads.get(decision.workload)
        if workload is not None and workload.queue is not None:
            nodes = _nodes_of(decision)
            for pod in workload.members:
                if pod.uid in nodes:
                    _add(after, snapshot, workload.queue, pod, nodes[pod.uid])
    broken: list[str] = []
    for (name, flavor), used in sorted(after.items(), key=lambda entry: (entry[0][0], entry[0][1] or "")):
        queue = snapshot.queues[name]
        quota = queue.total if flavor is None else dict(queue.flavors)[flavor]
        if quota.borrowing_limit_milli_gpu is None or used <= before.get((name, flavor), 0):
            continue
        most = quota.nominal_milli_gpu + quota.borrowing_limit_milli_gpu
        if used > most:
            broken.append(f"queue {name}: {used} milli-GPU{f' of {flavor}' if flavor else ''} of at most {most}")
    return broken


def _nodes_of(decision: Decision) -> dict[PodUid, NodeName]:
    match decision:
        case Admit():
            return {a.pod: a.node for a in decision.placement.assignments}
        case Offer():
            return {decision.pod: decision.nodes[0][0]} if decision.nodes else {}
        case Wait() | RollBack():
            return {}
        case _:
            assert_never(decision)


def _standing(snapshot: Snapshot) -> defaultdict[tuple[QueueName, str | None], int]:
    use: defaultdict[tuple[QueueName, str | None], int] = defaultdict(int)
    for key, workload in snapshot.workloads.items():
        flight = snapshot.in_flight.get(key)
        going = {a.pod: a.node for a in flight.assignments} if flight else {}
        for pod in workload.members:
            node = pod.node if pod.node is not None else going.get(pod.uid)
            if node is not None and not pod.deleting and workload.queue is not None:
                _add(use, snapshot, workload.queue, pod, node)
    for key, flight in snapshot.in_flight.items():
        if key not in snapshot.workloads and flight.queue in snapshot.queues:
            use[flight.queue, None] += flight.milli_gpu
    return use


def _add(
    use: defaultdict[tuple[QueueName, str | None], int],
    snapshot: Snapshot,
    name: QueueName,
    pod: Pod,
    node: NodeName,
) -> None:
    queue = snapshot.queues.get(name)
    if queue is None:
        return
    requests = pod.shape.requests
    of_model = 1000 * requests.gpus + pod.shape.share_milli * requests.count("nvidia.com/gpu.shared")
    use[name, None] += of_model + sum(count * _slice(profile) for profile, count in requests.mig_slices)
    product = snapshot.nodes[node].product if node in snapshot.nodes else ""
    slices = dict(requests.mig_slices)
    for flavor, _ in queue.flavors:
        if flavor in slices:
            use[name, flavor] += _slice(flavor) * slices[flavor]
        elif of_model and is_model(flavor, product):
            use[name, flavor] += of_model


def _slice(profile: str) -> int:
    """Sevenths of a GPU, as the name of a profile says; a whole one where it says nothing."""
    sevenths = profile.partition("g.")[0]
    return 1000 * min(int(sevenths), 7) // 7 if sevenths.isdigit() else 1000
