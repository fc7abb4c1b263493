"""Why workloads lost pods that have not come back since, as what waits is told it."""

from collections.abc import Iterable, Mapping

import msgspec

from scheduler.kube.translate_eviction import ToldEviction
from scheduler.model.names import WorkloadKey
from scheduler.model.plan import VictimWhy, Wait
from scheduler.model.snapshot import Snapshot

REASONS: Mapping[VictimWhy, str] = {"reclaim": "Reclaimed", "preempt": "Preempted", "surplus": "SurplusTaken"}
"""Why pods were evicted, as their condition and event have it."""

FAILING = "OnFailingDevice"
"""The same for work that is to be planned elsewhere, since it stands on what fails."""

TOLD = (*REASONS.values(), FAILING)

REMEMBERED_S = 3600
"""So long it is told; the Events that say it are kept as long by default (kube-apiserver `--event-ttl`)."""


class Losses:
    """The latest word on each workload that lost pods. Lives on the service's event loop."""

    def __init__(self) -> None:
        """Nobody lost anything."""
        self._told: dict[WorkloadKey, tuple[str, int]] = {}

    def note(self, key: WorkloadKey, text: str, at_s: int) -> None:
        """The workload lost pods, and why."""
        self._told[key] = text, at_s

    def leaving(self, key: WorkloadKey, text: str, at_s: int) -> None:
        """A pod of the workload leaves that was told why: nothing new where that is known."""
        self._told.setdefault(key, (text, at_s))

    def recall(self, evictions: Iterable[ToldEviction]) -> None:
        """What was written when another replica led."""
        for told in evictions:
            if self._told.get(told.workload, ("", 0))[1] < told.at_s:
                self._told[told.workload] = told.text, told.at_s

    def added(self, snapshot: Snapshot, waiting: Mapping[WorkloadKey, Wait], *, now_s: int) -> dict[WorkloadKey, Wait]:
        """What workloads wait for, with why they lost their pods; that is forgotten of those that stand again."""
        for key, (_, at_s) in list(self._told.items()):
            if at_s < now_s - REMEMBERED_S or (key in snapshot.workloads and snapshot.workloads[key].placed):
                del self._told[key]
        found = dict(waiting)
        for key, (text, _) in self._told.items():
            if key in found:
                detail = "; ".join(filter(None, (found[key].detail, text)))
                found[key] = msgspec.structs.replace(found[key], detail=detail)
        return found
