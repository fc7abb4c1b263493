"""Looks at a node's GPUs again and again, and remembers what it saw, whatever becomes of the driver."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from scheduler.exporter import memory
from scheduler.exporter.backend import DriverError, NvmlBackend
from scheduler.exporter.driver import CALL_S, Driver, Observe
from scheduler.exporter.health import explain
from scheduler.exporter.lanes import Lane, ThreadLane
from scheduler.exporter.node import DeviceKnown, NodeKnown
from scheduler.exporter.reading import DriverFacts, Pair, Slot, Told, Unread, Why, Xid

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before the driver is asked for again after it went away."""

NOT_OPEN = Unread(why=Why.FAILED)

_MAY_COME = frozenset({Why.LOST, Why.TIMED_OUT})
"""Why something is asked for again though it does not change."""


class Agent:
    """Call `look` for one look at everything; keep `listen` running to hear of errors as they come.

    `woken` is set when there is a reason to look again at once.
    """

    def __init__(
        self,
        backend: NvmlBackend,
        *,
        call_s: float = CALL_S,
        lane: Callable[[str], Lane] = ThreadLane,
        observe: Observe = lambda _call, _seconds, _wrong: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = Driver(backend, observe=observe, call_s=call_s, lane=lane)
        self._monotonic_s = monotonic_s
        self._open = False
        self._closed = True
        self._problem = "the driver was not asked yet"
        self._facts: Told[DriverFacts] = NOT_OPEN
        self._devices: dict[str, DeviceKnown] = {}
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._stale: set[str] = set()
        self._pause_s = FIRST_PAUSE_S
        self._retry_s = 0.0
        self._watched: frozenset[str] = frozenset()
        self._heard_gone = ""
        self._times_opened = 0
        self._opened = asyncio.Event()
        self.woken = asyncio.Event()
        self.errors: Counter[tuple[str, int]] = Counter()
        """Errors heard of, by UUID and number."""

    def remember(self, devices: Iterable[DeviceKnown]) -> None:
        """GPUs that were there before this agent, with their errors: those that do not answer now are lost."""
        for device in devices:
            known = self._devices.get(device.uuid)
            self._devices[device.uuid] = device if known is None else memory.joined(known, device)

    @property
    def node(self) -> NodeKnown:
        """What is known now."""
        return NodeKnown(
            driver=self._facts, devices=tuple(self._devices.values()), pairs=dict(self._pairs), problem=self._problem
        )

    async def look(self) -> NodeKnown:
        """One look at the driver and all GPUs; never longer than a few deadlines, and never without an answer."""
        self.woken.clear()
        try:
            if not self._open:
                await self._reach()
            if self._open and not self._heard_gone:
                await self._read()
        except DriverError as err:
            self._heard_gone = str(err) or "it does not say why"
        if self._heard_gone:
            gone, self._heard_gone = self._heard_gone, ""
            await self._lose(gone)
        return self.node

    async def listen(self) -> None:
        """Hear of errors until cancelled."""
        while True:
            await self._opened.wait()
            opened = self._times_opened
            try:
                await self._hear()
            except DriverError as err:
                # What became of a driver that was opened anew meanwhile is no news.
                if opened == self._times_opened:
                    self._heard_gone = str(err) or "it does not say why"
                    self._opened.clear()
                    self.woken.set()

    async def close(self) -> None:
        """Let go of the driver for good."""
        self._open = False
        self._opened.clear()
        await self._driver.close()
        self._driver.end()

    async def _reach(self) -> None:
        if self._monotonic_s() < self._retry_s:
            return
        self._closed = self._closed or await self._driver.close()
        if not self._closed:
            self._problem = "the driver does not answer, and a call to it is still under way"
            return
        facts = await self._driver.open()
        if isinstance(facts, Unread):
            # Whatever answers late is closed before the next try.
            self._closed = False
            raise DriverError(explain(facts))
        self._facts, self._problem, self._pause_s = facts, "", FIRST_PAUSE_S
        self._open, self._closed, self._heard_gone = True, False, ""
        self._times_opened += 1
        self._stale = set(self._devices)
        self._pairs.clear()
        if self._times_opened > 1:
            self._devices = {uuid: memory.initialised(one) for uuid, one in self._devices.items()}
        self._watched = frozenset()
        self._opened.set()

    async def _lose(self, why: str) -> None:
        self._problem = f"the driver cannot be reached: {why}"
        self._opened.clear()
        self._facts = NOT_OPEN
        self._devices = {uuid: memory.unseen(one, NOT_OPEN) for uuid, one in self._devices.items()}
        if self._open:
            self._open = False
            self._closed = await self._driver.close()
        self._retry_s = self._monotonic_s() + self._pause_s * random.uniform(0.8, 1.2)  # noqa: S311  jitter
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _read(self) -> None:
        slots = await self._driver.slots()
        if isinstance(slots, Unread):
            self._problem = "" if self._devices else f"the driver does not count its GPUs: {explain(slots)}"
            present = list(self._devices)
        else:
            self._problem = ""
            present = self._place(slots)
        await asyncio.gather(*(self._read_one(uuid) for uuid in present))
        await self._read_pairs([uuid for uuid in present if self._devices[uuid].missing is None])
        self._driver.forget(list(self._devices))

    def _place(self, slots: Sequence[Slot]) -> list[str]:
        """Who is there by these slots; those remembered that have none are lost. The UUIDs to read, in order."""
        told = [slot.uuid for slot in slots if not isinstance(slot.uuid, Unread)]
        nameless = [slot for slot in slots if isinstance(slot.uuid, Unread)]
        self._devices, again = memory.place(self._devices, told, nameless)
        return [*told, *again]

    async def _read_one(self, uuid: str) -> None:
        before = self._devices[uuid]
        facts = before.facts
        if isinstance(facts, Unread) or uuid in self._stale:
            self._stale.discard(uuid)
            facts = await self._driver.facts(uuid)
        state = await self._driver.state(uuid)
        # What was heard meanwhile stays.
        after = memory.seen(self._devices[uuid], facts, state)
        self._devices[uuid] = after
        if memory.mig_changed(before, after):
            self._stale.add(uuid)
            self._watched = frozenset()

    async def _read_pairs(self, present: Sequence[str]) -> None:
        wanted = [names for names in itertools.combinations(sorted(present), 2) if not self._is_read(names)]
        if wanted:
            self._pairs.update(await self._driver.pairs(wanted))

    def _is_read(self, names: tuple[str, str]) -> bool:
        pair = self._pairs.get(names)
        return pair is not None and not (isinstance(pair.level, Unread) and pair.level.why in _MAY_COME)

    async def _hear(self) -> None:
        wanted = frozenset(uuid for uuid, one in self._devices.items() if one.missing is None)
        if wanted != self._watched:
            # Whatever asks meanwhile for another list empties this, and gets one.
            self._watched = wanted
            told = await self._driver.watch(sorted(wanted))
            answers = dict.fromkeys(wanted, told) if isinstance(told, Unread) else told
            self._watched -= {uuid for uuid, one in answers.items() if isinstance(one, Unread)}
            self._devices = {
                uuid: memory.watched(one, heard=answers.get(uuid, True) is True) for uuid, one in self._devices.items()
            }
        heard = await self._driver.wait()
        if isinstance(heard, Xid):
            self._record(heard)
        elif heard is not None:
            if heard.why is not Why.TIMED_OUT:
                self._watched = frozenset()
                self.woken.set()
            await asyncio.sleep(FIRST_PAUSE_S)

    def _record(self, error: Xid) -> None:
        self.errors[error.uuid, error.number] += 1
        device = self._devices.get(error.uuid)
        if device is not None:
            self._devices[error.uuid] = memory.erred(device, error)
            self._stale.add(error.uuid)
        self.woken.set()
