"""The project's own scenarios: each names what it shows, and every one is checked by all rules."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from scheduler.planning.settings import PlanSettings
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.outcome import Outcome, ReservationOutcome
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.run import STABLE_ROUNDS, simulate
from tests.simulate.checker import wrong

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))


def play(text: str) -> Outcome:
    doc = read_scenario(text)
    assert isinstance(doc, ScenarioDoc), doc
    ticks = itertools.count(step=1_000_000)
    return simulate(doc, settings=PlanSettings(), clock_ns=lambda: next(ticks))


def answer(text: str) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(play(text)))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert wrong(yaml.safe_load(text), answer(text)) == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_same_scenario_gives_the_same_answer(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert play(text) == play(text)


@pytest.mark.parametrize(
    ("scenario", "workload", "kind", "needed", "available"),
    [
        ("quota-holds", "second", "quota", 16000, 0),
        ("fragmented", "whole", "fragmentation", 1, 0),
        ("gang-of-missing-pods", "torn", "gang", 4, 3),
        ("no-rack-holds-it", "large", "topology", 4, 2),
        ("wrong-model", "picky", "selector", None, None),
        ("queue-that-is-not-there", "lost", "quota", None, None),
        ("cpu-is-short", "hungry", "resources", None, None),
        ("unhealthy-gpu", "one", "resources", 1, 0),
        ("linked-preferred-is-not-required", "strict", "selector", None, None),
        ("level-that-no-node-has", "strict", "topology", None, None),
    ],
)
def test_what_blocks(scenario: str, workload: str, kind: str, needed: int | None, available: int | None) -> None:
    text = next(p for p in SCENARIOS if p.stem == scenario).read_text(encoding="utf-8")
    said = play(text).workloads[workload]
    assert [b.kind for b in said.blocking][:1] == [kind], said
    if needed is not None:
        assert (said.blocking[0].needed, said.blocking[0].available) == (needed, available)


@pytest.mark.parametrize(
    ("scenario", "pod", "devices"),
    [
        ("linked-pair-is-broken", "any-0", [1, 2]),
        ("linked-three-need-a-switch", "two-0", [2, 3]),
        ("linked-without-the-gpu-off-the-fabric", "one-0", [2]),
        ("linked-without-the-gpu-off-the-fabric", "seven-0", [0, 1, 3, 4, 5, 6, 7]),
        ("links-are-left-to-those-who-need-them", "linked-0", [0, 1]),
    ],
)
def test_which_gpus(scenario: str, pod: str, devices: list[int]) -> None:
    text = next(p for p in SCENARIOS if p.stem == scenario).read_text(encoding="utf-8")
    assert list(play(text).pods[pod].devices) == devices


@pytest.mark.parametrize(
    ("scenario", "workload", "starts_in", "nodes", "after"),
    [
        ("reserve-short-work-uses-a-held-node", "big", 600, ("n-0", "n-1"), ("old-0",)),
        ("reserve-a-rack-for-a-gang", "big", 300, ("b-0", "b-1"), ("job-0",)),
        ("reserve-quota-for-a-large-job", "large", 300, None, ("old-0", "old-1")),
    ],
)
def test_who_is_kept_room_for(
    scenario: str, workload: str, starts_in: int, nodes: tuple[str, ...] | None, after: tuple[str, ...]
) -> None:
    text = next(p for p in SCENARIOS if p.stem == scenario).read_text(encoding="utf-8")
    outcome = play(text)
    kept = outcome.workloads[workload].reservation
    assert isinstance(kept, ReservationOutcome)
    # Each round is a second.
    assert 0 <= starts_in - kept.starts_in <= len(outcome.plans) + STABLE_ROUNDS
    assert kept.latest_in == kept.starts_in
    assert nodes is None or kept.nodes == nodes
    assert kept.after == after
