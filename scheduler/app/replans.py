"""Work that is evicted whole since it stands on what fails, so that it is planned again on what does not.

Its pods are tried and marked before the first is evicted, as those that make way for others are (`app.claim`): whoever
leads next finishes what was begun (`planning.partial.unfinished`).
"""

import asyncio
from collections.abc import Callable, Sequence

from scheduler.app import log
from scheduler.app.beside import beside
from scheduler.app.binding import GONE, insist
from scheduler.app.evictions import Evictions, Notice, Obstacle
from scheduler.app.grace import Grace, Leaver
from scheduler.app.losses import FAILING, Losses
from scheduler.kube.effects import PodRef, ref
from scheduler.model.names import QueueName, WorkloadKey, people_name
from scheduler.model.workload import Workload
from scheduler.planning.reasons.failing import Failing
from scheduler.state.cluster import ClusterState

FIRST_PAUSE_S = 4
LONGEST_PAUSE_S = 60
"""After so many seconds, doubled each time, it is tried again whether work can be evicted that could not."""


class Replans:
    """The evictions under way. Lives on the service's event loop."""

    def __init__(
        self, *, grace: Grace, evictions: Evictions, state: ClusterState, losses: Losses, now_s: Callable[[], int]
    ) -> None:
        self._grace = grace
        self._evictions = evictions
        self._state = state
        self._losses = losses
        self._now_s = now_s
        self._tasks: dict[WorkloadKey, asyncio.Task[None]] = {}
        self._pauses: dict[WorkloadKey, tuple[int, int]] = {}
        """How long the last pause was, and until when it lasts."""

    def begin(self, workload: Workload, found: Sequence[Failing]) -> None:
        """Evict all that stands of the workload, unless that is under way or was refused just now."""
        key, pods = workload.key, workload.placed
        _, until_s = self._pauses.get(key, (0, 0))
        if not found or key in self._tasks or self._now_s() < until_s:
            return
        if not workload.preemptible or any(self._evictions.under_way(pod.uid) for pod in pods):
            return
        text = f"{len(pods)} pods of {people_name(key)} evicted to be planned elsewhere: {found[0].why}"
        notice = Notice(reason=FAILING, text=text, workload=key)
        queue = self._state.snapshot().queues
        grace_s = self._grace.of_queue(queue, QueueName(str(workload.queue)))
        leavers = [Leaver(pod=ref(pod), text=text, grace_s=grace_s) for pod in pods]
        self._tasks[key] = beside(self._carry_out(leavers, notice))

    async def stop(self) -> None:
        """End everything without another write."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _carry_out(self, leavers: Sequence[Leaver], notice: Notice) -> None:
        key, pods = notice.workload, [leaver.pod for leaver in leavers]
        asked = self._grace.asked(pod.uid for pod in pods)
        self._evictions.leaving.update(pod.uid for pod in pods)
        why: str | None = "it was cut short"
        try:
            why = (
                await self._tried(pods, notice)
                or await self._grace.over(leavers, asked)
                or await self._gone(pods, notice)
            )
        finally:
            del self._tasks[key]
            if why is not None:
                self._evictions.leaving.difference_update(pod.uid for pod in pods)
        if why is None:
            self._pauses.pop(key, None)
            self._losses.note(key, notice.text, self._now_s())
            log.info("evicted whole, as it stands on what fails", workload=key, pods=len(pods))
            return
        pause_s = min(2 * self._pauses.get(key, (FIRST_PAUSE_S // 2, 0))[0], LONGEST_PAUSE_S)
        self._pauses[key] = pause_s, self._now_s() + pause_s
        log.warning("work on what fails stays", workload=key, why=why)
        note = f"{people_name(key)} stands on what fails and is not evicted: {why}"
        await self._grace.effects.event(pods[0], reason=FAILING, note=note, warning=True, once=True)

    async def _tried(self, pods: Sequence[PodRef], notice: Notice) -> str | None:
        """Why not all can be evicted or marked; None once all are marked."""
        found = await self._evictions.obstacle(pods)
        if found is not None:
            return found.why if isinstance(found, Obstacle) else found
        return _first(await asyncio.gather(*(self._mark(pod, notice) for pod in pods)))

    async def _mark(self, pod: PodRef, notice: Notice) -> str | None:
        effects = self._grace.effects
        why = await insist(lambda: effects.mark(pod, reason=notice.reason, message=notice.text))
        return None if why == GONE else why

    async def _gone(self, pods: Sequence[PodRef], notice: Notice) -> str | None:
        return _first(await asyncio.gather(*(self._evictions.evict(pod, notice) for pod in pods)))


def _first(found: Sequence[str | None]) -> str | None:
    return next((why for why in found if why is not None), None)
