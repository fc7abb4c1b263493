"""When something that waits has to be looked at again though nothing happened."""

from collections.abc import Iterator

from scheduler.model.snapshot import Snapshot
from scheduler.planning.reclaim.table import since_s
from scheduler.quota.forest import Forest


def protection_ends_s(snapshot: Snapshot, now_s: int) -> int | None:
    """When the next pod that `minRuntime` keeps from being evicted may be, in seconds since 1970; None: none is."""
    return min((moment for moment in _ends(snapshot) if moment > now_s), default=None)


def _ends(snapshot: Snapshot) -> Iterator[int]:
    forest = Forest(snapshot.queues)
    # Which queues on the way up count depends on who asks.
    spans = {name: {q.min_runtime_s for q in forest.chain(name) if q.min_runtime_s} for name in snapshot.queues}
    if not any(spans.values()):
        return
    for workload in snapshot.workloads.values():
        for span_s in spans.get(workload.queue, ()) if workload.queue is not None else ():
            yield from (since_s(pod) + span_s for pod in workload.placed)
