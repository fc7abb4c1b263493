"""Compares what is believed with what the API server says, now and then and when asked."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

import msgspec

from scheduler.app import log
from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.translate import Kind
from scheduler.kube.watch import list_events
from scheduler.model.snapshot import Snapshot
from scheduler.state.audit import differences, violations
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event
from scheduler.telemetry import AUDIT_FINDINGS, Telemetry

SECOND_LOOK_S = 2.0
"""A watch may be this far behind a list; only what is found twice is a finding."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences on what is wrong; all empty where nothing is."""

    missed: tuple[str, ...] = ()
    redundant: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()

    def both(self, other: "Findings") -> "Findings":
        """What stands in both."""
        return Findings(
            **{
                name: tuple(text for text in getattr(self, name) if text in getattr(other, name))
                for name in Findings.__struct_fields__
            }
        )

    @property
    def count(self) -> int:
        """How many sentences."""
        return len(self.missed) + len(self.redundant) + len(self.different) + len(self.violations)


class Auditor:
    """Audits one state against one API server."""

    def __init__(
        self, api: ApiClient, state: ClusterState, kinds: Callable[[], tuple[Kind, ...]], telemetry: Telemetry
    ) -> None:
        """`kinds` gives those that are watched by now."""
        self._api = api
        self._state = state
        self._kinds = kinds
        self._telemetry = telemetry
        self._unclear: Mapping[str, bool] = {}

    async def audit(self) -> Findings:
        """Two looks, and what both found.

        Raises:
            ApiUnreachableError, ApiRefusedError: the lists could not be had.
        """
        first = await self._look()
        if first.count:
            await asyncio.sleep(SECOND_LOOK_S)
            first = first.both(await self._look())
        self._telemetry.replace(
            AUDIT_FINDINGS,
            {(name,): float(len(getattr(first, name))) for name in Findings.__struct_fields__},
        )
        return first

    async def run(self, period_s: float) -> None:
        """Audit every `period_s` until cancelled; 0 never."""
        if period_s <= 0:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(period_s)
            try:
                found = await self.audit()
            except (ApiUnreachableError, ApiRefusedError) as err:
                log.warning("no audit", why=err)
                continue
            if found.count:
                log.warning("the state is not what the API server has", **msgspec.structs.asdict(found))
            self._unclear, told = lasting(self._unclear, self._state.unclear())
            for text in told:
                log.warning(text)

    async def _look(self) -> Findings:
        fresh = [event for kind in self._kinds() for event in await self._listed(kind)]
        believed, snapshot = tuple(self._state.facts()), self._state.snapshot()
        # With 40,000 pods this takes a second, for which nobody else may wait.
        return await asyncio.to_thread(_findings, believed, fresh, snapshot)

    async def _listed(self, kind: Kind) -> Sequence[Event]:
        try:
            return await list_events(self._api, kind, lambda name, text: log.warning(text, kind=name))
        except ApiRefusedError as err:
            if err.status != HTTPStatus.NOT_FOUND:
                raise
            # Its definition was deleted, and all its objects with it; that is not noticed at once.
            return ()


def lasting(before: Mapping[str, bool], now: Iterable[str]) -> tuple[dict[str, bool], list[str]]:
    """What to remember until the next look, and of what is unclear what to tell: at the second look, and only then.

    Drivers write what belongs together step by step.
    """
    seen = {text: text in before for text in now}
    return seen, [text for text in seen if before.get(text) is False]


def _findings(believed: Iterable[Event], fresh: Iterable[Event], snapshot: Snapshot) -> Findings:
    report = differences(believed, fresh)
    return Findings(
        missed=report.missed,
        redundant=report.redundant,
        different=report.different,
        violations=tuple(violations(snapshot)),
    )
