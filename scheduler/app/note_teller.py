"""What is told of words that are read and not honoured: an event beside the first waiting pod of a workload."""

import asyncio
from collections.abc import Callable

from scheduler.app.node_teller import note_of
from scheduler.kube.effects import Done, Effects, Gone, PodRef, ref
from scheduler.model.names import WorkloadKey
from scheduler.model.plan import Plan
from scheduler.model.snapshot import Snapshot

LOOK_PERIOD_S = 1.0
REASON = "NotHonoured"


class NoteTeller:
    """Writes one event for each workload and content, while it waits. Lives on the service's event loop."""

    def __init__(self, effects: Effects, *, leading: Callable[[], bool]) -> None:
        """`leading` says whether this replica writes."""
        self._effects = effects
        self._leading = leading
        self._due: dict[WorkloadKey, tuple[PodRef, tuple[str, ...]]] = {}
        self._said: dict[WorkloadKey, tuple[str, ...]] = {}

    def planned(self, snapshot: Snapshot, _: Plan) -> None:
        """A cycle ended."""
        self._due = {
            key: (ref(workload.pending[0]), workload.notes)
            for key, workload in snapshot.workloads.items()
            if workload.notes and self._said.get(key) != workload.notes and workload.pending
        }
        for key in [key for key in self._said if key not in snapshot.workloads]:
            del self._said[key]

    async def run(self) -> None:
        """Write what is due until cancelled."""
        while True:
            if self._leading():
                for key, (pod, notes) in list(self._due.items()):
                    await self._write(key, pod, notes)
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _write(self, key: WorkloadKey, pod: PodRef, notes: tuple[str, ...]) -> None:
        outcome = await self._effects.event(pod, reason=REASON, note=note_of(notes, "bayplan explain"), once=True)
        if isinstance(outcome, Done | Gone):
            self._said[key] = notes
            if self._due.get(key) == (pod, notes):
                del self._due[key]
