"""Parts of GPUs and MIG slices in scenarios: whatever comes in whatever order, no GPU is divided as it cannot be."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.simulate.outcome import Outcome
from tests.simulate.test_laws import play

MEMORY = {"1g.10gb": 1, "1g.20gb": 2, "2g.20gb": 2, "3g.40gb": 4, "4g.40gb": 4, "7g.80gb": 8}
STARTS = {
    "1g.10gb": range(7),
    "1g.20gb": range(0, 8, 2),
    "2g.20gb": range(0, 6, 2),
    "3g.40gb": (0, 4),
    "4g.40gb": (0,),
    "7g.80gb": (0,),
}
"""Placements of an A100 with 80 GB, written down apart from the project's table."""

Doc = dict[str, Any]

ASKED: st.SearchStrategy[Doc] = st.one_of(
    st.fixed_dictionaries({"gpus": st.integers(1, 2), "share": st.sampled_from([0.2, 0.25, 0.5, 0.6])}),
    st.fixed_dictionaries({"mig": st.sampled_from(sorted(MEMORY)), "gpus": st.integers(0, 2)}),
    st.fixed_dictionaries({"gpus": st.integers(1, 3)}),
)


@st.composite
def scenarios(draw: st.DrawFn) -> Doc:
    mig = st.sampled_from([True, True, False, [{"device": 0, "profile": "1g.10gb", "start": 2}]])
    made = draw(st.lists(st.fixed_dictionaries({"gpus": st.integers(1, 3), "mig": mig}), min_size=1, max_size=3))
    nodes: list[Doc] = [
        {"name": f"n{i}", "model": "A100-80GB", "cpu": 16, "unhealthy": [], **n} for i, n in enumerate(made)
    ]
    if draw(st.booleans()):
        nodes[-1]["unhealthy"] = [nodes[-1]["gpus"] - 1]
    workloads: list[Doc] = []
    for number in range(draw(st.integers(1, 7))):
        groups = [{"count": draw(st.integers(1, 3)), "cpu": 1, **draw(ASKED)} for _ in range(draw(st.integers(1, 2)))]
        gang, submitted = draw(st.booleans()), -draw(st.integers(0, 3))
        workloads.append({"name": f"w{number}", "queue": "a", "gang": gang, "submitted": submitted, "pods": groups})
    return {"nodes": nodes, "queues": [{"name": "a"}], "workloads": workloads}


def asked_of(doc: Doc) -> dict[str, Doc]:
    """What each pod of a scenario asks for."""
    found: dict[str, Doc] = {}
    for workload in doc["workloads"]:
        flat = [group for group in workload["pods"] for _ in range(group.get("count", 1))]
        found.update({f"{workload['name']}-{i}": group for i, group in enumerate(flat)})
    return found


def wrong(doc: Doc, answer: Outcome) -> list[str]:
    """Every GPU of the answer that is divided as it cannot be, counted from the documents alone."""
    said = msgspec.json.decode(msgspec.json.encode(answer))
    asked = asked_of(doc)
    nodes = {node["name"]: node for node in doc["nodes"]}
    milli: Counter[tuple[str, int]] = Counter()
    units: Counter[tuple[str, int, int]] = Counter()
    bad: list[str] = []
    for name, pod in said["pods"].items():
        if pod["node"] is None:
            continue
        want, node = asked[name], nodes[pod["node"]]
        if "mig" in want:
            made = pod.get("mig", [])
            if len(made) != max(want["gpus"], 1) or any(one["profile"] != want["mig"] for one in made):
                bad.append(f"{name} asks for {want} and has {made}")
            if not node["mig"] or pod["devices"]:
                bad.append(f"{name} has {pod}")
            for one in made:
                if one["start"] not in STARTS[one["profile"]] or one["device"] in node["unhealthy"]:
                    bad.append(f"{name}: {one}")
                at = range(one["start"], one["start"] + MEMORY[one["profile"]])
                units.update((pod["node"], one["device"], unit) for unit in at)
        else:
            share = round(1000 * want.get("share", 1))
            if len(set(pod["devices"])) != want["gpus"] or set(pod["devices"]) & set(node["unhealthy"]):
                bad.append(f"{name} asks for {want} and has {pod}")
            milli.update({(pod["node"], device): share for device in pod["devices"]})
    bad += [f"{at}: {n} milli" for at, n in milli.items() if n > 1000]
    bad += [f"{at}: {n} holders" for at, n in units.items() if n > 1]
    bad += [f"{at} is given out twice" for at in milli if any(at == unit[:2] for unit in units)]
    return bad


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(scenarios())
def test_no_gpu_is_divided_as_it_cannot_be(doc: Doc) -> None:
    answer = play(doc)
    assert answer.violations == ()
    assert wrong(doc, answer) == []
    assert answer.stable
    for name, said in answer.workloads.items():
        waits = any(pod.node is None for pod in answer.pods.values() if pod.workload == name)
        assert (said.reason is not None) == waits


