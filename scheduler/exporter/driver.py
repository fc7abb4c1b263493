"""The driver as the agent asks it: no call blocks the event loop, and none is waited for longer than its deadline."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from scheduler.exporter.backend import DriverError, NvmlBackend
from scheduler.exporter.lanes import Lane, Stuck, ThreadLane
from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Slot, Told, Unread, Why, Xid

T = TypeVar("T")

CALL_S = 5.0
"""How long a GPU may take to answer all questions about it; one without persistence mode takes seconds at first."""

OPEN_S = 30.0
WAIT_S = 1.0
"""How long the driver is asked to wait for the next error: so long it takes at most to let go of it."""

PAIRS_AT_A_TIME = 16

Names = tuple[str, str]
"""The UUIDs of two GPUs."""

Observe = Callable[[str, float, str], None]
"""Told of each call: its name, how many seconds it took, and "" or what became of it."""


class Driver:
    """A backend behind threads: one for the driver as a whole, one for errors, one for each GPU, and one for pairs.

    A GPU that hangs is found out on its own thread. What connects two GPUs is asked on a thread of neither of them, so
    that a pair that hangs takes away none.
    """

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
        self._pairs = lane("pairs")
        self._places: dict[int, Lane] = {}
        self._count = 0
        self._gpus: dict[str, Lane] = {}
        self._alone: dict[tuple[str, str], Lane] = {}

    async def open(self) -> DriverFacts | Unread:
        """Reach the driver.

        Raises:
            DriverError: there is none.
        """
        return await self._ask(self._whole, "open", self._backend.open, max(OPEN_S, self._call_s))

    async def close(self) -> bool:
        """Let go of it, unless a call is still under way: then closing would hang as well, or break that call."""
        lanes = self._lanes()
        if any(lane.late for lane in lanes):
            return False
        if not all(await asyncio.gather(*(lane.idle(WAIT_S + self._call_s) for lane in lanes))):
            return False
        return not isinstance(await self._ask(self._whole, "close", self._backend.close, self._call_s), Unread)

    async def slots(self) -> Sequence[Slot] | Unread:
        """Every GPU that the driver counts.

        Raises:
            DriverError: the driver is gone.
        """
        count = await self._ask(self._whole, "count", self._backend.count, self._call_s)
        if isinstance(count, Unread):
            return count
        self._count = count
        return await asyncio.gather(*map(self._slot, range(count)))

    async def _slot(self, index: int) -> Slot:
        if index not in self._places:
            self._places[index] = self._make_lane(f"gpu-{index}")
        lane = self._places[index]
        told = await self._ask(lane, "slot", partial(self._backend.slot, index), self._call_s)
        if isinstance(told, Unread):
            return Slot(index=index, uuid=told)
        if not isinstance(told.uuid, Unread):
            self._gpus[told.uuid] = lane
        return told

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

    async def pairs(self, wanted: Sequence[Names]) -> Mapping[Names, Pair]:
        """What connects each two GPUs. A few at a time: 16 GPUs are 120 pairs, with several calls each.

        Where some of them hang or fail, those that are left are asked for one by one, all at once, so that it takes one
        deadline more however many hang.

        Raises:
            DriverError: the driver is gone.
        """
        found: dict[Names, Pair] = {}
        for at in range(0, len(wanted), PAIRS_AT_A_TIME):
            some = wanted[at : at + PAIRS_AT_A_TIME]
            read = await self._ask(self._pairs, "pairs", partial(self._read, some, found), self._call_s)
            if isinstance(read, Unread):
                break
        found = dict(found)
        left = [names for names in wanted if names not in found]
        for names, pair in zip(left, await asyncio.gather(*map(self._pair, left)), strict=True):
            found[names] = pair
        return found

    def _read(self, wanted: Sequence[Names], found: dict[Names, Pair]) -> None:
        for a, b in wanted:
            found[a, b] = self._backend.pair(a, b)

    async def _pair(self, names: Names) -> Pair:
        a, b = names
        lane = self._alone.setdefault(names, self._make_lane(f"pair-{a}-{b}"))
        told = await self._ask(lane, "pair", partial(self._backend.pair, a, b), self._call_s)
        if lane.stuck is None:
            self._alone.pop(names).end()
        return Pair(a=a, b=b, level=told, p2p=told, p2p_nvlink=told) if isinstance(told, Unread) else told

    async def watch(self, uuids: Sequence[str]) -> Mapping[str, Told[bool]] | Unread:
        """Hear errors of these GPUs from now on, instead of those before; of each whether they can be heard.

        Raises:
            DriverError: the driver is gone.
        """
        begun = await self._ask(self._errors, "watch_anew", self._backend.watch_anew, self._call_s)
        if isinstance(begun, Unread):
            return begun
        heard = await asyncio.gather(*map(self._watch, uuids))
        return dict(zip(uuids, heard, strict=True))

    async def _watch(self, uuid: str) -> Told[bool]:
        return await self._ask(self._lane(uuid), "watch", partial(self._backend.watch, uuid), self._call_s)

    async def wait(self, wait_s: float = WAIT_S) -> Xid | Unread | None:
        """The next error; None where there was none in time.

        Raises:
            DriverError: the driver is gone.
        """
        work = partial(self._backend.wait, int(1000 * wait_s))
        return await self._ask(self._errors, "", work, wait_s + self._call_s)

    def forget(self, uuids: Sequence[str]) -> None:
        """No longer keep threads for GPUs that are none of these, nor for places where the driver counts none."""
        names = [uuid for uuid, lane in self._gpus.items() if uuid not in uuids and lane.stuck is None]
        places = [index for index, lane in self._places.items() if index >= self._count and lane.stuck is None]
        dropped = [*(self._gpus.pop(uuid) for uuid in names), *(self._places.pop(index) for index in places)]
        for lane in dropped:
            if not any(lane is one for one in self._lanes()):
                lane.end()

    def end(self) -> None:
        """Let all threads end that are not stuck."""
        for lane in (self._whole, *self._lanes()):
            lane.end()

    def _lanes(self) -> Sequence[Lane]:
        """All but that of the driver as a whole; some stand here twice."""
        return (self._errors, self._pairs, *self._alone.values(), *self._places.values(), *self._gpus.values())

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
