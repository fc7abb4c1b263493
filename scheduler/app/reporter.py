"""What is told of a planning cycle beyond the pods themselves: log, metrics, queue status, the last word on waits."""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from scheduler.app import log
from scheduler.app.beside import beside
from scheduler.app.carry import Bound, BrokenUp, CarryResult, Withdrawn
from scheduler.app.moments import protection_ends_s
from scheduler.app.planner import waits
from scheduler.app.queue_status import QueueStatusWriter
from scheduler.app.teller import Teller
from scheduler.kube.effects import Effects, LeaseRef, OwnRef
from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.plan import Admit, Offer, Plan, Reclaim, RollBack, Wait
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import Snapshot
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.level_notes import level_notes
from scheduler.telemetry import (
    BARRIER_HOLD,
    GANG_BIND,
    OWN_RULE_FAILURES,
    PENDING_WORKLOADS,
    PLAN_DURATION,
    PLANS,
    QUEUE_NOMINAL_GPUS,
    QUEUE_USED_GPUS,
    STATE_GENERATION,
    Telemetry,
)

QUEUE_PERIOD_S = 2.0
"""Queue status is written this often where it changed; at once where work starts in a queue that nothing stood in."""


class Reporter:
    """Listens to the planner. Lives on the service's event loop."""

    def __init__(
        self,
        effects: Effects,
        teller: Teller,
        telemetry: Telemetry,
        *,
        leading: Callable[[], bool],
        lease: LeaseRef,
        usage_half_life_s: int = 0,
    ) -> None:
        self._effects = effects
        self._lease = lease
        self._teller = teller
        self._telemetry = telemetry
        self._leading = leading
        self._told_rules: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._queue_status = QueueStatusWriter(effects, usage_half_life_s)
        self._due = asyncio.Event()
        self._planned_s = 0
        self._open_at: tuple[Snapshot, float] | None = None
        self._nodes_told = 0
        self._told: set[str] = set()
        self.last: tuple[Snapshot, Plan] | None = None
        self.waiting: Mapping[WorkloadKey, Wait] = {}
        self.told: Callable[[Snapshot, Mapping[WorkloadKey, Wait]], Mapping[WorkloadKey, Wait]] = lambda _, waiting: (
            waiting
        )
        """What is made of the refusals of a plan before they are told."""
        self.listeners: list[Callable[[Snapshot, Plan], None]] = []

    def planned(self, snapshot: Snapshot, decided: Plan, took_s: float) -> None:
        """A cycle ended."""
        self.last = (snapshot, decided)
        self._planned_s = int(time.time() - took_s)
        self.waiting = self.told(snapshot, waits(decided))
        self._teller.decided(snapshot, self.waiting)
        self._tell_levels(snapshot)
        self._telemetry.observe(PLAN_DURATION, took_s)
        self._telemetry.put(STATE_GENERATION, snapshot.generation)
        for decision in decided.decisions:
            match decision:
                case Admit(workload=key, placement=placement):
                    self._telemetry.count(PLANS, placement.proof.status)
                    nodes = len({a.node for a in placement.assignments})
                    pods = len(placement.assignments)
                    log.info(
                        "admitted",
                        workload=key,
                        pods=pods,
                        nodes=nodes,
                        proof=placement.proof.status,
                        took_ms=round(took_s * 1000, 1),
                    )
                case Offer(workload=key, nodes=nodes):
                    self._telemetry.count(PLANS, "offer")
                    log.info("offered", workload=key, nodes=len(nodes))
                case Wait():
                    self._telemetry.count(PLANS, "wait")
                case RollBack(workload=key, why=why):
                    self._telemetry.count(PLANS, "roll back")
                    log.warning("rolling back", workload=key, why=why)
                case Reclaim(workload=key, victims=victims):
                    self._telemetry.count(PLANS, "reclaim")
                    log.info("work has to make way", workload=key, victims=len(victims))
                case _:
                    assert_never(decision)
        if any(not snapshot.queues[name].held for name in _starting(snapshot, decided)):
            self._due.set()
        self._tell_rules(decided)
        for listener in self.listeners:
            listener(snapshot, decided)

    @property
    def look_at_s(self) -> float:
        """When what waits has to be looked at though nothing changed, in seconds since 1970; never is infinity."""
        told = min((wait.until_s for wait in self.waiting.values() if wait.until_s is not None), default=math.inf)
        if self.last is None or not self.waiting:
            return told
        snapshot, _ = self.last
        if self._open_at is None or self._open_at[0] is not snapshot:
            self._open_at = snapshot, protection_ends_s(snapshot, self._planned_s) or math.inf
        return min(told, self._open_at[1])

    def _tell_levels(self, snapshot: Snapshot) -> None:
        """Say once what is odd about topology labels; they change only with the nodes."""
        if snapshot.static_generation == self._nodes_told:
            return
        self._nodes_told = snapshot.static_generation
        for note in level_notes(snapshot):
            if note not in self._told:
                self._told.add(note)
                log.warning(note)

    def _tell_rules(self, decided: Plan) -> None:
        """Rules of the administrator's own that failed: counted for every plan; logged, and an Event, once by name."""
        for trouble in decided.troubles:
            self._telemetry.count(OWN_RULE_FAILURES, trouble.kind, trouble.rule)
            if (trouble.kind, trouble.rule) not in self._told_rules:
                self._told_rules.add((trouble.kind, trouble.rule))
                log.warning("an own rule is left out", kind=trouble.kind, rule=trouble.rule, why=trouble.why)
                told = self._effects.event(self._lease, reason="OwnRuleLeftOut", note=str(trouble), warning=True)
                self._keep(beside(told))

    def tell_of(self, about: OwnRef, reason: str, note: str) -> None:
        """Write a warning beside a report."""
        self._keep(beside(self._effects.event(about, reason=reason, note=note, warning=True)))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a task until it is done, as the loop does not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self, key: WorkloadKey, result: CarryResult) -> None:
        """A plan on its way ended."""
        match result:
            case Bound(held_s=held_s, spread_s=spread_s):
                log.info("bound", workload=key, pods=len(held_s), first_to_last_ms=round(spread_s * 1000, 1))
                if len(held_s) > 1:
                    self._telemetry.observe(GANG_BIND, spread_s)
                    for each_s in held_s:
                        self._telemetry.observe(BARRIER_HOLD, each_s)
            case Withdrawn(why=why):
                log.warning("plan withdrawn", workload=key, why=why)
            case BrokenUp(failed=failed, why=why):
                log.warning("some binds failed", workload=key, pods=len(failed), why=why)
            case _:
                assert_never(result)

    async def run(self) -> None:
        """Keep metrics and queue status in step until cancelled."""
        while True:
            self._due.clear()
            if self.last is not None and self._leading():
                await self._queues(*self.last)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), QUEUE_PERIOD_S)

    async def _queues(self, snapshot: Snapshot, decided: Plan) -> None:
        ledger = opening_ledger(snapshot)
        pending: Counter[tuple[QueueName, str]] = Counter()
        for key, wait in self.waiting.items():
            workload = snapshot.workloads.get(key)
            if workload is not None:
                pending[workload.queue or QueueName(""), wait.reason.value] += 1
        self._telemetry.replace(PENDING_WORKLOADS, dict(pending))
        used: dict[tuple[str, ...], float] = {
            (name,): ledger.used_by(name).total_milli_gpu / MILLI_GPU for name in snapshot.queues
        }
        nominal: dict[tuple[str, ...], float] = {
            (n,): q.total.nominal_milli_gpu / MILLI_GPU for n, q in snapshot.queues.items()
        }
        self._telemetry.replace(QUEUE_USED_GPUS, used)
        self._telemetry.replace(QUEUE_NOMINAL_GPUS, nominal)
        starting = _starting(snapshot, decided)
        await self._queue_status.write(
            snapshot, ledger, self.waiting.values(), pending, starting, now_s=int(time.time())
        )


def _starting(snapshot: Snapshot, decided: Plan) -> set[QueueName]:
    """The queues of work that the plan starts."""
    begun = (d.workload for d in decided.decisions if isinstance(d, Admit | Offer | Reclaim))
    names = (snapshot.workloads[key].queue for key in begun)
    return {name for name in names if name is not None and name in snapshot.queues}
