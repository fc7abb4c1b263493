"""Between kube-scheduler and the service: what a Service object is in a real cluster, and a place to hold calls."""

import asyncio
import json
from typing import TYPE_CHECKING, cast

import aiohttp
import msgspec
from aiohttp import web

from scheduler.localcluster.api import Json
from tests.cluster.harness.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable

HOLD_S = 60.0
"""The longest that a call is held; kube-scheduler hangs up after 30 s anyway."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of kube-scheduler and the service's answer, None where it gave none."""

    verb: str
    request: Json
    answer: object

    @property
    def pod(self) -> str:
        """Name of the pod that the call is about."""
        return pod_of(self.verb, self.request)


def pod_of(verb: str, request: Json) -> str:
    if verb == "bind":
        return cast("str", request["PodName"])
    return cast("str", request["Pod"]["metadata"]["name"])


class Front:
    """Listens where kube-scheduler looks for its extender. Made by `begin`.

    `keep` is given each call's verb and body. Of several `upstreams` a call goes to the first that is ready, as through
    a Service object; a single one gets all.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self.upstreams: tuple[str, ...] = ()
        self.calls: list[Call] = []
        self.keep: Callable[[str, bytes], object] | None = None
        self._held: dict[tuple[str, str], asyncio.Event] = {}
        self._waiting: dict[tuple[str, str], Json] = {}
        self._passed_on: set[tuple[str, str]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    @classmethod
    def begin(cls, background: Background, host: str, port: int) -> "Front":
        async def make() -> "Front":
            front = cls(background)
            await front._start(host, port)
            return front

        return background.call(make())

    async def _start(self, host: str, port: int) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{verb}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, reuse_address=True).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def hold(self, verb: str, pod: str) -> None:
        """Hold calls of this verb on this pod from now on."""
        self._held[verb, pod] = asyncio.Event()

    def let_go(self, verb: str, pod: str) -> None:
        """Send what is held on its way; further calls pass."""
        self._background.loop.call_soon_threadsafe(self._held.pop((verb, pod)).set)

    def held(self, verb: str, pod: str) -> Json | None:
        """The call that stands here waiting; None where none does."""
        return self._waiting.get((verb, pod))

    def asks(self, verb: str, pod: str) -> bool:
        """Whether such a call is with the service, which has not answered it yet."""
        return (verb, pod) in self._passed_on

    def answered(self, verb: str, pod: str) -> list[object]:
        """What the service answered to such calls."""
        return [call.answer for call in self.calls if (call.verb, call.pod) == (verb, pod)]

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        verb = request.match_info["verb"]
        asked = cast("Json", json.loads(body))
        if self.keep is not None:
            self.keep(verb, body)
        key = (verb, pod_of(verb, asked))
        held = self._held.get(key)
        if held is not None:
            self._waiting[key] = asked
            try:
                async with asyncio.timeout(HOLD_S):
                    await held.wait()
            except TimeoutError:
                return web.Response(status=504)
            finally:
                self._waiting.pop(key, None)
        self._passed_on.add(key)
        try:
            return await self._ask(verb, asked, body)
        finally:
            self._passed_on.discard(key)

    async def _ask(self, verb: str, asked: Json, body: bytes) -> web.Response:
        assert self._session is not None
        upstream = await self._upstream()
        if upstream is None:
            return web.Response(status=503)
        try:
            async with self._session.post(f"{upstream}/{verb}", data=body) as answer:
                data = await answer.read()
                self.calls.append(Call(verb=verb, request=asked, answer=json.loads(data)))
                return web.Response(status=answer.status, body=data, content_type="application/json")
        except aiohttp.ClientError:
            self.calls.append(Call(verb=verb, request=asked, answer=None))
            return web.Response(status=502)

    async def _upstream(self) -> str | None:
        if len(self.upstreams) == 1:
            return self.upstreams[0]
        assert self._session is not None
        for upstream in self.upstreams:
            try:
                async with self._session.get(f"{upstream}/readyz", timeout=aiohttp.ClientTimeout(total=0.5)) as answer:
                    if answer.status == 200:
                        return upstream
            except (aiohttp.ClientError, TimeoutError):
                continue
        return None
