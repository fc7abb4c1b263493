"""Plain HTTP on loopback before the API server: counts the service's writes, and can end the service at any of them."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Literal

import aiohttp
import msgspec
from aiohttp import web

from tests.cluster.harness.background import Background

HOST = "127.0.0.1"
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}

WriteKind = Literal["nominate", "ungate", "wake", "bind", "mark", "evict", "tell", "lease", "event", "claim", "other"]
PLAN_WRITES: frozenset[WriteKind] = frozenset({"nominate", "ungate", "wake", "bind"})
"""The writes that carry a plan out."""

CLAIM_WRITES: frozenset[WriteKind] = frozenset({*PLAN_WRITES, "mark", "evict"})
"""Those that clear room for a workload, and start it."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A write that the API server answered."""

    kind: WriteKind
    path: str
    status: int


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """Spring when the API server answered write number `index` of those of `kinds`, counted from 1.

    `cuts`: whoever writes does not get that answer, and nothing of theirs passes any more.
    """

    index: int
    spring: Callable[[], object]
    cuts: bool
    kinds: frozenset[WriteKind] = PLAN_WRITES


def kind_of(method: str, path: str, query: str, body: bytes) -> WriteKind | None:
    """What a request writes; None for one that only reads."""
    if method == "GET" or "dryRun" in query:
        return None
    if "/leases" in path:
        return "lease"
    if "/events" in path:
        return "event"
    if "/pods/" not in path:
        return "claim" if "/resourceclaims/" in path else "other"
    for end in ("bind", "evict"):
        if path.endswith({"bind": "/binding", "evict": "/eviction"}[end]):
            return "bind" if end == "bind" else "evict"
    if path.endswith("/status"):
        told: WriteKind = "mark" if b"bayplan.dev/MakesWay" in body else "tell"
        return "nominate" if b"nominatedNodeName" in body else told
    return "ungate" if b"schedulingGates" in body else "wake"


class ApiProxy:
    """Made by `begin`. One plan write passes at a time, so that their order is certain."""

    def __init__(self, server: str, tls: ssl.SSLContext) -> None:
        self._server = server
        self._tls = tls
        self._one = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._trap: Trap | None = None
        self._count = 0
        self._cut = self._sprung = False
        self.writes: list[Write] = []
        self.port = 0

    @classmethod
    def begin(cls, background: Background, server: str, tls: ssl.SSLContext) -> "ApiProxy":
        async def make() -> "ApiProxy":
            proxy = cls(server, tls)
            await proxy._start()
            return proxy

        return background.call(make())

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def set_trap(self, trap: Trap | None) -> None:
        """Wait for a write from here on; the count of plan writes begins anew. Also mends a cut line."""
        self._trap = trap
        self._count = 0
        self._cut = self._sprung = False

    @property
    def plan_writes(self) -> int:
        """How many writes of plans the API server took."""
        return sum(write.kind in PLAN_WRITES and write.status < 300 for write in self.writes)

    @property
    def sprung(self) -> bool:
        """Whether the trap has sprung."""
        return self._sprung

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        kind = kind_of(request.method, request.path, request.query_string, body)
        if kind not in (PLAN_WRITES if self._trap is None else self._trap.kinds):
            return await self._pass_on(request, body, kind)
        async with self._one:
            self._count += 1
            index, trap = self._count, self._trap
            response = await self._pass_on(request, body, kind)
            if trap is not None and trap.index == index:
                self._cut = trap.cuts
                # In a thread: some springs wait for their victim's end.
                try:
                    await asyncio.to_thread(trap.spring)
                finally:
                    self._sprung = True
                if trap.cuts:
                    _hang_up(request)
            return response

    async def _pass_on(self, request: web.Request, body: bytes, kind: WriteKind | None) -> web.StreamResponse:
        if self._cut:
            _hang_up(request)
            raise web.HTTPServiceUnavailable
        assert self._session is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        try:
            upstream = self._session.request(
                request.method, self._server + request.path_qs, data=body or None, headers=headers
            )
            async with upstream as answer:
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
                if request.query.get("watch") in ("1", "true"):
                    return await self._stream(request, answer, kept)
                data = await answer.read()
                if kind is not None:
                    self.writes.append(Write(kind=kind, path=request.path, status=answer.status))
                return web.Response(status=answer.status, body=data, headers=kept)
        except aiohttp.ClientError as err:
            _hang_up(request)
            raise web.HTTPBadGateway(text=str(err)) from err

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for data in answer.content.iter_any():
                await response.write(data)
        return response


def _hang_up(request: web.Request) -> None:
    """Close the connection without an answer, as a broken network does."""
    if request.transport is not None:
        request.transport.close()
