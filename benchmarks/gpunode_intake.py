"""How long the service takes to take in the GPUNodes of a large cluster: all at its start, and then a change of each.

The reports are those that the exporter's code makes of a simulated machine with 8 GPUs and all their links, as the API
server would send them. A process of its own plays the server's list and watch on the loopback; the service's own
client, watch and translation read them, and its state takes them. `python -m benchmarks gpunode_intake`.
"""

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
import yaml

from benchmarks import synthetic, table
from scheduler.exporter.agent import Agent
from scheduler.exporter.report import report
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.node import stable_uuid
from scheduler.kube.api import ApiClient
from scheduler.kube.translate import Kind, kinds
from scheduler.kube.translate_node import read_report
from scheduler.kube.watch import Watcher
from scheduler.model.names import NodeName
from scheduler.state.cluster import ClusterState
from scheduler.state.events import DevicesSeen, Event, NodeSeen

NAME = "gpunode_intake"

NODES = 5000
FEW_NODES = 200
MOST_S = 10.0
MACHINE = "hgx_h100"
GPUS = 8

LAST = b"0\r\n\r\n"


def run(*, quick: bool = False) -> list[table.Row]:
    """All figures; `quick`: of a small cluster."""
    nodes = FEW_NODES if quick else NODES
    first, later = documents(nodes, changed=False), documents(nodes, changed=True)
    taken_s = asyncio.run(_through_the_watch(first, later))
    size_kb = statistics.mean(map(len, first)) / 1000
    note = f"{size_kb:.1f} KB each"
    limit = table.Limit(most=MOST_S)
    return [
        _row(f"list {nodes} GPUNodes, all new", taken_s[0], note, limit),
        _row(f"watch {nodes} GPUNodes, a pod on each got GPUs", taken_s[1], note, limit),
        _row(f"the same without a connection: read {nodes}", _read_s(first), "decode and translate alone", None),
        _row(f"the same without a connection: apply {nodes}", _apply_s(first), "the state and one snapshot", None),
    ]


def documents(nodes: int, *, changed: bool) -> list[bytes]:
    """The GPUNodes of so many nodes as JSON; `changed`: a pod holds a GPU of each."""
    template = asyncio.run(_template())
    uuids = [device["uuid"] for device in template["status"]["devices"]]
    text = msgspec.json.encode(template).decode()
    found: list[bytes] = []
    for at, name in enumerate(synthetic.nodes(nodes)[0]):
        own = text.replace("NODE-NAME", name).replace('"VERSION"', f'"{at + 1 + nodes * changed}"')
        for index, uuid in enumerate(uuids):
            own = own.replace(uuid, stable_uuid("GPU", name, index))
        if changed:
            held = msgspec.json.encode(
                [
                    {
                        "podNamespace": "team",
                        "podName": f"job-{at}",
                        "container": "main",
                        "resource": "nvidia.com/gpu",
                        "deviceUuids": [stable_uuid("GPU", name, 0)],
                    }
                ]
            ).decode()
            own = own.replace('"holdings":[]', f'"holdings":{held}')
        found.append(own.encode())
    return found


