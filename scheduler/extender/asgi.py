"""The extender as an ASGI application: routes, bodies within their limits, and answers with a Content-Length.

Every answer that can be is HTTP 200 on a connection that stays open: kube-scheduler opens a new connection after
anything else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, assert_never

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from scheduler.extender.handlers import NO_PREEMPTION, NO_SCORES, Handlers, failed_bind, failed_filter
from scheduler.extender.limits import Limits
from scheduler.telemetry import EXTENDER_REQUEST_DURATION, EXTENDER_RULINGS, Telemetry

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

NotReady = Callable[[], Sequence[str]]
"""Why the service is not ready, one reason an entry; empty: it is ready."""

Page = Callable[[], Awaitable[bytes]]
"""A page of the service's own, as JSON; called on the extender's loop."""

Verb = Literal["filter", "prioritize", "preempt", "bind"]

_VERBS: dict[str, Verb] = {
    "/filter": "filter",
    "/prioritize": "prioritize",
    "/preempt": "preempt",
    "/bind": "bind",
}
_PAGES = ("/healthz", "/readyz", "/metrics")
_PATHS = ", ".join((*_VERBS, *_PAGES))
_TEXT = b"text/plain; charset=utf-8"
_JSON = b"application/json"

STOPPING = "the extender is stopping"


class _Body(msgspec.Struct, frozen=True):
    """A whole body."""

    data: bytes


class _Unfit(msgspec.Struct, frozen=True):
    """No body to work with. `at_end`: the rest of the connection is in order."""

    why: str
    at_end: bool


class _Gone(msgspec.Struct, frozen=True):
    """The client hung up."""


class ExtenderApp:
    """The application. All of it runs on one loop; `closing` is set when what is still held has to end."""

    def __init__(
        self,
        handlers: Handlers,
        telemetry: Telemetry,
        not_ready: NotReady,
        limits: Limits,
        pages: Mapping[str, Page],
    ) -> None:
        """`pages` are served by their paths beside the fixed ones."""
        self._pages = pages
        self._handlers = handlers
        self._telemetry = telemetry
        self._not_ready = not_ready
        self._limits = limits
        self.closing = asyncio.Event()
        self.stopping = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one request."""
        began_s = time.perf_counter()
        path, method = scope["path"], scope["method"]
        verb = _VERBS.get(path)
        body = await self._body(receive)
        match body:
            case _Gone():
                return
            case _Unfit(why, at_end):
                more = () if at_end else ((b"connection", b"close"),)
                if verb is None:
                    await _answer(send, f"{why}\n".encode(), status=413 if at_end else 408, kind=_TEXT, more=more)
                else:
                    self._telemetry.count(EXTENDER_RULINGS, verb, "malformed")
                    await _answer(send, _failed(verb, why), more=more)
            case _Body(data):
                if verb is not None and method == "POST":
                    await self._verb(verb, data, receive, send)
                    self._telemetry.observe(EXTENDER_REQUEST_DURATION, time.perf_counter() - began_s, verb)
                elif path in self._pages and method == "GET":
                    await _answer(send, await self._pages[path]())
                elif path in _PAGES and method in ("GET", "HEAD"):
                    await self._page(path, send)
                else:
                    await _nothing_here(path, method, send)
            case _:
                assert_never(body)

    async def _page(self, path: str, send: Send) -> None:
        if path == "/healthz":
            await _answer(send, b"ok\n", kind=_TEXT)
        elif path == "/metrics":
            # In a thread: rendering takes milliseconds, which a filter call would wait.
            text = await asyncio.to_thread(self._telemetry.exposition)
            await _answer(send, text, kind=CONTENT_TYPE_LATEST.encode())
        else:
            reasons = [STOPPING] if self.stopping else self._not_ready()
            text = "".join(f"{reason}\n" for reason in reasons) or "ready\n"
            await _answer(send, text.encode(), status=503 if reasons else 200, kind=_TEXT)

    async def _verb(self, verb: Verb, data: bytes, receive: Receive, send: Send) -> None:
        reply = await self._bind(data, receive) if verb == "bind" else self._reply(verb, data)
        if reply is not None:
            await _answer(send, reply)

    def _reply(self, verb: Literal["filter", "prioritize", "preempt"], data: bytes) -> bytes:
        match verb:
            case "filter":
                return self._handlers.filter(data)
            case "prioritize":
                return self._handlers.prioritize(data)
            case "preempt":
                return self._handlers.preempt(data)
            case _:
                assert_never(verb)

    async def _body(self, receive: Receive) -> _Body | _Unfit | _Gone:
        """The body; of one that is too long, the rest is read and dropped, so that the client gets to our answer."""
        limit = self._limits
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limit.body_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return _Gone()
                    size += len(message["body"])
                    if size <= limit.body_bytes:
                        parts.append(message["body"])
                    else:
                        parts.clear()
                    if not message["more_body"]:
                        break
        except TimeoutError:
            return _Unfit(f"the body did not arrive within {limit.body_s:g} s", at_end=False)
        if size > limit.body_bytes:
            return _Unfit(f"the body has {size} bytes; at most {limit.body_bytes} are read", at_end=True)
        return _Body(parts[0] if len(parts) == 1 else b"".join(parts))

    async def _bind(self, data: bytes, receive: Receive) -> bytes | None:
        """The answer of bind; None where nobody waits for one any more."""
        bind = asyncio.ensure_future(self._handlers.bind(data))
        hung_up = asyncio.ensure_future(receive())
        closing = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait((bind, hung_up, closing), return_when=asyncio.FIRST_COMPLETED)
            if bind.done():
                return bind.result()
            word = "hung_up" if hung_up.done() else "stopping"
            self._telemetry.count(EXTENDER_RULINGS, "bind", word)
            return None if hung_up.done() else failed_bind(STOPPING)
        finally:
            for task in (bind, hung_up, closing):
                task.cancel()


def _failed(verb: Verb, why: str) -> bytes:
    match verb:
        case "filter":
            return failed_filter(why)
        case "prioritize":
            return NO_SCORES
        case "preempt":
            return NO_PREEMPTION
        case "bind":
            return failed_bind(why)
        case _:
            assert_never(verb)


async def _nothing_here(path: str, method: str, send: Send) -> None:
    if path in _VERBS or path in _PAGES:
        want = "POST" if path in _VERBS else "GET"
        text = f"{path} takes {want}, not {method}\n"
        await _answer(send, text.encode(), status=405, kind=_TEXT, more=((b"allow", want.encode()),))
    else:
        await _answer(send, f"nothing is at this path; there are {_PATHS}\n".encode(), status=404, kind=_TEXT)


async def _answer(
    send: Send,
    body: bytes,
    *,
    status: int = 200,
    kind: bytes = _JSON,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
