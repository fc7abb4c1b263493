"""Running work in the pieces in which it may leave: single pods that a gang can do without, and whole gangs."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.plan import VictimWhy
from scheduler.model.workload import Pod, Workload
from scheduler.planning.candidate import Candidate, by_need
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.rights import borrowed_milli, borrowing, could_cover, protection_s, ways
from scheduler.planning.reclaim.table import can_leave, lost_milli, since_s
from scheduler.quota.tree import Bill, Ledger, bill_for

Tier = tuple[int, bool]
"""Who goes first: lower priority before higher, and of one priority surplus before what a gang cannot do without."""


class Unit(msgspec.Struct, frozen=True, eq=False):
    """Pods that leave together.

    `whole`: the workload does not stand without them, and its surplus leaves with them. `lost`: milli-GPU-seconds.
    """

    workload: Workload
    pods: tuple[Pod, ...]
    why: VictimWhy
    whole: bool
    bill: Bill
    lost: int

    @property
    def key(self) -> WorkloadKey:
        """The workload's key."""
        return self.workload.key

    @property
    def queue(self) -> QueueName:
        """The workload's queue."""
        return QueueName(str(self.workload.queue))

    @property
    def tier(self) -> Tier:
        """Its place in the order in which work makes way."""
        return self.workload.priority, self.whole


class Side(msgspec.Struct, frozen=True):
    """What the asking workload may do to the work of one queue, and for how long this is safe from it.

    `borrowed`: milli-GPU above nominal quota, summed over all that counts; beyond it at most one workload loses.
    """

    why: VictimWhy
    protected_s: int = 0
    borrowed: int = 0


def sides(
    ledger: Ledger, candidate: Candidate, bills: Sequence[Bill], *, outright: bool = False
) -> Mapping[QueueName, Side]:
    """The queues whose work might make way for the candidate, whose charge is one of `bills`.

    `outright`: only those that borrow at every level.
    """
    asking = QueueName(str(candidate.workload.queue))
    found: dict[QueueName, Side] = {asking: Side("preempt")}
    for name in ledger.forest.queues:
        if name == asking or not ledger.used_by(name).total_milli_gpu:
            continue
        both = ways(ledger.forest, asking, name)
        losing = both.losing if outright else both.losing[-1:]
        if borrowing(ledger, losing) and could_cover(ledger.forest, both.asking[-1:], bills):
            found[name] = Side("reclaim", protection_s(both.losing), borrowed_milli(ledger, losing))
    return found


def is_open(side: Side, workload: Workload, asking: Workload, now_s: int) -> bool:
    """Whether any pod of a workload might have to leave."""
    if not workload.preemptible or workload.kept or (side.why == "preempt" and workload.priority >= asking.priority):
        return False
    if not side.protected_s:
        return True
    return any(now_s >= since_s(pod) + side.protected_s for pod in workload.placed)


def units_of(
    desk: Desk, candidate: Candidate, allowed: Mapping[QueueName, Side], keys: Iterable[WorkloadKey]
) -> list[Unit]:
    """All that may leave of the workloads `keys`, in their order."""
    found: list[Unit] = []
    for key in keys:
        workload = desk.snapshot.workloads[key]
        side = None if workload.queue is None else allowed.get(workload.queue)
        if side is None or key == candidate.workload.key:
            continue
        if not is_open(side, workload, candidate.workload, desk.now_s):
            continue
        if key in desk.snapshot.in_flight or desk.moving.get(key) == key:
            continue
        found += _units(desk, by_need(workload), side)
    return found


def _units(desk: Desk, workload: Workload, side: Side) -> Iterable[Unit]:
    placed = tuple(pod for pod in workload.placed if pod.uid not in desk.gone)
    if not can_leave(desk.snapshot, workload, placed):
        return
    core, surplus = placed[: workload.min_member], placed[workload.min_member :]
    latest = [since_s(pod) for pod in core]
    open_to_all = True
    for pod in surplus:
        if _is_safe(desk, side, [since_s(pod)]):
            open_to_all = False
        else:
            yield _unit(desk, workload, (pod,), "surplus", queue_bill=_bill(desk, workload, (pod,)), whole=False)
    if open_to_all and not _is_safe(desk, side, latest):
        yield _unit(desk, workload, core, side.why, queue_bill=_bill(desk, workload, core), whole=True)


def _is_safe(desk: Desk, side: Side, since_s: Iterable[int]) -> bool:
    """Whether its queue's `minRuntime` protects pods that have had their nodes for so long."""
    return side.protected_s > 0 and desk.now_s < max(since_s, default=0) + side.protected_s


def unit_of(desk: Desk, workload: Workload, pods: tuple[Pod, ...]) -> Unit:
    """Pods of a workload that leave whatever it costs."""
    return _unit(desk, workload, pods, "surplus", queue_bill=_bill(desk, workload, pods), whole=False)


def _unit(
    desk: Desk, workload: Workload, pods: tuple[Pod, ...], why: VictimWhy, *, queue_bill: Bill, whole: bool
) -> Unit:
    return Unit(workload, pods, why, whole, queue_bill, lost_milli(pods, desk.now_s))


def _bill(desk: Desk, workload: Workload, pods: Iterable[Pod]) -> Bill:
    record, bill = desk.payer(workload), Bill()
    for pod in pods:
        product = desk.snapshot.nodes[pod.node].product if pod.node is not None else ""
        bill = bill.plus(bill_for(record, pod.shape, product))
    return bill
