"""What the queues use at a snapshot's moment: members that stand, and plans being carried out."""

from collections import Counter
from collections.abc import Mapping

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import Resources, extended
from scheduler.model.snapshot import InFlight, Snapshot
from scheduler.model.workload import PodShape, Workload
from scheduler.quota.forest import Forest
from scheduler.quota.tree import NOTHING_CHARGED, Bill, Ledger, base_bill, bill_for, payer

KnownBills = dict[WorkloadKey, tuple[Workload, InFlight | None, Queue, Bill]]
"""Bills of workloads, valid while workload, plan in flight and queue are the very same records."""


Charges = dict[tuple[QueueName, str, int, str], Bill]
"""What a pod is charged, by queue, user, identity of its shape, and product: for as long as the snapshot is at hand."""


def opening_ledger(snapshot: Snapshot, known: KnownBills | None = None) -> Ledger:
    """What every queue uses before anything is planned.

    A member counts where it stands, or where a plan in flight puts it, and once. `known` is filled with each workload's
    bill and read again where nothing changed; the products of nodes must be the same as when it was filled.
    """
    kept: KnownBills = {} if known is None else known
    charges: Charges = {}
    sums: dict[QueueName, list[Bill]] = {}
    for key, workload in snapshot.workloads.items():
        queue = snapshot.queues.get(workload.queue) if workload.queue is not None else None
        if queue is None:
            continue
        flight = snapshot.in_flight.get(key)
        entry = kept.get(key)
        if entry is None or entry[0] is not workload or entry[1] is not flight or entry[2] is not queue:
            entry = (workload, flight, queue, _bill_of(snapshot, workload, flight, charges))
            kept[key] = entry
        if entry[3] != NOTHING_CHARGED:
            sums.setdefault(queue.name, []).append(entry[3])
    for key, flight in snapshot.in_flight.items():
        if key not in snapshot.workloads and flight.queue in snapshot.queues:
            sums.setdefault(flight.queue, []).append(Bill(flight.milli_gpu))
    if known is not None:
        for key in [key for key in known if key not in snapshot.workloads]:
            del known[key]
    return _with_queues_above(snapshot, {name: _sum(bills) for name, bills in sums.items()})


def _with_queues_above(snapshot: Snapshot, own: Mapping[QueueName, Bill]) -> Ledger:
    forest = Forest(snapshot.queues)
    used: dict[QueueName, list[Bill]] = {}
    for name, bill in own.items():
        for queue in forest.chain(name):
            used.setdefault(queue.name, []).append(bill)
    capacity = capacity_of(snapshot) if forest.kept else None
    return Ledger(forest, {name: _sum(bills) for name, bills in used.items()}, capacity)


def capacity_milli_gpu(snapshot: Snapshot) -> int:
    """All GPUs of the cluster, whole, in parts and in slices, in milli-GPU."""
    columns = snapshot.columns
    totals = dict(zip(columns.resources, columns.allocatable.sum(axis=0).tolist(), strict=True))
    return PodShape(requests=Resources(extended=extended(totals))).milli_gpu


def capacity_of(snapshot: Snapshot) -> Bill:
    """All GPUs of the cluster, in total and per flavor that some queue names."""
    flavors = {name for queue in snapshot.queues.values() for name, _ in queue.flavors}
    everything = Queue(name=QueueName(""), flavors=tuple((name, Quota()) for name in sorted(flavors)))
    amounts = Counter((node.product, node.allocatable) for node in snapshot.nodes.values())
    return _sum(
        [
            NOTHING_CHARGED.plus(bill_for(everything, PodShape(requests=has), product), nodes)
            for (product, has), nodes in amounts.items()
        ]
    )


def fair_capacity(snapshot: Snapshot) -> Bill:
    """What there is to be shared: all GPUs, and what else some queue names."""
    if any(queue.flavors for queue in snapshot.queues.values()):
        return capacity_of(snapshot)
    return Bill(capacity_milli_gpu(snapshot))


def _bill_of(snapshot: Snapshot, workload: Workload, flight: InFlight | None, charges: Charges) -> Bill:
    if flight is not None and not flight.assignments:
        # An offer: where the pod will go is not known yet.
        base = base_bill(payer(snapshot.queues, workload), ((pod.shape, 1) for pod in workload.pending))
        return Bill(flight.milli_gpu, base.flavors)
    going = {} if flight is None else {a.pod: a.node for a in flight.assignments}
    bill, paying = NOTHING_CHARGED, payer(snapshot.queues, workload)
    for pod in workload.members:
        node = going.get(pod.uid) if pod.node is None else pod.node
        if node is not None and not pod.deleting:
            product = snapshot.nodes[node].product if node in snapshot.nodes else ""
            # Most pods share few shapes, which take longer to compare than to tell apart by identity.
            kind = paying.name, paying.user, id(pod.shape), product
            one = charges.get(kind)
            if one is None:
                one = charges[kind] = bill_for(paying, pod.shape, product)
            bill = one if bill is NOTHING_CHARGED else bill.plus(one)
    return bill


def _sum(bills: list[Bill]) -> Bill:
    total = 0
    flavors: dict[str, int] = {}
    for bill in bills:
        total += bill.total_milli_gpu
        for name, n in bill.flavors:
            flavors[name] = flavors.get(name, 0) + n
    return Bill(total, tuple(sorted(flavors.items())))
