"""Stands between kube-scheduler and the extender, and keeps what kube-scheduler asked.

In a test:

    async with recording(f"http://127.0.0.1:{extender_port}", folder) as port:
        ...  # kube-scheduler's urlPrefix is http://127.0.0.1:{port}

By hand: `python -m tests.extender.record --upstream http://127.0.0.1:9200 --port 9201 --into tests/extender/recorded`.

Each file `VERB-NNN.json` is one request body as it came, byte for byte. Requests that differ from a kept one only in
names, ids, times and numbers are not kept again.
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

_BODY_BYTES = 64 << 20


class Recorder:
    """Keeps one example of each shape of request."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._shapes = {_shape(_verb(file), json.loads(file.read_bytes())) for file in folder.glob("*.json")}

    def keep(self, verb: str, body: bytes) -> None:
        shape = _shape(verb, json.loads(body))
        if shape not in self._shapes:
            self._shapes.add(shape)
            number = len(list(self._folder.glob(f"{verb}-*.json")))
            (self._folder / f"{verb}-{number:03}.json").write_bytes(body)


def _verb(file: Path) -> str:
    return file.stem.rpartition("-")[0]


def _shape(verb: str, request: object) -> str:
    """The verb and the structure of the request; lists count as empty, of one, or of many."""
    return verb + json.dumps(_structure(request))


_NAMED = {"NodeNameToMetaVictims", "labels", "annotations"}  # maps whose keys are names, not part of a structure


def _structure(value: Any) -> Any:  # noqa: ANN401  any JSON
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return [[k, len(v) if k in _NAMED and v else _structure(v)] for k, v in sorted(fields.items())]
        case list():
            items = cast("list[Any]", value)
            return [min(len(items), 2), *sorted({json.dumps(_structure(v)) for v in items})]
        case None:
            return None
        case _:
            return type(value).__name__


@contextlib.asynccontextmanager
async def recording(upstream: str, folder: Path, port: int = 0) -> AsyncGenerator[int]:
    """Passes requests on to `upstream` while it lasts; gives the port it listens on."""
    recorder = Recorder(folder)
    async with ClientSession(timeout=ClientTimeout(total=None), connector=TCPConnector(limit=0)) as session:

        async def pass_on(request: web.Request) -> web.Response:
            body = await request.read()
            if request.method == "POST":
                recorder.keep(request.path.strip("/"), body)
            async with session.request(request.method, upstream + request.path, data=body) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

        app = web.Application(client_max_size=_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", required=True, help="URL of the extender")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path(__file__).parent / "recorded")
    options = parser.parse_args()
    async with recording(options.upstream, options.into, options.port) as port:
        print(f"recording on http://127.0.0.1:{port} (Ctrl-C ends it)")  # noqa: T201  tells where to point at
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
