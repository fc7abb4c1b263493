"""The planning loop: when it has something to do, and that what breaks in it ends it."""

import asyncio
from collections.abc import Callable

import pytest

from scheduler.app.evictions import Evictions
from scheduler.app.planner import PlannerLoop
from scheduler.kube.effects import Effects
from scheduler.model.plan import Plan, Reclaim
from scheduler.model.snapshot import Snapshot
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.own_rules import NO_RULES
from tests.app.test_claims import NOW_S, Scene

LONG_S = 180.0
"""Loading the solver takes long on a busy machine."""


class Told:
    """Keeps the plans that it is told of, and whether the loop had something to do then; raises where it is to."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.busy: list[bool] = []
        self.breaks = False
        self.loop: PlannerLoop | None = None

    def planned(self, snapshot: Snapshot, decided: Plan, took_s: float) -> None:
        if self.breaks:
            raise KeyError("told")
        assert took_s >= 0 <= snapshot.generation
        self.plans.append(decided)
        self.busy.append(self.loop is not None and self.loop.busy)


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG_S):
        while not done():  # noqa: ASYNC110  the loop's own progress is what is waited for
            await asyncio.sleep(0)


def loop_of(scene: Scene, told: Told) -> PlannerLoop:
    effects = Effects(scene.api, may_write=lambda: True, concurrency=8, instance="test")
    told.loop = PlannerLoop(
        scene.state,
        scene.committer,
        scene.claims,
        Evictions(scene.api, effects, scene.telemetry, lambda: None),
        told,
        settings=PlanSettings(),
        rules=NO_RULES,
        pause_s=0.0,
        nominate=lambda _: False,
        now_s=lambda: NOW_S,
    )
    return told.loop


async def test_it_is_busy_from_a_change_until_what_that_means_is_handed_on() -> None:
    scene, told = Scene(), Told()
    loop = loop_of(scene, told)
    loop.wake()
    assert not loop.busy, "a standby has nothing to plan"
    run = asyncio.ensure_future(loop.run())
    await until(lambda: loop.busy)
    await until(lambda: told.plans)
    assert told.busy == [True]
    await until(lambda: not loop.busy)
    assert not any(isinstance(decision, Reclaim) for decision in told.plans[0].decisions)
    loop.wake()
    assert loop.busy
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert not loop.busy


async def test_what_breaks_after_a_plan_ends_it() -> None:
    told = Told()
    told.breaks = True
    loop = loop_of(Scene(), told)
    loop.wake()
    with pytest.raises(KeyError, match="told"):
        async with asyncio.timeout(LONG_S):
            await loop.run()
    assert not loop.busy
