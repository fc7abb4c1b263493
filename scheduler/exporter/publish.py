"""Publishing a node's report: when it changed, every five minutes in any case, and again until it is taken."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from scheduler.kube.api import ApiError, ApiRefusedError
from scheduler.kube.reports import OwnReport
from scheduler.kube.wire_report import Report, ReportStanding

HEARTBEAT_S = 300.0
"""An unchanged report is written again so often that its age tells whether somebody still looks."""

SPACING_S = 1.0
"""Between two writes: what changes together, as the pods of a gang that starts, is written together."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a write that failed is tried again."""

_COUNTED = ("devices", "links", "nvswitch", "fabric")
"""What the number of the report counts changes of."""


def differs(report: Report, standing: Report | None, fields: tuple[str, ...] = Report.__struct_fields__) -> bool:
    """Whether a report says something else than one that stands."""
    return standing is None or any(getattr(report, name) != getattr(standing, name) for name in fields)


def next_standing(
    report: Report, standing: ReportStanding | None, *, now_s: float, boot_id: str | None
) -> ReportStanding:
    """The report with its time and number, where `standing` is the one before."""
    before = 0 if standing is None else standing.generation
    return ReportStanding(
        **{name: getattr(report, name) for name in Report.__struct_fields__},
        observed_time=datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        generation=before + differs(report, standing, _COUNTED),
        boot_id=boot_id,
    )


class Publisher:
    """Writes what it was last offered. `wrong` is told of each failure in a word, and in a sentence."""

    def __init__(
        self,
        own: OwnReport,
        *,
        boot_id: str | None,
        wrong: Callable[[str, str], None],
        began: Callable[[ReportStanding], None] = lambda _standing: None,
        heartbeat_s: float = HEARTBEAT_S,
        spacing_s: float = SPACING_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._own = own
        self._boot_id = boot_id
        self._wrong = wrong
        self._began = began
        self._heartbeat_s = heartbeat_s
        self._spacing_s = spacing_s
        self._first_pause_s = first_pause_s
        self._wanted: Report | None = None
        self._offered = asyncio.Event()
        self._standing: ReportStanding | None = None
        self._read = False
        self.written_s: float | None = None
        """When a report was last written or found as it should be, by the monotonic clock; None: not yet."""

    @property
    def generation(self) -> int:
        """The number of the report that stands."""
        return 0 if self._standing is None else self._standing.generation

    def offer(self, report: Report) -> None:
        """This is what should stand there from now on."""
        self._wanted = report
        self._offered.set()

    async def begin(self) -> bool:
        """Read what stands, so that it is known what to change; whether that went well. It is tried again otherwise."""
        try:
            self._standing = await self._own.standing()
        except ApiError as err:
            self._wrong(_word(err), str(err))
            return False
        self._read = True
        if self._standing is not None:
            self._began(self._standing)
        return True

    async def run(self) -> None:
        """Publish until cancelled."""
        pause_s = self._first_pause_s
        while True:
            if await self.step():
                pause_s = self._first_pause_s
                await asyncio.sleep(self._spacing_s)
                await self._news()
            else:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311  nodes should not knock together
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def step(self) -> bool:
        """Write once if there is reason to; False where that failed."""
        if not self._read and not await self.begin():
            return False
        self._offered.clear()
        wanted = self._wanted
        if wanted is None:
            return True
        before = self._standing
        same = before is not None and before.boot_id == self._boot_id and not differs(wanted, before)
        if same and not self._due():
            return True
        standing = next_standing(wanted, before, now_s=time.time(), boot_id=self._boot_id)
        try:
            written = same and await self._own.touch(standing.observed_time)
            written = written or await self._own.write(standing, missing=before is None)
        except ApiError as err:
            self._wrong(_word(err), str(err))
            return False
        if not written:
            self._wrong("no_node", "the cluster has no node of this name")
            return False
        self._standing = standing
        self.written_s = time.monotonic()
        return True

    def _due(self) -> bool:
        return self.written_s is None or time.monotonic() - self.written_s >= self._heartbeat_s

    async def _news(self) -> None:
        """Wait for an offer, or for the next heartbeat."""
        left_s = self._heartbeat_s
        if self.written_s is not None:
            left_s -= time.monotonic() - self.written_s
        try:
            async with asyncio.timeout(max(left_s, 0.0)):
                await self._offered.wait()
        except TimeoutError:
            return


def _word(err: ApiError) -> str:
    """What went wrong, as a metric's label has it: few words, whatever the server says."""
    return f"refused_{err.status}" if isinstance(err, ApiRefusedError) else "unreachable"


def encode(report: Report) -> bytes:
    """The report as JSON, without what is not known."""
    told = {key: value for key, value in msgspec.to_builtins(report).items() if value is not None}
    return msgspec.json.format(msgspec.json.encode(told), indent=2)
