"""What stands in the status of every Queue: usage, what waits, who is next, and whether the queue is in force."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from scheduler.kube.effects import Done, Effects
from scheduler.model.names import QueueName, people_name
from scheduler.model.plan import Wait
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.quota.decay import used_of_late
from scheduler.quota.forest import PARENT
from scheduler.quota.standing import Standing, standings
from scheduler.quota.tree import Ledger

ACCEPTED = "Accepted"
"""The condition that says whether everything in the spec holds."""


Recent = dict[str, int | str]
"""What of a queue's status says what it used of late, and when that was."""

LEAST_PERIOD_S = 60
"""What was used of late is written at most this often, and a 64th of the half-life apart."""

Start = dict[str, str | int | bool]
"""What of a queue's status says who is first of what waits in it and has room kept for it, and when that starts."""

Kinds = list[dict[str, str | int]]
"""What of a queue's status is told for each flavor, CPU and memory."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Status, reason and message of the condition `Accepted`."""

    status: str
    reason: str
    message: str


class QueueStatusWriter:
    """Writes the status of queues where it changed. Lives on the service's event loop."""

    def __init__(self, effects: Effects, usage_half_life_s: int = 0) -> None:
        """`usage_half_life_s`: as in the settings."""
        self._effects = effects
        self._half_life_s = usage_half_life_s
        self._written: dict[QueueName, tuple[Mapping[str, int], Kinds, Recent | None, Start | None, Verdict]] = {}
        self._since: dict[QueueName, tuple[str, str]] = {}

    async def write(self, snapshot: Snapshot, ledger: Ledger, waiting: Iterable[Wait], *, now_s: int) -> None:
        """Bring the status of every queue in step with the snapshot; `waiting`: what waits by its plan, in turn."""
        stand, coming = standings(snapshot, ledger), reclaiming(snapshot, ledger)
        recent = recents(ledger, now_s=now_s, half_life_s=self._half_life_s)
        starts = starts_of(waiting)
        for name, queue in sorted(snapshot.queues.items()):
            amounts = {**amounts_of(stand[name]), "reclaimingMilliGpu": coming[name]}
            wanted = (amounts, kinds_of(stand[name]), recent.get(name), starts.get(name), verdict_on(queue))
            if self._written.get(name) != wanted and await self._put(queue, *wanted):
                self._written[name] = wanted
        for name in [name for name in self._written if name not in snapshot.queues]:
            del self._written[name], self._since[name]

    async def _put(
        self,
        queue: Queue,
        amounts: Mapping[str, int],
        kinds: Kinds,
        recent: Recent | None,
        start: Start | None,
        verdict: Verdict,
    ) -> bool:
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
        status: dict[str, Any] = {
            **amounts,
            "kinds": kinds,
            # A merge takes away what is null.
            "reservation": start,
            "observedGeneration": queue.generation,
            "conditions": [condition],
        }
        if recent is not None:
            status["recent"] = recent
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


def recents(ledger: Ledger, *, now_s: int, half_life_s: int) -> dict[QueueName, Recent]:
    """What each queue used of late, as it is to be written: what stands there until it is older than it may get."""
    if not half_life_s:
        return {}
    found: dict[QueueName, Recent] = {}
    for name, used in used_of_late(ledger, now_s=now_s, half_life_s=half_life_s).items():
        queue, told, at_s = ledger.forest.queues[name], used, now_s
        if queue.recent_at_s is not None and now_s - queue.recent_at_s < max(half_life_s // 64, LEAST_PERIOD_S):
            told, at_s = queue.recent_milli_gpu, queue.recent_at_s
        found[name] = {"milliGpu": told, "at": _moment(at_s)}
    return found


def starts_of(waiting: Iterable[Wait]) -> dict[QueueName, Start]:
    """For whom of each queue room is kept, and from when on: the first in turn."""
    found: dict[QueueName, Start] = {}
    for reservation in (wait.reservation for wait in waiting if wait.reservation is not None):
        found.setdefault(
            reservation.queue,
            {
                "workload": people_name(reservation.workload),
                "startsAt": _moment(reservation.start_s),
                "latestAt": _moment(reservation.latest_s),
                "sure": reservation.sure,
                "nodes": len(reservation.nodes),
                "milliGpu": reservation.milli_gpu,
            },
        )
    return found


def _moment(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
