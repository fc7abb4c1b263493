"""Whatever the cluster and whatever waits: the rules hold, planning comes to rest, and the answer is the same again."""

import itertools
from random import Random
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planning.settings import PlanSettings
from scheduler.scoring.devices.machines import machine_types
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.outcome import Outcome
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.run import simulate
from tests.simulate.checker import wrong

MODELS = ("H100", "A100", "A100-80GB")
LEVELS = [{"name": "block", "label": "b"}, {"name": "rack", "label": "r"}]


def node(number: int, size: int, model: str, rack: int, broken: int, machine: str | None) -> dict[str, Any]:
    fits = machine is not None and len(machine_types()[machine].nvlinks) >= size
    return {
        "name": f"n{number}",
        "gpus": size,
        "model": model,
        "cpu": 32,
        "memoryGiB": 64,
        "labels": {"b": f"b{rack // 2}", "r": f"r{rack}"},
        "unhealthy": [broken] if broken < size else [],
        **({"machine": machine} if fits else {}),
    }


def pods(count: int, gpus: int, cpu: int, models: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"count": count, "gpus": gpus, "cpu": cpu, "memoryGiB": 1}
    return {**made, "model": models} if models else made


def workload(groups: list[dict[str, Any]], settings_: dict[str, Any], wish: dict[str, str]) -> dict[str, Any]:
    several = sum(g["count"] for g in groups) > 1
    made = {**settings_, "pods": groups}
    return {**made, "topology": wish} if wish and (made["gang"] or not several) else made


NODES = st.builds(
    node,
    number=st.just(0),
    size=st.sampled_from([0, 2, 4, 7, 8]),
    model=st.sampled_from(MODELS),
    rack=st.integers(0, 3),
    broken=st.integers(0, 30),
    machine=st.none() | st.sampled_from(sorted(machine_types())),
)
PODS = st.builds(
    pods,
    count=st.integers(1, 4),
    gpus=st.sampled_from([0, 1, 1, 2, 3, 4, 8]),
    cpu=st.sampled_from([0, 1, 8]),
    models=st.lists(st.sampled_from(MODELS), max_size=2, unique=True),
)
WORKLOADS = st.builds(
    workload,
    groups=st.lists(PODS, min_size=1, max_size=3),
    settings_=st.fixed_dictionaries(
        {
            "queue": st.sampled_from(["a", "b", "b", "nobody"]),
            "gang": st.booleans(),
            "priority": st.sampled_from([0, 0, 100]),
            "submitted": st.integers(-50, 0),
        },
        optional={"linked": st.sampled_from(["required", "preferred"])},
    ),
    wish=st.dictionaries(
        st.sampled_from(["required", "preferred"]), st.sampled_from(["block", "rack", "node"]), max_size=2
    ),
)


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    nodes = draw(st.lists(NODES, min_size=1, max_size=8))
    work = draw(st.lists(WORKLOADS, min_size=1, max_size=8))
    limit = st.none() | st.integers(0, 8)
    return {
        "name": "drawn",
        "topology": LEVELS,
        "nodes": [{**n, "name": f"n{i}"} for i, n in enumerate(nodes)],
        "queues": [
            {"name": "a", "nominal": draw(st.integers(0, 24)), "borrowingLimit": draw(limit)},
            {"name": "b", "nominal": draw(st.integers(0, 64)), "borrowingLimit": draw(limit)},
        ],
        "workloads": [{**w, "name": f"w{i}"} for i, w in enumerate(work)],
    }


def play(doc: dict[str, Any]) -> Outcome:
    read = read_scenario(yaml.safe_dump(doc))
    assert isinstance(read, ScenarioDoc), read
    ticks = itertools.count()
    return simulate(read, settings=PlanSettings(), clock_ns=lambda: next(ticks))


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(scenarios())
def test_all_rules_hold_and_nothing_moves_any_more(doc: dict[str, Any]) -> None:
    answer = msgspec.json.decode(msgspec.json.encode(play(doc)))
    assert wrong(doc, answer) == []
    assert answer["stable"]


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(scenarios(), st.randoms(use_true_random=False))
def test_the_order_of_the_file_decides_nothing(doc: dict[str, Any], chance: Random) -> None:
    shuffled = {**doc, **{part: chance.sample(doc[part], len(doc[part])) for part in ("nodes", "queues", "workloads")}}
    assert play(shuffled).pods == play(doc).pods


@pytest.mark.parametrize("lost", [0, 1])
def test_a_gang_that_loses_its_place_is_whole_or_gone(lost: int) -> None:
    where: list[str | None] = ["n0", "n1"]
    where[lost] = None
    doc: dict[str, Any] = {
        "nodes": [{"name": "n0", "gpus": 8}, {"name": "n1", "gpus": 8}],
        "queues": [{"name": "a", "nominal": 8, "borrowingLimit": 0}],
        "workloads": [
            {
                "name": "w",
                "queue": "a",
                "gang": True,
                "submitted": -60,
                "started": -50,
                "pods": [{"count": 2, "gpus": 8, "nodes": where}],
            }
        ],
    }
    answer = msgspec.json.decode(msgspec.json.encode(play(doc)))
    assert wrong(doc, answer) == []
    assert answer["workloads"]["w"]["evictions"] == 1
