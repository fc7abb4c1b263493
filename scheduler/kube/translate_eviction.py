"""Why workloads lost pods, read back from the Events that were written then: they outlive the pods by an hour."""

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

import msgspec

from scheduler.kube.effects import EVENTS, Requests
from scheduler.kube.keys import EVICTED_ANNOTATION
from scheduler.kube.wire import Wire, WireList
from scheduler.model.names import WorkloadKey

PAGE = 500
MOST_PAGES = 20
"""Pods that were evicted in the last hour, beyond which nobody asks why."""


class ToldEviction(msgspec.Struct, frozen=True, kw_only=True):
    """Pods of `workload` were evicted at `at_s`, in seconds since 1970; `text` says for whom and why."""

    workload: WorkloadKey
    text: str
    at_s: int


class _Meta(Wire, frozen=True, kw_only=True):
    annotations: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class _Event(Wire, frozen=True, kw_only=True):
    metadata: _Meta = _Meta()
    note: str = ""
    event_time: datetime | None = None


async def told_evictions(api: Requests, reasons: Iterable[str], namespace: str | None = None) -> list[ToldEviction]:
    """The latest word on each workload that lost pods for one of these reasons, as far as Events are left.

    `namespace`: only of workloads there.

    Raises:
        ApiUnreachableError, ApiRefusedError: as of a request.
    """
    found: dict[WorkloadKey, ToldEviction] = {}
    for reason in sorted(reasons):
        where = "" if namespace is None else f"/namespaces/{namespace}"
        path = f"/apis/{EVENTS}{where}/events?limit={PAGE}&fieldSelector={quote(f'reason={reason}')}"
        more = ""
        for _ in range(MOST_PAGES):
            page = msgspec.json.decode((await api.request("GET", path + more)).body, type=WireList[_Event])
            for event in page.items:
                key, at = event.metadata.annotations.get(EVICTED_ANNOTATION), event.event_time
                if not key or at is None:
                    continue
                told = ToldEviction(workload=WorkloadKey(key), text=event.note, at_s=int(at.timestamp()))
                before = found.get(told.workload)
                if before is None or (before.at_s, before.text) < (told.at_s, told.text):
                    found[told.workload] = told
            if not page.metadata.continue_:
                break
            more = f"&continue={quote(page.metadata.continue_)}"
    return [found[key] for key in sorted(found)]
