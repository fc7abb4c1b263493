"""What people are told: our condition on each waiting pod, an event when the reason changes, stale nominations cleared.

These writes are background work: few at a time, only what changed, and only reasons that held for a while, because
gangs that are just arriving change theirs with every pod.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from scheduler.kube.effects import Done, Effects, Gone, PodRef, ref
from scheduler.model.names import PodUid, WorkloadKey
from scheduler.model.plan import Reason, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod

PLANNED = "Planned"
PLACED_TEXT = "the pod has its place in the plan"
LOOK_PERIOD_S = 0.25
WRITES_AT_ONCE = 4

URGENT = frozenset({Reason.INVALID_REQUEST, Reason.QUEUE_MISSING})
"""Reasons that are a mistake of the user's: the event is a warning."""


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    planned: bool
    reason: str
    message: str


class _Due(msgspec.Struct, frozen=True, kw_only=True):
    pod: PodRef
    words: _Words
    since_s: float


class Teller:
    """Keeps what stands on pods in step with what was decided. Lives on the service's event loop."""

    def __init__(self, effects: Effects, *, settle_s: float, leading: Callable[[], bool]) -> None:
        self._effects = effects
        self._settle_s = settle_s
        self._leading = leading
        self._due: dict[PodUid, _Due] = {}
        self._said: dict[WorkloadKey, _Words] = {}
        self._events: dict[WorkloadKey, tuple[PodRef, Wait, float]] = {}
        self._stale: dict[PodUid, PodRef] = {}

    def decided(self, snapshot: Snapshot, waiting: Mapping[WorkloadKey, Wait]) -> None:
        """The latest word on all that waits."""
        now_s = asyncio.get_running_loop().time()
        self._stale = {}
        due: dict[PodUid, _Due] = {uid: d for uid, d in self._due.items() if d.words.planned}
        for key, wait in waiting.items():
            words = _Words(planned=False, reason=wait.reason.value, message=wait.message)
            pending = snapshot.workloads[key].pending
            for pod in pending:
                if pod.nominated_node is not None and wait.reason is not Reason.MAKING_ROOM:
                    self._stale[pod.uid] = ref(pod)
                if pod.told != (words.reason, words.message):
                    older = self._due.get(pod.uid)
                    since_s = older.since_s if older is not None and older.words == words else now_s
                    due[pod.uid] = _Due(pod=ref(pod), words=words, since_s=since_s)
            if pending and self._said.get(key) != words:
                since_s = self._events[key][2] if key in self._events else now_s
                self._events[key] = (ref(pending[0]), wait, since_s)
            else:
                self._events.pop(key, None)
        for key in [key for key in self._events if key not in waiting]:
            del self._events[key]
        for key in [key for key in self._said if key not in snapshot.workloads]:
            del self._said[key]
        self._due = due

    def placed(self, pod: Pod) -> None:
        """A pod got its node: what it was told while it waited holds no more."""
        self._due.pop(pod.uid, None)
        if pod.told is not None and pod.told[0] != PLANNED:
            words = _Words(planned=True, reason=PLANNED, message=PLACED_TEXT)
            self._due[pod.uid] = _Due(pod=ref(pod), words=words, since_s=0.0)

    def gone(self, uid: PodUid) -> None:
        """A pod is no more."""
        self._due.pop(uid, None)
        self._stale.pop(uid, None)

    async def run(self) -> None:
        """Write what is due until cancelled."""
        while True:
            if self._leading():
                await self._clear_stale()
                await self._write_due()
                await self._write_events()
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _clear_stale(self) -> None:
        while self._stale:
            taken = [self._stale.popitem()[1] for _ in range(min(WRITES_AT_ONCE, len(self._stale)))]
            await asyncio.gather(*(self._effects.nominate(pod, None) for pod in taken))

    async def _write_due(self) -> None:
        ripe_s = asyncio.get_running_loop().time() - self._settle_s
        ripe = [d for d in self._due.values() if d.since_s <= ripe_s]
        for start in range(0, len(ripe), WRITES_AT_ONCE):
            await asyncio.gather(*(self._write(d) for d in ripe[start : start + WRITES_AT_ONCE]))

    async def _write(self, due: _Due) -> None:
        if self._due.get(due.pod.uid) != due:
            return
        words = due.words
        outcome = await self._effects.tell(due.pod, planned=words.planned, reason=words.reason, message=words.message)
        if isinstance(outcome, Done | Gone) and self._due.get(due.pod.uid) == due:
            del self._due[due.pod.uid]

    async def _write_events(self) -> None:
        ripe_s = asyncio.get_running_loop().time() - self._settle_s
        for key, (pod, wait, since_s) in list(self._events.items()):
            if since_s > ripe_s:
                continue
            words = _Words(planned=False, reason=wait.reason.value, message=wait.message)
            note = "; ".join(part for part in (wait.message, wait.detail, wait.unblock) if part)
            outcome = await self._effects.event(pod, reason=wait.reason.value, note=note, warning=wait.reason in URGENT)
            if isinstance(outcome, Done | Gone):
                self._said[key] = words
                self._events.pop(key, None)
