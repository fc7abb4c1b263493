"""Idle nodes divided anew for what waits, where the settings say so: round after round while this replica leads."""

import asyncio
from collections.abc import Callable, Mapping
from typing import assert_never

from scheduler.app import log
from scheduler.app.binding import NOT_LEADING
from scheduler.config import Settings
from scheduler.kube.effects import Effects
from scheduler.kube.mig_configs import add_configs
from scheduler.kube.outcomes import Done, Fenced, Gone, Outcome, Refused, Unreachable
from scheduler.model.snapshot import Snapshot
from scheduler.planning.repartition.check import broken_proposal
from scheduler.planning.repartition.parted import configs_of
from scheduler.planning.repartition.proposal import Proposal
from scheduler.planning.repartition.propose import propose
from scheduler.planning.repartition.rounds import (
    Begin,
    Finish,
    GiveUp,
    Step,
    TakeBack,
    Tell,
    first_steps,
    next_steps,
    under_way,
    wanted_config,
)
from scheduler.scoring.own_rules import OwnRules
from scheduler.state.cluster import ClusterState

BUDGET_MS = 1000
"""Time for the solver in one round, by its own clock."""

SAID: Mapping[type[Step], str] = {
    Begin: "an idle node is cordoned and marked, to be divided anew",
    Tell: "the MIG manager is told to divide a node anew",
    TakeBack: "a node is opened as it is, since somebody came to it before it was cordoned",
    Finish: "a node was divided anew and is open again",
    GiveUp: "the MIG manager failed; the node stays cordoned until a person has looked",
}
"""What the log says of a step that was taken."""

FAILED = "a node could not be divided anew, which is tried again"


class Repartition:
    """Looks now and then; nodes begin only while none is under way, and a while after the last was done."""

    def __init__(
        self,
        effects: Effects,
        state: ClusterState,
        settings: Settings,
        rules: OwnRules,
        leading: Callable[[], bool],
        now_s: Callable[[], int],
    ) -> None:
        self._effects = effects
        self._state = state
        self._settings = settings
        self._rules = rules
        self._leading = leading
        self._now_s = now_s
        self._loop = asyncio.get_running_loop()
        self._seen_s: dict[str, float] = {}
        """Since when configurations are known to stand in the ConfigMap."""
        self._rests_until_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._settings.mig_repartition_period_s)
            if self._leading():
                try:
                    await self._round()
                except Exception as err:  # noqa: BLE001  a round that fails must not end the service
                    log.error("dividing nodes anew failed", err)

    async def _round(self) -> None:
        snapshot = self._state.snapshot()
        marked = under_way(snapshot)
        now = self._loop.time()
        for node in marked:
            # A leader that took over does not know since when the configuration is there.
            self._seen_s.setdefault(node.mig_wanted, now)
        settled = {name for name, since_s in self._seen_s.items() if now >= since_s + self._settings.mig_settle_s}
        for step in next_steps(snapshot, settled):
            await self._take(step)
        if marked or now < self._rests_until_s:
            return
        proposal = await asyncio.to_thread(self._propose, snapshot)
        for step in first_steps(proposal):
            await self._take(step)

    def _propose(self, snapshot: Snapshot) -> Proposal:
        found = propose(
            snapshot, now_s=self._now_s(), settings=self._settings.planning, rules=self._rules, budget_ms=BUDGET_MS
        )
        broken = broken_proposal(snapshot, found)
        if broken:
            log.warning("a repartition does not hold and is left", why=broken[0])
            return Proposal(generation=snapshot.generation)
        return found

    async def _take(self, step: Step) -> None:
        outcome = await self._write(step)
        match outcome:
            case Done() if isinstance(step, GiveUp):
                log.warning(SAID[GiveUp], node=step.node)
            case Done():
                log.info(SAID[type(step)], node=step.node)
            case Gone():
                gone = f"there is no ConfigMap {self._settings.mig_config_map}, or no such node"
                log.warning(FAILED, node=step.node, why=gone if isinstance(step, Begin) else "the node is gone")
            case Refused(message=why) | Unreachable(message=why):
                log.warning(FAILED, node=step.node, why=why)
            case Fenced():
                log.warning(FAILED, node=step.node, why=NOT_LEADING)
            case _:
                assert_never(outcome)

    async def _write(self, step: Step) -> Outcome:
        match step:
            case Begin(node=node, change=change):
                configs = {name: [e.document for e in some] for name, some in configs_of([change]).items()}
                outcome, added = await add_configs(self._effects, self._settings.mig_config_map, configs)
                if not isinstance(outcome, Done):
                    return outcome
                name = wanted_config(step)
                if added:
                    self._seen_s[name] = self._loop.time()
                return await self._effects.mark_node(node, name)
            case Tell(node=node, config=config):
                return await self._effects.divide_node(node, config)
            case TakeBack(node=node) | Finish(node=node):
                self._rests_until_s = self._loop.time() + self._settings.mig_settle_s
                return await self._effects.release_node(node, opened=True)
            case GiveUp(node=node):
                return await self._effects.release_node(node, opened=False)
            case _:
                assert_never(step)
