"""The running service, the only module that knows all parts: watches feed the state; the leader plans and writes."""

import asyncio
import importlib
import os
import random
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from scheduler.app import log
from scheduler.app.adviser import Adviser
from scheduler.app.allocations import Allocations
from scheduler.app.auditor import Auditor
from scheduler.app.beside import beside, broken, first
from scheduler.app.board import Board
from scheduler.app.claims import Claims
from scheduler.app.commit import Clocks, CommitLimits, Committer
from scheduler.app.evictions import Evictions
from scheduler.app.failures import Failures
from scheduler.app.grace import Grace
from scheduler.app.guard import ServiceGuard
from scheduler.app.intake import Intake
from scheduler.app.losses import TOLD
from scheduler.app.node_teller import NodeTeller
from scheduler.app.note_teller import NoteTeller
from scheduler.app.planner import PlannerLoop
from scheduler.app.predictions import Predictions
from scheduler.app.repartition import Repartition
from scheduler.app.replans import Replans
from scheduler.app.reporter import Reporter
from scheduler.app.teller import Teller
from scheduler.app.view import ServiceView
from scheduler.app.watch_report import WatchReport
from scheduler.config import Settings
from scheduler.extender.guard import BindRequest
from scheduler.extender.server import SWITCH_INTERVAL_S, ExtenderServer, Tls
from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.discovery import ForeignWatchers
from scheduler.kube.effects import Effects, LeaseRef
from scheduler.kube.effects_claims import ClaimEffects
from scheduler.kube.lease import Leadership, LeaseTimes
from scheduler.kube.translate import kinds
from scheduler.kube.translate_eviction import told_evictions
from scheduler.kube.watch import Watcher
from scheduler.model.names import NodeName, PodUid
from scheduler.model.snapshot import Snapshot
from scheduler.rpc.feed import PlanFeed
from scheduler.rpc.server import RpcServer
from scheduler.scoring.own_rules import NO_RULES, OwnRules
from scheduler.simulate.snapshot_mask import masked_file
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, Ticked
from scheduler.telemetry import API_WRITES, LEADER, PLANNER_BUSY, PLANS_IN_FLIGHT, WATCH_EVENTS, Telemetry

EXTRA_CONNECTIONS = 16
"""For reads and background writes beside the writes of plans."""

TICK_S = 1.0

