"""What is told in an event beside a pod.

Words that are read and not honoured, work that runs in no queue, and linked GPUs on links that nobody reported.
"""

import asyncio
from collections.abc import Callable

import msgspec

from scheduler.app.node_teller import note_of
from scheduler.kube.effects import Done, Effects, Gone, PodRef, ref
from scheduler.model.names import WorkloadKey
from scheduler.model.plan import Admit, Plan, Reason
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.reasons.assumed import assumed_lines
from scheduler.planning.reasons.explain import queueless_line

LOOK_PERIOD_S = 1.0
REASON = "NotHonoured"
ASSUMED = "LinksAssumed"
QUEUELESS = Reason.QUEUE_MISSING.value


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    reason: str
    sentences: tuple[str, ...]
    warning: bool = False


class NoteTeller:
    """Writes one event for each workload and content, while it waits. Lives on the service's event loop."""

    def __init__(self, effects: Effects, *, leading: Callable[[], bool]) -> None:
        """`leading` says whether this replica writes."""
        self._effects = effects
        self._leading = leading
        self._due: dict[WorkloadKey, tuple[PodRef, _Note]] = {}
        self._said: dict[WorkloadKey, _Note] = {}

    def planned(self, snapshot: Snapshot, decided: Plan) -> None:
        """A cycle ended."""
        found = {key: note for key, workload in snapshot.workloads.items() if (note := _note_on(workload)) is not None}
        # Where a workload goes is decided once, and told when there is time.
        kept = {key: due for key, due in self._due.items() if due[1].reason == ASSUMED and key in snapshot.workloads}
        for decision in decided.decisions:
            if isinstance(decision, Admit) and (note := _assumed_by(snapshot, decision)) is not None:
                kept[decision.workload] = note
        self._due = {key: note for key, note in (kept | found).items() if self._said.get(key) != note[1]}
        for key in [key for key in self._said if key not in snapshot.workloads]:
            del self._said[key]

    async def run(self) -> None:
        """Write what is due until cancelled."""
        while True:
            if self._leading():
                for key, (pod, note) in list(self._due.items()):
                    await self._write(key, pod, note)
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _write(self, key: WorkloadKey, pod: PodRef, note: _Note) -> None:
        text = note_of(note.sentences, "bayplan explain")
        outcome = await self._effects.event(pod, reason=note.reason, note=text, warning=note.warning, once=True)
        if isinstance(outcome, Done | Gone):
            self._said[key] = note
            if self._due.get(key) == (pod, note):
                del self._due[key]


def _assumed_by(snapshot: Snapshot, decision: Admit) -> tuple[PodRef, _Note] | None:
    """What is told of linked GPUs that are planned on links which nobody reported."""
    workload = snapshot.workloads.get(decision.workload)
    if workload is None or not workload.pending:
        return None
    lines = assumed_lines(snapshot, workload, (a.node for a in decision.placement.assignments))
    return (ref(workload.pending[0]), _Note(reason=ASSUMED, sentences=tuple(lines))) if lines else None


def _note_on(workload: Workload) -> tuple[PodRef, _Note] | None:
    """What is to be told of a workload, and on which pod."""
    queueless = queueless_line(workload)
    if queueless is not None:
        return ref(workload.placed[0]), _Note(reason=QUEUELESS, sentences=(queueless,), warning=True)
    if workload.notes and workload.pending:
        return ref(workload.pending[0]), _Note(reason=REASON, sentences=workload.notes)
    return None
