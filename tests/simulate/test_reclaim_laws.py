"""Work that makes way, played on random trees of queues: it comes to rest, and lenders have back what they lent."""

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planning.settings import PlanSettings
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.outcome import Outcome
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.run import simulate

QUEUES = ("a", "b", "c", "d")


def play(doc: dict[str, Any]) -> Outcome:
    read = read_scenario(yaml.safe_dump(doc))
    assert isinstance(read, ScenarioDoc), read
    ticks = itertools.count()
    return simulate(read, settings=PlanSettings(), clock_ns=lambda: next(ticks))


@st.composite
def queues(draw: st.DrawFn) -> list[dict[str, Any]]:
    above: dict[str, str] = draw(
        st.sampled_from(
            [
                {},
                dict.fromkeys(QUEUES, "org"),
                {"a": "east", "b": "east", "c": "west", "d": "west", "east": "org", "west": "org"},
                {"a": "east", "b": "east", "c": "org", "east": "org"},
            ]
        )
    )
    inner = sorted(set(above.values()))
    made: list[dict[str, Any]] = [{"name": name} for name in inner]
    for name in QUEUES:
        limits = {
            "borrowingLimit": draw(st.sampled_from([None, None, None, 0, 4])),
            "lendingLimit": draw(st.sampled_from([None, None, None, 0, 2])),
        }
        given_limits = {key: value for key, value in limits.items() if value is not None}
        made.append({"name": name, "nominal": draw(st.sampled_from([0, 2, 4, 8])), **given_limits})
    return [{**q, "parent": above[q["name"]]} if q["name"] in above else q for q in made]


@st.composite
def scenarios(draw: st.DrawFn, *, sizes: list[int], gangs: bool) -> dict[str, Any]:
    count = draw(st.integers(1, 3))
    free = dict.fromkeys((f"n{i}" for i in range(count)), 8)
    work: list[dict[str, Any]] = []
    for i in range(draw(st.integers(2, 12))):
        gpus, pods = draw(st.sampled_from(sizes)), draw(st.integers(1, 4)) if gangs else 1
        made: dict[str, Any] = {
            "name": f"w{i}",
            "queue": draw(st.sampled_from(QUEUES)),
            "priority": draw(st.sampled_from([0, 0, 0, 10])),
            "submitted": draw(st.integers(-2000, 0)),
            "preemptible": draw(st.integers(0, 9)) > 0,
        }
        if gangs and pods > 1:
            made |= draw(st.sampled_from([{"gang": True}, {"minMember": 1}, {}]))
        group: dict[str, Any] = {"count": pods, "gpus": gpus}
        if draw(st.integers(0, 3)):
            names: list[str] = []
            for _ in range(pods):
                name = max(free, key=lambda n: (free[n], n))
                if free[name] >= gpus:
                    free[name] -= gpus
                    names.append(name)
            if len(names) == pods:
                group["nodes"] = names
                made["started"] = draw(st.integers(-1000, -1))
        work.append({**made, "pods": [group]})
    nodes = [{"name": name, "gpus": 8, "model": "H100"} for name in free]
    return {"name": "drawn", "rounds": 50, "nodes": nodes, "queues": draw(queues()), "workloads": work}


@pytest.mark.long
@settings(max_examples=120, deadline=None)
@given(scenarios(sizes=[1, 2, 4, 8], gangs=True))
def test_it_comes_to_rest_and_no_rule_is_broken(doc: dict[str, Any]) -> None:
    played = play(doc)
    assert played.stable
    assert played.violations == ()
    for workload in doc["workloads"]:
        said = played.workloads[workload["name"]]
        assert said.state != "partial"
        assert workload["preemptible"] or not said.evictions


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(scenarios(sizes=[1], gangs=False))
def test_lent_quota_is_back_after_one_round(doc: dict[str, Any]) -> None:
    flat = [{key: q[key] for key in ("name", "nominal") if key in q} for q in doc["queues"] if "nominal" in q]
    played = play({**doc, "queues": flat, "rounds": 1})
    uses = {name: queue.used for name, queue in played.queues.items()}
    nominal = {q["name"]: q["nominal"] for q in flat}
    evictable = {
        w["queue"]
        for w in doc["workloads"]
        if played.workloads[w["name"]].state == "running"
        and w["preemptible"]
        and uses[w["queue"]] > nominal[w["queue"]]
    }
    for workload in doc["workloads"]:
        if played.workloads[workload["name"]].state == "pending" and evictable:
            assert uses[workload["queue"]] >= nominal[workload["queue"]]
