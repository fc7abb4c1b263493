"""What of a queue could make way for other work of the same queue: preemptible work of lower priority.

Such work is what a queue borrows with first. Whoever of the queue has a higher priority could have it evicted, and so
would take back at once what it lost for its sake.
"""

from typing import TYPE_CHECKING

from scheduler.model.names import QueueName
from scheduler.planning.desk import Desk
from scheduler.quota.tree import Bill, bill_for
from scheduler.scoring.rules.queue import nodes_of

if TYPE_CHECKING:
    from scheduler.model.queue import Queue
    from scheduler.model.workload import PodShape


def softer(desk: Desk, queue: QueueName, priority: int) -> Bill:
    """What preemptible work of `queue` below `priority` uses by now."""
    key = (queue, priority, len(desk.decisions))
    known = desk.softer.get(key)
    if known is None:
        known = desk.softer[key] = _sum(desk, queue, priority)
    return known


def _sum(desk: Desk, queue: QueueName, priority: int) -> Bill:
    planned = {uid: node for decision in desk.decisions for uid, node in nodes_of(decision).items()}
    bill = Bill()
    seen: dict[tuple[str, int, str], tuple[Queue, PodShape, int]] = {}
    for workload in desk.snapshot.workloads.values():
        if workload.queue != queue or workload.priority >= priority or not workload.preemptible:
            continue
        paying = desk.payer(workload)
        for pod in workload.members:
            node = planned.get(pod.uid) if pod.node is None else pod.node
            if node is not None and not pod.deleting and pod.uid not in desk.gone and node in desk.snapshot.nodes:
                # Most pods share few shapes, which take longer to compare than to tell apart by identity.
                kind = paying.user, id(pod.shape), desk.snapshot.nodes[node].product
                seen[kind] = paying, pod.shape, seen[kind][2] + 1 if kind in seen else 1
    for (_, _, product), (paying, shape, count) in seen.items():
        bill = bill.plus(bill_for(paying, shape, product), count)
    return bill
