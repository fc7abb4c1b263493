"""What stands in the status of every Queue, who is next, the Events about it, and what keeps it while it is in use."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from scheduler.app.queue_verdicts import (
    ACCEPTED,
    OVER_COMMITTED,
    SERVING,
    Verdict,
    reasons_by_queue,
    serving,
    verdict_on,
)
from scheduler.kube.effects import Done, Effects, OwnRef
from scheduler.kube.wire_own import QueueCondition
from scheduler.model.names import QueueName, people_name
from scheduler.model.plan import Wait
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.quota.decay import used_of_late
from scheduler.quota.standing import Standing, standings
from scheduler.quota.tree import Ledger

Recent = dict[str, int | str]
"""What of a queue's status says what it used of late, and when that was."""

LEAST_PERIOD_S = 60
"""What was used of late is written at most this often, and a 64th of the half-life apart."""

Start = dict[str, str | int | bool]
"""What of a queue's status says who is first of what waits in it and has room kept for it, and when that starts."""

Kinds = list[dict[str, str | int]]
"""What of a queue's status is told for each flavor, CPU and memory."""

Verdicts = Mapping[str, Verdict]
"""Conditions of a queue, by their type."""


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    uid: str
    parent: QueueName | None
    amounts: Mapping[str, int]
    kinds: Kinds
    recent: Recent | None
    start: Start | None
    verdicts: Verdicts


class QueueStatusWriter:
    """Writes the status of queues where it changed. Lives on the service's event loop."""

    def __init__(self, effects: Effects, usage_half_life_s: int = 0) -> None:
        """`usage_half_life_s`: as in the settings."""
        self._effects = effects
        self._half_life_s = usage_half_life_s
        self._written: dict[QueueName, _Words] = {}
        self._standing: dict[QueueName, tuple[OwnRef, Mapping[str, QueueCondition]]] = {}

    async def write(
        self,
        snapshot: Snapshot,
        ledger: Ledger,
        waiting: Iterable[Wait],
        pending: Mapping[tuple[QueueName, str], int],
        starting: Collection[QueueName] = (),
        *,
        now_s: int,
    ) -> None:
        """Bring every queue in step with the snapshot.

        `waiting`: what waits by its plan, in turn. `pending`: how many workloads of each wait for which reason.
        `starting`: queues of work that is about to start.
        """
        await self._hold(snapshot, in_use(snapshot, ledger, starting))
        stand, coming = standings(snapshot, ledger), reclaiming(snapshot, ledger)
        recent = recents(ledger, now_s=now_s, half_life_s=self._half_life_s)
        starts, waits = starts_of(waiting), reasons_by_queue(ledger, pending)
        for name, queue in sorted(snapshot.queues.items()):
            how = serving(queue, stand[name], ledger, waits=waits.get(name, {}), coming_milli_gpu=coming[name])
            wanted = _Words(
                uid=queue.uid,
                parent=queue.parent,
                amounts={**amounts_of(stand[name]), "reclaimingMilliGpu": coming[name]},
                kinds=kinds_of(stand[name]),
                recent=recent.get(name),
                start=starts.get(name),
                verdicts={ACCEPTED: verdict_on(queue), SERVING: how},
            )
            if self._written.get(name) != wanted and await self._put(queue, wanted):
                self._written[name] = wanted
        for name in [name for name in self._standing if name not in snapshot.queues]:
            self._written.pop(name, None)
            del self._standing[name]

    async def _hold(self, snapshot: Snapshot, needed: Collection[QueueName]) -> None:
        """Have queues in which work stands stay when they are deleted, and let the others go."""
        for name, queue in sorted(snapshot.queues.items()):
            on = name in needed
            if queue.held != on and not (on and queue.ending):
                await self._effects.hold_queue(name, on=on)

    async def _put(self, queue: Queue, words: _Words) -> bool:
        standing = self._standing.get(queue.name)
        if standing is None or standing[0].uid != queue.uid:
            standing = await self._effects.queue_told(queue.name)
        if standing is None:
            return False
        about, before = standing
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        after = {kind: _condition(kind, verdict, before.get(kind), now) for kind, verdict in words.verdicts.items()}
        status: dict[str, Any] = {
            **words.amounts,
            "parent": words.parent,
            "kinds": words.kinds,
            # A merge takes away what is null.
            "reservation": words.start,
            "observedGeneration": queue.generation,
            "conditions": [{**msgspec.to_builtins(c), "observedGeneration": queue.generation} for c in after.values()],
        }
        if words.recent is not None:
            status["recent"] = words.recent
        if not isinstance(await self._effects.queue_status(queue.name, status), Done):
            self._standing.pop(queue.name, None)
            return False
        self._standing[queue.name] = about, after
        for kind, verdict in words.verdicts.items():
            if _is_news(kind, verdict, before.get(kind)):
                await self._effects.event(about, reason=verdict.reason, note=verdict.message, warning=verdict.alarm)
        return True


def _condition(kind: str, verdict: Verdict, before: QueueCondition | None, now: str) -> QueueCondition:
    since = before.last_transition_time if before is not None and before.status == verdict.status else now
    return QueueCondition(
        type=kind, status=verdict.status, last_transition_time=since, reason=verdict.reason, message=verdict.message
    )


def _is_news(kind: str, verdict: Verdict, before: QueueCondition | None) -> bool:
    """Whether an Event is due: something is wrong that was not, or something else, or nothing is any more."""
    if verdict.status == "False":
        return verdict.alarm and (before is None or before.reason != verdict.reason)
    return before is not None and before.status == "False" and (kind == ACCEPTED or before.reason == OVER_COMMITTED)


def in_use(snapshot: Snapshot, ledger: Ledger, starting: Collection[QueueName] = ()) -> set[QueueName]:
    """The queues in which work stands or is being started, `starting` among them, and those above them."""
    names = {*starting, *(flight.queue for flight in snapshot.in_flight.values())}
    names.update(w.queue for w in snapshot.workloads.values() if w.queue is not None and any(m.node for m in w.members))
    return {queue.name for name in names for queue in ledger.forest.chain(name)}


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
