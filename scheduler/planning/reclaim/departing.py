"""Pods that leave anyway: their room is counted on before anybody else has to make way.

So nobody is evicted for room that is about to be free: not after a service died in the middle of evictions, and not
where work happens to end. Only who stays within nominal quota, of its queue or of one above it, waits for such room,
since it would be held for it.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from scheduler.model.names import QueueName
from scheduler.model.plan import RollBack
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk, Leaving
from scheduler.planning.reclaim.lift import Lifted, Lifter
from scheduler.planning.reclaim.rights import below_top, counted
from scheduler.planning.reclaim.table import may_be_lifted
from scheduler.planning.reclaim.units import Unit, unit_of
from scheduler.quota.tree import Bill

SOON_S = 300
"""Pods that have longer than this to end are not waited for, unless they were made to leave."""

LATE_S = 60
"""Pods that are still there so long after they should have ended are not waited for."""


def leaves_in_time(pod: Pod, now_s: int) -> bool:
    """Whether a pod that is being deleted will be gone before long."""
    if pod.leaves_by_s is None or now_s > pod.leaves_by_s + LATE_S:
        return False
    return pod.makes_way or pod.leaves_by_s <= now_s + SOON_S


def departing(snapshot: Snapshot, workloads: Iterable[Workload], now_s: int) -> tuple[Leaving, ...]:
    """Members that are being deleted, as far as no plan in flight waits for their room already."""
    spoken_for = {uid for flight in snapshot.in_flight.values() for uid in flight.leaving}
    found: list[Leaving] = []
    for workload in workloads:
        pods = tuple(
            pod
            for pod in workload.members
            if pod.deleting
            and pod.uid not in spoken_for
            and leaves_in_time(pod, now_s)
            and may_be_lifted(snapshot, pod)
        )
        if pods:
            found.append((workload, pods))
    return tuple(found)


def send_away(desk: Desk, decision: RollBack) -> None:
    """The rest of a gang leaves by this plan: its room is there for those who wait for that."""
    workload = desk.snapshot.workloads[decision.workload]
    desk.decisions.append(decision)
    desk.moving[workload.key] = workload.key
    pods = tuple(pod for pod in workload.placed if may_be_lifted(desk.snapshot, pod))
    if pods and workload.queue in desk.snapshot.queues:
        lifter = Lifter(desk)
        _left(desk, lifter, lifter.lift([unit_of(desk, workload, pods)]), [pods])


@contextmanager
def departed(desk: Desk, candidate: Candidate) -> Generator[bool]:
    """Inside, the room of pods that leave anyway is there, for a candidate that may wait for it; yields whether any is.

    It stays so for the rest of the plan where a decision was made on it.
    """
    if not desk.departing or not _covered(desk, candidate):
        yield False
        return
    lifter, some, before = Lifter(desk), desk.departing, len(desk.moving)
    # Queues are not charged for what is being deleted.
    lifted = lifter.lift(Unit(workload, pods, "surplus", whole=False, bill=Bill(), lost=0) for workload, pods in some)
    rows = {row: set(uids) for row, uids in desk.leaving.items()}
    _left(desk, lifter, lifted, [pods for _, pods in some])
    desk.departing = ()
    yield True
    if len(desk.moving) == before:
        lifter.put_back(lifted)
        for row, devices in lifted.devices.items():
            desk.freed[row].difference_update(devices)
        desk.leaving, desk.departing = rows, some


def _left(desk: Desk, lifter: Lifter, lifted: Lifted, pods: Iterable[tuple[Pod, ...]]) -> None:
    lifter.keep(lifted)
    for some in pods:
        for pod in some:
            if pod.node is not None:
                desk.leaving.setdefault(desk.fleet.row_of[pod.node], set()).add(pod.uid)


def _covered(desk: Desk, candidate: Candidate) -> bool:
    """Whether the queue, or one above it, would use no more than its nominal quota with the candidate."""
    queue, forest = QueueName(str(candidate.workload.queue)), desk.ledger.forest
    bill = Bill(candidate.least.milli_gpu)
    return any(
        desk.ledger.used_by(each.name).total_milli_gpu + amount <= nominal
        for each in below_top(forest, queue) or forest.chain(queue)
        for flavor, amount, nominal in counted(forest, each, bill)
        if flavor is None
    )
