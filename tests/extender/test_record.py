import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.extender.client import once
from tests.extender.conftest import Serve
from tests.extender.fakes import FakeGuard, args, bind_args, planned
from tests.extender.record import recording


def kept_in(folder: Path) -> Mapping[str, Any]:
    return {file.name: json.loads(file.read_bytes()) for file in folder.iterdir()}


async def test_requests_pass_through_and_one_of_each_shape_is_kept(serve: Serve, tmp_path: Path) -> None:
    server = serve(FakeGuard({"u1": planned("n2")}))
    async with recording(f"http://127.0.0.1:{server.port}", tmp_path) as port:
        for names in (["n1", "n2"], ["n1", "n2", "n3"], ["n2"]):
            assert (await once(port, "POST", "/filter", args(names))).json["NodeNames"] == ["n2"]
        await asyncio.gather(*(once(port, "POST", "/bind", bind_args(f"u{i}")) for i in range(3)))
    kept = kept_in(tmp_path)
    assert sorted(kept) == ["bind-000.json", "filter-000.json", "filter-001.json"]
    assert kept["filter-001.json"]["NodeNames"] == ["n2"]


async def test_shapes_of_an_earlier_recording_are_not_kept_again(serve: Serve, tmp_path: Path) -> None:
    server = serve(FakeGuard())
    for _ in range(2):
        async with recording(f"http://127.0.0.1:{server.port}", tmp_path) as port:
            await once(port, "POST", "/filter", args(["n1"]))
    assert list(kept_in(tmp_path)) == ["filter-000.json"]
