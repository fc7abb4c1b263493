"""Carrying one plan out: nominate all, ungate all, hold at the barrier, bind all; or withdraw before the barrier opens.

Where members claim devices, these are given first of all.

Until the barrier opens nothing has happened that cannot be left as it is: gates are gone and nominations stand, but
no pod has a node. After it opened, binding is finished whatever else happens; what a crash leaves behind is completed
from the API.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import msgspec

from scheduler.app.allocations import NotGiven
from scheduler.app.barrier import Barrier, Passage
from scheduler.app.beside import beside
from scheduler.app.binding import NOT_LEADING, bind_for_good, insist
from scheduler.kube.effects import Effects, PodRef
from scheduler.model.names import NodeName, PodUid, WorkloadKey

ASK_AGAIN_S = 0.3
"""A refusal may rest on a view of kube-scheduler's that is older than the plan (a cycle under way, a pod that has just
left); after this long the member is tried once more."""

DOUBT_S = 3.0
"""How long after that a refused member may take to arrive before the refusal is believed; a busy kube-scheduler lets a
refused pod wait 1 s, and 2 s the next time (podInitialBackoffSeconds)."""

WATCH_PERIOD_S = 1.0
"""How often a plan that waits for arrivals looks whether kube-scheduler is alive."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """Every member was bound: how long each was held at the barrier, and the time from the first to the last bound."""

    held_s: tuple[float, ...]
    spread_s: float


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """Given up before the barrier opened. `refused` are nodes that would not take their member."""

    why: str
    refused: tuple[NodeName, ...] = ()


class BrokenUp(msgspec.Struct, frozen=True, kw_only=True):
    """The barrier had opened, but some binds failed for good."""

    failed: tuple[PodUid, ...]
    why: str


CarryResult = Bound | Withdrawn | BrokenUp


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One pod of a plan and what it needs to get going.

    `judged`: kube-scheduler's own filters found no node for it when it was last tried. Nothing that we can do makes
    kube-scheduler try such a pod again; the next change of the cluster that bears on it does.
    """

    ref: PodRef
    node: NodeName
    gated: bool
    nominated: NodeName | None
    judged: bool = False


class CarryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How a plan is carried out."""

    nominate: bool
    arrival_timeout_s: float


class Carry:
    """One plan on its way. Lives on the service's event loop.

    `scheduler_seen_s` tells when kube-scheduler last asked anything, on the loop's clock: as long as it is silent, a
    plan that nobody arrived for is left standing, except where it has judged a member before.
    """

    def __init__(
        self,
        workload: WorkloadKey,
        members: tuple[Member, ...],
        *,
        effects: Effects,
        limits: CarryLimits,
        plan_name: str,
        scheduler_seen_s: Callable[[], float],
        give: Callable[[], Awaitable[NotGiven | None]] | None = None,
    ) -> None:
        """`give`: gives the members' claims their devices; None where they have none."""
        self.workload = workload
        self.members: Mapping[PodUid, Member] = {m.ref.uid: m for m in members}
        self.barrier = Barrier({m.ref.uid: m.node for m in members})
        self.first_arrival_s: float | None = None
        self._effects = effects
        self._limits = limits
        self._plan_name = plan_name
        self._scheduler_seen_s = scheduler_seen_s
        self._give = give
        self._loop = asyncio.get_running_loop()
        self._withdrawn: asyncio.Future[Withdrawn] = self._loop.create_future()
        self._opened = asyncio.Event()
        self._doubted: set[PodUid] = set()
        self._asked_again: dict[PodUid, asyncio.Task[None]] = {}
        self._answers: dict[PodUid, asyncio.Future[str | None]] = {}
        self._arrived_s: dict[PodUid, float] = {}
        self._bound_s: list[float] = []
        self._results: dict[PodUid, str | None] = {}

    async def run(self) -> CarryResult:
        """Carry the plan out; returns how it ended."""
        work = asyncio.ensure_future(self._start_and_gather())
        opened = asyncio.ensure_future(self._opened.wait())
        try:
            await asyncio.wait({work, opened, self._withdrawn}, return_when=asyncio.FIRST_COMPLETED)
            if self.barrier.opened:
                return await self._bind_all()
            if not self._withdrawn.done():
                work.result()
            return self._withdrawn.result()
        finally:
            for task in (work, opened, *self._asked_again.values()):
                task.cancel()
            why = self._withdrawn.result().why if self._withdrawn.done() else NOT_LEADING
            self._answer_rest(f"the plan of {self.workload} was withdrawn: {why}")

    def withdraw(self, why: str, *refused: NodeName) -> None:
        """Give the plan up; has no effect once the barrier has opened."""
        if not self.barrier.opened and not self._withdrawn.done():
            self._withdrawn.set_result(Withdrawn(why=why, refused=refused))

    def refuse(self, pod: PodUid) -> None:
        """kube-scheduler would not take a member's node. It is asked once more; the second refusal ends the plan."""
        if pod in self._doubted:
            self._believe(pod)
        elif pod not in self._asked_again:
            self._asked_again[pod] = beside(self._ask_again(self.members[pod]))

    async def _ask_again(self, member: Member) -> None:
        await asyncio.sleep(ASK_AGAIN_S)
        self._doubted.add(member.ref.uid)
        await insist(lambda: self._effects.wake(member.ref, f"{self._plan_name}-again"))
        await asyncio.sleep(DOUBT_S)
        self._believe(member.ref.uid)

    def _believe(self, pod: PodUid) -> None:
        if pod in self.barrier.missing:
            node = self.members[pod].node
            self.withdraw(f"kube-scheduler refused {node}", node)

    async def arrive(self, pod: PodUid, node: NodeName) -> str | None:
        """kube-scheduler wants the pod bound; holds until all are there. None: bound; otherwise why not."""
        if self._withdrawn.done():
            return f"the plan of {self.workload} was withdrawn: {self._withdrawn.result().why}"
        passage = self.barrier.arrive(pod, node)
        if passage is Passage.REFUSED:
            return f"{pod} is not planned on {node}"
        if pod in self._results:
            return self._results[pod]
        if (older := self._answers.get(pod)) is not None and not older.done():
            older.set_result("asked again")
        answer: asyncio.Future[str | None] = self._loop.create_future()
        self._answers[pod] = answer
        self._note_arrival(pod)
        if passage is Passage.OPENS:
            self._opened.set()
        try:
            return await answer
        except asyncio.CancelledError:
            if self._answers.get(pod) is answer:
                self.barrier.leave(pod)
                if not self.barrier.opened:
                    del self._arrived_s[pod]
                if not self.barrier.arrived:
                    self.first_arrival_s = None
            raise

    def _note_arrival(self, pod: PodUid) -> None:
        now_s = self._loop.time()
        if not self.barrier.opened or pod not in self._arrived_s:
            self._arrived_s[pod] = now_s
        if self.first_arrival_s is None:
            self.first_arrival_s = now_s

    async def _start_and_gather(self) -> None:
        # kube-scheduler must not see a pod without gate before its claims are allocated: it would find no node.
        if self._give is not None and (failed := await self._give()) is not None:
            self.withdraw(failed.why, *failed.nodes)
            return
        if self._limits.nominate:
            await self._each(self._nominate)
        await self._each(self._let_go)
        await self._gather()

    async def _each(self, step: Callable[[Member], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for member in self.members.values():
                group.create_task(step(member))

    async def _nominate(self, member: Member) -> None:
        if member.nominated != member.node or not member.gated:
            # A nomination only makes things faster, so a refusal is left at that.
            await insist(lambda: self._effects.nominate(member.ref, member.node))

    async def _let_go(self, member: Member) -> None:
        if not member.gated:
            await insist(lambda: self._effects.wake(member.ref, self._plan_name))
        elif (why := await insist(lambda: self._effects.ungate(member.ref))) is not None:
            self.withdraw(why)

    async def _nudge(self, member: Member) -> None:
        await insist(lambda: self._effects.wake(member.ref, f"{self._plan_name}-{round(self._loop.time())}"))

    async def _gather(self) -> None:
        let_go_s = nudged_s = self._loop.time()
        judged = any(member.judged for member in self.members.values())
        while not self._opened.is_set():
            since_s = self.first_arrival_s
            if since_s is None and (judged or self._scheduler_seen_s() > let_go_s):
                since_s = let_go_s
            left_s = WATCH_PERIOD_S
            if since_s is not None:
                left_s = since_s + self._limits.arrival_timeout_s - self._loop.time()
            elif self._loop.time() - nudged_s >= self._limits.arrival_timeout_s:
                # kube-scheduler may have missed the wake, as after an outage of the API server.
                nudged_s = self._loop.time()
                await self._each(self._nudge)
            if left_s <= 0:
                self._give_up_waiting()
                return
            try:
                async with asyncio.timeout(min(left_s, WATCH_PERIOD_S)):
                    await self._opened.wait()
            except TimeoutError:
                continue

    def _give_up_waiting(self) -> None:
        missing = self.barrier.missing
        late = [self.members[uid] for uid in missing]
        refused = sorted({member.node for member in late if self.barrier.arrived or member.judged})
        self.withdraw(f"{len(missing)} of {len(self.members)} members did not arrive to be bound", *refused)

    async def _bind_all(self) -> CarryResult:
        opened_s = self._loop.time()
        await self._each(self._bind)
        failed = tuple(sorted(uid for uid, why in self._results.items() if why is not None))
        if failed:
            return BrokenUp(failed=failed, why=self._results[failed[0]] or "")
        held_s = tuple(opened_s - self._arrived_s[uid] for uid in self.members)
        return Bound(held_s=held_s, spread_s=max(self._bound_s) - min(self._bound_s))

    async def _bind(self, member: Member) -> None:
        uid = member.ref.uid
        why = await bind_for_good(self._effects, member.ref, member.node)
        self._results[uid] = why
        self._bound_s.append(self._loop.time())
        if (answer := self._answers.get(uid)) is not None and not answer.done():
            answer.set_result(why)

    def _answer_rest(self, why: str) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(why)
