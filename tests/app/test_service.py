"""A replica beside an API server that has nothing: what it does when a part of it breaks."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from scheduler.app.intake import Intake
from scheduler.app.reporter import Reporter
from scheduler.app.service import Addresses, Service
from scheduler.config import Settings
from scheduler.kube.discovery import ForeignWatchers
from tests.kube.scripted import CHUNKED_HEAD, Asked, ScriptedServer, answer, chunk, client_of

NODE = b'{"metadata":{"name":"n0","uid":"u0","resourceVersion":"2"},"spec":{},"status":{}}'

LONG_S = 180.0
"""Loading the solver takes long on a busy machine."""


async def bare(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """An API server without objects, which takes every write; one node comes after the first list."""
    url = urlsplit(asked.target)
    if asked.method != "GET":
        writer.write(answer(asked.body or b"{}"))
    elif "/leases/" in url.path:
        writer.write(answer(b"{}", "404 Not Found"))
    elif "watch" in parse_qs(url.query):
        writer.write(CHUNKED_HEAD)
        if url.path == "/api/v1/nodes":
            writer.write(chunk(b'{"type":"ADDED","object":' + NODE + b"}\n"))
        await writer.drain()
        await asyncio.Event().wait()
    else:
        writer.write(answer(b'{"metadata":{"resourceVersion":"1"},"items":[],"groups":[]}'))


async def serve(folder: Path) -> None:
    """Run a replica until it ends."""
    async with ScriptedServer(bare).running() as server, client_of(server, folder) as api:
        service = Service(api, Settings(), Addresses(http=("127.0.0.1", 0), grpc=("127.0.0.1", 0)))
        async with asyncio.timeout(LONG_S):
            await service.run(asyncio.Event())


def breaks(*_: object) -> None:
    raise KeyError("a part")


@pytest.mark.parametrize(
    ("part", "work"),
    [
        pytest.param(Reporter, "planned", id="what is told after a plan"),
        pytest.param(Intake, "take", id="a watch"),
    ],
)
def test_a_replica_whose_part_breaks_ends_instead_of_leading_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: type, work: str
) -> None:
    monkeypatch.setattr(part, work, breaks)
    with pytest.raises(KeyError, match="a part"):
        asyncio.run(serve(tmp_path))


def test_a_replica_ends_too_where_what_breaks_keeps_it_from_getting_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(_: ForeignWatchers, after: object) -> None:
        assert after
        breaks()

    monkeypatch.setattr(ForeignWatchers, "run", look)
    with pytest.raises(KeyError, match="a part"):
        asyncio.run(serve(tmp_path))
