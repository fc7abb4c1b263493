import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from scheduler.kube import watch
from scheduler.kube.translate import Kind, Sighting, kinds
from scheduler.kube.watch import Watcher, list_events
from scheduler.model.names import NodeName
from scheduler.state.cluster import ClusterState
from scheduler.state.events import DevicesGone, DevicesSeen, Event, PodGone, PodSeen
from tests.kube.liststore import ListStore
from tests.kube.scripted import CHUNKED_HEAD, ScriptedServer, answer, chunk, client_of

PODS: Kind = kinds("bayplan")[0]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(watch, "LONGEST_PAUSE_S", 0.004)


class Told:
    """What a watcher said, and a way to wait until it said enough."""

    def __init__(self, store: ListStore, server: ScriptedServer, watcher: Watcher) -> None:
        self.store = store
        self.server = server
        self.watcher = watcher
        self.events: list[Event] = []
        self.troubles: list[str] = []
        self._news = asyncio.Event()

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def on_trouble(self, kind: str, text: str) -> None:
        assert kind == self.watcher.kind.name
        self.troubles.append(text)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                self._news.clear()
                ours, theirs = asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(self.store.news())
                _, waiting = await asyncio.wait((ours, theirs), return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()

    @property
    def story(self) -> list[str]:
        """`+uid` for a pod seen, `-uid` for one gone."""
        told: list[str] = []
        for event in self.events:
            assert isinstance(event, PodSeen | PodGone)
            told.append(f"+{event.pod.uid}" if isinstance(event, PodSeen) else f"-{event.uid}")
        return told

    @property
    def pods(self) -> dict[str, str]:
        """Name and uid of the pods that a state believes in after these events."""
        state = ClusterState()
        for event in self.events:
            state.apply(event)
        return {f.pod.name: f.pod.uid for f in state.facts() if isinstance(f, PodSeen)}


@asynccontextmanager
async def watching(store: ListStore, folder: Path, kind: Kind = PODS) -> AsyncGenerator[Told, None]:
    async with ScriptedServer(store.handle).running() as server, client_of(server, folder) as api:
        told: list[Told] = []
        watcher = Watcher(
            api,
            kind,
            on_event=lambda event: told[0].on_event(event),  # noqa: PLW0108  it does not exist yet
            trouble=lambda kind, text: told[0].on_trouble(kind, text),  # noqa: PLW0108
            chance=lambda: 0.0,
        )
        told.append(Told(store, server, watcher))
        task = asyncio.create_task(watcher.run())
        try:
            yield told[0]
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_list_in_pages_then_changes_in_order(tmp_path: Path) -> None:
    store = ListStore()
    for n in range(5):
        store.put(f"p{n}", f"u{n}")
    async with watching(store, tmp_path) as told:
        assert told.watcher.contact_s is None
        await told.watcher.synced.wait()
        assert told.story == [f"+u{n}" for n in range(5)]
        store.put("p5", "u5")
        store.put("p0", "u0")
        store.remove("p1")
        await told.until(lambda: len(told.events) == 8)
        assert told.story[5:] == ["+u5", "+u0", "-u1"]
        assert (store.lists, store.watches, told.watcher.relists, told.troubles) == (1, [5], 1, [])
        assert told.watcher.contact_s is not None
    query = told.server.asked[0].target
    assert "fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed" in query
    assert "allowWatchBookmarks=true" in told.server.asked[-1].target


async def test_a_broken_watch_goes_on_from_the_last_version(tmp_path: Path) -> None:
    store = ListStore()
    store.put("p", "u")
    async with watching(store, tmp_path) as told:
        await told.watcher.synced.wait()
        store.put("q", "v")
        await told.until(lambda: len(told.events) == 2)
        told.server.hang_up()
        store.remove("p")
        await told.until(lambda: len(told.events) == 3)
        assert told.story == ["+u", "+v", "-u"]
        assert (store.lists, store.watches) == (1, [1, 2])
        assert any("closed the connection" in text for text in told.troubles)


async def test_a_bookmark_moves_the_version_without_an_event(tmp_path: Path) -> None:
    store = ListStore()
    store.put("p", "u")
    async with watching(store, tmp_path) as told:
        await told.until(lambda: store.watches == [1])
        store.bookmark()
        store.put("q", "v")
        await told.until(lambda: len(told.events) == 2)
        store.bookmark()
        store.bookmark()
        store.say(b"broken")
        await told.until(lambda: len(store.watches) == 2)
        assert store.watches == [1, 5]
        assert len(told.events) == 2


@pytest.mark.parametrize("how", ["error event", "http status"])
async def test_an_expired_version_lists_anew_and_tells_what_vanished(tmp_path: Path, how: str) -> None:
    store = ListStore()
    for name in "abc":
        store.put(name, name)
    async with watching(store, tmp_path) as told:
        await told.until(lambda: store.watches == [3])
        if how == "http status":
            store.watch_answer = answer(b'{"code":410,"reason":"Expired","message":"too old"}', "410 Gone")
        store.unseen(lambda: store.remove("a"))
        store.unseen(lambda: store.remove("b"))
        store.unseen(lambda: store.put("b", "b-again"))
        store.unseen(lambda: store.put("d", "d"))
        store.forget_history()
        told.server.hang_up()
        await told.until(lambda: told.watcher.relists == 2 and len(store.watches) == 3)
        assert told.story[3:] == ["-b", "+b-again", "+c", "+d", "-a"]
        assert told.pods == {"b": "b-again", "c": "c", "d": "d"}
        store.put("e", "e")
        await told.until(lambda: told.story[-1] == "+e")


async def test_a_list_that_breaks_off_leaves_no_ghost_behind(tmp_path: Path) -> None:
    store = ListStore()
    for name in "abcd":
        store.put(name, name)

    def between_pages(shown: int) -> None:
        if shown == 2 and store.lists == 1:
            store.unseen(lambda: store.remove("a"))
            store.page_answers = [answer(b'{"code":410,"reason":"Expired","message":"continue"}', "410 Gone")]

    store.before_page = between_pages
    async with watching(store, tmp_path) as told:
        await told.watcher.synced.wait()
        assert told.story[:2] == ["+a", "+b"]
        assert told.pods == {"b": "b", "c": "c", "d": "d"}
        assert store.lists == 2


async def test_an_object_that_cannot_be_read_is_told_and_stops_nothing(tmp_path: Path) -> None:
    store = ListStore()
    store.put("a", "a")
    store.put("bad", "x", priority="high")
    store.put("c", "c")
    async with watching(store, tmp_path) as told:
        await told.watcher.synced.wait()
        assert told.story == ["+a", "+c"]
        store.put("a", "a", priority="low")
        store.say(json.dumps({"type": "MODIFIED", "object": {"metadata": {"name": 5}}}).encode())
        store.put("d", "d")
        await told.until(lambda: "+d" in told.story)
        assert told.story == ["+a", "+c", "+d"]
        assert [t.split(" cannot be read and is left out: ")[0] for t in told.troubles] == [
            "a/bad",
            "a/a",
            "an object without a name",
        ]
        assert store.watches == [3]
        store.unseen(store.bookmark)
        store.forget_history()
        told.server.hang_up()
        await told.until(lambda: len(store.watches) == 3)
        assert told.watcher.relists == 2
        assert told.pods == {"a": "a", "c": "c", "d": "d"}


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "ADDED", "object": {"metadata": {"na',
        b"<html>bad gateway</html>",
        b'{"type": "ERROR", "object": {"code": 500, "reason": "InternalError", "message": "etcd is slow"}}',
        b'{"type": 7}',
    ],
)
async def test_a_line_that_is_no_event_starts_the_watch_again_where_it_was(tmp_path: Path, line: bytes) -> None:
    store = ListStore()
    store.put("a", "a")
    async with watching(store, tmp_path) as told:
        await told.until(lambda: store.watches == [1])
        store.watch_answer = CHUNKED_HEAD + chunk(line + b"\n")
        told.server.hang_up()
        await told.until(lambda: len(store.watches) >= 3)
        store.put("b", "b")
        await told.until(lambda: told.story == ["+a", "+b"])
        assert set(store.watches) == {1}
        assert store.lists == 1


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that watchers make, which pass at once."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        made.append(delay)
        await sleep(0)

    monkeypatch.setattr(watch, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": noted}))
    return made


async def test_a_server_that_refuses_is_tried_again_ever_less_often(tmp_path: Path, pauses: list[float]) -> None:
    store = ListStore()
    store.page_answers = [answer(b'{"reason":"Forbidden","message":"no right"}', "403 Forbidden")] * 5
    async with watching(store, tmp_path) as told:
        await told.watcher.synced.wait()
        assert told.troubles == ["403 Forbidden: no right"] * 5
    assert [round(p, 6) for p in pauses[:5]] == [0.0005, 0.001, 0.002, 0.002, 0.002]


async def test_a_watch_that_ends_without_a_word_is_not_hammered(tmp_path: Path, pauses: list[float]) -> None:
    store = ListStore()
    store.ends_at_once = True
    async with watching(store, tmp_path) as told:
        await told.until(lambda: len(store.watches) >= 5)
    assert [round(p, 6) for p in pauses[:4]] == [0.0005, 0.001, 0.002, 0.002]


async def test_others_get_their_turn_while_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BREATH_OBJECTS", 10)
    store = ListStore()
    for n in range(300):
        store.put(f"p{n}", f"u{n}")
    store.page_objects = 300
    async with watching(store, tmp_path) as told:
        turns = [0]
        while len(told.events) < 600:
            turns.append(len(told.events))
            await asyncio.sleep(0)
            if len(told.events) == 300 == turns[-1] and store.version == 300:
                with store.at_once():
                    for n in range(300):
                        store.put(f"p{n}", f"u{n}")
    assert max(later - earlier for earlier, later in pairwise([*turns, 600])) <= 20


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_the_watcher_ends_up_with_what_is_there(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  a seeded story, no secret
    store = ListStore()
    async with watching(store, tmp_path) as told:
        for step in range(60):
            name = f"p{chance.randrange(6)}"
            match chance.randrange(9):
                case 0 | 1 | 2:
                    store.put(name, name)
                case 3 | 4 if name in store.objects:
                    store.remove(name)
                    store.put(name, f"{name}-{step}")
                case 5 if name in store.objects:
                    store.remove(name)
                case 6:
                    store.bookmark()
                case 7:
                    told.server.hang_up()
                case 8:
                    store.forget_history()
                    told.server.hang_up()
                case _:
                    pass
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        store.put("last", "last")
        await told.until(lambda: "+last" in told.story)
        there = {name: document["metadata"]["uid"] for name, document in store.objects.items()}
        await told.until(lambda: told.pods == there)


async def test_a_list_as_events_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    store = ListStore()
    for name in "abc":
        store.put(name, name)
    store.put("bad", "x", priority="high")
    told: list[str] = []
    async with ScriptedServer(store.handle).running() as server, client_of(server, tmp_path) as api:
        events = await list_events(api, PODS, lambda kind, text: told.append(f"{kind}: {text}"))
    assert [e.pod.uid for e in events if isinstance(e, PodSeen)] == ["a", "b", "c"]
    assert told[0].startswith("pods: a/bad cannot be read")


async def test_what_is_assumed_of_an_object_is_told_once_as_long_as_it_stays_the_same(tmp_path: Path) -> None:
    """The uid stands for the content: each letter is something that is not clear."""

    def read(raw: bytes | msgspec.Raw) -> Sighting:
        name, uid, _ = PODS.identify(raw if isinstance(raw, msgspec.Raw) else msgspec.Raw(raw))
        assumed = tuple(f"{letter} is assumed" for letter in uid.strip("-"))
        seen = DevicesSeen(node=NodeName(name), machine="", devices=(), assumed=assumed)
        return Sighting(key=name, identity=name, event=seen)

    def gone(name: str) -> DevicesGone:
        return DevicesGone(node=NodeName(name))

    store = ListStore()
    store.put("n", "a")
    kind = msgspec.structs.replace(PODS, name="gpunodes", read=read, gone=gone, by_uid=False)
    async with watching(store, tmp_path, kind) as told:
        await told.watcher.synced.wait()
        for uid in ("a", "ab", "ab", "-", "a"):
            store.put("n", uid)
        store.put("m", "ab")
        await told.until(lambda: len(told.events) == 7)
        assert [text.partition("/")[2] for text in told.troubles] == [
            "n: a is assumed",
            "n: b is assumed",
            "n: a is assumed",
            "m: a is assumed; b is assumed",
        ]
