import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from scheduler.exporter.pages import ListenError, Pages


class Said:
    healthy = ""
    ready = ""


@asynccontextmanager
async def served(said: Said) -> AsyncGenerator[int]:
    pages = Pages(lambda: said.healthy, lambda: said.ready, lambda: b"bayplan_x 1\n")
    port = await pages.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await pages.stop()


async def ask(port: int, request: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode("latin-1"))
    try:
        return (await asyncio.wait_for(reader.read(), 60)).decode()
    finally:
        writer.close()
        await writer.wait_closed()


async def get(port: int, path: str, method: str = "GET") -> str:
    return await ask(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")


async def test_pages_say_what_they_are_for() -> None:
    async with served(Said()) as port:
        assert (await get(port, "/metrics?x=1")).endswith("\r\n\r\nbayplan_x 1\n")
        assert (await get(port, "/healthz")).startswith("HTTP/1.1 200 OK\r\n")
        assert (await get(port, "/readyz")).endswith("\r\n\r\nok\n")
        assert (await get(port, "/metrics", "HEAD")).endswith("Connection: close\r\n\r\n")


async def test_what_is_missing_is_said() -> None:
    said = Said()
    said.healthy, said.ready = "no look for 100 s", "nothing is published yet"
    async with served(said) as port:
        assert (await get(port, "/healthz")).startswith("HTTP/1.1 503 ")
        assert (await get(port, "/readyz")).endswith("\r\n\r\nnothing is published yet\n")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [("GET / HTTP/1.1\r\n\r\n", "404"), ("POST /metrics HTTP/1.1\r\n\r\n", "405")],
)
async def test_other_requests_are_refused(request_text: str, status: str) -> None:
    async with served(Said()) as port:
        assert (await ask(port, request_text)).startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize(
    "noise", ["\x16\x03\x01\r\n\r\n", "GET " + "x" * 100_000, "GET / HTTP/1.1\r\n" + "a: b\r\n" * 200]
)
async def test_noise_ends_the_connection_and_nothing_else(noise: str) -> None:
    async with served(Said()) as port:
        with suppress(ConnectionError):
            assert await ask(port, noise) == ""
        assert (await get(port, "/healthz")).startswith("HTTP/1.1 200 ")


async def test_an_address_in_use_is_said() -> None:
    async with served(Said()) as port:
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: "):
            await Pages(str, str, bytes).start("127.0.0.1", port)
