"""The planning loop: snapshot, plan (on a thread of its own), decisions handed on; only while this replica leads."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, assert_never

from scheduler.app import log
from scheduler.app.claims import Claims
from scheduler.app.commit import Committer
from scheduler.app.evictions import Evictions
from scheduler.model.names import PodUid, WorkloadKey
from scheduler.model.plan import Admit, Offer, Plan, Reclaim, RollBack, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.planning.warm import warm
from scheduler.scoring.own_rules import OwnRules
from scheduler.state.cluster import ClusterState

FAILURE_PAUSE_S = 1.0

WARM_PAUSE_S = 10.0
"""Changes of running work are worked up at least so far apart, for plans to come."""


class Listener(Protocol):
    """Who is told what was decided."""

    def planned(self, snapshot: Snapshot, decided: Plan, took_s: float) -> None:
        """A cycle ended; called on the service's loop after its decisions were handed on."""
        ...


class PlannerLoop:
    """Plans whenever the state changed, one cycle at a time, the starts at least `pause_s` apart."""

    def __init__(  # noqa: PLR0913  each by its name
        self,
        state: ClusterState,
        committer: Committer,
        claims: Claims,
        evictions: Evictions,
        listener: Listener,
        *,
        settings: PlanSettings,
        rules: OwnRules,
        pause_s: float,
        nominate: Callable[[Snapshot], bool],
        now_s: Callable[[], int],
    ) -> None:
        self._state = state
        self._committer = committer
        self._claims = claims
        self._evictions = evictions
        self._listener = listener
        self._settings = settings
        self._rules = rules
        self._pause_s = pause_s
        self._nominate = nominate
        self._now_s = now_s
        self._changed = asyncio.Event()
        self._cache = PlanCache()
        self._warm_at_s = 0.0
        self._runs = self._plans = False

    def wake(self) -> None:
        """Something changed that planning should see."""
        self._changed.set()

    @property
    def busy(self) -> bool:
        """Whether something changed that is not planned yet; callable from any thread."""
        return self._runs and (self._plans or self._changed.is_set())

    async def run(self) -> None:
        """Plan until cancelled."""
        self._runs = True
        try:
            await self._run()
        finally:
            self._runs = self._plans = False

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="planner") as thread:
            while True:
                await self._changed.wait()
                began_s = loop.time()
                self._plans = True
                self._changed.clear()
                snapshot = self._state.snapshot()
                try:
                    decided = await loop.run_in_executor(thread, self._plan, snapshot)
                except Exception as err:  # noqa: BLE001  one snapshot that cannot be planned must not stop all planning
                    log.error("planning failed", err, generation=snapshot.generation)
                    self._changed.set()
                    await asyncio.sleep(FAILURE_PAUSE_S)
                    continue
                self._hand_on(snapshot, decided)
                self._claims.planned(snapshot)
                took_s = loop.time() - began_s
                self._listener.planned(snapshot, decided, took_s)
                self._plans = False
                if loop.time() >= self._warm_at_s:
                    await loop.run_in_executor(thread, self._warm, snapshot)
                    self._warm_at_s = loop.time() + WARM_PAUSE_S
                await asyncio.sleep(max(self._pause_s - took_s, 0.0))

    def _plan(self, snapshot: Snapshot) -> Plan:
        return plan(snapshot, now_s=self._now_s(), settings=self._settings, cache=self._cache, rules=self._rules)

    def _warm(self, snapshot: Snapshot) -> None:
        try:
            warm(snapshot, now_s=self._now_s(), settings=self._settings, cache=self._cache)
        except Exception as err:  # noqa: BLE001  what cannot be worked up ahead the next plan tells, if it needs it
            log.error("working up the state failed", err, generation=snapshot.generation)

    def _hand_on(self, snapshot: Snapshot, decided: Plan) -> None:
        nominate = self._nominate(snapshot)
        for decision in decided.decisions:
            workload = snapshot.workloads[decision.workload]
            match decision:
                case Wait():
                    pass
                case RollBack():
                    self._evictions.roll_back(decision, workload)
                case Reclaim():
                    # Nobody leaves for a workload that nodes would not take just before.
                    if not (decision.victims and workload.avoid) and self._still_stands(
                        a.pod for a in decision.placement.assignments
                    ):
                        self._claims.begin(decision, workload, nominate=nominate, plan_name=_name(snapshot))
                case Admit():
                    if not self._committer.rests(workload.key) and self._still_stands(
                        a.pod for a in decision.placement.assignments
                    ):
                        self._committer.admit(decision, workload, nominate=nominate, plan_name=_name(snapshot))
                case Offer():
                    if self._still_stands((decision.pod,)):
                        self._committer.offer(decision, workload, plan_name=_name(snapshot))
                case _:
                    assert_never(decision)

    def _still_stands(self, pods: Iterable[PodUid]) -> bool:
        """Whether the pods still wait for a node; if not, the next cycle sees to it."""
        for uid in pods:
            pod = self._state.pod(uid)
            if pod is None or pod.node is not None or pod.deleting:
                self._changed.set()
                return False
        return True


def waits(decided: Plan) -> Mapping[WorkloadKey, Wait]:
    """The workloads that wait after this plan, and why."""
    return {d.workload: d for d in decided.decisions if isinstance(d, Wait)}


def _name(snapshot: Snapshot) -> str:
    return str(snapshot.generation)
