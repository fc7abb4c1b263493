"""Elastic gangs and their roles, played on random clusters: minimums, quotas and racks hold, and all comes to rest."""

import itertools
from collections import Counter
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.plan import Admit, Offer, Reclaim
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.outcome import Outcome
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.run import simulate
from scheduler.simulate.world import World
from scheduler.state.cluster import ClusterState

LAWS = settings(max_examples=100, deadline=None)


def play(doc: dict[str, Any]) -> Outcome:
    read = read_scenario(yaml.safe_dump(doc))
    assert isinstance(read, ScenarioDoc), read
    ticks = itertools.count()
    return simulate(read, settings=PlanSettings(), clock_ns=lambda: next(ticks))


@st.composite
def gangs(draw: st.DrawFn, name: str) -> dict[str, Any]:
    groups: list[dict[str, Any]] = []
    for role in draw(st.sampled_from([("worker",), ("leader", "worker"), ("prefill", "decode")])):
        group: dict[str, Any] = {"count": draw(st.integers(1, 4)), "gpus": draw(st.sampled_from([1, 2, 4, 8]))}
        if draw(st.booleans()):
            group |= {"role": role, "minMember": draw(st.integers(1, group["count"]))}
            if draw(st.integers(0, 3)) == 0:
                group["topology"] = {"required": "rack"}
        groups.append(group)
    total, needed = sum(g["count"] for g in groups), sum(g.get("minMember", 0) for g in groups)
    return {
        "name": name,
        "queue": draw(st.sampled_from("ab")),
        "gang": True,
        "minMember": draw(st.integers(max(needed, 1), total)),
        "priority": draw(st.sampled_from([0, 0, 10])),
        "submitted": draw(st.integers(-2000, 0)),
        "topology": draw(st.sampled_from([{}, {}, {"required": "rack"}])),
        "pods": groups,
    }


def standing_on(free: dict[str, int], gang: dict[str, Any]) -> dict[str, Any]:
    """The gang with all its pods on the nodes with most room; as it is where it has no room, or wishes for a rack."""
    groups: list[dict[str, Any]] = []
    left = dict(free)
    for group in gang["pods"]:
        names: list[str] = []
        for _ in range(group["count"]):
            name = max(left, key=lambda n: (left[n], n))
            left[name] -= group["gpus"]
            names.append(name)
        groups.append({**group, "nodes": names})
    if min(left.values()) < 0 or gang["topology"] or any("topology" in group for group in groups):
        return gang
    free.update(left)
    return {**gang, "started": -100, "pods": groups}


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    nodes = [
        {"name": f"n{i}", "gpus": 8, "model": "H100", "labels": {"rack": f"r{i // 2}"}}
        for i in range(draw(st.integers(1, 5)))
    ]
    work = [draw(gangs(f"g{i}")) for i in range(draw(st.integers(1, 5)))]
    free = {str(node["name"]): 8 for node in nodes}
    work = [standing_on(free, each) if draw(st.integers(0, 2)) else each for each in work]
    for i in range(draw(st.integers(0, 4))):
        gpus = draw(st.sampled_from([1, 4, 8]))
        work.append({"name": f"j{i}", "queue": draw(st.sampled_from("ab")), "pods": [{"gpus": gpus}]})
    queues = [
        {
            "name": name,
            "nominal": draw(st.sampled_from([0, 8, 16])),
            **draw(st.sampled_from([{}, {"borrowingLimit": 8}])),
        }
        for name in "ab"
    ]
    return {
        "name": "drawn",
        "rounds": 50,
        "topology": [{"name": "rack", "label": "rack"}],
        "nodes": nodes,
        "queues": queues,
        "workloads": work,
    }


