"""The gRPC server: Bayplan's calls, reflection, and health that follows readiness."""

import asyncio
import contextlib

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc import bayplan_pb2_grpc
from scheduler.rpc.feed import PlanFeed
from scheduler.rpc.health import PERIOD_S, Health
from scheduler.rpc.service import BayplanService, NotReady
from scheduler.rpc.view import Planner

SERVICE = pb.DESCRIPTOR.services_by_name["Bayplan"].full_name


class ListenError(Exception):
    """The server cannot listen as it was told to; the text says why."""


class RpcServer:
    """Serves the gRPC API on the loop it is started on."""

    def __init__(
        self,
        planner: Planner,
        feed: PlanFeed,
        not_ready: NotReady,
        *,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._service = BayplanService(planner, feed, not_ready)
        self._feed = feed
        self._not_ready = not_ready
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._health = Health((SERVICE,), not_ready)
        self.port = 0
        """The port listened on, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listens on `host` and `port`, 0 for any free one.

        Raises:
            ListenError: the address is taken or not ours.
        """
        # Without so_reuseport=0 two servers would share a port, and nobody would be told.
        server: grpc.aio.Server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])  # pyright: ignore[reportUnknownMemberType]
        bayplan_pb2_grpc.add_BayplanServicer_to_server(self._service, server)  # pyright: ignore[reportUnknownMemberType]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, self._credentials)
        except RuntimeError as err:
            raise ListenError(f"cannot listen on {address}: {err}") from err
        self._server = server
        await server.start()
        self._watcher = asyncio.create_task(self._end_watches())

    async def stop(self, grace_s: float = 1.0) -> None:
        """Stops listening, ends all watches, and lets other calls end within `grace_s`."""
        if self._server is None or self._watcher is None:
            return
        self._watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watcher
        self._health.stopping = True
        self._feed.interrupt()
        await self._server.stop(grace_s)
        self._server = None

    async def _end_watches(self) -> None:
        """Ends the watches of plans when this replica stops planning, so that their readers find the one that does."""
        while True:
            if self._not_ready():
                self._feed.interrupt()
            await asyncio.sleep(PERIOD_S)
