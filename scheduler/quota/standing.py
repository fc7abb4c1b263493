"""How every queue stands: what it uses, borrows, lends, waits for and deserves."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from scheduler.model.names import QueueName
from scheduler.model.snapshot import Snapshot
from scheduler.quota.dominant import fair_bills, things_of
from scheduler.quota.share import lent
from scheduler.quota.tree import NOTHING_CHARGED, Bill, Ledger, sure_bill
from scheduler.quota.usage import fair_capacity


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands in one thing that it, or a queue above it, has a quota for: a flavor, CPU or memory.

    Amounts in milli-GPU; of CPU in thousandths of a core, of memory in MiB. `pending` leaves out what waits for any of
    several models.
    """

    name: str
    nominal: int
    used: int
    borrowed: int
    lent: int
    pending: int
    fair_share: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One queue with all that stands below it; amounts in milli-GPU, and how many workloads wait and run."""

    nominal_milli_gpu: int
    used_milli_gpu: int
    borrowed_milli_gpu: int
    lent_milli_gpu: int
    pending_milli_gpu: int
    fair_share_milli_gpu: int
    pending_workloads: int
    running_workloads: int
    kinds: tuple[Kind, ...] = ()


def standings(snapshot: Snapshot, ledger: Ledger) -> Mapping[QueueName, Standing]:
    """How the queues stand at the snapshot's moment; `ledger`: what they use then."""
    forest = ledger.forest
    pending_bills: dict[QueueName, Bill] = {}
    pending: Counter[QueueName] = Counter()
    running: Counter[QueueName] = Counter()
    demand = {name: ledger.own(name) for name in snapshot.queues}
    for key, workload in snapshot.workloads.items():
        if workload.queue is None or workload.queue not in snapshot.queues:
            continue
        names = [queue.name for queue in forest.chain(workload.queue)]
        if workload.pending:
            bill = sure_bill(snapshot.queues[workload.queue], ((pod.shape, 1) for pod in workload.pending))
            pending.update(names)
            for name in names:
                pending_bills[name] = pending_bills.get(name, NOTHING_CHARGED).plus(bill)
            # What is in flight counts as used already.
            flight = snapshot.in_flight.get(key)
            if flight is None:
                demand[workload.queue] = demand[workload.queue].plus(bill)
            elif bill.total_milli_gpu > flight.milli_gpu:
                more = Bill(bill.total_milli_gpu - flight.milli_gpu)
                demand[workload.queue] = demand[workload.queue].plus(more)
        if workload.placed:
            running.update(names)
    capacity = fair_capacity(snapshot)
    shares = fair_bills(forest, demand, capacity)
    used = {name: ledger.used_by(name) for name in snapshot.queues}
    gone = {thing: lent(forest, *_of(thing, used, capacity), thing) for thing in things_of(forest)}
    return {
        name: Standing(
            nominal_milli_gpu=queue.total.nominal_milli_gpu,
            used_milli_gpu=used[name].total_milli_gpu,
            borrowed_milli_gpu=max(used[name].total_milli_gpu - queue.total.nominal_milli_gpu, 0),
            lent_milli_gpu=gone[None][name],
            pending_milli_gpu=pending_bills.get(name, NOTHING_CHARGED).total_milli_gpu,
            fair_share_milli_gpu=shares[name].total_milli_gpu,
            pending_workloads=pending[name],
            running_workloads=running[name],
            kinds=tuple(
                Kind(
                    name=flavor,
                    nominal=quota.nominal_milli_gpu,
                    used=used[name].of(flavor),
                    borrowed=max(used[name].of(flavor) - quota.nominal_milli_gpu, 0),
                    lent=gone[flavor][name] if flavor in gone else 0,
                    pending=pending_bills.get(name, NOTHING_CHARGED).of(flavor),
                    fair_share=shares[name].of(flavor),
                )
                for flavor, quota in queue.flavors
            ),
        )
        for name, queue in snapshot.queues.items()
    }


def _of(thing: str | None, used: Mapping[QueueName, Bill], capacity: Bill) -> tuple[dict[QueueName, int], int]:
    """Of one thing, what the queues use and what there is."""
    uses = {name: bill.total_milli_gpu if thing is None else bill.of(thing) for name, bill in used.items()}
    return uses, capacity.total_milli_gpu if thing is None else capacity.of(thing)
