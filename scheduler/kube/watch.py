"""List and watch: everything of one kind as events, in order, through lost connections and expired versions.

The rules are those of client-go's reflector (tools/cache/reflector.go): list in pages, watch from the list's version with
bookmarks, go on from the last version seen after a broken connection, list anew where the server has forgotten it (410).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.translate import Kind
from scheduler.kube.wire import Identified, Status, WatchEvent, WireList
from scheduler.state.events import Event

PAGE_OBJECTS = 500
"""Objects of one page of a list (client-go, tools/pager `defaultPageSize`)."""

BREATH_OBJECTS = 50
"""After so many objects of a list others get their turn on the event loop: about 3 ms of pods."""

WATCH_S = 300
"""The server ends a watch after this long; going on costs one request."""

SILENCE_S = 90.0
"""A watch on which nothing comes for so long is taken for dead: bookmarks come about once a minute."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

GONE = 410

_list_decoder = msgspec.json.Decoder(WireList[msgspec.Raw])
_event_decoder = msgspec.json.Decoder(WatchEvent)
_status_decoder = msgspec.json.Decoder(Status)
_bookmark_decoder = msgspec.json.Decoder(Identified)

Trouble = Callable[[str, str], None]
"""Told the kind and one sentence when an object cannot be read, or the server cannot be reached."""


class _ExpiredError(Exception):
    """The server does not know our version any more."""


async def pages(api: ApiClient, kind: Kind) -> AsyncGenerator[WireList[msgspec.Raw], None]:
    """A consistent list of everything of `kind`, page by page.

    Raises:
        ApiUnreachableError, ApiRefusedError: as of a request; with status 410 the list has to begin anew.
    """
    query = {**dict(kind.query), "limit": str(PAGE_OBJECTS)}
    while True:
        page = _list_decoder.decode((await api.request("GET", kind.path, query=query)).body)
        yield page
        if not page.metadata.continue_:
            return
        query["continue"] = page.metadata.continue_


async def list_events(api: ApiClient, kind: Kind, trouble: Trouble) -> list[Event]:
    """Everything of `kind` at one moment, as events; objects that cannot be read are told and left out.

    Raises:
        ApiUnreachableError, ApiRefusedError: as of a request.
    """
    events: list[Event] = []
    async with aclosing(pages(api, kind)) as listed:
        async for page in listed:
            for raw in page.items:
                try:
                    events.append(kind.read(raw).event)
                except ValueError as err:
                    trouble(kind.name, _unreadable(kind, raw, err))
    return events


class Watcher:
    """Watches one kind. `on_event` gets every event in order; `synced` once the first list is through."""

    def __init__(
        self,
        api: ApiClient,
        kind: Kind,
        *,
        on_event: Callable[[Event], None],
        trouble: Trouble,
        chance: Callable[[], float],
    ) -> None:
        """`chance` gives numbers from 0 to 1, to spread the retries of many watchers."""
        self.kind = kind
        self.synced = asyncio.Event()
        self.relists = 0
        self._api = api
        self._on_event = on_event
        self._trouble = trouble
        self._chance = chance
        self._known: dict[str, str] = {}
        self._version = ""
        self._pause_s = FIRST_PAUSE_S

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                await self._watch()
                self._pause_s = FIRST_PAUSE_S
            except _ExpiredError:
                self._version = ""
            except (ApiUnreachableError, ApiRefusedError, msgspec.DecodeError) as err:
                if isinstance(err, ApiRefusedError) and err.status == GONE:
                    self._version = ""
                self._trouble(self.kind.name, str(err))
                await asyncio.sleep(self._pause_s * (0.5 + self._chance()))
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _list(self) -> None:
        self.relists += 1
        seen: dict[str, str] = {}
        version = ""
        async with aclosing(pages(self._api, self.kind)) as listed:
            async for page in listed:
                version = page.metadata.resource_version
                for count, raw in enumerate(page.items, 1):
                    self._take(raw, seen)
                    if count % BREATH_OBJECTS == 0:
                        await asyncio.sleep(0)
        for key, identity in self._known.items():
            if seen.get(key) != identity:
                self._on_event(self.kind.gone(identity))
        self._known = seen
        self._version = version

    def _take(self, raw: msgspec.Raw, seen: dict[str, str]) -> None:
        try:
            sighting = self.kind.read(raw)
        except ValueError as err:
            self._trouble(self.kind.name, _unreadable(self.kind, raw, err))
            return
        older = self._known.get(sighting.key)
        if older is not None and older != sighting.identity:
            self._on_event(self.kind.gone(older))
            del self._known[sighting.key]
        seen[sighting.key] = sighting.identity
        self._on_event(sighting.event)

    async def _watch(self) -> None:
        query = {
            **dict(self.kind.query),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_S),
        }
        async with aclosing(self._api.stream(self.kind.path, query, silence_s=SILENCE_S)) as lines:
            async for line in lines:
                if line:
                    self._line(line)
                    self._pause_s = FIRST_PAUSE_S

    def _line(self, line: bytes) -> None:
        event = _event_decoder.decode(line)
        if event.type == "ERROR":
            status = _status_decoder.decode(event.object)
            if status.code == GONE:
                raise _ExpiredError
            raise ApiRefusedError(status.code, status.reason, status.message)
        if event.type == "BOOKMARK":
            self._version = _bookmark_decoder.decode(event.object).metadata.resource_version
            return
        key, identity, version = self.kind.identify(event.object)
        if event.type == "DELETED":
            self._known.pop(key, None)
            self._on_event(self.kind.gone(identity))
        else:
            self._take(event.object, self._known)
        self._version = version


def _unreadable(kind: Kind, raw: msgspec.Raw, err: ValueError) -> str:
    try:
        name = kind.identify(raw)[0]
    except ValueError:
        name = "an object without a name"
    return f"{name} cannot be read and is left out: {err}"
