"""Why workloads lost pods, read back from Events."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scheduler.kube.api import Response
from scheduler.kube.effects import Effects, PodRef
from scheduler.kube.http import Method
from scheduler.kube.translate_eviction import ToldEviction, told_evictions
from scheduler.model.names import PodUid, WorkloadKey

GANG = WorkloadKey("gang:ns/train")


class Events:
    """Keeps events, and lists them two at a time."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        if method == "POST":
            self.kept.append(json.loads(body or b""))
            return Response(status=201, body=b"{}")
        query = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
        reason = query["fieldSelector"].removeprefix("reason=")
        found = [event for event in self.kept if event["reason"] == reason]
        start = int(query.get("continue", "0"))
        more = {"continue": str(start + 2)} if start + 2 < len(found) else {}
        return Response(status=200, body=json.dumps({"metadata": more, "items": found[start : start + 2]}).encode())


async def tell(store: Events, name: str, reason: str, note: str, evicted: WorkloadKey | None) -> None:
    effects = Effects(store, may_write=lambda: True, concurrency=1, instance="test")
    pod = PodRef(uid=PodUid(name), namespace="ns", name=name)
    await effects.event(pod, reason=reason, note=note, evicted=evicted)


async def test_the_latest_word_on_each_workload_is_found_on_whatever_page_it_stands() -> None:
    store = Events()
    for index in range(5):
        await tell(store, f"p{index}", "Reclaimed", f"word {index}", GANG)
    await tell(store, "q", "Preempted", "another", WorkloadKey("pod:ns/q"))
    await tell(store, "r", "Started", "not asked for", GANG)
    await tell(store, "s", "Reclaimed", "of somebody else", None)
    for index, event in enumerate(store.kept):
        event["eventTime"] = f"2026-11-21T20:00:{index % 4:02}.000000Z"
    found = await told_evictions(store, ("Reclaimed", "Preempted"))
    assert [(each.workload, each.text) for each in found] == [(GANG, "word 3"), ("pod:ns/q", "another")]
    assert found[0].at_s - found[1].at_s == 2


async def test_no_events_are_no_words() -> None:
    assert await told_evictions(Events(), ("Reclaimed",)) == list[ToldEviction]()
