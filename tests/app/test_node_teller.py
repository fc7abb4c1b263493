"""What is told of reports that are not clear, against an API stand-in that keeps events by name."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import pytest

from scheduler.app import node_teller
from scheduler.app.node_teller import NodeTeller, note_of
from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.effects import EVENT_TEXT_LIMIT, Effects
from scheduler.kube.http import Method
from scheduler.model.names import NodeName
from scheduler.state.events import DevicesSeen


class EventStore:
    """Takes each name once, as the API server does; `failing` answers are refused first."""

    def __init__(self, failing: int = 0, namespace: str = "default") -> None:
        self._path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        self.events: dict[str, dict[str, object]] = {}
        self.asked = 0
        self._failing = failing

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        self.asked += 1
        assert path == self._path
        if self._failing:
            self._failing -= 1
            raise ApiRefusedError(500, "InternalError", "try again")
        event = json.loads(body or b"")
        name = event["metadata"]["name"]
        if name in self.events:
            raise ApiRefusedError(409, "AlreadyExists", f'events "{name}" already exists')
        self.events[name] = event
        return Response(status=201, body=b"{}")

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event["regarding"]["name"], event["note"]) for event in self.events.values()]  # type: ignore[index]


def report(node: str, *assumed: str) -> DevicesSeen:
    return DevicesSeen(node=NodeName(node), machine="", devices=(), assumed=assumed, uid=f"uid-{node}")


async def played(
    store: EventStore, *steps: Callable[[NodeTeller], None], rounds: int = 1, leading: bool = True
) -> EventStore:
    """Each step, and then so many looks at what is due."""
    effects = Effects(store, may_write=lambda: True, concurrency=4, instance="test")
    teller = NodeTeller(effects, leading=lambda: leading)
    for step in steps:
        step(teller)
        run = asyncio.ensure_future(teller.run())
        for _ in range(20 * rounds):
            await asyncio.sleep(0)
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
    return store


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_teller, "LOOK_PERIOD_S", 0.0)


async def test_a_node_and_a_content_are_told_once() -> None:
    store = await played(
        EventStore(),
        lambda t: t.seen(report("n", "a is assumed")),
        lambda t: t.seen(report("n", "a is assumed")),
        lambda t: t.seen(report("m", "a is assumed")),
        lambda t: t.seen(report("n", "b is assumed", "c is assumed")),
    )
    assert store.told == [("n", "a is assumed"), ("m", "a is assumed"), ("n", "b is assumed; c is assumed")]
    assert store.asked == 3
    (event, *_) = store.events.values()
    assert (event["type"], event["reason"]) == ("Warning", "ReportUnclear")
    assert event["regarding"] == {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "GPUNode",
        "name": "n",
        "uid": "uid-n",
    }


async def test_what_another_replica_wrote_is_not_written_again() -> None:
    store = await played(EventStore(), lambda t: t.seen(report("n", "a is assumed")))
    await played(store, lambda t: t.seen(report("n", "a is assumed")), rounds=3)
    assert store.told == [("n", "a is assumed")]
    assert store.asked == 2


async def test_what_failed_is_tried_again() -> None:
    store = await played(EventStore(failing=2), lambda t: t.seen(report("n", "a is assumed")), rounds=3)
    assert store.told == [("n", "a is assumed")]


async def test_what_is_clear_again_or_gone_is_not_told() -> None:
    def clear_again(teller: NodeTeller) -> None:
        teller.seen(report("n", "a is assumed"))
        teller.seen(report("n"))
        teller.seen(report("m", "a is assumed"))
        teller.gone(NodeName("m"))

    assert (await played(EventStore(), clear_again)).asked == 0


async def test_only_the_leader_writes() -> None:
    store = await played(EventStore(), lambda t: t.seen(report("n", "a is assumed")), leading=False)
    assert store.asked == 0


def test_a_note_has_whole_sentences_and_how_many_there_are_beyond() -> None:
    assert note_of(["one", "two"]) == "one; two"
    many = [f"GPUs 0 and {i} are given one thing one way and another the other way" for i in range(99)]
    text = note_of(many)
    assert len(text) <= EVENT_TEXT_LIMIT
    *shown, rest = text.split("; ")
    assert shown == many[: len(shown)]
    assert rest == f"and {99 - len(shown)} more, which the service's log has"
    assert len(note_of(["x" * 5000])) == EVENT_TEXT_LIMIT
    assert note_of([]) == ""
