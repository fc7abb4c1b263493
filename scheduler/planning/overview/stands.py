"""How every queue stands, in total and per flavor."""

from collections import Counter
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from scheduler.model.flavors import model_matches
from scheduler.model.names import QueueName
from scheduler.model.queue import CPU, MEMORY, Queue, Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape
from scheduler.planning.overview.records import Amounts, QueueStand, ResourceAmounts
from scheduler.quota.forest import Forest
from scheduler.quota.share import fair_shares, lent
from scheduler.quota.standing import standings
from scheduler.quota.tree import Ledger, flavor_charges, quota_of
from scheduler.quota.usage import capacity_of

UNITS = {CPU: "milli-CPU", MEMORY: "MiB"}

DELETED = "it was deleted: what runs in it goes on to its end, and nothing new starts"

Demand = Mapping[str, Mapping[QueueName, int]]
"""Milli-GPU by flavor and by the queue whose own work it is."""


def queue_stands(snapshot: Snapshot, ledger: Ledger) -> tuple[QueueStand, ...]:
    """All queues, each before those below it, and queues beside each other by name.

    `ledger`: what the queues use at the snapshot's moment.
    """
    found = standings(snapshot, ledger)
    flavors = _flavors(snapshot, ledger)
    return tuple(
        QueueStand(
            name=name,
            parent=queue.parent,
            total=Amounts(
                nominal_milli_gpu=found[name].nominal_milli_gpu,
                used_milli_gpu=found[name].used_milli_gpu,
                borrowed_milli_gpu=found[name].borrowed_milli_gpu,
                lent_milli_gpu=found[name].lent_milli_gpu,
                pending_milli_gpu=found[name].pending_milli_gpu,
                fair_share_milli_gpu=found[name].fair_share_milli_gpu,
                borrowing_limit_milli_gpu=queue.total.borrowing_limit_milli_gpu,
                lending_limit_milli_gpu=queue.total.lending_limit_milli_gpu,
            ),
            flavors=flavors.get(name, ()),
            resources=tuple(_resources(queue, ledger)),
            user_limit_milli_gpu=queue.user_limit_milli_gpu,
            pending_workloads=found[name].pending_workloads,
            running_workloads=found[name].running_workloads,
            weight=queue.weight,
            priority=queue.priority,
            order=queue.order,
            policy=None if queue.policy is None else queue.policy.value,
            min_runtime_s=queue.min_runtime_s,
            namespaces=queue.namespaces,
            problems=(*(str(problem) for problem in queue.problems), *((DELETED,) if queue.ending else ())),
        )
        for name, queue in _downwards(ledger.forest)
    )


def _downwards(forest: Forest) -> Iterator[tuple[QueueName, Queue]]:
    left: list[QueueName] = list(reversed(forest.below.get(None, ())))
    while left:
        name = left.pop()
        yield name, forest.queues[name]
        left += reversed(forest.below.get(name, ()))


def _resources(queue: Queue, ledger: Ledger) -> Iterator[ResourceAmounts]:
    for name, quota in queue.flavors:
        if name in UNITS and _counts(quota):
            used = ledger.used_by(queue.name).of(name)
            yield ResourceAmounts(
                resource=name,
                unit=UNITS[name],
                nominal=quota.nominal_milli_gpu,
                used=used,
                borrowed=max(used - quota.nominal_milli_gpu, 0),
                borrowing_limit=quota.borrowing_limit_milli_gpu,
                lending_limit=quota.lending_limit_milli_gpu,
            )


def _flavors(snapshot: Snapshot, ledger: Ledger) -> Mapping[QueueName, tuple[Amounts, ...]]:
    forest = ledger.forest
    names = sorted({name for queue in forest.queues.values() for name, quota in queue.flavors if _counts(quota)})
    names = [name for name in names if name not in UNITS]
    if not names:
        return {}
    pending = _pending(snapshot, names)
    capacity = capacity_of(snapshot)
    found: dict[QueueName, list[Amounts]] = {}
    for flavor in names:
        # Quota of one flavor follows the rules that quota in total does.
        quotas = {name: quota_of(queue, flavor) or Quota(given=False) for name, queue in forest.queues.items()}
        alone = forest.changed({name: replace(forest.queues[name], total=quota) for name, quota in quotas.items()})
        used = {name: ledger.used_by(name).of(flavor) for name in forest.queues}
        waiting = _with_those_below(forest, pending.get(flavor, {}))
        own = {name: used[name] - sum(used[below] for below in forest.below.get(name, ())) for name in used}
        demand = {name: own[name] + pending.get(flavor, {}).get(name, 0) for name in used}
        shares = fair_shares(alone, demand, capacity.of(flavor))
        gone = lent(alone, used, capacity.of(flavor))
        for name, quota in quotas.items():
            if not _counts(quota):
                continue
            found.setdefault(name, []).append(
                Amounts(
                    flavor=flavor,
                    nominal_milli_gpu=quota.nominal_milli_gpu,
                    used_milli_gpu=used[name],
                    borrowed_milli_gpu=max(used[name] - quota.nominal_milli_gpu, 0),
                    lent_milli_gpu=gone[name],
                    pending_milli_gpu=waiting[name],
                    fair_share_milli_gpu=shares[name],
                    borrowing_limit_milli_gpu=quota.borrowing_limit_milli_gpu,
                    lending_limit_milli_gpu=quota.lending_limit_milli_gpu,
                )
            )
    return {name: tuple(amounts) for name, amounts in found.items()}


def _counts(quota: Quota) -> bool:
    """Whether anything is said of the flavor there: not where it is only charged because a queue above names it."""
    return quota.given or quota.nominal_milli_gpu > 0 or quota.borrowing_limit_milli_gpu is not None


def _pending(snapshot: Snapshot, names: list[str]) -> Demand:
    products = sorted({node.product for node in snapshot.nodes.values() if node.product})
    known: dict[PodShape, Mapping[str, int]] = {}
    found: dict[str, Counter[QueueName]] = {}
    for key, workload in snapshot.workloads.items():
        if workload.queue is None or workload.queue not in snapshot.queues or key in snapshot.in_flight:
            continue
        for pod in workload.pending:
            if pod.shape not in known:
                known[pod.shape] = _only_there(pod.shape, names, products)
            for flavor, milli_gpu in known[pod.shape].items():
                found.setdefault(flavor, Counter())[workload.queue] += milli_gpu
    return found


def _only_there(shape: PodShape, names: list[str], products: list[str]) -> Mapping[str, int]:
    """What a pod of this shape is charged to each flavor on whichever node that suits its models."""
    every = Queue(name=QueueName(""), flavors=tuple((name, Quota()) for name in names))
    accepted = [p for p in products if not shape.models or any(model_matches(model, p) for model in shape.models)]
    charges = [dict(flavor_charges(every, shape, product)) for product in accepted or [""]]
    return {name: charges[0][name] for name in names if all(name in charge for charge in charges)}


def _with_those_below(forest: Forest, own: Mapping[QueueName, int]) -> Mapping[QueueName, int]:
    sums: Counter[QueueName] = Counter()
    for name, milli_gpu in own.items():
        sums.update({queue.name: milli_gpu for queue in forest.chain(name)})
    return sums
