"""Every event of every pod from the moment the watch began; while the API server is away some may be lost."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Literal, cast

import msgspec

from scheduler.kube.api import ApiClient, ApiError
from scheduler.localcluster.api import Json
from tests.cluster.harness.background import Background

PODS = "/api/v1/pods"
RETRY_S = 0.05
POLL_S = 0.1
"""How often a condition that no pod event announces is looked at again."""

SILENCE_S = 120.0


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `at_s` is when it came, on the monotonic clock."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    pod: Json
    at_s: float

    @property
    def name(self) -> str:
        return cast("str", self.pod["metadata"]["name"])

    @property
    def node(self) -> str | None:
        return cast("str | None", self.pod["spec"].get("nodeName"))


class PodWatch:
    """The pods as they are, and all that happened to them. Made by `begin`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pods: dict[str, Json] = {}
        self._history: list[Sighting] = []
        self._last_s = time.monotonic()
        self._version = ""
        self._end: Callable[[], object] = bool

    @classmethod
    def begin(cls, background: Background, kubeconfig: Path) -> "PodWatch":
        watch = cls()
        client = background.call(ApiClient.connect(kubeconfig))
        background.call(watch._list(client))
        watch._end = background.start(watch._follow(client)).cancel
        return watch

    def end(self) -> None:
        self._end()

    async def _list(self, client: ApiClient) -> None:
        listed: Json = json.loads((await client.request("GET", PODS)).body)
        self._version = listed["metadata"]["resourceVersion"]
        pods = {pod["metadata"]["uid"]: pod for pod in cast("list[Json]", listed["items"])}
        known = dict(self._pods)
        for uid in known.keys() - pods.keys():
            self._take("DELETED", known[uid])
        for uid, pod in pods.items():
            if uid not in known or known[uid] != pod:
                self._take("MODIFIED" if uid in known else "ADDED", pod)

    async def _follow(self, client: ApiClient) -> None:
        async with client:
            while True:
                query = {"watch": "true", "resourceVersion": self._version}
                try:
                    async with aclosing(client.stream(PODS, query, silence_s=SILENCE_S)) as lines:
                        async for line in lines:
                            event: Json = json.loads(line)
                            if event["type"] == "ERROR":
                                # The version is too old for an API server that has just come back.
                                await self._list(client)
                                break
                            self._version = event["object"]["metadata"]["resourceVersion"]
                            self._take(event["type"], event["object"])
                except ApiError:
                    await asyncio.sleep(RETRY_S)

    def _take(self, kind: Literal["ADDED", "MODIFIED", "DELETED"], pod: Json) -> None:
        with self._changed:
            self._last_s = time.monotonic()
            self._history.append(Sighting(kind=kind, pod=pod, at_s=self._last_s))
            if kind == "DELETED":
                self._pods.pop(pod["metadata"]["uid"], None)
            else:
                self._pods[pod["metadata"]["uid"]] = pod
            self._changed.notify_all()

    def pods(self) -> list[Json]:
        """The pods of this moment, by name."""
        with self._changed:
            pods = list(self._pods.values())
        return sorted(pods, key=lambda p: (p["metadata"]["namespace"], p["metadata"]["name"]))

    def has_seen(self, listed: Json) -> bool:
        """Whether the watch knows all that a list of all pods has, or newer, and has seen the others go."""
        with self._changed:
            known = dict(self._pods)
            gone = {s.pod["metadata"]["uid"] for s in self._history if s.kind == "DELETED"}
        pods = {pod["metadata"]["uid"]: pod for pod in cast("list[Json]", listed["items"])}
        seen = all(uid in gone or (uid in known and _version(known[uid]) >= _version(pod)) for uid, pod in pods.items())
        return seen and all(uid in pods or _version(pod) > _version(listed) for uid, pod in known.items())

    def history(self) -> Sequence[Sighting]:
        """Everything that happened since the last `forget`."""
        with self._changed:
            return tuple(self._history)

    def forget(self) -> None:
        """A new scenario begins."""
        with self._changed:
            self._history.clear()

    @property
    def quiet_s(self) -> float:
        """Seconds since the last event."""
        with self._changed:
            return time.monotonic() - self._last_s

    def wait(self, done: Callable[[], object], timeout_s: float) -> bool:
        """Ask `done` at every event, and now and then besides, until it says yes; False where it never did."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left_s, POLL_S))
        return True


def _version(read: Json) -> int:
    """Since Kubernetes 1.35 resource versions may be compared as numbers (KEP-5504)."""
    return int(read["metadata"]["resourceVersion"])