LOOK_PERIOD_S = 60.0
"""How often what waits is planned anew though nothing changed: what is held for a blocked gang ends by time alone."""


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen."""

    http: tuple[str, int]
    grpc: tuple[str, int]
    tls: Tls | None = None


class Service:
    """One replica."""

    def __init__(self, api: ApiClient, settings: Settings, addresses: Addresses, rules: OwnRules = NO_RULES) -> None:
        """Put the parts together; nothing is sent or listened to yet."""
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._settings = settings
        self._rules = rules
        self._addresses = addresses
        identity = f"{socket.gethostname()}_{os.getpid()}"
        self._telemetry = Telemetry()
        self._state = ClusterState()
        self._leadership = Leadership(
            api,
            namespace=settings.namespace,
            name=settings.lease_name,
            identity=identity,
            times=LeaseTimes(
                duration_s=settings.lease_duration_s,
                renew_deadline_s=settings.renew_deadline_s,
                renew_period_s=settings.renew_period_s,
            ),
            monotonic_s=time.monotonic,
        )
        self._effects = Effects(
            api,
            may_write=lambda: self._leadership.writable,
            concurrency=settings.write_concurrency,
            instance=identity,
            observe=lambda kind, outcome: self._telemetry.count(API_WRITES, kind, outcome),
        )
        self._board = Board()
        self._teller = Teller(self._effects, settle_s=settings.settle_s, leading=self._leads)
        lease = LeaseRef(namespace=settings.namespace, name=settings.lease_name)
        self._reporter = Reporter(
            self._effects,
            self._teller,
            self._telemetry,
            leading=self._leads,
            lease=lease,
            usage_half_life_s=settings.usage_half_life_s,
        )
        self._guard = ServiceGuard(
            self._board,
            scheduler_name=settings.scheduler_name,
            workload_of=self._state.workload_of,
            leading=self._leads,
            bind=self._bind,
            refused=self._refused,
        )
        self._allocations = Allocations(self._effects, ClaimEffects(self._effects, api), self._state.claims)
        self._committer = Committer(
            effects=self._effects,
            board=self._board,
            limits=CommitLimits(
                arrival_timeout_s=settings.arrival_timeout_s,
                refusal_memory_s=settings.refusal_memory_s,
                offer_timeout_s=settings.offer_timeout_s,
            ),
            state=self._state,
            clocks=Clocks(now_s=_now_s, scheduler_seen_s=lambda: self._guard.asked_s),
            wake=self._wake_planner,
            claims=self._allocations,
            ended=self._reporter.ended,
        )
        self._evictions = Evictions(api, self._effects, self._telemetry, self._wake_planner)
        grace = Grace(effects=self._effects, length_s=settings.eviction_grace_s, now_s=_now_s, pod_of=self._state.pod)
        self._claims = Claims(
            grace=grace,
            evictions=self._evictions,
            committer=self._committer,
            state=self._state,
            telemetry=self._telemetry,
            now_s=_now_s,
            wake=self._wake_planner,
        )
        self._reporter.told = self._claims.told
        self._replans = Replans(
            grace=grace,
            evictions=self._evictions,
            state=self._state,
            losses=self._claims.losses,
            now_s=_now_s,
        )
        replans = self._replans if settings.on_failing_devices == "replan" else None
        self._failures = Failures(self._effects, self._state, replans, leading=self._leads)
        self._reporter.listeners.append(self._failures.planned)
        self._planner = PlannerLoop(
            self._state,
            self._committer,
            self._claims,
            self._evictions,
            self._reporter,
            settings=settings.planning,
            rules=rules,
            pause_s=settings.planning_pause_s,
            nominate=self._nominates,
            now_s=_now_s,
        )
        self._telemetry.ask(PLANS_IN_FLIGHT, lambda: self._committer.under_way + self._claims.under_way)
        self._telemetry.ask(PLANNER_BUSY, lambda: self._planner.busy)
        self._node_teller = NodeTeller(self._effects, leading=self._leads)
        predictions = Predictions(self._state, self._telemetry, now_s=_now_s, tell=self._reporter.tell_of)
        self._reporter.listeners.append(predictions.planned)
        self._intake = Intake(
            self._state,
            self._board,
            self._committer,
            self._claims,
            self._teller,
            self._node_teller,
            predictions,
            wake=self._planner.wake,
        )
        self._kinds = kinds(settings.scheduler_name, settings.user_label, assume_links=settings.assume_links)
        self._watchers = [
            Watcher(
                api,
                kind,
                on_event=self._counted(kind.name),
                trouble=lambda name, text: log.warning("a watch has trouble", kind=name, why=text),
                chance=random.random,
            )
            for kind in self._kinds
        ]
        self._foreign = ForeignWatchers(
            api,
            on_event=self._counted,
            trouble=lambda name, text: log.warning("a watch has trouble", kind=name, why=text),
            chance=random.random,
        )
        self._note_teller = NoteTeller(self._effects, leading=self._leads)
        self._reporter.listeners.append(self._note_teller.planned)
        self._feed = PlanFeed()
        self._reporter.listeners.append(lambda _, decided: self._feed.publish(decided))
        self._auditor = Auditor(api, self._state, lambda: (*self._kinds, *self._foreign.kinds), self._telemetry)

    @classmethod
    async def connect(
        cls, kubeconfig: Path | None, settings: Settings, addresses: Addresses, rules: OwnRules = NO_RULES
    ) -> Self:
        """A replica for the cluster of `kubeconfig`, or for the one whose pod this is, with `rules` of the admin's own.

        Raises:
            LoginError: the credentials cannot be used.
        """
        parallel = settings.write_concurrency + EXTRA_CONNECTIONS
        return cls(await ApiClient.connect(kubeconfig, parallel=parallel), settings, addresses, rules)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then end in order.

        Raises:
            ListenError: an address cannot be listened on.
            Exception: a part broke. What that left undone nobody would do, so a fresh start is to see to it.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        server = ExtenderServer(
            self._guard,
            self._telemetry,
            self._not_ready,
            tls=self._addresses.tls,
            pages={"/debug/audit": self._audit_page, "/debug/snapshot": self._snapshot_page},
        )
        server.start(*self._addresses.http)
        log.info("listening", http=f"{self._addresses.http[0]}:{server.port}", api=self._api.server)
        adviser = Adviser(self._state, self._settings.planning, self._rules, _now_s)
        view = ServiceView(self._state, self._board, self._reporter, adviser)
        rpc = RpcServer(view, self._feed, self._not_ready)
        tasks: list[asyncio.Future[None]] = [broken(self._loop)]
        tasks += [asyncio.ensure_future(watcher.run()) for watcher in self._watchers]
        tasks.append(asyncio.ensure_future(self._foreign.run(after=[w.synced for w in self._watchers])))
        try:
            await rpc.start(*self._addresses.grpc)
            # Loading the solver takes 0.6 s, which no plan should wait for.
            await asyncio.to_thread(importlib.import_module, "scheduler.scoring.gangs.cpsat")
            synced = asyncio.ensure_future(self._synced())
            try:
                await first(stop, synced, *tasks)
            finally:
                synced.cancel()
            if not stop.is_set():
                snapshot = self._state.snapshot()
                log.info("synced", nodes=len(snapshot.nodes), workloads=len(snapshot.workloads))
                tasks += [
                    asyncio.ensure_future(self._leadership.run()),
                    asyncio.ensure_future(self._lead()),
                    asyncio.ensure_future(self._teller.run()),
                    asyncio.ensure_future(self._node_teller.run()),
                    asyncio.ensure_future(self._failures.run()),
                    asyncio.ensure_future(self._note_teller.run()),
                    asyncio.ensure_future(self._reporter.run()),
                    asyncio.ensure_future(self._auditor.run(self._settings.audit_period_s)),
                    asyncio.ensure_future(self._tick()),
                ]
                if self._settings.mig_repartition == "idle":
                    anew = Repartition(self._effects, self._state, self._settings, self._rules, self._leads, _now_s)
                    tasks.append(asyncio.ensure_future(anew.run()))
                await first(stop, *tasks)
        finally:
            log.info("stopping")
            await rpc.stop()
            await server.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leadership.release()
            await self._api.close()

    async def _synced(self) -> None:
        """Until the first lists of all watches are through."""
        for first_list in (self._foreign.looked, *(watcher.synced for watcher in self._watchers)):
            await first_list.wait()

    async def _bind(self, request: BindRequest) -> str | None:
        return await self._committer.bind(request)

    def _refused(self, uid: PodUid, node: NodeName) -> None:
        self._committer.node_refused(uid, node)

    async def _audit_page(self) -> bytes:
        audit = asyncio.run_coroutine_threadsafe(self._auditor.audit(), self._loop)
        return msgspec.json.encode(await asyncio.wrap_future(audit))

    async def _snapshot_page(self) -> bytes:
        """The input of the next plan. Names are masked, as nobody is asked who they are here."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._masked_snapshot(), self._loop))

    async def _masked_snapshot(self) -> bytes:
        snapshot = self._state.snapshot()
        settings = self._settings.planning
        return await asyncio.to_thread(masked_file, snapshot, now_s=_now_s(), settings=settings, rules=self._rules)

    def _wake_planner(self) -> None:
        self._planner.wake()

    def _leads(self) -> bool:
        return self._leadership.writable

    def _not_ready(self) -> Sequence[str]:
        reasons = [f"the first list of {w.kind.name} is not through" for w in self._watchers if not w.synced.is_set()]
        if not reasons and not self._leadership.writable:
            reasons.append("another replica leads, or the lease could not be renewed")
        return reasons

    def _nominates(self, snapshot: Snapshot) -> bool:
        match self._settings.nominate:
            case "always":
                return True
            case "never":
                return False
            case "auto":
                return len(snapshot.nodes) >= self._settings.nominate_from_nodes

    def _counted(self, kind: str) -> "_Counted":
        return _Counted(self._intake, self._telemetry, kind)

    async def _lead(self) -> None:
        """Plan whenever this replica leads, and end all that is on its way whenever it does not any more."""
        while True:
            await self._leadership.leads.wait()
            log.info("leading")
            self._telemetry.put(LEADER, 1.0)
            recalling = beside(self._recall())
            planning = asyncio.ensure_future(self._planner.run())
            try:
                await first(self._leadership.follows, planning)
                log.warning("not leading any more")
            finally:
                self._telemetry.put(LEADER, 0.0)
                planning.cancel()
                recalling.cancel()
                await asyncio.gather(planning, recalling, return_exceptions=True)
                await self._claims.stop()
                await self._replans.stop()
                await self._evictions.stop()
                await self._committer.stop()
                await self._allocations.stop()

    async def _recall(self) -> None:
        """Learn why workloads lost pods that another leader evicted."""
        try:
            self._claims.losses.recall(await told_evictions(self._api, TOLD))
        except (ApiUnreachableError, ApiRefusedError, msgspec.DecodeError) as err:
            log.warning("why pods were evicted is not known", why=err)
            return
        self._planner.wake()

    async def _tick(self) -> None:
        looked_s = self._loop.time()
        watches = WatchReport(self._watchers, self._telemetry)
        while True:
            await asyncio.sleep(TICK_S)
            watches.tell(self._loop.time())
            self._claims.look()
            if self._leads():
                self._allocations.look(self._committer.planned)
            looks_due = self._reporter.waiting and self._loop.time() - looked_s >= LOOK_PERIOD_S
            looks_due = looks_due or self._reporter.look_at_s <= _now_s()
            if self._state.apply(Ticked(now_s=_now_s())) or looks_due:
                looked_s = self._loop.time()
                self._planner.wake()


class _Counted:
    """Counts the events of one kind on their way in."""

    def __init__(self, intake: Intake, telemetry: Telemetry, kind: str) -> None:
        self._intake = intake
        self._telemetry = telemetry
        self._kind = kind

    def __call__(self, event: Event) -> None:
        self._telemetry.count(WATCH_EVENTS, self._kind)
        self._intake.take(event)


def _now_s() -> int:
    return int(time.time())
