"""All claims on their way: running work makes way for workloads that have a right to its room."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, assert_never

from scheduler.app import log
from scheduler.app.beside import beside
from scheduler.app.binding import insist
from scheduler.app.claim import Again, Claim, ClaimResult, Cleared, Dropped, InTheWay, parting
from scheduler.app.commit import Committer
from scheduler.app.evictions import Evictions
from scheduler.app.grace import Grace
from scheduler.app.losses import Losses
from scheduler.app.reservation import reservation
from scheduler.kube.effects import ref
from scheduler.model.names import NodeName, PodUid, WorkloadKey, people_name
from scheduler.model.plan import Admit, Reclaim, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.partial import unfinished
from scheduler.planning.reasons.explain import claim_wait, kept_wait
from scheduler.planning.reasons.wording import pods
from scheduler.planning.reclaim.departing import LATE_S
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, Kept, Released
from scheduler.telemetry import CLAIMS, LOST_GPU_SECONDS, Telemetry

FIRST_PAUSE_S = 4
LONGEST_PAUSE_S = 60
"""After so many seconds, doubled each time, it is tried again whether work can make way that could not."""

STAYS = "Stays"
STAYS_TEXT = "it need not leave any more"


class Claims:
    """The claims on their way, and how they end. Lives on the service's event loop."""

    def __init__(
        self,
        *,
        grace: Grace,
        evictions: Evictions,
        committer: Committer,
        state: ClusterState,
        telemetry: Telemetry,
        now_s: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._effects = grace.effects
        self._grace = grace
        self._evictions = evictions
        self._committer = committer
        self._state = state
        self._telemetry = telemetry
        self._now_s = now_s
        self._wake = wake
        self._claims: dict[WorkloadKey, Claim] = {}
        self._tasks: dict[WorkloadKey, asyncio.Task[None]] = {}
        self._freed = False
        self._blocked: dict[WorkloadKey, InTheWay] = {}
        self.losses = Losses()
        self._pauses_s: dict[WorkloadKey, int] = {}
        self._tellings: dict[PodUid, asyncio.Task[Any]] = {}

    @property
    def under_way(self) -> int:
        """How many claims are on their way."""
        return len(self._claims)

    def begin(self, decision: Reclaim, workload: Workload, *, nominate: bool, plan_name: str) -> None:
        """Start to clear the room for a workload that is pending as the decision has it."""
        pending = {pod.uid: pod for pod in workload.pending}
        leaving = self._standing([*(uid for victim in decision.victims for uid in victim.pods), *decision.after])
        placed = decision.placement.assignments
        queues = self._state.snapshot().queues
        claim = Claim(
            decision,
            tuple(
                parting(decision, v, map(ref, self._standing(v.pods).values()), self._grace.of_queue(queues, v.queue))
                for v in decision.victims
            ),
            members=tuple((ref(pending[a.pod]), a.node) for a in placed),
            leaving=leaving,
            grace=self._grace,
            evictions=self._evictions,
            nominate=nominate,
        )
        self._apply(reservation(workload, placed, now_s=self._now_s(), leaving=tuple(sorted(leaving))))
        self._claims[workload.key] = claim
        self._tasks[workload.key] = beside(self._carry_out(claim, nominate=nominate, plan_name=plan_name))

    def told(self, snapshot: Snapshot, waiting: Mapping[WorkloadKey, Wait]) -> Mapping[WorkloadKey, Wait]:
        """What workloads wait for: those whose room is being cleared too, and what keeps work from making way."""
        found = dict(waiting)
        for key, claim in self._claims.items():
            if key in snapshot.workloads and (claim.begun or key not in self._blocked):
                found[key] = claim_wait(claim.decision)
        found = self.losses.added(snapshot, found, now_s=self._now_s())
        for key in [key for key in self._blocked if key not in snapshot.workloads]:
            del self._blocked[key]
        for key, block in self._blocked.items():
            wait, keeper = found.get(key), snapshot.workloads.get(block.workload)
            if key in self._claims and not self._claims[key].begun:
                found[key] = kept_wait(claim_wait(self._claims[key].decision), block.budget, block.why)
            elif wait is not None and keeper is not None and keeper.kept:
                found[key] = kept_wait(wait, block.budget, block.why)
        return found

    def pod_seen(self, pod: Pod) -> None:
        """A pod as it is now: a claim whose workload is leaving, or stands already, ends."""
        if pod.node is None and not pod.deleting:
            return
        key = self._state.workload_of(pod.uid)
        if key is not None and pod.deleting and pod.makes_way:
            self.losses.leaving(key, pod.leaves_why, self._now_s())
        for claim in self._claims.values():
            if pod.uid in claim.members:
                claim.drop(f"{pod.name}, which was to start, {'is being deleted' if pod.deleting else 'has a node'}")

    def pod_gone(self, uid: PodUid) -> None:
        """A pod is no more."""
        self._freed = True
        self._evictions.leaving.discard(uid)
        for claim in self._claims.values():
            claim.pod_gone(uid)

    def node_unusable(self, node: NodeName, why: str) -> None:
        """A node is gone, cordoned or not ready: claims on its room end."""
        for claim in self._claims.values():
            if node in claim.nodes:
                claim.drop(f"{node} {why}")

    def look(self) -> None:
        """See to claims that wait for pods which do not leave any more, or whose victims may not have to leave."""
        if self._freed:
            self._freed = False
            for claim in self._claims.values():
                claim.reconsider()
        going = {uid for claim in self._claims.values() for uid in claim.victims}
        for claim in self._claims.values():
            for uid in sorted(claim.leaving):
                pod = self._state.pod(uid)
                if pod is None:
                    claim.pod_gone(uid)
                elif not (pod.deleting or uid in going or self._evictions.under_way(uid)):
                    claim.drop(f"{pod.namespace}/{pod.name}, which was to leave, stays")
                elif pod.leaves_by_s is not None and self._now_s() > pod.leaves_by_s + LATE_S:
                    claim.drop(f"{pod.namespace}/{pod.name} does not end")

    def planned(self, snapshot: Snapshot) -> None:
        """A plan was handed on: pods that were told to leave, and need not any more, are told that they stay."""
        going = {uid for claim in self._claims.values() for uid in claim.leaving}
        going.update(uid for flight in snapshot.in_flight.values() for uid in flight.leaving)
        for uid in sorted(self._state.marked()):
            pod, key = self._state.pod(uid), self._state.workload_of(uid)
            workload = None if key is None else snapshot.workloads.get(key)
            if pod is None or pod.node is None or pod.deleting or workload is None:
                continue
            if uid in going or uid in self._tellings or self._evictions.under_way(uid):
                continue
            if unfinished(workload) is None:
                self._tellings[uid] = beside(self._unmark(pod))

    async def _unmark(self, pod: Pod) -> None:
        await insist(lambda: self._effects.mark(ref(pod), reason=STAYS, message=STAYS_TEXT, leaves=False))
        self._tellings.pop(pod.uid, None)

    async def stop(self) -> None:
        """End everything without another write; what is left is planned anew by whoever leads."""
        tasks = [*self._tasks.values(), *self._tellings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in list(self._claims):
            self._apply(Released(workload=key))
        self._claims.clear()
        self._tasks.clear()
        self._tellings.clear()

    def _standing(self, uids: Iterable[PodUid]) -> dict[PodUid, Pod]:
        known = {uid: self._state.pod(uid) for uid in uids}
        return {uid: pod for uid, pod in known.items() if pod is not None and pod.node is not None}

    async def _carry_out(self, claim: Claim, *, nominate: bool, plan_name: str) -> None:
        result = await claim.run() if claim.leaving else Cleared()
        self._settle(claim, result, nominate=nominate, plan_name=plan_name)

    def _settle(self, claim: Claim, result: ClaimResult, *, nominate: bool, plan_name: str) -> None:
        key = claim.decision.workload
        del self._claims[key], self._tasks[key]
        match result:
            case Cleared():
                self._telemetry.count(CLAIMS, "cleared")
                self._blocked.pop(key, None)
                for part in claim.partings:
                    self.losses.note(part.victim.workload, part.notice.text, self._now_s())
                    self._telemetry.count(LOST_GPU_SECONDS, part.notice.reason, by=part.victim.cost_gpu_seconds)
                log.info("room is clear", workload=key, victims=len(claim.partings), pods=len(claim.victims))
                self._start(claim, nominate=nominate, plan_name=plan_name)
            case InTheWay(workload=keeper, why=why):
                self._telemetry.count(CLAIMS, "in the way")
                log.warning("nobody makes way", workload=key, why=why)
                self._blocked[key] = result
                self._pauses_s[keeper] = min(2 * self._pauses_s.get(keeper, FIRST_PAUSE_S // 2), LONGEST_PAUSE_S)
                self._apply(Kept(workload=keeper, until_s=self._now_s() + self._pauses_s[keeper]))
                self._apply(Released(workload=key))
            case Again():
                self._apply(Released(workload=key))
            case Dropped(why=why, evicted=evicted):
                self._telemetry.count(CLAIMS, "dropped")
                log.warning("claim dropped", workload=key, why=why, evicted=evicted)
                if evicted:
                    self._regret(claim, why, evicted)
                self._apply(Released(workload=key))
            case _:
                assert_never(result)

    def _regret(self, claim: Claim, why: str, evicted: int) -> None:
        """Say on the workload that pods left for it in vain, so far."""
        first = next(iter(claim.members.values()))
        note = f"{pods(evicted)} evicted for it, and then the claim was dropped: {why}; it is planned anew"
        telling = beside(self._effects.event(first, reason="ClaimDropped", note=note, warning=True))
        self._tellings[first.uid] = telling
        telling.add_done_callback(lambda _: self._tellings.pop(first.uid, None))

    def _start(self, claim: Claim, *, nominate: bool, plan_name: str) -> None:
        """The room is there: carry the plan out like any other."""
        key = claim.decision.workload
        workload = self._state.snapshot().workloads.get(key)
        pending = set[PodUid]() if workload is None else {pod.uid for pod in workload.pending}
        if workload is None or not pending.issuperset(claim.members):
            log.warning("claim dropped", workload=people_name(key), why="its pods have changed")
            self._apply(Released(workload=key))
            return
        admit = Admit(workload=key, placement=claim.decision.placement)
        self._committer.admit(admit, workload, nominate=nominate, plan_name=plan_name)

    def _apply(self, event: Event) -> None:
        self._state.apply(event)
        self._wake()
