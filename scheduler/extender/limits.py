"""What a client may take of the extender: bytes, and time before it is worth waiting no longer."""

import asyncio
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one connection or request. There is none on how many binds may be held at once.

    `body_bytes` leaves room for 5,000 node names with a large pod (0.2 MiB) and for victims on hundreds of nodes.
    `idle_s` is longer than the 90 s after which kube-scheduler drops an idle connection itself (Go's
    IdleConnTimeout, apimachinery util/net/http.go), so that no call meets a connection that is just being closed.
    """

    body_bytes: int = 8 << 20
    body_s: float = 5.0
    head_bytes: int = 64 << 10
    head_s: float = 5.0
    idle_s: int = 120


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, closing connections whose request head is too long or does not arrive in time.

    The head's size is checked between reads, so it can be exceeded by one read (256 KiB with uvloop).
    """

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_head = True
        self._head_bytes = 0
        self._messages = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to a head that is not complete yet."""
        if self._in_head and self._head_timer is None:
            self._expect_head()
        messages = self._messages
        super().data_received(data)
        if self._in_head and self._messages == messages and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows belongs to the next head; its time starts with its first byte."""
        self._in_head = True
        self._head_bytes = 0
        self._messages += 1
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_s, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bounded_protocol(limits: Limits) -> type[BoundedHeads]:
    """The protocol class with these limits; uvicorn makes one of it for each connection."""
    return type("BoundedHeadsWithLimits", (BoundedHeads,), {"limits": limits})
