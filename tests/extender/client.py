"""A small HTTP/1.1 client that shows what is on the wire."""

import asyncio
import json
import ssl
from types import TracebackType
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  what the server wrote
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Connection:
    """One TCP (or TLS) connection, used as a context."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    async def call(self, method: str, path: str, body: bytes = b"", *headers: str) -> Answer:
        self.writer.write(request(method, path, body, *headers))
        return await self.answer(head_only=method == "HEAD")

    async def answer(self, *, head_only: bool = False) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        assert head[0].startswith("HTTP/1.1 ")
        assert "transfer-encoding" not in headers, "kube-scheduler would open a new connection for each call"
        body = b"" if head_only else await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def at_end(self) -> bool:
        """Waits until the server has closed the connection, or sent something more."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


async def once(port: int, method: str, path: str, body: bytes = b"") -> Answer:
    async with Connection(port) as connection:
        return await connection.call(method, path, body)
