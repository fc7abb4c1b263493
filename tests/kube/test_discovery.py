"""Which foreign kinds are watched: those that the API server has and lets us list, and only as long as it does."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from scheduler.kube import discovery
from scheduler.kube.discovery import ForeignWatchers, foreign_kinds
from scheduler.model.names import WorkloadKey
from scheduler.state.events import Event, GroupGone, GroupSeen
from tests.kube.scripted import Asked, ScriptedServer, answer, client_of

PLAIN = "/apis/scheduling.x-k8s.io/v1alpha1"
NATIVE = "/apis/scheduling.k8s.io"


class Kinds:
    """An API server with these resources; each has one object, and lists of `refused` ones end with a status."""

    def __init__(self, *paths: str) -> None:
        self.paths = set(paths)
        self.refused: dict[str, str] = {}

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(asked.target)
        query = parse_qs(url.query)
        if url.path in self.refused:
            writer.write(answer(b"{}", self.refused[url.path]))
        elif url.path == "/apis":
            writer.write(answer(json.dumps(self._groups()).encode()))
        elif any(path.startswith(f"{url.path}/") for path in self.paths):
            names = [path.rpartition("/")[2] for path in self.paths if path.startswith(f"{url.path}/")]
            writer.write(answer(json.dumps({"resources": [{"name": name} for name in names]}).encode()))
        elif "watch" in query and url.path in self.paths:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await asyncio.Event().wait()
        elif url.path in self.paths:
            meta = {"name": "g", "namespace": "a", "uid": url.path}
            group = {"metadata": meta, "spec": {"minMember": 2, "schedulingPolicy": {"gang": {"minCount": 2}}}}
            writer.write(answer(json.dumps({"metadata": {"resourceVersion": "1"}, "items": [group]}).encode()))
        else:
            writer.write(answer(b"{}", "404 Not Found"))

    def _groups(self) -> object:
        versions: dict[str, set[str]] = {}
        for path in self.paths:
            _, _, group, version, _ = path.split("/")
            versions.setdefault(group, set()).add(version)
        return {"groups": [{"name": g, "versions": [{"version": v} for v in vs]} for g, vs in versions.items()]}


def found(kinds: Kinds, folder: Path) -> list[str]:
    async def ask() -> list[str]:
        async with ScriptedServer(kinds).running() as server, client_of(server, folder) as api:
            return [kind.path for kind in await foreign_kinds(api)]

    return asyncio.run(ask())


def test_a_cluster_without_any(tmp_path: Path) -> None:
    assert found(Kinds(), tmp_path) == []
    assert found(Kinds("/apis/apps/v1/deployments"), tmp_path) == []


def test_the_best_version_that_has_the_kind_is_taken(tmp_path: Path) -> None:
    paths = (f"{NATIVE}/v1/priorityclasses", f"{NATIVE}/v1alpha2/podgroups", f"{NATIVE}/v1beta1/podgroups")
    assert found(Kinds(*paths), tmp_path) == [paths[0], paths[2]]
    assert found(Kinds(*paths[:2]), tmp_path) == [paths[0], paths[1]]
    assert found(Kinds(paths[0]), tmp_path) == [paths[0]]


@pytest.mark.parametrize(("status", "there"), [("403 Forbidden", []), ("404 Not Found", []), ("500 Error", ["kind"])])
def test_a_kind_that_may_not_be_listed_is_as_if_it_were_not_there(
    tmp_path: Path, status: str, there: list[str]
) -> None:
    kinds = Kinds(f"{PLAIN}/podgroups")
    kinds.refused = {f"{PLAIN}/podgroups": status}
    assert found(kinds, tmp_path) == [f"{PLAIN}/podgroups" for _ in there]


def test_kinds_that_come_are_watched_and_those_that_go_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LOOK_PERIOD_S", 0.01)
    kinds = Kinds(f"{PLAIN}/podgroups")
    events: asyncio.Queue[tuple[str, Event]] = asyncio.Queue()

    def heard(kind: str) -> Callable[[Event], None]:
        def hear(event: Event) -> None:
            events.put_nowait((kind, event))

        return hear

    def told(kind: str, text: str) -> None:
        raise AssertionError(f"{kind}: {text}")

    async def watch() -> None:
        async with ScriptedServer(kinds).running() as server, client_of(server, tmp_path) as api:
            watchers = ForeignWatchers(
                api,
                on_event=heard,
                trouble=told,
                chance=lambda: 0.0,
            )
            task = asyncio.ensure_future(watchers.run())
            await watchers.looked.wait()
            kind, event = await events.get()
            assert isinstance(event, GroupSeen)
            assert (kind, event.key) == ("podgroups.scheduling.x-k8s.io", WorkloadKey("gang:a/pod-group/g"))
            kinds.paths.add(f"{NATIVE}/v1alpha2/podgroups")
            kind, event = await events.get()
            assert isinstance(event, GroupSeen)
            assert (kind, event.key) == ("podgroups.scheduling.k8s.io", WorkloadKey("gang:a/podgroup/g"))
            kinds.paths.remove(f"{PLAIN}/podgroups")
            kind, event = await events.get()
            assert (kind, event) == ("podgroups.scheduling.x-k8s.io", GroupGone(uid=f"{PLAIN}/podgroups"))
            assert [kind.path for kind in watchers.kinds] == [f"{NATIVE}/v1alpha2/podgroups"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(watch(), timeout=60))


def test_a_kind_that_is_gone_for_one_look_is_watched_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LOOK_PERIOD_S", 0.01)
    path = f"{PLAIN}/podgroups"
    kinds = Kinds(path)
    events: list[Event] = []
    looks = 0

    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal looks
        looks += asked.target == "/apis"
        # Every second look finds that the kind may not be read, as one does just after the API server started.
        tried = asked.target == f"{path}?limit=1"
        kinds.refused = {path: "403 Forbidden"} if tried and looks % 2 == 0 else {}
        await kinds(asked, writer)

    async def watch() -> None:
        async with ScriptedServer(serve).running() as server, client_of(server, tmp_path) as api:
            watchers = ForeignWatchers(
                api, on_event=lambda _: events.append, trouble=lambda _, text: pytest.fail(text), chance=lambda: 0.0
            )
            listed = asyncio.Event()
            task = asyncio.ensure_future(watchers.run(after=[listed]))
            for _ in range(100):
                await asyncio.sleep(0)
            assert looks == 0
            listed.set()
            async with asyncio.timeout(60):
                while looks < 8:  # noqa: ASYNC110  the server's own count is what is waited for
                    await asyncio.sleep(0.01)
            assert [kind.path for kind in watchers.kinds] == [path]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watch())
    assert [type(event) for event in events] == [GroupSeen]


def test_trouble_with_discovery_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LOOK_PERIOD_S", 0.01)
    kinds = Kinds(f"{PLAIN}/podgroups")
    kinds.refused = {"/apis": "500 Error"}
    told: list[str] = []

    async def watch() -> None:
        async with ScriptedServer(kinds).running() as server, client_of(server, tmp_path) as api:
            watchers = ForeignWatchers(
                api,
                on_event=lambda _: lambda _: came.set(),
                trouble=lambda kind, _: told.append(kind),
                chance=lambda: 0.0,
            )
            came = asyncio.Event()
            task = asyncio.ensure_future(watchers.run())
            await watchers.looked.wait()
            assert told[0] == discovery.NAME
            kinds.refused = {}
            await came.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(watch(), timeout=60))


def test_what_the_one_who_hears_raises_ends_the_watching(tmp_path: Path) -> None:
    kinds = Kinds(f"{PLAIN}/podgroups")

    def breaks(_: Event) -> None:
        raise KeyError("heard")

    async def watch() -> None:
        async with ScriptedServer(kinds).running() as server, client_of(server, tmp_path) as api:
            watchers = ForeignWatchers(
                api,
                on_event=lambda _: breaks,
                trouble=lambda _, text: pytest.fail(text),
                chance=lambda: 0.0,
            )
            await watchers.run()

    with pytest.raises(KeyError, match="heard"):
        asyncio.run(asyncio.wait_for(watch(), timeout=60))
