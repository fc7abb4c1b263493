"""Working up what runs before anything waits: it changes no plan, and leaves the next one little to do."""

import sys

import msgspec

from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.planning.warm import warm
from tests.planning.build import node, snapshot
from tests.planning.reclaim.cases import asks, runs, team, tree

SETTINGS = PlanSettings(reclaim=True)
NOW_S = 10_000
NODES = [node(f"n{i:03}", 8) for i in range(200)]
RUNNING = [runs(f"w{i}", "ab"[i % 2], [NODES[i // 8].name], 1) for i in range(1600)]
QUEUES = tree(team("a", 800), team("b", 800), team("c", 0))


def _snapshot(*, waits: bool) -> Snapshot:
    workloads = [*RUNNING, asks("train", "c", 4, 8)] if waits else RUNNING
    return snapshot(NODES, workloads, queues=QUEUES, generation=2 if waits else 1)


def _calls(cache: PlanCache) -> int:
    """Python functions that a plan for the one that waits calls."""
    snap, calls = _snapshot(waits=True), 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        plan(snap, now_s=NOW_S, settings=SETTINGS, cache=cache)
    finally:
        sys.setprofile(before)
    return calls


def test_a_plan_after_it_looks_at_no_work_that_runs_one_by_one() -> None:
    idle, ready = PlanCache(), PlanCache()
    plan(_snapshot(waits=False), now_s=NOW_S, settings=SETTINGS, cache=idle)
    warm(_snapshot(waits=False), now_s=NOW_S, settings=SETTINGS, cache=ready)
    cold, warmed = _calls(idle), _calls(ready)
    assert cold - warmed > 3 * len(RUNNING)
    assert warmed < len(RUNNING)


def test_plans_and_the_snapshot_stay_as_they_were() -> None:
    ready, snap = PlanCache(), _snapshot(waits=True)
    before = msgspec.json.encode(list(snap.workloads.values()))
    warm(snap, now_s=NOW_S, settings=SETTINGS, cache=ready)
    assert msgspec.json.encode(list(snap.workloads.values())) == before
    alone = plan(snap, now_s=NOW_S, settings=SETTINGS)
    assert plan(snap, now_s=NOW_S, settings=SETTINGS, cache=ready) == alone
