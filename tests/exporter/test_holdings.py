"""What the kubelet tells, over a real unix socket with a kubelet played by a gRPC server."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from scheduler.exporter import podresources_pb2 as pb
from scheduler.exporter import podresources_pb2_grpc as stubs
from scheduler.exporter.holdings import Holdings, HoldingsReader, read
from scheduler.exporter.node import Held, HeldDevice
from scheduler.exporter.reading import Unread

WAIT_S = 60.0
GPU = "nvidia.com/gpu"


def pod(name: str, *devices: tuple[str, Sequence[str]], claims: Sequence[pb.DynamicResource] = ()) -> pb.PodResources:
    listed = [pb.ContainerDevices(resource_name=resource, device_ids=list(ids)) for resource, ids in devices]
    container = pb.ContainerResources(name="main", devices=listed, dynamic_resources=claims)
    return pb.PodResources(name=name, namespace="red", containers=[container])


def holds(name: str, *ids: str, resource: str = GPU) -> Held:
    return Held(namespace="red", pod=name, container="main", resource=resource, ids=ids)


class Kubelet(stubs.PodResourcesListerServicer):
    """Answers what it is told to; `wrong` is the status it answers with instead."""

    def __init__(self) -> None:
        self.pods: list[pb.PodResources] = []
        self.offered: list[str] = []
        self.wrong: grpc.StatusCode | None = None
        self.no_offers = False
        self.asked = 0

    async def List(self, request: object, context: Any) -> pb.ListPodResourcesResponse:  # noqa: N802, ANN401
        self.asked += 1
        if self.wrong is not None:
            await context.abort(self.wrong, "no")
        return pb.ListPodResourcesResponse(pod_resources=self.pods)

    async def GetAllocatableResources(  # noqa: N802
        self,
        request: object,
        context: Any,  # noqa: ANN401
    ) -> pb.AllocatableResourcesResponse:
        if self.no_offers:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no")
        devices = [pb.ContainerDevices(resource_name=GPU, device_ids=[each]) for each in self.offered]
        return pb.AllocatableResourcesResponse(devices=devices)


@asynccontextmanager
async def serving(kubelet: Kubelet, socket: Path) -> AsyncGenerator[None]:
    server = grpc.aio.server()  # pyright: ignore[reportUnknownMemberType]
    stubs.add_PodResourcesListerServicer_to_server(kubelet, server)  # pyright: ignore[reportUnknownMemberType]
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


class Reading:
    """A reader at work."""

    def __init__(self, socket: Path) -> None:
        self.changes = 0
        self.reader = HoldingsReader(socket, self._changed, period_s=0.01)
        self._news = asyncio.Event()

    def _changed(self) -> None:
        self.changes += 1
        self._news.set()

    async def until(self, fits: Callable[[Holdings | Unread], bool]) -> Holdings | Unread:
        async with asyncio.timeout(WAIT_S):
            while not fits(self.reader.now):
                self._news.clear()
                await self._news.wait()
        return self.reader.now


@asynccontextmanager
async def reading(socket: Path) -> AsyncGenerator[Reading]:
    one = Reading(socket)
    task = asyncio.create_task(one.reader.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def heard(now: Holdings | Unread) -> bool:
    return isinstance(now, Holdings)


async def test_what_pods_hold_is_heard_as_it_changes(tmp_path: Path) -> None:
    socket, kubelet = tmp_path / "kubelet.sock", Kubelet()
    kubelet.offered = ["GPU-a", "GPU-b"]
    async with serving(kubelet, socket), reading(socket) as one:
        assert await one.until(heard) == Holdings(offered=frozenset({"GPU-a", "GPU-b"}))
        kubelet.pods = [pod("a", (GPU, ["GPU-a"]))]
        now = await one.until(lambda now: isinstance(now, Holdings) and bool(now.held))
        assert isinstance(now, Holdings)
        assert now.held == (holds("a", "GPU-a"),)
        assert one.reader.heard_s is not None
        asked, changes = kubelet.asked, one.changes
        async with asyncio.timeout(WAIT_S):
            while kubelet.asked < asked + 3:  # noqa: ASYNC110  the server has no event
                await asyncio.sleep(0.01)
        assert one.changes == changes, "the same answer is no news"


async def test_a_kubelet_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    socket = tmp_path / "kubelet.sock"
    async with reading(socket) as one:
        await asyncio.wait_for(one.reader.asked.wait(), WAIT_S)
        silent = one.reader.now
        assert isinstance(silent, Unread)
        assert silent.said == f"there is no socket {socket}"
        async with serving(Kubelet(), socket):
            await one.until(heard)


async def test_a_kubelet_that_restarts_is_found_again(tmp_path: Path) -> None:
    socket, kubelet = tmp_path / "kubelet.sock", Kubelet()
    async with reading(socket) as one:
        async with serving(kubelet, socket):
            await one.until(heard)
        await one.until(lambda now: isinstance(now, Unread))
        socket.unlink(missing_ok=True)
        kubelet.pods = [pod("b", (GPU, ["GPU-b"]))]
        async with serving(kubelet, socket):
            now = await one.until(lambda now: isinstance(now, Holdings) and bool(now.held))
        assert isinstance(now, Holdings)
        assert now.held == (holds("b", "GPU-b"),)


async def test_a_kubelet_that_has_too_much_to_do_is_believed_as_before(tmp_path: Path) -> None:
    socket, kubelet = tmp_path / "kubelet.sock", Kubelet()
    kubelet.pods = [pod("a", (GPU, ["GPU-a"]))]
    async with serving(kubelet, socket), reading(socket) as one:
        before = await one.until(heard)
        kubelet.wrong = grpc.StatusCode.RESOURCE_EXHAUSTED
        asked = kubelet.asked
        async with asyncio.timeout(WAIT_S):
            while kubelet.asked < asked + 2:  # noqa: ASYNC110  the server has no event
                await asyncio.sleep(0.01)
        assert one.reader.now == before


async def test_a_kubelet_that_does_not_tell_what_it_offers_still_tells_who_holds_what(tmp_path: Path) -> None:
    socket, kubelet = tmp_path / "kubelet.sock", Kubelet()
    kubelet.no_offers = True
    async with serving(kubelet, socket), reading(socket) as one:
        assert await one.until(heard) == Holdings(offered=None)


async def test_a_kubelet_that_refuses_is_told_of(tmp_path: Path) -> None:
    socket, kubelet = tmp_path / "kubelet.sock", Kubelet()
    kubelet.wrong = grpc.StatusCode.PERMISSION_DENIED
    async with serving(kubelet, socket), reading(socket) as one:
        await asyncio.wait_for(one.reader.asked.wait(), WAIT_S)
        assert isinstance(one.reader.now, Unread)
        assert one.reader.now.said == "the kubelet does not answer: PERMISSION_DENIED"


def claim(name: str, *devices: tuple[str, str, str]) -> pb.DynamicResource:
    claimed = [pb.ClaimResource(driver_name=d, pool_name=p, device_name=n) for d, p, n in devices]
    return pb.DynamicResource(claim_name=name, claim_namespace="red", claim_resources=claimed)


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        pytest.param(pod("a"), [], id="nothing"),
        pytest.param(
            pod("a", (GPU, ["GPU-a"]), (GPU, ["GPU-b"]), (GPU, ["GPU-a"])), [holds("a", "GPU-a", "GPU-b")], id="twice"
        ),
        pytest.param(pod("a", (GPU, ["GPU-a::1", "GPU-a::0"])), [holds("a", "GPU-a::0", "GPU-a::1")], id="parts"),
        pytest.param(
            pod("a", ("nvidia.com/mig-1g.10gb", ["MIG-a"]), ("rdma/hca", ["mlx5_0"])),
            [holds("a", "MIG-a", resource="nvidia.com/mig-1g.10gb")],
            id="slices, and what is no GPU",
        ),
        pytest.param(
            pod(
                "a",
                claims=[
                    claim("c", ("gpu.nvidia.com", "n", "gpu-0"), ("gpu.nvidia.com", "n", "gpu-0"), ("x.com", "n", "d")),
                    claim("d", ("gpu.nvidia.com", "n", "gpu-1"), ("", "", "")),
                ],
            ),
            [
                Held(
                    namespace="red",
                    pod="a",
                    container="main",
                    resource="gpu.nvidia.com",
                    claimed=(
                        HeldDevice(claim="c", driver="gpu.nvidia.com", pool="n", device="gpu-0"),
                        HeldDevice(claim="d", driver="gpu.nvidia.com", pool="n", device="gpu-1"),
                    ),
                ),
                Held(
                    namespace="red",
                    pod="a",
                    container="main",
                    resource="x.com",
                    claimed=(HeldDevice(claim="c", driver="x.com", pool="n", device="d"),),
                ),
            ],
            id="claims",
        ),
    ],
)
def test_the_list_is_read_once_for_each_resource(listed: pb.PodResources, wanted: list[Held]) -> None:
    assert list(read(pb.ListPodResourcesResponse(pod_resources=[listed]))) == wanted
