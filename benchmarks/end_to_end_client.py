"""The load: creates pods many at once, sees them bound, clears everything away. The same for every scheduler."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Self

import msgspec

from benchmarks.workloads import NAMESPACE, Batch, Json
from scheduler.kube.api import ApiClient, ApiRefusedError

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_EVENTS = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
_AT_ONCE = 32
_SILENCE_S = 600.0
_CLEAR_S = 180.0
_POLL_S = 0.1
_NOW = b'{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}'
_CONFLICT, _NOT_FOUND = 409, 404


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""
    resourceVersion: str = ""  # noqa: N815  the API's spelling


class _Spec(msgspec.Struct, frozen=True):
    nodeName: str = ""  # noqa: N815


class _Object(msgspec.Struct):
    metadata: _Meta = _Meta()
    spec: _Spec = _Spec()


class _Event(msgspec.Struct):
    type: str
    object: _Object


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[_Object]


class _Resource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool


class _Resources(msgspec.Struct):
    resources: list[_Resource]


_EVENT = msgspec.json.Decoder(_Event)
_LIST = msgspec.json.Decoder(_List)


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one run, in seconds from its first request.

    Attributes:
        pods: how many pods were created.
        created_s: when the last pod was created.
        bound_s: when each pod was seen with a node, in order; fewer than `pods` where the time was up.
    """

    pods: int
    created_s: float
    bound_s: Sequence[float]

    @property
    def complete(self) -> bool:
        """Whether all pods were bound."""
        return len(self.bound_s) == self.pods

    @property
    def all_bound_s(self) -> float:
        """When the last pod was bound."""
        return self.bound_s[-1]

    @property
    def spread_s(self) -> float:
        """From the first to the last pod bound."""
        return self.bound_s[-1] - self.bound_s[0]

    @property
    def rate(self) -> float:
        """Pods bound a second, from the first request on."""
        return self.pods / self.bound_s[-1]


class Load:
    """A client of the cluster that is measured."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._plurals: dict[str, Sequence[_Resource]] = {}

    @classmethod
    @asynccontextmanager
    async def on(cls, kubeconfig: Path) -> AsyncGenerator[Self]:
        """A load on the cluster of a kubeconfig.

        Raises:
            LoginError: the kubeconfig cannot be used.
        """
        async with await ApiClient.connect(kubeconfig, parallel=_AT_ONCE, timeout_s=60.0) as api:
            yield cls(api)

    async def ensure(self, wanted: Json) -> None:
        """Create an object unless one of its name is there.

        Raises:
            ApiRefusedError: the API server will not have it.
        """
        try:
            await self._api.request("POST", await self._path(wanted), body=msgspec.json.encode(wanted))
        except ApiRefusedError as err:
            if err.status != _CONFLICT:
                raise

    async def remove(self, known: Json) -> None:
        """Delete an object if it is there."""
        try:
            await self._api.request("DELETE", f"{await self._path(known)}/{known['metadata']['name']}", body=_NOW)
        except ApiRefusedError as err:
            if err.status != _NOT_FOUND:
                raise

    async def _path(self, wanted: Json) -> str:
        version: str = wanted["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._plurals:
            answer = await self._api.request("GET", root)
            self._plurals[version] = msgspec.json.decode(answer.body, type=_Resources).resources
        for resource in self._plurals[version]:
            if resource.kind == wanted["kind"] and "/" not in resource.name:
                metadata: Mapping[str, str] = wanted["metadata"]
                place = f"/namespaces/{metadata.get('namespace', NAMESPACE)}" if resource.namespaced else ""
                return f"{root}{place}/{resource.name}"
        raise ApiRefusedError(_NOT_FOUND, "", f"the cluster knows no {wanted['kind']} of {version}")

    async def measure(self, batch: Batch, *, timeout_s: float) -> Timeline:
        """Create the batch and watch until all its pods have a node, or `timeout_s` is over."""
        listed = _LIST.decode((await self._api.request("GET", PODS, query={"limit": "1"})).body)
        version = listed.metadata.resourceVersion
        bound: dict[str, float] = {}
        began_s = time.perf_counter()
        watching = asyncio.create_task(self._watch_bound(version, len(batch.pods), bound))
        for wanted in batch.objects:
            await self._api.request("POST", await self._path(wanted), body=msgspec.json.encode(wanted))
        await self.create(batch.pods)
        created_s = time.perf_counter() - began_s
        try:
            async with asyncio.timeout(timeout_s):
                await watching
        except TimeoutError:
            pass
        at = sorted(moment - began_s for moment in bound.values())
        return Timeline(pods=len(batch.pods), created_s=created_s, bound_s=at)

    async def create(self, pods: Iterable[bytes]) -> None:
        """Create these pods, many at once.

        Raises:
            ExceptionGroup: the API server refused one, or did not answer.
        """
        left = iter(pods)
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._create_from(left))

    async def _create_from(self, pods: Iterator[bytes]) -> None:
        for body in pods:
            await self._api.request("POST", PODS, body=body)

    async def _watch_bound(self, version: str, wanted: int, bound: dict[str, float]) -> None:
        """Note when each pod is first seen with a node. A watch that the server ends goes on where it ended."""
        query = {"watch": "1", "fieldSelector": "spec.nodeName!="}
        while len(bound) < wanted:
            lines = self._api.stream(PODS, {**query, "resourceVersion": version}, silence_s=_SILENCE_S)
            async with aclosing(lines):
                async for line in lines:
                    seen = _EVENT.decode(line)
                    if seen.type == "ERROR":
                        raise ApiRefusedError(0, "", f"the watch of {PODS} broke: {line.decode()[:500]}")
                    version = seen.object.metadata.resourceVersion
                    if seen.type in ("ADDED", "MODIFIED"):
                        bound.setdefault(seen.object.metadata.name, time.perf_counter())
                    if len(bound) == wanted:
                        return

    async def clear(self, objects: Sequence[Json] = ()) -> None:
        """Delete all pods and events of the namespace and `objects`, and wait until the pods are gone.

        Raises:
            TimeoutError: they were not within three minutes.
        """
        async with asyncio.timeout(_CLEAR_S):
            await self._api.request("DELETE", PODS, body=_NOW, timeout_s=_CLEAR_S)
            for known in objects:
                await self.remove(known)
            await self._until_empty()
            await self._api.request("DELETE", _EVENTS, body=_NOW, timeout_s=_CLEAR_S)

    async def _until_empty(self) -> None:
        while True:
            listed = await self._api.request("GET", PODS, query={"limit": "1"})
            if not _LIST.decode(listed.body).items:
                return
            await asyncio.sleep(_POLL_S)

    async def text(self, path: str) -> str:
        """What the API server answers at `path`, such as its metrics."""
        return (await self._api.request("GET", path)).body.decode()
