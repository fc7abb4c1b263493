"""List and watch: everything of one kind as events, in order, through lost connections and expired versions.

The rules are those of client-go's reflector (tools/cache/reflector.go): list in pages, watch from the list's version
with bookmarks, go on from the last version seen after a broken connection, list anew where the server has forgotten
it (410).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.translate import Kind, Sighting
from scheduler.kube.wire import Identified, Status, WatchEvent, WireList
from scheduler.state.events import DevicesSeen, Event

PAGE_OBJECTS = 500
"""Objects of one page of a list (client-go, tools/pager `defaultPageSize`)."""

BREATH_OBJECTS = 50
"""After so many objects others get their turn on the event loop: about 3 ms of pods."""

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
            for count, raw in enumerate(page.items, 1):
                try:
                    events.append(kind.read(raw).event)
                except ValueError as err:
                    trouble(kind.name, _unreadable(kind, raw, err))
                if count % BREATH_OBJECTS == 0:
                    await asyncio.sleep(0)
    return events


class Watcher:
    """Watches one kind. `on_event` gets every event in order; `synced` is set once the first list is through.

    `relists` counts lists. `contact_s` is when the server was last heard, on the event loop's clock; None before.
    """

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
        self.contact_s: float | None = None
        self._api = api
        self._on_event = on_event
        self._trouble = trouble
        self._chance = chance
        self._known: dict[str, str] = {}
        self._told: dict[str, tuple[str, ...]] = {}
        self._version = ""
        self._pause_s = FIRST_PAUSE_S

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                heard = await self._watch()
            except _ExpiredError:
                self._version = ""
                heard = False
            except (ApiUnreachableError, ApiRefusedError, msgspec.DecodeError) as err:
                if isinstance(err, ApiRefusedError) and err.status == GONE:
                    self._version = ""
                self._trouble(self.kind.name, str(err))
                heard = False
            if not heard:
                await asyncio.sleep(self._pause_s * (0.5 + self._chance()))
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def forget(self) -> None:
        """Tell the end of everything that is known: the kind is not there any more."""
        while self._known:
            self._on_event(self.kind.gone(self._known.popitem()[1]))

    async def _list(self) -> None:
        """Tell everything that is there, and then the end of what is not there any more."""
        self.relists += 1
        seen: set[str] = set()
        version = ""
        async with aclosing(pages(self._api, self.kind)) as listed:
            async for page in listed:
                self._heard()
                # The first page's, as in client-go's pager: what happened while later pages came is then told again.
                version = version or page.metadata.resource_version
                for count, raw in enumerate(page.items, 1):
                    key = self._take(raw)
                    if key is not None:
                        seen.add(key)
                    if count % BREATH_OBJECTS == 0:
                        await asyncio.sleep(0)
        for key in [k for k in self._known if k not in seen]:
            self._on_event(self.kind.gone(self._known.pop(key)))
        self._version = version

    async def _watch(self) -> bool:
        """Follow the changes until the server ends the watch; whether it said anything."""
        query = {
            **dict(self.kind.query),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_S),
        }
        count = 0
        async with aclosing(self._api.stream(self.kind.path, query, silence_s=SILENCE_S)) as lines:
            async for line in lines:
                self._heard()
                self._line(line)
                self._pause_s = FIRST_PAUSE_S
                count += 1
                if count % BREATH_OBJECTS == 0:
                    await asyncio.sleep(0)
        return count > 0

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
        try:
            key, identity, version = self.kind.identify(event.object)
        except ValueError as err:
            self._trouble(self.kind.name, _unreadable(self.kind, event.object, err))
            return
        if event.type == "DELETED":
            if self._known.get(key) == identity:
                del self._known[key]
            self._on_event(self.kind.gone(identity))
        else:
            self._take(event.object)
        self._version = version

    def _take(self, raw: msgspec.Raw) -> str | None:
        """Tell an object as it is now; its key, where it has one. What cannot be read stays as it was last seen."""
        try:
            sighting = self.kind.read(raw)
        except ValueError as err:
            self._trouble(self.kind.name, _unreadable(self.kind, raw, err))
            return self._key_of_known(raw)
        older = self._known.get(sighting.key)
        if older is not None and older != sighting.identity:
            self._on_event(self.kind.gone(older))
        self._known[sighting.key] = sighting.identity
        self._tell_assumed(sighting)
        self._on_event(sighting.event)
        return sighting.key

    def _tell_assumed(self, sighting: Sighting) -> None:
        """Say what had to be assumed about an object, once as long as it stays the same."""
        if not isinstance(sighting.event, DevicesSeen):
            return
        assumed = sighting.event.assumed
        new = [text for text in assumed if text not in self._told.get(sighting.key, ())]
        if new:
            self._trouble(self.kind.name, f"{sighting.key}: {'; '.join(new)}")
        if assumed:
            self._told[sighting.key] = assumed
        else:
            self._told.pop(sighting.key, None)

    def _key_of_known(self, raw: msgspec.Raw) -> str | None:
        try:
            key, identity, _ = self.kind.identify(raw)
        except ValueError:
            return None
        return key if self._known.get(key) == identity else None

    def _heard(self) -> None:
        self.contact_s = asyncio.get_running_loop().time()


def _unreadable(kind: Kind, raw: msgspec.Raw, err: ValueError) -> str:
    try:
        name = kind.identify(raw)[0]
    except ValueError:
        name = "an object without a name"
    return f"{name} cannot be read and is left out: {err}"
