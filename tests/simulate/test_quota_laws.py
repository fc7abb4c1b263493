"""What trees of queues promise, on drawn clusters: the same checkers as `python -m benchmarks quota_laws` has.

The examples are the same in each run; the benchmark plays others.
"""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quota_laws import laws_broken_by
from scheduler.model.names import QueueName
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.run import Simulation
from tests.simulate.test_reclaim_laws import QUEUES, scenarios

LAWS = settings(max_examples=40, deadline=None, derandomize=True)

AMOUNTS = st.sampled_from([None, None, 0, 4, 8])
LIMITS = st.sampled_from([None, None, 0, 4])


@st.composite
def quotas(draw: st.DrawFn) -> dict[str, Any]:
    """A quota of CPU or memory, with what is said of it."""
    found = {"nominal": draw(AMOUNTS), "borrowingLimit": draw(LIMITS), "lendingLimit": draw(LIMITS)}
    return {key: value for key, value in found.items() if value is not None}


@st.composite
def clusters(draw: st.DrawFn, *, wide: bool) -> ScenarioDoc:
    """A cluster of few nodes; `wide`: with strict order, quotas of CPU and memory, and users that are limited."""
    doc = draw(scenarios(sizes=[1, 2, 4], gangs=True))
    doc["workloads"] = doc["workloads"][:8]
    for queue in doc["queues"] if wide else ():
        queue["order"] = draw(st.sampled_from(["Fair", "Fair", "StrictFIFO"]))
        queue["minRuntime"] = draw(st.sampled_from([0, 0, 100]))
        queue |= {kind: draw(quotas()) for kind in ("cpu", "memoryGiB") if draw(st.booleans())}
        if draw(st.integers(0, 3)) == 0:
            queue["userLimit"] = draw(st.sampled_from([2, 4]))
    for work in doc["workloads"] if wide else ():
        work["user"] = draw(st.sampled_from([None, "ann", "bob"]))
        work["pods"][0] |= {"cpu": draw(st.sampled_from([0, 1, 4])), "memoryGiB": draw(st.sampled_from([0, 4]))}
    return msgspec.convert(doc, ScenarioDoc)


@pytest.mark.long
@LAWS
@given(doc=clusters(wide=False), chance=st.randoms(use_true_random=False), holds=st.booleans())
def test_trees_of_queues_keep_their_promises(doc: ScenarioDoc, chance: Random, *, holds: bool) -> None:
    assert laws_broken_by(doc, chance, holds=holds) == []


@pytest.mark.long
@LAWS
@given(doc=clusters(wide=True), chance=st.randoms(use_true_random=False), holds=st.booleans())
def test_so_they_do_with_strict_order_cpu_memory_and_users(doc: ScenarioDoc, chance: Random, *, holds: bool) -> None:
    assert laws_broken_by(doc, chance, holds=holds) == []


@pytest.mark.long
@LAWS
@given(
    doc=clusters(wide=True),
    used=st.dictionaries(st.sampled_from(QUEUES), st.integers(0, 64_000)),
    half_life_s=st.integers(1, 10_000),
    passed_s=st.integers(0, 10_000),
)
def test_what_was_used_of_late_changes_the_order_and_breaks_no_rule(
    doc: ScenarioDoc, used: dict[str, int], half_life_s: int, passed_s: int
) -> None:
    game = Simulation(doc, settings=PlanSettings(), clock_ns=lambda: 0)
    snapshot, now_s = game.snapshot, game.now_s
    queues = dict(snapshot.queues)
    for name, milli_gpu in used.items():
        before = queues[QueueName(name)]
        queues[before.name] = msgspec.structs.replace(before, recent_milli_gpu=milli_gpu, recent_at_s=now_s - passed_s)
    late = msgspec.structs.replace(snapshot, queues=queues)
    made = plan(late, now_s=now_s, settings=PlanSettings(reclaim=True, usage_half_life_s=half_life_s))
    assert broken_rules(late, made) == []
    without = plan(late, now_s=now_s, settings=PlanSettings(reclaim=True))
    assert sorted(d.workload for d in made.decisions) == sorted(d.workload for d in without.decisions)
    assert without == plan(snapshot, now_s=now_s, settings=PlanSettings(reclaim=True))
