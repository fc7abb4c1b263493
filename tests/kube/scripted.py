"""A server that speaks HTTP/1.1 as a test tells it to, byte for byte."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
import yaml

from scheduler.kube.api import ApiClient


class Asked(msgspec.Struct, frozen=True):
    """A request that the server read."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_END = b"0\r\n\r\n"


class ScriptedServer:
    """Keeps what it was asked; `handler` writes the answers, and may close the connection."""

    def __init__(self, handler: Handler) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._handler = handler
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                asked = Asked(number, method, target, headers, body)
                self.asked.append(asked)
                await self._handler(asked, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """Close every connection from this side."""
        for writer in tuple(self._writers):
            writer.close()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator["ScriptedServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks)


def write_kubeconfig(
    path: Path, server: str, user: dict[str, object], cluster: dict[str, object] | None = None
) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path


@asynccontextmanager
async def client_of(
    server: ScriptedServer, folder: Path, *, parallel: int = 64, timeout_s: float = 10.0
) -> AsyncGenerator[ApiClient]:
    config = write_kubeconfig(folder / "config", f"http://127.0.0.1:{server.port}", {"token": "t0"})
    async with await ApiClient.connect(config, parallel=parallel, timeout_s=timeout_s) as api:
        yield api