def test_small_slices_in_the_wrong_half_leave_room_for_one_large_one() -> None:
    node = {"name": "m", "gpus": 1, "model": "A100-80GB", "mig": [{"device": 0, "profile": "1g.10gb", "start": 0}]}
    doc = {
        "nodes": [node],
        "queues": [{"name": "a"}],
        "workloads": [{"name": "w", "queue": "a", "pods": [{"count": 2, "mig": "3g.40gb"}]}],
    }
    answer = play(doc)
    placed = [pod for pod in answer.pods.values() if pod.node is not None]
    assert [(one.profile, one.start) for pod in placed for one in pod.mig] == [("3g.40gb", 4)]
    assert answer.workloads["w"].reason == (
        "no GPU has a free place for a 3g.40gb slice: needs 1 such place, there are 0; nearest is GPU 0 of m at 4, "
        "where 3g.40gb at 4 of default/w-0 is in the way"
    )


def test_parts_fill_gpus_that_are_in_use_before_others() -> None:
    doc = {
        "nodes": [{"name": "n", "count": 2, "gpus": 2, "model": "L40S"}],
        "queues": [{"name": "a"}],
        "workloads": [
            {"name": "half", "queue": "a", "submitted": -9, "pods": [{"gpus": 1, "share": 0.5}]},
            {"name": "third", "queue": "a", "submitted": -8, "pods": [{"count": 3, "gpus": 1, "share": 0.3}]},
            {"name": "whole", "queue": "a", "submitted": -7, "pods": [{"gpus": 2}]},
            {"name": "pair", "queue": "a", "submitted": -6, "pods": [{"gpus": 2, "share": 0.4}]},
        ],
    }
    answer = play(doc)
    assert {name: (pod.node, pod.devices) for name, pod in answer.pods.items()} == {
        "half-0": ("n-0", (0,)),
        "third-0": ("n-0", (0,)),
        "third-1": ("n-0", (1,)),
        "third-2": ("n-0", (1,)),
        "whole-0": ("n-1", (0, 1)),
        "pair-0": (None, ()),
    }
    assert answer.queues["a"].used == pytest.approx(0.5 + 0.9 + 2)
    assert answer.workloads["pair"].reason is not None
    assert answer.workloads["pair"].reason.startswith("no GPU has a free place for 0.4 of 2 GPUs: needs 1 such place")


def test_pods_that_run_keep_what_they_have() -> None:
    doc: Doc = {
        "nodes": [{"name": "n", "gpus": 2, "model": "A100-80GB", "mig": True}],
        "queues": [{"name": "a"}],
        "workloads": [
            {"name": "part", "queue": "a", "started": -9, "pods": [{"gpus": 1, "share": 0.5, "nodes": ["n"]}]},
            {
                "name": "slice",
                "queue": "a",
                "started": -9,
                "pods": [{"count": 2, "mig": "3g.40gb", "nodes": ["n", "n"]}],
            },
            {"name": "late", "queue": "a", "pods": [{"gpus": 1, "share": 0.5}, {"mig": "1g.10gb"}, {"gpus": 1}]},
        ],
    }
    early = {"name": "early", "queue": "a", "started": -9, "pods": [{"gpus": 1, "nodes": ["n"]}]}
    answer = play({**doc, "nodes": [{**doc["nodes"][0], "gpus": 3}], "workloads": [*doc["workloads"][:2], early]})
    assert answer.pods["early-0"].devices == (2,)
    answer = play(doc)
    assert answer.pods["part-0"].devices == answer.pods["late-0"].devices == (0,)
    assert {(one.device, one.start) for i in range(2) for one in answer.pods[f"slice-{i}"].mig} == {(1, 0), (1, 4)}
    assert [answer.pods[f"late-{i}"].node for i in range(3)] == ["n", None, None]
    assert answer.violations == ()
