"""The one way in which the service evicts pods: repeated while that makes sense, counted, and told on the pod."""

import asyncio
from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec

from scheduler.app import log
from scheduler.app.beside import beside
from scheduler.app.binding import FIRST_PAUSE_S, LONGEST_PAUSE_S, NOT_LEADING
from scheduler.kube.budgets import overdrawn
from scheduler.kube.effects import Done, Effects, Fenced, Gone, PodRef, Refused, Requests, Unreachable, ref
from scheduler.model.names import PodUid, WorkloadKey, people_name
from scheduler.model.plan import RollBack
from scheduler.model.workload import Workload
from scheduler.telemetry import EVICTIONS, Telemetry

PATIENCE_S = 10.0
"""How long an eviction is repeated that the API server refuses: budgets are counted anew as pods come and go."""

ROLLED_BACK = "RolledBack"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Why a pod is evicted: one word for machines, one sentence for people. `workload`: which one loses it."""

    reason: str
    text: str
    workload: WorkloadKey


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """Pods that cannot be evicted now, and why; `budget`: the disruption budget that keeps them, `namespace/name`."""

    pods: frozenset[PodRef]
    budget: str = ""
    why: str


class Evictions:
    """Evicts pods and says so. Lives on the service's event loop."""

    def __init__(self, api: Requests, effects: Effects, telemetry: Telemetry, wake: Callable[[], None]) -> None:
        self._api = api
        self._effects = effects
        self._telemetry = telemetry
        self._wake = wake
        self._tasks: dict[PodUid, asyncio.Task[None]] = {}
        self.leaving: set[PodUid] = set()
        """Pods that others have evicted by this object, from before they are marked until they are gone."""

    async def obstacle(self, pods: Sequence[PodRef]) -> Obstacle | str | None:
        """What keeps any of the pods from being evicted, if all are to go; a sentence where that cannot be found out.

        Nothing is evicted.
        """
        short = await overdrawn(self._api, pods)
        if short is not None:
            return Obstacle(pods=short.pods, budget=short.name, why=str(short))
        outcomes = await asyncio.gather(*(self._effects.evict(pod, only_try=True) for pod in pods))
        for pod, outcome in zip(pods, outcomes, strict=True):
            match outcome:
                case Done() | Gone():
                    continue
                case Fenced():
                    return NOT_LEADING
                case Refused(message=message):
                    why = f"{pod.namespace}/{pod.name} cannot be evicted: {message}"
                    return Obstacle(pods=frozenset({pod}), why=why)
                case Unreachable(message=message):
                    return message
                case _:
                    assert_never(outcome)
        return None

    async def evict(self, pod: PodRef, notice: Notice) -> str | None:
        """Evict the pod; None once it is on its way or gone, otherwise why it is not."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        give_up_s = loop.time() + PATIENCE_S
        unsure = False
        while True:
            outcome = await self._effects.evict(pod)
            match outcome:
                case Done():
                    await self._told(pod, notice)
                    return None
                case Gone():
                    if unsure:
                        await self._told(pod, notice)
                    return None
                case Fenced():
                    return NOT_LEADING
                case Refused(passing=passing, message=message) if not passing or loop.time() > give_up_s:
                    return f"{pod.namespace}/{pod.name} cannot be evicted: {message}"
                case Refused():
                    pass
                case Unreachable():
                    unsure = True
                case _:
                    assert_never(outcome)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _told(self, pod: PodRef, notice: Notice) -> None:
        self._telemetry.count(EVICTIONS, notice.reason)
        await self._effects.event(
            pod, reason=notice.reason, note=notice.text, warning=True, once=True, evicted=notice.workload
        )

    def roll_back(self, decision: RollBack, workload: Workload) -> None:
        """Evict what stands of a gang that is not to stand; pods for which that is under way are left at it."""
        text = f"evicted, because its gang {people_name(workload.key)} could not be completed: {decision.why}"
        for pod in workload.members:
            if pod.uid in decision.evict and not self.under_way(pod.uid):
                self._tasks[pod.uid] = beside(
                    self._take_back(ref(pod), Notice(reason=ROLLED_BACK, text=text, workload=workload.key))
                )

    def under_way(self, uid: PodUid) -> bool:
        """Whether the pod is being evicted, other than for a claim."""
        return uid in self._tasks or uid in self.leaving

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _take_back(self, pod: PodRef, notice: Notice) -> None:
        why = await self.evict(pod, notice)
        del self._tasks[pod.uid]
        if why is not None:
            log.warning("eviction failed", pod=f"{pod.namespace}/{pod.name}", why=why)
            # Nothing else need change for it to be tried again.
            self._wake()
