"""Requests of a real kube-scheduler, replayed. `record_from_cluster.py` makes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.extender.guard import Offered, Ruling
from scheduler.extender.handlers import Handlers
from scheduler.model.names import NodeName
from scheduler.telemetry import Telemetry
from tests.extender.fakes import GANG, UNTOUCHED, WAITING, FakeGuard, planned

RECORDED = Path(__file__).parent / "recorded"


def recorded(verb: str) -> list[Any]:
    return [pytest.param(file.read_bytes(), id=file.name) for file in sorted(RECORDED.glob(f"{verb}-*.json"))]


def rulings(names: list[str]) -> list[Ruling]:
    scores = {NodeName(name): i for i, name in enumerate([*names[::2], "elsewhere"])}
    return [
        UNTOUCHED,
        WAITING,
        planned(names[-1]),
        planned("elsewhere"),
        Offered(workload=GANG, scores=scores),
    ]


def test_every_verb_is_recorded() -> None:
    assert all(recorded(verb) for verb in ("filter", "prioritize", "preempt", "bind"))


@pytest.mark.parametrize("body", recorded("filter"))
def test_filter(body: bytes) -> None:
    asked = json.loads(body)
    names, uid = asked["NodeNames"], asked["Pod"]["metadata"]["uid"]
    for ruling in rulings(names):
        guard = FakeGuard({uid: ruling})
        answer = json.loads(Handlers(guard, Telemetry()).filter(body))
        assert answer["Error"] == ""
        assert set(answer["NodeNames"]) | set(answer["FailedAndUnresolvableNodes"]) <= set(names)
        assert answer["NodeNames"] or set(answer["FailedAndUnresolvableNodes"]) == set(names)
        nominated = asked["Pod"].get("status", {}).get("nominatedNodeName")
        if ruling == planned("elsewhere"):
            assert guard.refusals == ([] if names == [nominated] else [(uid, "elsewhere")])
        else:
            assert guard.refusals == []


@pytest.mark.parametrize("body", recorded("prioritize"))
def test_prioritize(body: bytes) -> None:
    asked = json.loads(body)
    for ruling in rulings(asked["NodeNames"]):
        answer = json.loads(
            Handlers(FakeGuard({asked["Pod"]["metadata"]["uid"]: ruling}), Telemetry()).prioritize(body)
        )
        assert {entry["Host"] for entry in answer} <= set(asked["NodeNames"])


@pytest.mark.parametrize("body", recorded("preempt"))
def test_preempt(body: bytes) -> None:
    asked = json.loads(body)
    uid = asked["Pod"]["metadata"]["uid"]
    echoed = json.loads(Handlers(FakeGuard({uid: UNTOUCHED}), Telemetry()).preempt(body))
    assert echoed == {"NodeNameToMetaVictims": asked["NodeNameToMetaVictims"]}
    vetoed = json.loads(Handlers(FakeGuard({uid: WAITING}), Telemetry()).preempt(body))
    assert vetoed == {"NodeNameToMetaVictims": {}}


@pytest.mark.parametrize("body", recorded("bind"))
async def test_bind(body: bytes) -> None:
    asked = json.loads(body)
    guard = FakeGuard()
    assert json.loads(await Handlers(guard, Telemetry()).bind(body)) == {"Error": ""}
    assert [(r.pod, r.namespace, r.name, r.node) for r in guard.asked] == [
        (asked["PodUID"], asked["PodNamespace"], asked["PodName"], asked["Node"])
    ]