async def _template() -> dict[str, Any]:
    """The GPUNode of one simulated node, with the bookkeeping that the API server adds for its one writer."""
    agent = Agent(FixtureBackend(MACHINE, node="template"))
    try:
        status: dict[str, Any] = msgspec.to_builtins(report(await agent.look()))
    finally:
        await agent.close()
    if len(status["devices"]) != GPUS or not status["links"]:
        raise AssertionError("the simulated machine reports other devices than it has")
    status.setdefault("holdings", [])
    managed = {
        "manager": "bayplan-exporter",
        "operation": "Update",
        "apiVersion": "bayplan.dev/v1alpha1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": _fields(status)},
        "subresource": "status",
    }
    meta = {"name": "NODE-NAME", "uid": "uid-NODE-NAME", "resourceVersion": "VERSION", "managedFields": [managed]}
    return {"apiVersion": "bayplan.dev/v1alpha1", "kind": "GPUNode", "metadata": meta, "status": status}


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The names of all fields, as managed fields list them; lists count whole but for the devices, which have keys."""
    found: dict[str, Any] = {}
    for key, part in document.items():
        if key == "devices":
            found["f:devices"] = {f'k:{{"index":{at}}}': {".": {}, **_fields(each)} for at, each in enumerate(part)}
        else:
            found[f"f:{key}"] = _fields(cast("Mapping[str, Any]", part)) if isinstance(part, Mapping) else {}
    return found


def _read_s(raw: Sequence[bytes]) -> float:
    began = time.perf_counter()
    for one in raw:
        read_report(one)
    return time.perf_counter() - began


def _apply_s(raw: Sequence[bytes]) -> float:
    state = _state(len(raw))
    events = [read_report(one)[1] for one in raw]
    began = time.perf_counter()
    for event in events:
        state.apply(event)
    state.snapshot()
    return time.perf_counter() - began


def _state(nodes: int) -> ClusterState:
    """A state that knows the nodes, of which nobody reported anything yet."""
    made, _ = synthetic.nodes(nodes)
    state = ClusterState()
    for node in made.values():
        state.apply(NodeSeen(node=msgspec.structs.replace(node, devices=(), links=None)))
    return state


async def _through_the_watch(first: Sequence[bytes], later: Sequence[bytes]) -> tuple[float, float]:
    """Seconds until the state has all that is listed, and until it has all changes, from when each is sent."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, first, later), daemon=True)
    server.start()
    try:
        port = await asyncio.to_thread(ours.recv)
        (kind,) = (each for each in kinds("bayplan") if each.name == "gpunodes")
        with tempfile.TemporaryDirectory() as folder:
            async with await ApiClient.connect(_kubeconfig(Path(folder), port)) as api:
                return await _taken(api, kind, len(first), ours)
    finally:
        server.terminate()
        await asyncio.to_thread(server.join)


async def _taken(api: ApiClient, kind: Kind, nodes: int, server: Connection) -> tuple[float, float]:
    state, changed, done = _state(nodes), set[NodeName](), asyncio.Event()
    troubles: list[str] = []

    def take(event: Event) -> None:
        state.apply(event)
        if isinstance(event, DevicesSeen) and event.held:
            changed.add(event.node)
            if len(changed) == nodes:
                done.set()

    watcher = Watcher(api, kind, on_event=take, trouble=lambda _, text: troubles.append(text), chance=lambda: 0.0)
    began = time.perf_counter()
    watching = asyncio.ensure_future(watcher.run())
    try:
        await watcher.synced.wait()
        known = sum(len(node.devices) == GPUS for node in state.snapshot().nodes.values())
        listed_s = time.perf_counter() - began
        began = time.perf_counter()
        server.send("change")
        await done.wait()
        state.snapshot()
        watched_s = time.perf_counter() - began
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    if troubles or known != nodes:
        raise AssertionError(f"{known} of {nodes} reports were taken; {troubles[:1]}")
    return listed_s, watched_s


def serve(pipe: Connection, first: Sequence[bytes], later: Sequence[bytes]) -> None:
    """Play the API server for one kind until ended: list `first` in pages, and on request send `later` as changes."""
    asyncio.run(_serve(pipe, first, later))


async def _serve(pipe: Connection, first: Sequence[bytes], later: Sequence[bytes]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            query = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)
            if "watch" in query:
                await asyncio.to_thread(pipe.recv)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                for one in later:
                    line = b'{"type":"MODIFIED","object":%s}\n' % one
                    writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                    await writer.drain()
                continue
            start, size = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
            more = str(start + size) if start + size < len(first) else ""
            meta = b'{"resourceVersion":"1","continue":"%s"}' % more.encode()
            body = b'{"kind":"GPUNodeList","metadata":%s,"items":[%s]}' % (meta, b",".join(first[start : start + size]))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The head of the next request; empty where the client has gone."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _kubeconfig(folder: Path, port: int) -> Path:
    named = {"name": "played"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{**named, "user": {"token": "played"}}],
        "contexts": [{**named, "context": {"cluster": "played", "user": "played"}}],
        "current-context": "played",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def _row(what: str, value: float, note: str, limit: table.Limit | None) -> table.Row:
    return table.Row(benchmark=NAME, what=what, unit="s", value=value, note=note, limit=limit)
