"""gRPC's health protocol, answered from readiness at the moment it is asked for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

PERIOD_S = 0.25
"""How late a watcher may hear of a change."""

Context = grpc.aio.ServicerContext[Any, Any]
_Answer = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """SERVING for each of `services`, and for the server as a whole, while `not_ready` has no reason against it."""

    def __init__(self, services: Collection[str], not_ready: Callable[[], Sequence[str]]) -> None:
        self._services = frozenset(("", *services))
        self._not_ready = not_ready
        self.stopping = False

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> _Answer:  # noqa: N802  as in the .proto
        """The state of a service now."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f'no service "{request.service}" is here')
        return self._state(request.service)

    async def Watch(  # noqa: N802  as in the .proto
        self,
        request: health_pb2.HealthCheckRequest,
        context: Context,  # noqa: ARG002  gRPC passes it
    ) -> AsyncGenerator[_Answer]:
        """The state of a service, and again whenever it has changed."""
        last: _Answer | None = None
        while not (self.stopping and last is not None):
            state = self._state(request.service)
            if state != last:
                yield state
                last = state
            await asyncio.sleep(PERIOD_S)

    def _state(self, service: str) -> _Answer:
        if service not in self._services:
            return _Answer(status=_Answer.SERVICE_UNKNOWN)
        ready = not self.stopping and not self._not_ready()
        return _Answer(status=_Answer.SERVING if ready else _Answer.NOT_SERVING)
