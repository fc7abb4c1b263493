"""The whole exporter: looks, listens, asks the kubelet, reads its node's labels, and publishes what came of it."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from scheduler.exporter import memory
from scheduler.exporter.agent import Agent
from scheduler.exporter.backend import NvmlBackend
from scheduler.exporter.driver import CALL_S
from scheduler.exporter.holdings import HoldingsReader
from scheduler.exporter.lanes import DirectLane, ThreadLane
from scheduler.exporter.metrics import Metrics, Moment
from scheduler.exporter.node import NO_SHARING, Sharing
from scheduler.exporter.publish import Publisher
from scheduler.exporter.reading import DeviceState, Told, Unread, Why
from scheduler.exporter.report import report
from scheduler.exporter.xids import IGNORED
from scheduler.kube.api import ApiError
from scheduler.kube.reports import OwnReport
from scheduler.kube.wire_report import Report, ReportStanding

LOG = logging.getLogger("bayplan")

LABELS_S = 60.0
"""GPU feature discovery looks at its labels as often."""

SETTLE_S = 1.0
"""How long `once` waits for errors that the driver may tell of, and for the kubelet."""

LEAST_PAUSE_S = 0.2
"""Between two looks, however many errors come."""

SILENT_LOOKS = 6
"""So many periods without a look, and at least a minute: the exporter is not alive any more."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run. `boot_id` is "" where errors of earlier runs are not to be remembered, as of simulated machines.

    `threads`: the driver may hang, so each call has a deadline, on a thread of its own.
    """

    interval_s: float = 10.0
    ignored_xids: frozenset[int] = IGNORED
    simulated: bool = False
    kubelet_socket: Path | None = None
    call_s: float = CALL_S
    boot_id: str = ""
    threads: bool = True


class Exporter:
    """One node's exporter. Without `own` nothing is published, and the labels of the node are not read."""

    def __init__(self, backend: NvmlBackend, options: Options, *, own: OwnReport | None = None) -> None:
        self._options = options
        self._own = own
        self.metrics = Metrics(self._moment)
        self.agent = Agent(
            backend,
            observe=self.metrics.call,
            call_s=options.call_s,
            lane=ThreadLane if options.threads else lambda _name: DirectLane(),
        )
        self.publisher = None if own is None else self._publisher(own)
        self._kubelet = (
            HoldingsReader(options.kubelet_socket, self._changed) if options.kubelet_socket is not None else None
        )
        self._sharing: Told[Sharing] = NO_SHARING
        self._looked_s: float | None = None
        self._seen = asyncio.Event()
        self._report: Report | None = None
        self._wrong = ""

    def _publisher(self, own: OwnReport) -> Publisher:
        return Publisher(own, boot_id=self._options.boot_id or None, wrong=self._complain, began=self._remember)

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                if self.publisher is not None:
                    # What stands there is read before the first look, if the server answers at once.
                    await self.publisher.begin()
                    tasks.create_task(self.publisher.run())
                if self._own is not None:
                    await self._read_sharing(self._own)
                    tasks.create_task(self._read_labels(self._own))
                if self._kubelet is not None:
                    tasks.create_task(self._kubelet.run())
                tasks.create_task(self.agent.listen())
                tasks.create_task(self._look())
        finally:
            await self.agent.close()

    async def once(self, *, meanwhile: Callable[[], None] | None = None) -> Report:
        """One report. `meanwhile` is called after a first look; then a second one tells what became of the GPUs."""
        tasks = [asyncio.create_task(self._kubelet.run())] if self._kubelet is not None else []
        try:
            await self.agent.look()
            if meanwhile is not None:
                meanwhile()
                tasks.append(asyncio.create_task(self.agent.listen()))
                await _within(self.agent.woken.wait(), SETTLE_S)
                await self.agent.look()
            if self._kubelet is not None:
                await _within(self._kubelet.asked.wait(), SETTLE_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.agent.close()
        return self.current()

    async def publish_once(self) -> str:
        """Look and publish, once; "", or why nothing could be published."""
        try:
            if self._own is not None:
                await self._read_sharing(self._own)
            await self.agent.look()
            if self.publisher is not None:
                self.publisher.offer(self.current())
                if not await self.publisher.step():
                    return self._wrong
        finally:
            await self.agent.close()
        return ""

    async def after_first_look(self, what: Callable[[], None]) -> None:
        """Call it once the GPUs were looked at, and look again."""
        await self._seen.wait()
        what()
        self.agent.woken.set()

    def current(self) -> Report:
        """The report on what is known now."""
        node = msgspec.structs.replace(self.agent.node, sharing=self._sharing, simulated=self._options.simulated)
        if self._kubelet is not None:
            told = self._kubelet.now
            if isinstance(told, Unread):
                node = msgspec.structs.replace(node, held=told)
            else:
                node = msgspec.structs.replace(node, held=told.held, offered=told.offered)
        return report(node, ignored_xids=self._options.ignored_xids)

    @property
    def used(self) -> tuple[DeviceState, ...]:
        """The GPUs that could be looked at, with how busy they are."""
        return tuple(one.state for one in self.agent.node.devices if isinstance(one.state, DeviceState))

    def unhealthy(self) -> str:
        """Why this process should be started anew; "" where it should not."""
        if self._looked_s is None:
            return ""
        silent_s = time.monotonic() - self._looked_s
        return f"no look for {silent_s:.0f} s" if silent_s > max(60.0, SILENT_LOOKS * self._options.interval_s) else ""

    def not_ready(self) -> str:
        """What is missing until the cluster knows of the node's GPUs; "" where nothing is."""
        if self._looked_s is None:
            return "the GPUs were not looked at yet"
        if self.publisher is not None and self.publisher.written_s is None:
            return f"nothing is published yet{f': {self._wrong}' if self._wrong else ''}"
        return ""

    async def _look(self) -> None:
        while True:
            await self.agent.look()
            self._looked_s = time.monotonic()
            self._seen.set()
            self._changed()
            await asyncio.sleep(LEAST_PAUSE_S)
            try:
                # Jitter, so that the nodes of a cluster that started together do not all look at once.
                async with asyncio.timeout(self._options.interval_s * random.uniform(0.9, 1.1)):  # noqa: S311
                    await self.agent.woken.wait()
            except TimeoutError:
                continue

    async def _read_labels(self, own: OwnReport) -> None:
        while True:
            await asyncio.sleep(LABELS_S * random.uniform(0.9, 1.1))  # noqa: S311  jitter
            before = self._sharing
            await self._read_sharing(own)
            if before != self._sharing:
                self._changed()

    async def _read_sharing(self, own: OwnReport) -> None:
        try:
            node = await own.node()
        except (ApiError, msgspec.MsgspecError) as err:
            if self._sharing == NO_SHARING:
                self._sharing = Unread(why=Why.NO_DATA, said=f"the node's labels cannot be read: {_short(str(err))}")
            return
        if node is not None:
            self._sharing = Sharing(strategy=node.strategy, replicas=node.replicas, mig_strategy=node.mig_strategy)

    def _changed(self) -> None:
        """Something may be otherwise than it was: make the report anew."""
        if self._looked_s is None:
            return
        before, self._report = self._report, self.current()
        if before is not None and before != self._report:
            _tell(before, self._report)
        if self.publisher is not None:
            self.publisher.offer(self._report)

    def _complain(self, word: str, sentence: str) -> None:
        self.metrics.publish_error(word)
        if sentence != self._wrong:
            LOG.warning("the report could not be published", extra={"pairs": {"why": _short(sentence)}})
        self._wrong = sentence

    def _remember(self, standing: ReportStanding) -> None:
        """Errors outlast this process as long as the node was not booted."""
        if self._options.boot_id and standing.boot_id == self._options.boot_id:
            self.agent.remember(memory.restored(standing))

    def _moment(self) -> Moment:
        moment = Moment()
        moment.report = self._report
        moment.looked_s = self._looked_s
        moment.errors = self.agent.errors
        if self._kubelet is not None:
            moment.held_s = self._kubelet.heard_s
        if self.publisher is not None:
            moment.generation, moment.written_s = self.publisher.generation, self.publisher.written_s
        return moment


async def _within(what: Awaitable[object], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await what
    except TimeoutError:
        return


def boot_id() -> str:
    """Which boot of the node this is; "" where the kernel does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _tell(before: Report, after: Report) -> None:
    """Write down whose health changed."""
    old = {one.uuid: one.health for one in before.devices}
    for one in after.devices:
        if old.get(one.uuid) != one.health:
            reasons = one.health.reasons if isinstance(one.health.reasons, tuple) else ()
            pairs = {"gpu": one.index, "uuid": one.uuid, "health": one.health.state, "why": "; ".join(reasons) or "-"}
            LOG.info("the health of a GPU changed", extra={"pairs": pairs})


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
