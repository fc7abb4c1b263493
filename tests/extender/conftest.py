from collections.abc import AsyncIterator, Callable

import pytest

from scheduler.extender.limits import Limits
from scheduler.extender.server import ExtenderServer, Tls
from scheduler.telemetry import Telemetry
from tests.extender.fakes import FakeGuard

Serve = Callable[..., ExtenderServer]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def serve(telemetry: Telemetry) -> AsyncIterator[Serve]:
    """Starts servers on free ports of the loopback, and stops them after the test."""
    servers: list[ExtenderServer] = []

    def start(
        guard: FakeGuard,
        *,
        not_ready: Callable[[], list[str]] = list,
        limits: Limits | None = None,
        grace_s: float = 0.2,
        tls: Tls | None = None,
    ) -> ExtenderServer:
        server = ExtenderServer(guard, telemetry, not_ready, limits=limits or Limits(), grace_s=grace_s, tls=tls)
        server.start("127.0.0.1", 0)
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()
