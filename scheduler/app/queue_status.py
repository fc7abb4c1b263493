"""What stands in the status of every Queue: usage, what waits, and whether the queue is in force as it is written."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from scheduler.kube.effects import Done, Effects
from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.quota.tree import Ledger

ACCEPTED = "Accepted"
"""The condition that says whether everything in the spec holds."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Status, reason and message of the condition `Accepted`."""

    status: str
    reason: str
    message: str


class QueueStatusWriter:
    """Writes the status of queues where it changed. Lives on the service's event loop."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._written: dict[QueueName, tuple[Mapping[str, int], Verdict]] = {}
        self._since: dict[QueueName, tuple[str, str]] = {}

    async def write(self, snapshot: Snapshot, ledger: Ledger) -> None:
        """Bring the status of every queue in step with the snapshot."""
        amounts = queue_amounts(snapshot, ledger)
        for name, queue in sorted(snapshot.queues.items()):
            wanted = (amounts[name], verdict_on(queue, snapshot.queues))
            if self._written.get(name) != wanted and await self._put(queue, *wanted):
                self._written[name] = wanted
        for name in [name for name in self._written if name not in snapshot.queues]:
            del self._written[name], self._since[name]

    async def _put(self, queue: Queue, amounts: Mapping[str, int], verdict: Verdict) -> bool:
        since = self._since.get(queue.name) or await self._effects.queue_condition(queue.name, ACCEPTED)
        if since is None or since[0] != verdict.status:
            since = (verdict.status, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._since[queue.name] = since
        condition = {
            "type": ACCEPTED,
            "status": verdict.status,
            "reason": verdict.reason,
            "message": verdict.message,
            "lastTransitionTime": since[1],
            "observedGeneration": queue.generation,
        }
        status = {**amounts, "observedGeneration": queue.generation, "conditions": [condition]}
        return isinstance(await self._effects.queue_status(queue.name, status), Done)


def verdict_on(queue: Queue, queues: Mapping[QueueName, Queue]) -> Verdict:
    """Whether the spec holds as it is written."""
    if queue.parent is not None and queue.parent not in queues:
        message = f"spec.parent is {queue.parent!r}, and there is no such queue; create it, or drop spec.parent"
        return Verdict(status="False", reason="ParentMissing", message=message)
    return Verdict(status="True", reason="InForce", message="the queue is in force")


def queue_amounts(snapshot: Snapshot, ledger: Ledger) -> Mapping[QueueName, Mapping[str, int]]:
    """For every queue what it uses, borrows and waits for in milli-GPU, and how many workloads wait and run."""
    pending_milli: Counter[QueueName] = Counter()
    pending: Counter[QueueName] = Counter()
    running: Counter[QueueName] = Counter()
    for workload in snapshot.workloads.values():
        if workload.queue is None:
            continue
        if workload.pending:
            pending[workload.queue] += 1
            pending_milli[workload.queue] += sum(p.shape.milli_gpu for p in workload.pending)
        elif workload.placed:
            running[workload.queue] += 1
    used = {name: ledger.used_by(name).total_milli_gpu for name in snapshot.queues}
    return {
        name: {
            "usedMilliGpu": used[name],
            "borrowedMilliGpu": max(used[name] - queue.total.nominal_milli_gpu, 0),
            "pendingMilliGpu": pending_milli[name],
            "pendingWorkloads": pending[name],
            "runningWorkloads": running[name],
        }
        for name, queue in snapshot.queues.items()
    }
