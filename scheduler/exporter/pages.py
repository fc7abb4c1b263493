"""The pages `/healthz`, `/readyz` and `/metrics`, over as little HTTP as they need."""

import asyncio
import contextlib
from collections.abc import Callable

REQUEST_S = 10.0
LONGEST_LINE = 8192
MOST_LINES = 100

_WORDS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class ListenError(Exception):
    """The address cannot be listened on."""


class Pages:
    """A server of three pages. `healthy` and `ready` give "" or what is missing."""

    def __init__(self, healthy: Callable[[], str], ready: Callable[[], str], metrics: Callable[[], bytes]) -> None:
        self._healthy = healthy
        self._ready = ready
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, where 0 asked for a free one.

        Raises:
            ListenError: somebody else listens there, or the address is not one of this machine.
        """
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=LONGEST_LINE)
        except OSError as err:
            raise ListenError(f"cannot listen on {host}:{port}: {err.strerror or err}") from err
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(TimeoutError, ConnectionError, ValueError, asyncio.IncompleteReadError):
                async with asyncio.timeout(REQUEST_S):
                    method, path = await _request(reader)
                    writer.write(self._answer(method, path))
                    await writer.drain()
        finally:
            writer.close()

    def _answer(self, method: str, path: str) -> bytes:
        if method not in {"GET", "HEAD"}:
            return _response(405, b"GET is allowed\n")
        if path == "/metrics":
            return _response(200, self._metrics(), "text/plain; version=0.0.4; charset=utf-8", head=method == "HEAD")
        checks = {"/healthz": self._healthy, "/readyz": self._ready}
        if path not in checks:
            return _response(404, b"there are /healthz, /readyz and /metrics\n", head=method == "HEAD")
        missing = checks[path]()
        return _response(503 if missing else 200, f"{missing or 'ok'}\n".encode(), head=method == "HEAD")


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and path of a request, its headers read and passed over.

    Raises:
        ValueError: it is no request, or too long a one.
    """
    words = (await reader.readuntil(b"\n")).decode("latin-1").split()
    if len(words) != 3:
        raise ValueError("this is no HTTP request")
    for _ in range(MOST_LINES):
        if not (await reader.readuntil(b"\n")).strip():
            return words[0], words[1].partition("?")[0]
    raise ValueError("the request has too many headers")


def _response(status: int, body: bytes, content: str = "text/plain; charset=utf-8", *, head: bool = False) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {_WORDS[status]}",
        f"Content-Type: {content}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (b"" if head else body)
