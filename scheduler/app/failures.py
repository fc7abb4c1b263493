"""Who stands on GPUs or nodes that fail is told so, by event and condition, and may be planned elsewhere."""

import asyncio
from collections.abc import Callable, Iterator

import numpy as np

from scheduler.app.replans import Replans
from scheduler.kube.effects import Done, Effects, Gone, PodRef, ref
from scheduler.model.names import NodeName, PodUid, people_name
from scheduler.model.plan import Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.reasons.failing import Cause, Failing, failing
from scheduler.state.cluster import ClusterState

LOOK_PERIOD_S = 1.0

SETTLE_S = {Cause.UNHEALTHY: 10.0, Cause.NODE_NOT_READY: 30.0}
"""So long it must last: GPUs are unknown while the driver restarts, and a node is not ready while its kubelet does.

And an exporter takes seconds to tell that a pod of the same name, which was evicted, holds its GPU no more."""

RECOVERED = "Recovered"
RECOVERED_TEXT = "what it stands on does not fail any more"


class Failures:
    """Looks after each plan. Lives on the service's event loop; the leader writes.

    `replans` is None where work on what fails is only reported.
    """

    def __init__(
        self, effects: Effects, state: ClusterState, replans: Replans | None, *, leading: Callable[[], bool]
    ) -> None:
        self._effects = effects
        self._state = state
        self._replans = replans
        self._leading = leading
        self._snapshot: Snapshot | None = None
        self._since_s: dict[tuple[PodUid, Cause], float] = {}
        self._told: dict[PodUid, tuple[PodRef, str]] = {}
        self._recalled = False

    def planned(self, snapshot: Snapshot, _: Plan) -> None:
        """A planning cycle ended."""
        self._snapshot = snapshot

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            if self._leading() and self._snapshot is not None:
                await self._look(self._snapshot)
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _look(self, snapshot: Snapshot) -> None:
        if not self._recalled:
            self._recalled = True
            told = [pod for workload in snapshot.workloads.values() for pod in workload.placed if pod.told_failing]
            self._told.update((pod.uid, (ref(pod), "")) for pod in told)
        now_s = asyncio.get_running_loop().time()
        before, self._since_s = self._since_s, {}
        failing_now: set[PodUid] = set()
        for workload in self._on_failing(snapshot):
            found = [one for one in failing(snapshot, workload) if one.grave]
            failing_now.update(one.pod for one in found)
            ripe: list[Failing] = []
            for one in found:
                mark = one.pod, one.cause
                self._since_s[mark] = before.get(mark, now_s)
                if now_s - self._since_s[mark] >= SETTLE_S[one.cause]:
                    ripe.append(one)
            pods = {pod.uid: pod for pod in workload.placed}
            await asyncio.gather(*(self._tell(workload, pods[one.pod], one) for one in ripe))
            if self._replans is not None and workload.key not in snapshot.in_flight:
                self._replans.begin(workload, ripe)
        for uid in [uid for uid in self._told if uid not in failing_now]:
            await self._recovered(uid)

    def _on_failing(self, snapshot: Snapshot) -> Iterator[Workload]:
        """The workloads with pods on nodes that are not ready or have GPUs that are not healthy, by key."""
        nodes: set[NodeName] = {name for name, ailing in snapshot.ailing.items() if ailing.unhealthy}
        names = snapshot.columns.names
        unusable = (names[row] for row in np.flatnonzero(~snapshot.columns.usable).tolist())
        nodes.update(name for name in unusable if not snapshot.nodes[name].ready)
        keys = {key for name in nodes for key in self._state.workloads_on(name)}
        return (snapshot.workloads[key] for key in sorted(keys) if key in snapshot.workloads)

    async def _tell(self, workload: Workload, pod: Pod, one: Failing) -> None:
        if self._told.get(pod.uid, (None, ""))[1] == one.why:
            return
        about = ref(pod)
        note = f"{one.why}; {self._what_next(workload)}"
        outcomes = (
            await self._effects.event(about, reason=one.cause.value, note=note, warning=True, once=True),
            await self._effects.tell_failing(about, failing=True, reason=one.cause.value, message=one.why),
        )
        if all(isinstance(outcome, Done | Gone) for outcome in outcomes):
            self._told[pod.uid] = about, one.why

    def _what_next(self, workload: Workload) -> str:
        name = people_name(workload.key)
        if self._replans is None:
            return f"{name} is left where it is; whoever deletes its pods has it planned elsewhere"
        if not workload.preemptible:
            return f"{name} is left where it is, since it may not be evicted"
        return f"{name} is evicted whole and planned elsewhere"

    async def _recovered(self, uid: PodUid) -> None:
        about, _ = self._told[uid]
        if self._state.pod(uid) is None:
            del self._told[uid]
            return
        outcome = await self._effects.tell_failing(about, failing=False, reason=RECOVERED, message=RECOVERED_TEXT)
        if isinstance(outcome, Done | Gone):
            del self._told[uid]
