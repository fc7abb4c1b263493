"""The driver as the agent asks it: no call blocks the event loop, and none is waited for longer than its deadline."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from scheduler.exporter.backend import DriverError, NvmlBackend
from scheduler.exporter.lanes import Lane, Stuck, ThreadLane
from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Slot, Unread, Why, Xid

T = TypeVar("T")

CALL_S = 5.0
"""How long a GPU may take to answer all questions about it; one without persistence mode takes seconds at first."""

OPEN_S = 30.0
WAIT_S = 1.0
"""How long the driver is asked to wait for the next error: so long it takes at most to let go of it."""

Observe = Callable[[str, float, str], None]
"""Told of each call: its name, how many seconds it took, and "" or what became of it."""


class Driver:
    """A backend behind threads: one for the driver as a whole, one for errors, one for each GPU."""

    def __init__(
        self,
        backend: NvmlBackend,
        *,
        observe: Observe,
        call_s: float = CALL_S,
        lane: Callable[[str], Lane] = ThreadLane,
    ) -> None:
        self._backend = backend
        self._observe = observe
        self._call_s = call_s
        self._make_lane = lane
        self._whole = lane("driver")
        self._errors = lane("errors")
        self._gpus: dict[str, Lane] = {}

    async def open(self) -> DriverFacts | Unread:
        """Reach the driver.

        Raises:
            DriverError: there is none.
        """
        return await self._ask(self._whole, "open", self._backend.open, max(OPEN_S, self._call_s))

    async def close(self) -> bool:
        """Let go of it, unless a call is still under way: then closing would hang as well, or break that call."""
        for lane in (self._errors, *self._gpus.values()):
            if not await lane.idle(WAIT_S + self._call_s):
                return False
        return not isinstance(await self._ask(self._whole, "close", self._backend.close, self._call_s), Unread)

    async def slots(self) -> Sequence[Slot] | Unread:
        """Every GPU that the driver counts.

        Raises:
            DriverError: the driver is gone.
        """
        return await self._ask(self._whole, "slots", self._backend.slots, self._call_s)

    async def facts(self, uuid: str) -> DeviceFacts | Unread:
        """What does not change of a GPU.

        Raises:
            DriverError: the driver is gone.
        """
        return await self._ask(self._lane(uuid), "facts", partial(self._backend.facts, uuid), self._call_s)

    async def state(self, uuid: str) -> DeviceState | Unread:
        """What changes of a GPU.

        Raises:
            DriverError: the driver is gone.
        """
        return await self._ask(self._lane(uuid), "state", partial(self._backend.state, uuid), self._call_s)

    async def pairs(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Pair] | Unread:
        """What connects each two GPUs. A few at a time: 16 GPUs are 120 pairs, with several calls each.

        Raises:
            DriverError: the driver is gone.
        """

        def read() -> dict[tuple[str, str], Pair]:
            return {(a, b): self._backend.pair(a, b) for a, b in wanted}

        return await self._ask(self._whole, "pairs", read, self._call_s)

    async def watch(self, uuids: Sequence[str]) -> Sequence[str] | Unread:
        """Register for errors; those that cannot be watched.

        Raises:
            DriverError: the driver is gone.
        """
        return await self._ask(self._errors, "watch", partial(self._backend.watch, uuids), self._call_s)

    async def wait(self, wait_s: float = WAIT_S) -> Xid | Unread | None:
        """The next error; None where there was none in time.

        Raises:
            DriverError: the driver is gone.
        """
        work = partial(self._backend.wait, int(1000 * wait_s))
        return await self._ask(self._errors, "", work, wait_s + self._call_s)

    def forget(self, uuids: Sequence[str]) -> None:
        """No longer keep threads for GPUs that are none of these."""
        for uuid in [known for known, lane in self._gpus.items() if known not in uuids and lane.stuck is None]:
            self._gpus.pop(uuid).end()

    def end(self) -> None:
        """Let all threads end that are not stuck."""
        for lane in (self._whole, self._errors, *self._gpus.values()):
            lane.end()

    def _lane(self, uuid: str) -> Lane:
        if uuid not in self._gpus:
            self._gpus[uuid] = self._make_lane(uuid)
        return self._gpus[uuid]

    async def _ask(self, lane: Lane, said: str, work: Callable[[], T], deadline_s: float) -> T | Unread:
        began_s = time.monotonic()
        try:
            answer = await lane.call(said or "wait", work, deadline_s=deadline_s)
        except DriverError:
            self._observe(said or "wait", time.monotonic() - began_s, "DRIVER_GONE")
            raise
        except Exception as err:  # noqa: BLE001  one broken answer is the fault of one call
            self._observe(said or "wait", time.monotonic() - began_s, "FAILED")
            return Unread(why=Why.FAILED, call=said, said=f"{type(err).__name__}: {err}")
        if isinstance(answer, Stuck):
            self._observe(said or "wait", answer.since_s, Why.TIMED_OUT.name)
            return Unread(why=Why.TIMED_OUT, call=answer.call)
        if said:
            self._observe(said, time.monotonic() - began_s, answer.why.name if isinstance(answer, Unread) else "")
        return answer
