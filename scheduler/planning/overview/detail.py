"""One queue with its work, and with whom it shares."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from scheduler.model.names import PodUid, QueueName, WorkloadKey, people_name
from scheduler.model.plan import Decision, RollBack, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.overview.records import Partner, QueueDetail, QueueStand, Work, WorkState
from scheduler.quota.forest import Forest
from scheduler.quota.tree import Ledger


def queue_detail(
    snapshot: Snapshot,
    ledger: Ledger,
    stands: Sequence[QueueStand],
    decisions: Iterable[Decision],
    queue: QueueName,
) -> QueueDetail | None:
    """All that is known of a queue; None where there is none of that name.

    `stands`: those of all queues at the same moment. `decisions`: the latest on all that waits.
    """
    by_name = {stand.name: stand for stand in stands}
    stand = by_name.get(queue)
    if stand is None:
        return None
    inside = _inside(ledger.forest, queue)
    decided = {decision.workload: decision for decision in decisions}
    work = [
        _work(snapshot, workload, workload.queue, decided)
        for workload in snapshot.workloads.values()
        if workload.queue is not None and workload.queue in inside and (workload.pending or workload.placed)
    ]
    runs = sorted((w for w in work if w.milli_gpu or not w.pending_milli_gpu), key=lambda w: (w.since_s, w.name))
    waits = sorted((w for w in work if w not in runs), key=lambda w: (-w.priority, w.since_s, w.name))
    return QueueDetail(
        stand=stand,
        below=tuple(ledger.forest.below.get(queue, ())),
        work=(*_with_borrowed(runs, stand.total.nominal_milli_gpu), *waits),
        lends_to=_partners(ledger.forest, by_name, queue, lend=False) if stand.total.lent_milli_gpu else (),
        borrows_from=_partners(ledger.forest, by_name, queue, lend=True) if stand.total.borrowed_milli_gpu else (),
    )


def _inside(forest: Forest, queue: QueueName) -> set[QueueName]:
    found: set[QueueName] = set()
    left = [queue]
    while left:
        name = left.pop()
        found.add(name)
        left += forest.below.get(name, ())
    return found


def _work(snapshot: Snapshot, workload: Workload, queue: QueueName, decided: Mapping[WorkloadKey, Decision]) -> Work:
    flight = snapshot.in_flight.get(workload.key)
    going = frozenset[PodUid]() if flight is None else frozenset(a.pod for a in flight.assignments)
    placed = [pod for pod in workload.placed if pod.uid not in going]
    pending = [pod for pod in workload.pending if pod.uid not in going]
    used = sum(pod.shape.milli_gpu for pod in placed) + (0 if flight is None else flight.milli_gpu)
    bound = [pod.bound_s for pod in placed if pod.bound_s is not None]
    decision = decided.get(workload.key)
    wait = decision if isinstance(decision, Wait) and (pending or flight is not None) else None
    return Work(
        name=people_name(workload.key),
        kind="gang" if workload.is_gang else "pod",
        queue=queue,
        state=_state(decision, waits=wait is not None and flight is None, stands=not workload.lacking(placed)),
        owner="" if workload.is_gang else workload.members[0].owner_name,
        user=workload.user,
        priority=workload.priority,
        preemptible=workload.preemptible,
        milli_gpu=used,
        pending_milli_gpu=sum(pod.shape.milli_gpu for pod in pending),
        pods=len(workload.pending) + len(workload.placed),
        placed=len(placed),
        size=workload.size,
        since_s=min(bound, default=workload.created_s),
        reason=wait.reason.value if wait is not None else "",
        message=wait.message if wait is not None else "",
        detail=wait.detail if wait is not None else "",
        unblock=wait.unblock if wait is not None else "",
        estimated_start_s=wait.reservation.start_s if wait is not None and wait.reservation is not None else None,
    )


def _state(decision: Decision | None, *, waits: bool, stands: bool) -> WorkState:
    if isinstance(decision, RollBack):
        return "leaving"
    if stands:
        return "running"
    return "waiting" if waits else "starting"


def _with_borrowed(runs: Sequence[Work], nominal_milli_gpu: int) -> list[Work]:
    """What of each one's use is above nominal, where what stays longest fills nominal first."""
    borrowed: dict[str, int] = {}
    used = 0
    for work in sorted(runs, key=lambda w: (w.preemptible, -w.priority, w.since_s, w.name)):
        used += work.milli_gpu
        borrowed[work.name] = min(work.milli_gpu, max(used - nominal_milli_gpu, 0))
    return [replace(work, borrowed_milli_gpu=borrowed[work.name]) for work in runs]


def _partners(
    forest: Forest, stands: Mapping[QueueName, QueueStand], queue: QueueName, *, lend: bool
) -> tuple[Partner, ...]:
    """Queues beside this one, and beside those above it, that borrow now, or lend; largest amounts first."""
    found: list[Partner] = []
    for each in forest.chain(queue):
        for name in forest.below.get(each.parent, ()):
            total = stands[name].total
            milli_gpu = total.lent_milli_gpu if lend else total.borrowed_milli_gpu
            if name != each.name and milli_gpu:
                found.append(Partner(queue=name, milli_gpu=milli_gpu))
    return tuple(sorted(found, key=lambda partner: (-partner.milli_gpu, partner.queue)))
