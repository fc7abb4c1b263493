"""What stands in the status of every Queue: usage, what waits, and whether the queue is in force as it is written."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from scheduler.kube.effects import Done, Effects
from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.quota.forest import PARENT
from scheduler.quota.standing import Standing, standings
from scheduler.quota.tree import Ledger

ACCEPTED = "Accepted"
"""The condition that says whether everything in the spec holds."""


Kinds = list[dict[str, str | int]]
"""What of a queue's status is told for each flavor, CPU and memory."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Status, reason and message of the condition `Accepted`."""

    status: str
    reason: str
    message: str


class QueueStatusWriter:
    """Writes the status of queues where it changed. Lives on the service's event loop."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._written: dict[QueueName, tuple[Mapping[str, int], Kinds, Verdict]] = {}
        self._since: dict[QueueName, tuple[str, str]] = {}

    async def write(self, snapshot: Snapshot, ledger: Ledger) -> None:
        """Bring the status of every queue in step with the snapshot."""
        stand, coming = standings(snapshot, ledger), reclaiming(snapshot, ledger)
        for name, queue in sorted(snapshot.queues.items()):
            amounts = {**amounts_of(stand[name]), "reclaimingMilliGpu": coming[name]}
            wanted = (amounts, kinds_of(stand[name]), verdict_on(queue))
            if self._written.get(name) != wanted and await self._put(queue, *wanted):
                self._written[name] = wanted
        for name in [name for name in self._written if name not in snapshot.queues]:
            del self._written[name], self._since[name]

    async def _put(self, queue: Queue, amounts: Mapping[str, int], kinds: Kinds, verdict: Verdict) -> bool:
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
        status = {**amounts, "kinds": kinds, "observedGeneration": queue.generation, "conditions": [condition]}
        return isinstance(await self._effects.queue_status(queue.name, status), Done)


def verdict_on(queue: Queue) -> Verdict:
    """Whether the spec holds as it is written."""
    told = "; ".join(str(problem) for problem in queue.problems)
    if any(problem.where != PARENT for problem in queue.problems):
        never = queue.total.nominal_milli_gpu == 0 and queue.total.ceiling_milli_gpu == 0
        meanwhile = "nothing starts in it" if never else "it stays as it was before"
        return Verdict(status="False", reason="SpecRefused", message=f"{told}. Meanwhile {meanwhile}")
    if queue.problems:
        where = "at the top" if queue.parent is None else f"below {queue.parent}, as before"
        return Verdict(status="False", reason="ParentRefused", message=f"{told}. Meanwhile the queue stands {where}")
    if queue.taken:
        others = "; ".join(f"namespace {namespace!r} is served by queue {name}" for namespace, name in queue.taken)
        allowed = "a namespace that a queue lists goes to the first such queue by name, before those that select it"
        return Verdict(status="False", reason="NamespaceTaken", message=f"{others}; {allowed}. All else is in force")
    return Verdict(status="True", reason="InForce", message="the queue is in force")


def reclaiming(snapshot: Snapshot, ledger: Ledger) -> Counter[QueueName]:
    """What is being cleared for work of each queue and of those below it, in milli-GPU."""
    found: Counter[QueueName] = Counter()
    for flight in snapshot.in_flight.values():
        if flight.leaving and flight.queue in snapshot.queues:
            found.update({queue.name: flight.milli_gpu for queue in ledger.forest.chain(flight.queue)})
    return found


def kinds_of(standing: Standing) -> Kinds:
    """The entries of a queue's status on flavors, CPU and memory."""
    return [
        {
            "name": kind.name,
            "nominal": kind.nominal,
            "used": kind.used,
            "borrowed": kind.borrowed,
            "lent": kind.lent,
            "pending": kind.pending,
            "fairShare": kind.fair_share,
        }
        for kind in standing.kinds
    ]


def amounts_of(standing: Standing) -> Mapping[str, int]:
    """The amounts of a queue's status."""
    return {
        "nominalMilliGpu": standing.nominal_milli_gpu,
        "usedMilliGpu": standing.used_milli_gpu,
        "borrowedMilliGpu": standing.borrowed_milli_gpu,
        "lentMilliGpu": standing.lent_milli_gpu,
        "pendingMilliGpu": standing.pending_milli_gpu,
        "fairShareMilliGpu": standing.fair_share_milli_gpu,
        "pendingWorkloads": standing.pending_workloads,
        "runningWorkloads": standing.running_workloads,
    }
