"""Which foreign kinds the API server has, asked again and again, and the watches of those that are there."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.dialects.foreign import ForeignKind
from scheduler.kube.dialects.kinds import DEVICE_KINDS, FOREIGN_KINDS, kind_of
from scheduler.kube.translate import Kind
from scheduler.kube.watch import Trouble, Watcher
from scheduler.kube.wire import Wire
from scheduler.state.events import Event

LOOK_PERIOD_S = 30.0
"""How soon a kind is noticed that comes while the service runs; one that goes, within twice that."""

PATIENCE_S = 10.0
"""How long the first lists of foreign kinds are waited for. Without them their gangs wait, and nothing else does."""

ABSENT = frozenset({403, 404})
"""Not served, or not ours to read: either way it is as if the kind were not there."""

NAME = "foreign kinds"

DEVICE_NAMES = frozenset(kind.name for kind in DEVICE_KINDS)


class _Version(Wire, frozen=True, kw_only=True):
    version: str = ""


class _Group(Wire, frozen=True, kw_only=True):
    name: str = ""
    versions: list[_Version] = msgspec.field(default_factory=list[_Version])


class _Groups(Wire, frozen=True, kw_only=True):
    groups: list[_Group] = msgspec.field(default_factory=list[_Group])


class _Resource(Wire, frozen=True, kw_only=True):
    name: str = ""


class _Resources(Wire, frozen=True, kw_only=True):
    resources: list[_Resource] = msgspec.field(default_factory=list[_Resource])


_groups = msgspec.json.Decoder(_Groups)
_resources = msgspec.json.Decoder(_Resources)


async def foreign_kinds(api: ApiClient) -> tuple[Kind, ...]:
    """Those of the foreign kinds that the API server has and lets us list, each in the best version that it serves.

    Raises:
        ApiUnreachableError, ApiRefusedError: the API server could not be asked.
    """
    groups = _groups.decode((await api.request("GET", "/apis")).body).groups
    served = {group.name: {version.version for version in group.versions} for group in groups}
    plurals: dict[tuple[str, str], frozenset[str]] = {}
    found: list[Kind] = []
    for foreign in (*DEVICE_KINDS, *FOREIGN_KINDS):
        version = await _served(api, foreign, served, plurals)
        if version is not None:
            kind = kind_of(foreign, version)
            if await _listed(api, kind):
                found.append(kind)
    return tuple(found)


async def _served(
    api: ApiClient,
    foreign: ForeignKind,
    served: Mapping[str, set[str]],
    plurals: dict[tuple[str, str], frozenset[str]],
) -> str | None:
    """The first version of the kind that the API server has; None where it has none."""
    for version in foreign.versions:
        if version not in served.get(foreign.group, ()):
            continue
        at = (foreign.group, version)
        if at not in plurals:
            try:
                body = (await api.request("GET", f"/apis/{foreign.group}/{version}")).body
                plurals[at] = frozenset(resource.name for resource in _resources.decode(body).resources)
            except ApiRefusedError as err:
                if err.status not in ABSENT:
                    raise
                plurals[at] = frozenset()
        if foreign.plural in plurals[at]:
            return version
    return None


async def _listed(api: ApiClient, kind: Kind) -> bool:
    """Whether we may list the kind; other troubles with it are for its watch to tell."""
    try:
        await api.request("GET", kind.path, query={"limit": "1"})
    except ApiRefusedError as err:
        return err.status not in ABSENT
    return True


class ForeignWatchers:
    """Watches every foreign kind that there is. `looked` is set once those that were there first are known."""

    def __init__(
        self,
        api: ApiClient,
        *,
        on_event: Callable[[str], Callable[[Event], None]],
        trouble: Trouble,
        chance: Callable[[], float],
    ) -> None:
        """`on_event` gives what hears the events of the kind of a name."""
        self.looked = asyncio.Event()
        self._api = api
        self._on_event = on_event
        self._trouble = trouble
        self._chance = chance
        self._watched: dict[str, tuple[Watcher, asyncio.Task[None]]] = {}
        self._gone: set[str] = set()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are watched."""
        return tuple(watcher.kind for watcher, _ in self._watched.values())

    async def run(self, after: Iterable[asyncio.Event] = ()) -> None:
        """Watch until cancelled. What one of the watches raises ends all.

        `after`: what has to be set before the first look, as the first lists of other kinds: then the API server knows
        our rights.
        """
        for event in after:
            await event.wait()
        try:
            while True:
                try:
                    await self._look()
                except (ApiUnreachableError, ApiRefusedError, msgspec.DecodeError) as err:
                    self._trouble(NAME, str(err))
                if not self.looked.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PATIENCE_S):
                            await self._synced(self.kinds)
                    # A device that another claim has must not be given away because that is not known yet.
                    await self._synced(kind for kind in self.kinds if kind.name in DEVICE_NAMES)
                    self.looked.set()
                self._check()
                await asyncio.sleep(LOOK_PERIOD_S)
        finally:
            for _, task in self._watched.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._watched.values()), return_exceptions=True)

    async def _synced(self, kinds: Iterable[Kind]) -> None:
        """Until the first lists of these kinds are through."""
        for watcher, task in [self._watched[kind.path] for kind in kinds]:
            listed = asyncio.ensure_future(watcher.synced.wait())
            try:
                await asyncio.wait({listed, task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                listed.cancel()
            self._check()

    def _check(self) -> None:
        """Raise what a watch has ended with; they do not end otherwise."""
        for _, task in self._watched.values():
            if task.done():
                task.result()

    async def _look(self) -> None:
        """Start watching what has come, and forget what was gone the last time already.

        An API server that has just started answers for a moment as if kinds and rights were not there.
        """
        there = {kind.path: kind for kind in await foreign_kinds(self._api)}
        gone = {path for path in self._watched if path not in there}
        for path in sorted(gone & self._gone):
            watcher, task = self._watched.pop(path)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            watcher.forget()
        self._gone = gone & self._watched.keys()
        for path, kind in there.items():
            if path not in self._watched:
                watcher = Watcher(
                    self._api,
                    kind,
                    on_event=self._on_event(kind.name),
                    trouble=self._trouble,
                    chance=self._chance,
                )
                self._watched[path] = (watcher, asyncio.ensure_future(watcher.run()))
