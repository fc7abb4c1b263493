"""Calls that may never return, on threads of their own, with a deadline each.

A driver that hangs keeps the thread that asked it, and no more than that one: as long as it has not come back, what
would have to go there is told at once that the driver does not answer. Threads end with the process.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")

Work = Callable[[], None]


class Stuck(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No answer in time: the call named `call` has been under way for `since_s` seconds."""

    call: str
    since_s: float


class _Call(Generic[T]):
    """One call; its outcome goes to the loop that waits for it, if that still does."""

    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.done: asyncio.Future[T] = loop.create_future()

    def run(self) -> None:
        try:
            outcome = self.work()
        except Exception as err:  # noqa: BLE001  it is raised where the call is waited for
            self._tell(lambda failure=err: self._fail(failure))
        else:
            self._tell(lambda: self._finish(outcome))

    def _tell(self, what: Work) -> None:
        try:
            self.loop.call_soon_threadsafe(what)
        except RuntimeError:
            # The loop has ended: nobody waits any more.
            return

    def _finish(self, outcome: T) -> None:
        if not self.done.done():
            self.done.set_result(outcome)

    def _fail(self, failure: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(failure)


class Lane(Protocol):
    """A way for one kind of call."""

    @property
    def stuck(self) -> Stuck | None:
        """The call that is under way, None where there is none."""
        ...

    @property
    def late(self) -> bool:
        """Whether the call that is under way is past its deadline: nobody knows whether it ever comes back."""
        ...

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; whether that came in time."""
        ...

    async def call(self, said: str, work: Callable[[], T], *, deadline_s: float) -> T | Stuck:
        """What `work` gives, or that it did not come back in time. Whatever it raised in time is raised.

        One call is made after the other: a second one waits as long as the first has time.
        """
        ...

    def end(self) -> None:
        """Nothing more is to be called."""
        ...


class DirectLane:
    """Calls in place, for what cannot hang: hundreds of simulated nodes would need thousands of threads."""

    stuck: Stuck | None = None
    late: bool = False

    async def idle(self, timeout_s: float) -> bool:
        """Nothing is ever under way."""
        del timeout_s
        return True

    async def call(self, said: str, work: Callable[[], T], *, deadline_s: float) -> T | Stuck:
        """What `work` gives."""
        del said, deadline_s
        return work()

    def end(self) -> None:
        """There is nothing to end."""


class ThreadLane:
    """One thread for one kind of call, started with the first."""

    def __init__(self, name: str, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._monotonic_s = monotonic_s
        self._calls: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._under_way: asyncio.Future[object] | None = None
        self._said = ""
        self._since_s = 0.0
        self._until_s = 0.0

    @property
    def stuck(self) -> Stuck | None:
        """The call that is under way, None where there is none."""
        if self._under_way is None or self._under_way.done():
            return None
        return Stuck(call=self._said, since_s=self._monotonic_s() - self._since_s)

    @property
    def late(self) -> bool:
        """Whether the call that is under way is past its deadline."""
        return self.stuck is not None and self._monotonic_s() >= self._until_s

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; whether that came in time."""
        if self._under_way is not None and not self._under_way.done():
            await asyncio.wait({self._under_way}, timeout=max(timeout_s, 0.0))
        return self.stuck is None

    async def call(self, said: str, work: Callable[[], T], *, deadline_s: float) -> T | Stuck:
        """What `work` gives, or that it did not come back in time; it is then left to itself.

        Raises:
            Exception: whatever `work` raised in time.
        """
        until_s = self._monotonic_s() + deadline_s
        while (stuck := self.stuck) is not None:
            left_s = min(until_s, self._until_s) - self._monotonic_s()
            if left_s <= 0:
                return stuck
            await self.idle(left_s)
        call = _Call(work, asyncio.get_running_loop())
        self._under_way, self._said, self._since_s = _any(call.done), said, self._monotonic_s()
        self._until_s = self._since_s + deadline_s
        self._start()
        self._calls.put(call.run)
        finished, _ = await asyncio.wait({call.done}, timeout=deadline_s)
        if not finished:
            # Whatever comes of it later, nobody asks for.
            call.done.add_done_callback(lambda late: late.cancelled() or late.exception())
            return Stuck(call=said, since_s=self._monotonic_s() - self._since_s)
        return call.done.result()

    def end(self) -> None:
        """Let the thread end after what is under way; a later call starts another."""
        if self._thread is not None:
            self._thread = None
            self._calls.put(None)
            self._calls = queue.SimpleQueue()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()


def _serve(calls: "queue.SimpleQueue[Work | None]") -> None:
    while (work := calls.get()) is not None:
        work()


def _any(future: "asyncio.Future[T]") -> "asyncio.Future[object]":
    """The future as one of which only the state is looked at."""
    return future  # type: ignore[return-value]
