"""One claim on its way: victims tried, beneficiary nominated, victims marked and evicted, and waited for.

Nothing has happened that cannot be left as it is until the first victim is evicted. From then on a gang that was begun
goes whole: its pods were all marked before, so that whoever leads next finishes it (`planning.partial.unfinished`).
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import assert_never

import msgspec

from scheduler.app.binding import GONE, insist
from scheduler.app.evictions import Evictions, Notice, Obstacle
from scheduler.app.grace import Grace, Leaver
from scheduler.app.losses import REASONS
from scheduler.kube.effects import PodRef
from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.plan import Reclaim, Victim
from scheduler.planning.reasons.explain import evicted_line

AGAIN = "room became free"


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """All that had to leave is gone."""


class InTheWay(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody was evicted, since pods of a workload cannot be. `budget`: the disruption budget that keeps them."""

    workload: WorkloadKey
    budget: str = ""
    why: str


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Given up; so many pods had been evicted before."""

    why: str
    evicted: int = 0


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """Given up before anybody was evicted, to be decided anew."""


ClaimResult = Cleared | InTheWay | Dropped | Again


class Parting(msgspec.Struct, frozen=True, kw_only=True):
    """A victim with the pods that it loses, what they are told, and how long they have to save their work."""

    victim: Victim
    pods: tuple[PodRef, ...]
    notice: Notice
    grace_s: int = 0


def parting(decision: Reclaim, victim: Victim, pods: Iterable[PodRef], grace_s: int) -> Parting:
    """What a victim of a claim loses."""
    notice = Notice(reason=REASONS[victim.why], text=evicted_line(decision, victim), workload=victim.workload)
    return Parting(victim=victim, pods=tuple(pods), notice=notice, grace_s=grace_s)


class Claim:
    """The room of one workload being cleared. Lives on the service's event loop.

    `leaving`: all pods that have to be gone, the victims' among them.
    """

    def __init__(
        self,
        decision: Reclaim,
        partings: tuple[Parting, ...],
        *,
        members: tuple[tuple[PodRef, NodeName], ...],
        leaving: Iterable[PodUid],
        grace: Grace,
        evictions: Evictions,
        nominate: bool,
    ) -> None:
        self.decision = decision
        self.partings = partings
        self.members: Mapping[PodUid, PodRef] = {pod.uid: pod for pod, _ in members}
        self.nodes = frozenset(node for _, node in members)
        self.victims = frozenset(pod.uid for part in partings for pod in part.pods)
        self.leaving = set(leaving)
        self._places = members
        self._effects = grace.effects
        self._grace = grace
        self._asked = grace.asked(self.victims)
        self._evictions = evictions
        self._nominate = nominate
        self._dropped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._evicted = 0
        self.in_grace = False
        """Whether the victims still have time to save their work."""
        self.begun = False
        """Whether nothing was found to be in the way."""

    async def run(self) -> ClaimResult:
        """Clear the room; returns how it ended."""
        work = asyncio.ensure_future(self._clear())
        try:
            await asyncio.wait({work, self._dropped}, return_when=asyncio.FIRST_COMPLETED)
            if self._dropped.done() and self._dropped.result() == AGAIN:
                return Again()
            if self._dropped.done():
                return Dropped(why=self._dropped.result(), evicted=self._evicted)
            return work.result()
        finally:
            work.cancel()

    def drop(self, why: str) -> None:
        """Give the claim up."""
        if not self._dropped.done():
            self._dropped.set_result(why)

    def reconsider(self) -> None:
        """Room became free: as long as nobody was evicted, see whether anybody has to be."""
        if self.in_grace:
            self.drop(AGAIN)

    def pod_gone(self, uid: PodUid) -> None:
        """A pod is no more."""
        self.leaving.discard(uid)
        if not self.leaving:
            self._gone.set()
        if uid in self.members:
            self.drop(f"{self.members[uid].name}, which was to start, was deleted")

    async def _clear(self) -> ClaimResult:
        found = await self._tried()
        if found is not None:
            return found
        self.begun = True
        if self._nominate:
            # A nomination only holds the room against others, so a refusal is left at that.
            await asyncio.gather(*(self._hold(pod, node) for pod, node in self._places))
        why = await self._marked()
        if why is None:
            self.in_grace = True
            leavers = [
                Leaver(pod=pod, text=part.notice.text, grace_s=part.grace_s)
                for part in self.partings
                for pod in part.pods
            ]
            why = await self._grace.over(leavers, self._asked)
            self.in_grace = False
        if self._dropped.done():
            return Again()
        for part in self.partings if why is None else ():
            why = await self._evict(part)
            if why is not None:
                break
        if why is not None:
            return Dropped(why=why, evicted=self._evicted)
        if self.leaving:
            await self._gone.wait()
        return Cleared()

    async def _tried(self) -> ClaimResult | None:
        """What keeps a victim from being evicted, before any is."""
        found = await self._evictions.obstacle([pod for part in self.partings for pod in part.pods])
        match found:
            case None:
                return None
            case Obstacle(pods=pods, budget=budget, why=why):
                keeper = next(part.victim.workload for part in self.partings if pods.intersection(part.pods))
                return InTheWay(workload=keeper, budget=budget, why=why)
            case str():
                return Dropped(why=found)
            case _:
                assert_never(found)

    async def _hold(self, pod: PodRef, node: NodeName) -> None:
        await insist(lambda: self._effects.nominate(pod, node))

    async def _marked(self) -> str | None:
        """Mark all victims before the first is evicted; why that could not be done, or None."""
        told = [(pod, part.notice) for part in self.partings for pod in part.pods]
        found = await asyncio.gather(*(self._mark(pod, notice) for pod, notice in told))
        return next((why for why in found if why is not None), None)

    async def _mark(self, pod: PodRef, notice: Notice) -> str | None:
        why = await insist(lambda: self._effects.mark(pod, reason=notice.reason, message=notice.text))
        return None if why == GONE else why

    async def _evict(self, part: Parting) -> str | None:
        """Evict the pods of one victim; why not all could be, or None."""
        found = await asyncio.gather(*(self._evict_one(pod, part.notice) for pod in part.pods))
        return next((why for why in found if why is not None), None)

    async def _evict_one(self, pod: PodRef, notice: Notice) -> str | None:
        why = await self._evictions.evict(pod, notice)
        self._evicted += why is None
        return why
