"""What an exporter weighs on its node, and how much of a core it takes at rest.

The exporter is the command as a DaemonSet starts it, on a simulated machine of eight GPUs, with all that it talks to
beside it: an API server that takes reports, a kubelet that answers on its socket, a Prometheus that scrapes.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
import yaml

from benchmarks.end_to_end_machine import resident_mib
from benchmarks.table import Limit, Row
from scheduler.exporter import podresources_pb2 as pb
from scheduler.exporter import podresources_pb2_grpc as stubs

NAME = "exporter"
MACHINE = "hgx_h100"
NODE = "bench-0"
LIMIT_MIB = 80
LIMIT_PERCENT = 1
MEASURED_S = 60.0
QUICK_S = 3.0
SCRAPE_S = 15.0
SETTLE_S = 3.0
READY_S = 60.0


class Server:
    """As much of an API server as an exporter needs."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().splitlines()
                method, path, _ = lines[0].split()
                length = next((int(x.partition(":")[2]) for x in lines if x.lower().startswith("content-length:")), 0)
                status, body = self._answer(method, path, await reader.readexactly(length))
                answer = msgspec.json.encode(body)
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        self.requests += 1
        if path.startswith("/api/v1/nodes/"):
            return 200, {"metadata": {"name": NODE, "uid": "u", "labels": {}}}
        if method == "POST":
            self.object = msgspec.json.decode(body, type=dict[str, Any])
        if self.object is None:
            return 404, {"reason": "NotFound", "message": path}
        if method == "PATCH":
            self.object |= msgspec.json.decode(body, type=dict[str, Any])
        return 200, self.object


class Kubelet(stubs.PodResourcesListerServicer):
    """A kubelet with a pod on each GPU."""

    def __init__(self) -> None:
        self._pods = [
            pb.PodResources(
                name=f"pod-{i}",
                namespace="default",
                containers=[
                    pb.ContainerResources(
                        name="main",
                        devices=[pb.ContainerDevices(resource_name="nvidia.com/gpu", device_ids=[f"nvidia{i}"])],
                    )
                ],
            )
            for i in range(8)
        ]

    async def List(self, request: object, context: object) -> pb.ListPodResourcesResponse:  # noqa: N802
        """What pods hold."""
        del request, context
        return pb.ListPodResourcesResponse(pod_resources=self._pods)

    async def GetAllocatableResources(  # noqa: N802
        self, request: object, context: object
    ) -> pb.AllocatableResourcesResponse:
        """What there is."""
        del request, context
        ids = [f"nvidia{i}" for i in range(8)]
        devices = [pb.ContainerDevices(resource_name="nvidia.com/gpu", device_ids=[each]) for each in ids]
        return pb.AllocatableResourcesResponse(devices=devices)


def run(*, quick: bool) -> list[Row]:
    """Start an exporter, let it settle, watch it."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), QUICK_S if quick else MEASURED_S))


async def _measure(folder: Path, seconds: float) -> list[Row]:
    server, socket = Server(), folder / "kubelet.sock"
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    kubelet = grpc.aio.server()  # pyright: ignore[reportUnknownMemberType]
    stubs.add_PodResourcesListerServicer_to_server(Kubelet(), kubelet)  # pyright: ignore[reportUnknownMemberType]
    kubelet.add_insecure_port(f"unix://{socket}")
    await kubelet.start()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(_kubeconfig(listener.sockets[0].getsockname()[1]), encoding="utf-8")
    free = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port: int = free.sockets[0].getsockname()[1]
    free.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scheduler", "exporter", f"--machine={MACHINE}", f"--kubeconfig={kubeconfig}", f"--node-name={NODE}"),
        *(f"--kubelet-socket={socket}", f"--listen=127.0.0.1:{port}", "--log-level=warning"),
    )
    try:
        await _ready(server, port)
        await asyncio.sleep(SETTLE_S)
        requests, before_s, began_s = server.requests, _cpu_s(process.pid), time.monotonic()
        series = 0
        while time.monotonic() - began_s < seconds:
            series = (await _scrape(port)).count(b"\nbayplan_")
            await asyncio.sleep(min(SCRAPE_S, seconds / 2))
        took_s = time.monotonic() - began_s
        percent = 100 * (_cpu_s(process.pid) - before_s) / took_s
        said = f"over {took_s:.0f} s, {server.requests - requests} requests to the API server, {series} series"
        what = f"exporter of {MACHINE}, kubelet asked every 2 s, GPUs looked at every 10 s"
        return [
            Row(
                benchmark=NAME,
                what=f"{what}: memory",
                unit="MiB",
                value=resident_mib(process.pid),
                limit=Limit(most=LIMIT_MIB),
                note=f"at most {resident_mib(process.pid, 'VmHWM'):.0f} MiB",
            ),
            Row(
                benchmark=NAME,
                what=f"{what}: CPU at rest",
                unit="% of a core",
                value=percent,
                limit=Limit(most=LIMIT_PERCENT),
                note=said,
            ),
        ]
    finally:
        process.terminate()
        await process.wait()
        await kubelet.stop(None)
        listener.close()


def _kubeconfig(port: int) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "b", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "b", "user": {}}],
            "contexts": [{"name": "b", "context": {"cluster": "b", "user": "b"}}],
            "current-context": "b",
        }
    )


async def _ready(server: Server, port: int) -> None:
    """Wait until the report is there, with what pods hold."""
    async with asyncio.timeout(READY_S):
        while not (server.object or {}).get("status", {}).get("holdings"):  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.1)
        while not (await _get(port, "/readyz")).startswith(b"HTTP/1.1 200"):  # noqa: ASYNC110  likewise
            await asyncio.sleep(0.1)


async def _scrape(port: int) -> bytes:
    return await _get(port, "/metrics")


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


def _cpu_s(pid: int) -> float:
    """CPU time of all threads (proc(5): utime and stime, in hundredths of a second on Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