def standing(doc: dict[str, Any], played: Outcome, name: str) -> list[tuple[str, str]]:
    """Role and rack of each pod of a workload that stands."""
    (work,) = (w for w in doc["workloads"] if w["name"] == name)
    racks = {node["name"]: node["labels"]["rack"] for node in doc["nodes"]}
    roles = [group.get("role", "") for group in work["pods"] for _ in range(group.get("count", 1))]
    nodes = [played.pods[f"{name}-{i}"].node for i in range(len(roles))]
    return [(role, racks[node]) for role, node in zip(roles, nodes, strict=True) if node is not None]


@pytest.mark.long
@LAWS
@given(scenarios())
def test_minimums_quotas_and_racks_hold_at_all_times(doc: dict[str, Any]) -> None:
    played = play(doc)
    assert played.violations == ()
    assert played.stable
    for work in doc["workloads"]:
        stand = standing(doc, played, work["name"])
        if not stand:
            continue
        roles = Counter(role for role, _ in stand)
        assert len(stand) >= work.get("minMember", 1)
        for group in work["pods"]:
            assert roles[group.get("role", "")] >= group.get("minMember", 0)
            if "topology" in group:
                assert len({rack for role, rack in stand if role == group["role"]}) <= 1
        if work.get("topology"):
            assert len({rack for _, rack in stand}) == 1
    for queue in doc["queues"]:
        if "borrowingLimit" in queue:
            stood = sum(
                group["gpus"] * len(group.get("nodes", ()))
                for work in doc["workloads"]
                if work["queue"] == queue["name"]
                for group in work["pods"]
            )
            assert played.queues[queue["name"]].used <= max(queue["nominal"] + queue["borrowingLimit"], stood)


@pytest.mark.long
@LAWS
@given(scenarios())
def test_a_gang_that_needs_all_its_pods_is_planned_as_one_that_says_nothing_of_it(doc: dict[str, Any]) -> None:
    plain, whole = ([dict(work) for work in doc["workloads"]] for _ in range(2))
    for work in plain:
        work.pop("minMember", None)
        work["pods"] = [{k: v for k, v in group.items() if k != "minMember"} for group in work["pods"]]
    for work, kept in zip(whole, doc["workloads"], strict=True):
        total = sum(group.get("count", 1) for group in kept["pods"])
        work["minMember"] = total
        of_role = Counter[str]()
        for group in kept["pods"]:
            of_role[group.get("role", "")] += group.get("count", 1)
        work["pods"] = [
            {**group, "minMember": of_role[group["role"]]} if "role" in group else group for group in kept["pods"]
        ]
    without, saying = play({**doc, "workloads": plain}), play({**doc, "workloads": whole})
    assert {name: pod.node for name, pod in without.pods.items()} == {n: pod.node for n, pod in saying.pods.items()}


@pytest.mark.long
@LAWS
@given(scenarios(), st.integers(0, 3))
def test_what_starts_does_not_depend_on_how_far_others_could_grow(doc: dict[str, Any], more: int) -> None:
    def larger(work: dict[str, Any], extra: int) -> dict[str, Any]:
        *others, last = work["pods"]
        nodes = {"nodes": [*last["nodes"], *[None] * extra]} if "nodes" in last else {}
        more = {**last, **nodes, "count": last.get("count", 1) + extra}
        return {**work, "pods": [*others, more]} if "gang" in work else work

    def started(extra: int) -> set[str]:
        return first_started({**doc, "workloads": [larger(work, extra) for work in doc["workloads"]]})

    assert started(more) == started(0)


def first_started(doc: dict[str, Any]) -> set[str]:
    """What the first plan lets start of what does not stand; by later ones, who borrows to grow may have to leave."""
    read = read_scenario(yaml.safe_dump(doc))
    assert isinstance(read, ScenarioDoc), read
    world, state = World(read), ClusterState()
    for event in world.seen_at_start():
        state.apply(event)
    snapshot = state.snapshot()
    made = plan(snapshot, now_s=world.now_s, settings=PlanSettings(reclaim=True))
    starts = {d.workload for d in made.decisions if isinstance(d, Admit | Reclaim | Offer)}
    return {key for key in starts if not snapshot.workloads[key].placed}
