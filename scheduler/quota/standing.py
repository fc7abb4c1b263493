"""How every queue stands: what it uses, borrows, lends, waits for and deserves."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from scheduler.model.names import QueueName
from scheduler.model.snapshot import Snapshot
from scheduler.quota.share import fair_shares, lent
from scheduler.quota.tree import Ledger
from scheduler.quota.usage import capacity_milli_gpu


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


def standings(snapshot: Snapshot, ledger: Ledger) -> Mapping[QueueName, Standing]:
    """How the queues stand at the snapshot's moment; `ledger`: what they use then."""
    forest = ledger.forest
    pending_milli: Counter[QueueName] = Counter()
    pending: Counter[QueueName] = Counter()
    running: Counter[QueueName] = Counter()
    demand: Counter[QueueName] = Counter()
    for key, workload in snapshot.workloads.items():
        if workload.queue is None or workload.queue not in snapshot.queues:
            continue
        names = [queue.name for queue in forest.chain(workload.queue)]
        if workload.pending:
            milli_gpu = sum(pod.shape.milli_gpu for pod in workload.pending)
            pending.update(names)
            pending_milli.update(dict.fromkeys(names, milli_gpu))
            # What is in flight counts as used already.
            flight = snapshot.in_flight.get(key)
            demand[workload.queue] += max(milli_gpu - (0 if flight is None else flight.milli_gpu), 0)
        elif workload.placed:
            running.update(names)
    used = {name: ledger.used_by(name).total_milli_gpu for name in snapshot.queues}
    for name in used:
        demand[name] += ledger.own_milli_gpu(name)
    capacity = capacity_milli_gpu(snapshot)
    shares, gone = fair_shares(forest, demand, capacity), lent(forest, used, capacity)
    return {
        name: Standing(
            nominal_milli_gpu=queue.total.nominal_milli_gpu,
            used_milli_gpu=used[name],
            borrowed_milli_gpu=max(used[name] - queue.total.nominal_milli_gpu, 0),
            lent_milli_gpu=gone[name],
            pending_milli_gpu=pending_milli[name],
            fair_share_milli_gpu=shares[name],
            pending_workloads=pending[name],
            running_workloads=running[name],
        )
        for name, queue in snapshot.queues.items()
    }
