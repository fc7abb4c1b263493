"""Which container holds which devices, as the kubelet tells over its socket (PodResources v1)."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol, cast

import grpc
import grpc.aio
import msgspec

from scheduler.exporter import podresources_pb2 as pb
from scheduler.exporter.node import Held, HeldDevice
from scheduler.exporter.podresources_pb2_grpc import PodResourcesListerStub
from scheduler.exporter.reading import Unread, Why

SOCKET = Path("/var/lib/kubelet/pod-resources/kubelet.sock")

PERIOD_S = 2.0
"""Between two questions, with jitter. The kubelet answers 100 a second, for all who ask together."""

DEADLINE_S = 5.0
LONGEST_PAUSE_S = 30.0
GPU_RESOURCES = "nvidia.com/"
"""GPUs, slices and shared parts; NICs and whatever else has a device plugin are left out."""

OFFERED_EVERY = 15
"""What is offered changes rarely: it is asked for with every so many questions on what is held."""

MOST_BYTES = 16 * 1024 * 1024
"""The longest answer, as the kubelet's own clients have it."""


class Kubelet(Protocol):
    """The stub of the kubelet's service, of which the generated code tells no types."""

    def List(self, request: pb.ListPodResourcesRequest, *, timeout: float) -> Awaitable[pb.ListPodResourcesResponse]:  # noqa: N802
        """What each container holds."""
        ...

    def GetAllocatableResources(  # noqa: N802
        self, request: pb.AllocatableResourcesRequest, *, timeout: float
    ) -> Awaitable[pb.AllocatableResourcesResponse]:
        """All devices that pods may get."""
        ...


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """What containers hold, and ids of all devices that pods may get; None where the kubelet does not tell."""

    held: tuple[Held, ...] = ()
    offered: frozenset[str] | None = None


class HoldingsReader:
    """Asks the kubelet again and again. `now` is what was last heard, or why nothing was."""

    def __init__(
        self,
        socket: Path,
        changed: Callable[[], None],
        *,
        period_s: float = PERIOD_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = socket
        self._changed = changed
        self._period_s = period_s
        self._monotonic_s = monotonic_s
        self._asked = 0
        self._offered: frozenset[str] | None = None
        self.now: Holdings | Unread = Unread(why=Why.NO_DATA, said="the kubelet was not asked yet")
        self.asked = asyncio.Event()
        """Set when the kubelet was asked once, whether or not it answered."""
        self.heard_s: float | None = None
        """When the kubelet last answered, by the monotonic clock."""

    async def run(self) -> None:
        """Ask until cancelled. A kubelet that is away, restarts or has too much to do is asked again, more slowly."""
        pause_s = self._period_s
        while True:
            async with self._channel() as channel:
                kubelet = cast("Kubelet", PodResourcesListerStub(channel))
                while await self.ask(kubelet):
                    pause_s = self._period_s
                    await asyncio.sleep(self._period_s * random.uniform(0.8, 1.2))  # noqa: S311  jitter
            # A new connection each time: the socket of a kubelet that restarted is another one.
            pause_s = min(2 * pause_s, max(LONGEST_PAUSE_S, self._period_s))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter

    async def ask(self, kubelet: Kubelet) -> bool:
        """Ask once; whether there was an answer."""
        try:
            listed = await kubelet.List(pb.ListPodResourcesRequest(), timeout=DEADLINE_S)
            if self._asked % OFFERED_EVERY == 0 or isinstance(self.now, Unread):
                self._offered = await self._ask_offered(kubelet)
        except grpc.aio.AioRpcError as err:
            if err.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                self._hear(self._silence(err))
            return False
        self._asked += 1
        self.heard_s = self._monotonic_s()
        self._hear(Holdings(held=tuple(read(listed)), offered=self._offered))
        return True

    async def _ask_offered(self, kubelet: Kubelet) -> frozenset[str] | None:
        """Older kubelets do not tell, or not to everybody."""
        try:
            answer = await kubelet.GetAllocatableResources(pb.AllocatableResourcesRequest(), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as err:
            if err.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED}:
                return None
            if err.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return self._offered
            raise
        return frozenset(each for one in answer.devices for each in one.device_ids)

    def _channel(self) -> grpc.aio.Channel:
        # Its own pool: otherwise a channel to the same path would share a connection that is known to be dead.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", MOST_BYTES)]
        return grpc.aio.insecure_channel(f"unix://{self._socket.absolute()}", options=options)

    def _silence(self, err: grpc.aio.AioRpcError) -> Unread:
        if err.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unread(why=Why.NO_DATA, said="the kubelet did not answer in time")
        if not self._socket.exists():
            return Unread(why=Why.NO_DATA, said=f"there is no socket {self._socket}")
        return Unread(why=Why.NO_DATA, said=f"the kubelet does not answer: {err.code().name}")

    def _hear(self, told: Holdings | Unread) -> None:
        self.asked.set()
        if told != self.now:
            self.now = told
            self._changed()


def read(listed: pb.ListPodResourcesResponse) -> Iterator[Held]:
    """What containers hold, once for each resource. The kubelet lists each id by itself, one of two NUMA nodes twice.

    The API has no UIDs of pods: a pod that was deleted and made again under its name cannot be told from its like.
    """
    for pod in listed.pod_resources:
        for container in pod.containers:
            ids: dict[str, dict[str, None]] = {}
            for devices in container.devices:
                ids.setdefault(devices.resource_name, {}).update(dict.fromkeys(devices.device_ids))
            for resource, own in ids.items():
                if own and resource.startswith(GPU_RESOURCES):
                    yield Held(
                        namespace=pod.namespace,
                        pod=pod.name,
                        container=container.name,
                        resource=resource,
                        ids=tuple(sorted(own)),
                    )
            yield from _claimed(pod, container)


def _claimed(pod: pb.PodResources, container: pb.ContainerResources) -> Iterator[Held]:
    """Devices of claims, by driver: a device is known by driver, pool and name, whatever else is said of it."""
    claimed: dict[str, dict[HeldDevice, None]] = {}
    for claim in container.dynamic_resources:
        for one in claim.claim_resources:
            device = HeldDevice(
                claim=claim.claim_name,
                driver=one.driver_name,
                pool=one.pool_name,
                device=one.device_name,
                share_id=one.share_id,
            )
            if device.driver and device.device:
                claimed.setdefault(device.driver, {})[device] = None
    for driver, own in claimed.items():
        yield Held(namespace=pod.namespace, pod=pod.name, container=container.name, resource=driver, claimed=tuple(own))
