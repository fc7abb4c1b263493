"""What stands beside a GPUNode whose report is not clear: an event that says what was assumed instead."""

import asyncio
from collections.abc import Callable, Sequence

from scheduler.kube.effects import EVENT_TEXT_LIMIT, Done, Effects, Gone, OwnRef
from scheduler.model.names import NodeName
from scheduler.state.events import DevicesSeen

LOOK_PERIOD_S = 1.0
REASON = "ReportUnclear"


class NodeTeller:
    """Writes one event for each node and content; every replica logs it, the leader writes. Lives on the event loop."""

    def __init__(self, effects: Effects, *, leading: Callable[[], bool]) -> None:
        self._effects = effects
        self._leading = leading
        self._due: dict[NodeName, DevicesSeen] = {}
        self._said: dict[NodeName, tuple[str, ...]] = {}

    def seen(self, report: DevicesSeen) -> None:
        """A report as it is now."""
        if report.assumed and self._said.get(report.node) != report.assumed:
            self._due[report.node] = report
        else:
            self._due.pop(report.node, None)
        if not report.assumed:
            self._said.pop(report.node, None)

    def gone(self, node: NodeName) -> None:
        """A report is no more."""
        self._due.pop(node, None)
        self._said.pop(node, None)

    async def run(self) -> None:
        """Write what is due until cancelled."""
        while True:
            if self._leading():
                await self._write()
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _write(self) -> None:
        for node, report in list(self._due.items()):
            about, note = OwnRef(kind="GPUNode", uid=report.uid, name=node), note_of(report.assumed)
            outcome = await self._effects.event(about, reason=REASON, note=note, warning=True, once=True)
            if isinstance(outcome, Done | Gone) and self._due.get(node) is report:
                del self._due[node]
                self._said[node] = report.assumed


def note_of(sentences: Sequence[str], where: str = "the service's log") -> str:
    """As many whole sentences as an event takes, and how many there are beyond, which stand `where`."""
    for shown in range(len(sentences), 0, -1):
        rest = len(sentences) - shown
        text = "; ".join(sentences[:shown]) + (f"; and {rest} more, which {where} has" if rest else "")
        if len(text) <= EVENT_TEXT_LIMIT:
            return text
    return sentences[0][:EVENT_TEXT_LIMIT] if sentences else ""
