"""The extender's HTTP server, on a thread and a loop of its own, so that watching and planning do not delay it."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from scheduler.extender.asgi import ExtenderApp, NotReady, Page
from scheduler.extender.guard import Guard
from scheduler.extender.handlers import Handlers
from scheduler.extender.limits import Limits, bounded_protocol
from scheduler.telemetry import Telemetry

_BACKLOG = 4096
_STOP_MARGIN_S = 0.25

SWITCH_INTERVAL_S = 0.0001
"""What the service gives to `sys.setswitchinterval`: how long the extender's thread waits before it asks a thread that
runs Python to let go of the interpreter lock. A call has to get the lock back two or three times.

Beside a thread that never pauses, calls for a planned pod on two cores had a p99 of 8 to 11 ms at Python's 5 ms, 1.6 ms
at 0.5 ms and 0.7 to 1.4 ms at 0.1 ms; where other programs want the cores too, it is some ms at any value, because
then the thread with the lock waits for a core (`python -m benchmarks.extender_latency --switch-interval-ms 5 0.5 0.1`).
Below 0.1 ms little is won, and calls with thousands of names lose, since the planner interrupts them as often. Two busy
threads pay up to a tenth of their speed for it; one busy thread pays nothing.
"""


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Certificate and key of the server; with `client_ca`, only clients with a certificate of that CA get in."""

    certfile: Path
    keyfile: Path
    client_ca: Path | None = None


class ListenError(Exception):
    """The server cannot listen as it was told to; the text says why."""


class ExtenderServer:
    """Serves the extender verbs, health, readiness and metrics over HTTP/1.1.

    `grace_s`: how long calls in progress, held binds among them, may go on once the server is asked to stop.
    """

    def __init__(
        self,
        guard: Guard,
        telemetry: Telemetry,
        not_ready: NotReady,
        *,
        tls: Tls | None = None,
        limits: Limits = Limits(),  # noqa: B008  frozen
        pages: Mapping[str, Page] | None = None,
        grace_s: float = 5.0,
    ) -> None:
        self._app = ExtenderApp(Handlers(guard, telemetry), telemetry, not_ready, limits, pages or {})
        self._grace_s = grace_s
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._server = uvicorn.Server(_config(self._app, tls, limits))
        self.port = 0
        """The port listened on, once started."""

    def start(self, host: str, port: int) -> None:
        """Listens on `host` and `port`, 0 for any free one. Connections are accepted from here on.

        Raises:
            ListenError: the address is taken or not ours, or the certificate files cannot be used.
        """
        try:
            self._server.config.load()
        except OSError as err:  # ssl.SSLError is one
            config = self._server.config
            files = ", ".join(str(f) for f in (config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certs) if f)
            raise ListenError(f"cannot use the certificate files {files}: {err}") from err
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as err:
            raise ListenError(f"cannot listen on {host}:{port}: {err}") from err
        self.port = listener.getsockname()[1]
        loop = uvloop.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop, listener), name="extender", daemon=True)
        self._running = loop, thread
        thread.start()

    async def stop(self) -> None:
        """Stops listening, lets calls in progress end within `grace_s`, and then ends them with an error."""
        if self._running is not None:
            loop, thread = self._running
            self._running = None
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(self._begin_stop, loop)
            await asyncio.to_thread(thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._server.serve(sockets=[listener]))

    def _begin_stop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._app.stopping = True
        self._server.should_exit = True
        loop.call_later(self._grace_s, self._app.closing.set)
        loop.call_later(self._grace_s + _STOP_MARGIN_S, self._drop_connections)

    def _drop_connections(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


def _config(app: ExtenderApp, tls: Tls | None, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded_protocol(limits),
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=limits.idle_s,
        ssl_certfile=tls and tls.certfile,
        ssl_keyfile=tls and tls.keyfile,
        ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
    )
