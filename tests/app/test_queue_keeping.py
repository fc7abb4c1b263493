"""What is written on queues and told of them, against a stand-in that keeps queues and events."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from scheduler.app.queue_status import QueueStatusWriter, in_use
from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.effects import Effects
from scheduler.kube.http import Method
from scheduler.kube.translate_queue import read_queue
from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from scheduler.quota.usage import opening_ledger
from scheduler.state.events import Event
from tests.state.build import N1, node, pod, reserved, state_of

TEAM = QueueName("team")
HELD = "bayplan.dev/in-use"
OTHERS = "team.example/keep"
QUEUES = "/apis/bayplan.dev/v1alpha1/queues"


class Store:
    """One queue and the events about it."""

    def __init__(self) -> None:
        self.queue: dict[str, Any] = {}
        self.made = 0
        self.events: list[tuple[str, str, str]] = []
        self.make(finalizers=[OTHERS])

    def make(self, **meta: object) -> None:
        self.made += 1
        self.queue = {"metadata": {"name": "team", "uid": f"u{self.made}", "resourceVersion": "1", **meta}, "spec": {}}

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        sent: dict[str, Any] = json.loads(body or b"{}")
        match method, path.removeprefix(QUEUES):
            case "GET", "/team/status":
                return Response(status=200, body=json.dumps(self.queue).encode())
            case "PATCH", "/team":
                if sent["metadata"]["resourceVersion"] != self.queue["metadata"]["resourceVersion"]:
                    raise ApiRefusedError(409, "Conflict", "the object has been modified")
                self.queue["metadata"] |= sent["metadata"]
            case "PATCH", "/team/status":
                self.queue.setdefault("status", {}).update(sent["status"])
            case _:
                self.events.append((sent["reason"], sent["type"], sent["regarding"]["uid"]))
        return Response(status=200, body=b"{}")

    @property
    def finalizers(self) -> list[str]:
        found: list[str] = self.queue["metadata"].get("finalizers", [])
        return found

    def condition(self, kind: str) -> dict[str, str]:
        return next(c for c in self.queue["status"]["conditions"] if c["type"] == kind)

    def read(self) -> Queue:
        return read_queue(json.dumps(self.queue).encode())[1].queue


class Scene:
    def __init__(self) -> None:
        self.store = Store()
        effects = Effects(self.store, may_write=lambda: True, concurrency=4, instance="test")
        self.writer = QueueStatusWriter(effects)

    async def see(self, *things: Event | Any, starting: tuple[QueueName, ...] = ()) -> None:  # noqa: ANN401  as written
        snapshot = state_of(node(), self.store.read(), *things).snapshot()
        await self.writer.write(snapshot, opening_ledger(snapshot), (), {}, starting, now_s=0)


RUNS = pod("p", queue=TEAM, node=N1)


async def test_a_queue_is_held_as_long_as_work_stands_in_it_and_other_finalizers_stay() -> None:
    scene = Scene()
    await scene.see(pod("p", queue=TEAM))
    assert scene.store.finalizers == [OTHERS]
    await scene.see(RUNS)
    assert scene.store.finalizers == [OTHERS, HELD]
    await scene.see()
    assert scene.store.finalizers == [OTHERS]


async def test_it_is_held_before_its_first_work_has_its_node() -> None:
    scene = Scene()
    await scene.see(pod("p", queue=TEAM), starting=(TEAM,))
    assert HELD in scene.store.finalizers


async def test_one_that_is_deleted_is_not_held_anew_and_goes_when_its_work_has() -> None:
    scene = Scene()
    scene.store.make(finalizers=[OTHERS], deletionTimestamp="2026-11-21T20:00:00Z")
    await scene.see(RUNS)
    assert scene.store.finalizers == [OTHERS]
    scene.store.make(finalizers=[HELD], deletionTimestamp="2026-11-21T20:00:00Z")
    await scene.see(RUNS)
    assert scene.store.finalizers == [HELD]
    assert scene.store.condition("Serving")["reason"] == "Draining"
    await scene.see()
    assert scene.store.finalizers == []


async def test_finalizers_that_somebody_else_changed_meanwhile_are_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    request = scene.store.request

    async def late(method: Method, path: str, *, body: bytes | None = None, content_type: str = "") -> Response:
        answer = await request(method, path, body=body)
        if method == "GET":
            scene.store.queue["metadata"]["resourceVersion"] = "2"
        return answer

    monkeypatch.setattr(scene.store, "request", late)
    await scene.see(RUNS)
    assert scene.store.finalizers == [OTHERS]


def test_queues_above_and_of_plans_on_their_way_are_in_use() -> None:
    org = Queue(name=QueueName("org"))
    team = Queue(name=TEAM, parent=QueueName("org"))
    flying = reserved("pod:a/p", ("p", "n1", (0,)), milli_gpu=1000)
    idle = state_of(node(), org, team, Queue(name=QueueName("idle")), pod("p", queue=TEAM))
    snapshot = idle.snapshot()
    assert in_use(snapshot, opening_ledger(snapshot)) == set()
    idle.apply(replace(flying, queue=TEAM))
    snapshot = idle.snapshot()
    assert in_use(snapshot, opening_ledger(snapshot)) == {"org", "team"}


async def test_events_tell_what_is_wrong_and_that_it_is_right_again_once_each() -> None:
    scene = Scene()
    for _ in range(2):
        await scene.see()
    assert scene.store.events == []
    scene.store.queue["spec"] = {"nominal": -1}
    for _ in range(2):
        await scene.see()
    assert scene.store.events == [("SpecRefused", "Warning", "u1")]
    scene.store.queue["spec"] = {"nominal": 1}
    await scene.see()
    assert scene.store.events[1:] == [("InForce", "Normal", "u1")]


async def test_more_work_than_a_lowered_quota_allows_is_told_until_it_is_less() -> None:
    scene = Scene()
    for nominal in (8, 0, 0, 1):
        scene.store.queue["spec"] = {"nominal": nominal, "borrowingLimit": 0}
        await scene.see(RUNS)
    assert scene.store.events == [("OverCommitted", "Warning", "u1"), ("Running", "Normal", "u1")]


async def test_another_leader_does_not_tell_it_again_and_keeps_since_when_it_holds() -> None:
    scene = Scene()
    scene.store.queue["spec"] = {"nominal": -1}
    await scene.see()
    since = "2020-01-01T00:00:00Z"
    scene.store.condition("Accepted")["lastTransitionTime"] = since
    told = list(scene.store.events)
    effects = Effects(scene.store, may_write=lambda: True, concurrency=4, instance="next")
    scene.writer = QueueStatusWriter(effects)
    await scene.see()
    assert scene.store.events == told
    assert scene.store.condition("Accepted")["lastTransitionTime"] == since


async def test_a_queue_that_is_made_anew_under_its_name_is_told_of_anew() -> None:
    scene = Scene()
    scene.store.queue["spec"] = {"nominal": -1}
    await scene.see()
    scene.store.make()
    scene.store.queue["spec"] = {"nominal": -1}
    await scene.see()
    assert [uid for _, _, uid in scene.store.events] == ["u1", "u2"]
    assert scene.store.condition("Accepted")["status"] == "False"
