"""All claims on their way: running work makes way for workloads that have a right to its room."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from scheduler.app import log
from scheduler.app.claim import Claim, ClaimResult, Cleared, Dropped, InTheWay, parting
from scheduler.app.commit import Committer
from scheduler.app.evictions import Evictions
from scheduler.app.reservation import reservation
from scheduler.kube.effects import Effects, ref
from scheduler.model.names import NodeName, PodUid, WorkloadKey, people_name
from scheduler.model.plan import Admit, Reclaim, Wait
from scheduler.model.workload import Pod, Workload
from scheduler.planning.reasons.explain import claim_wait
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, Released
from scheduler.telemetry import CLAIMS, LOST_GPU_SECONDS, Telemetry


class Claims:
    """The claims on their way, and how they end. Lives on the service's event loop."""

    def __init__(
        self,
        *,
        effects: Effects,
        evictions: Evictions,
        committer: Committer,
        state: ClusterState,
        telemetry: Telemetry,
        now_s: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._effects = effects
        self._evictions = evictions
        self._committer = committer
        self._state = state
        self._telemetry = telemetry
        self._now_s = now_s
        self._wake = wake
        self._claims: dict[WorkloadKey, Claim] = {}
        self._tasks: dict[WorkloadKey, asyncio.Task[None]] = {}

    def begin(self, decision: Reclaim, workload: Workload, *, nominate: bool, plan_name: str) -> None:
        """Start to clear the room for a workload that is pending as the decision has it."""
        pods = {pod.uid: pod for pod in workload.pending}
        leaving = self._standing([*(uid for victim in decision.victims for uid in victim.pods), *decision.after])
        placed = decision.placement.assignments
        claim = Claim(
            decision,
            tuple(parting(decision, v, map(ref, self._standing(v.pods).values())) for v in decision.victims),
            members=tuple((ref(pods[a.pod]), a.node) for a in placed),
            leaving=leaving,
            effects=self._effects,
            evictions=self._evictions,
            nominate=nominate,
        )
        self._apply(reservation(workload, placed, now_s=self._now_s(), leaving=tuple(sorted(leaving))))
        self._claims[workload.key] = claim
        task = asyncio.ensure_future(self._carry_out(claim, nominate=nominate, plan_name=plan_name))
        self._tasks[workload.key] = task

    @property
    def waiting(self) -> Mapping[WorkloadKey, Wait]:
        """What the workloads wait for whose room is being cleared."""
        return {key: claim_wait(claim.decision) for key, claim in self._claims.items()}

    def pod_seen(self, pod: Pod) -> None:
        """A pod as it is now: a claim whose workload is leaving, or stands already, ends."""
        if pod.node is None and not pod.deleting:
            return
        for claim in self._claims.values():
            if pod.uid in claim.members:
                claim.drop(f"{pod.name}, which was to start, {'is being deleted' if pod.deleting else 'has a node'}")

    def pod_gone(self, uid: PodUid) -> None:
        """A pod is no more."""
        for claim in self._claims.values():
            claim.pod_gone(uid)

    def node_unusable(self, node: NodeName, why: str) -> None:
        """A node is gone, cordoned or not ready: claims on its room end."""
        for claim in self._claims.values():
            if node in claim.nodes:
                claim.drop(f"{node} {why}")

    def look(self) -> None:
        """See to claims that wait for pods which do not leave any more."""
        going = {uid for claim in self._claims.values() for uid in claim.victims}
        for claim in self._claims.values():
            for uid in sorted(claim.leaving):
                pod = self._state.pod(uid)
                if pod is None:
                    claim.pod_gone(uid)
                elif not (pod.deleting or uid in going or self._evictions.under_way(uid)):
                    claim.drop(f"{pod.namespace}/{pod.name}, which was to leave, stays")

    async def stop(self) -> None:
        """End everything without another write; what is left is planned anew by whoever leads."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in list(self._claims):
            self._apply(Released(workload=key))
        self._claims.clear()
        self._tasks.clear()

    def _standing(self, uids: Iterable[PodUid]) -> dict[PodUid, Pod]:
        pods = {uid: self._state.pod(uid) for uid in uids}
        return {uid: pod for uid, pod in pods.items() if pod is not None and pod.node is not None}

    async def _carry_out(self, claim: Claim, *, nominate: bool, plan_name: str) -> None:
        result = await claim.run() if claim.leaving else Cleared()
        self._settle(claim, result, nominate=nominate, plan_name=plan_name)

    def _settle(self, claim: Claim, result: ClaimResult, *, nominate: bool, plan_name: str) -> None:
        key = claim.decision.workload
        del self._claims[key], self._tasks[key]
        match result:
            case Cleared():
                self._telemetry.count(CLAIMS, "cleared")
                for part in claim.partings:
                    self._telemetry.count(LOST_GPU_SECONDS, part.notice.reason, by=part.victim.cost_gpu_seconds)
                log.info("room is clear", workload=key, victims=len(claim.partings), pods=len(claim.victims))
                self._start(claim, nominate=nominate, plan_name=plan_name)
            case InTheWay(why=why):
                self._telemetry.count(CLAIMS, "in the way")
                log.warning("nobody makes way", workload=key, why=why)
                self._apply(Released(workload=key))
            case Dropped(why=why, evicted=evicted):
                self._telemetry.count(CLAIMS, "dropped")
                log.warning("claim dropped", workload=key, why=why, evicted=evicted)
                self._apply(Released(workload=key))
            case _:
                assert_never(result)

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
