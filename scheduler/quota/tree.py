"""Arithmetic of queues: what each uses, what it may still use, whether it stays within its own.

A workload counts for its queue and every queue above it.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from scheduler.model.flavors import model_matches
from scheduler.model.names import QueueName
from scheduler.model.queue import CPU, MEMORY, Queue, Quota
from scheduler.model.resources import MILLI_GPU, mig_milli_gpu
from scheduler.model.workload import PodShape, Workload
from scheduler.quota.forest import Forest

USER = "user:"
"""In front of a user's name, where a charge counts against what one user may use."""

NOBODY = "(none)"
"""Pods that do not say whose they are count as those of one user."""

MIB = 2**20


class Bill(msgspec.Struct, frozen=True):
    """A charge, or a sum of charges: in total and per flavor that the queue sets a quota for, sorted, in milli-GPU.

    Among the flavors are CPU and memory, in their units, and the user where users are limited.
    """

    total_milli_gpu: int = 0
    flavors: tuple[tuple[str, int], ...] = ()

    def of(self, flavor: str) -> int:
        """The charge to `flavor`."""
        return next((n for name, n in self.flavors if name == flavor), 0)

    def plus(self, other: "Bill", times: int = 1) -> "Bill":
        """This charge and `times` the other."""
        if not other.flavors:
            return Bill(self.total_milli_gpu + times * other.total_milli_gpu, self.flavors)
        sums = dict(self.flavors)
        for name, n in other.flavors:
            sums[name] = sums.get(name, 0) + times * n
        return Bill(self.total_milli_gpu + times * other.total_milli_gpu, tuple(sorted(sums.items())))


NOTHING_CHARGED = Bill()


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's limit that stands in the way. `flavor` is None where it is the queue's total.

    `most_milli_gpu`: what the queue may use at most, whatever others do.
    """

    queue: QueueName
    flavor: str | None
    needed_milli_gpu: int
    left_milli_gpu: int
    most_milli_gpu: int


class Ledger(msgspec.Struct, frozen=True):
    """What every queue uses with all that stands below it. A charge makes a new ledger.

    `capacity`: what there is in the cluster. It matters where queues keep quota from being lent; None where none does.
    `beside`: another account that is charged too, and whose limits hold as well.
    """

    forest: Forest
    used: Mapping[QueueName, Bill]
    capacity: Bill | None = None
    beside: "Ledger | None" = None

    def used_by(self, queue: QueueName) -> Bill:
        """What `queue` uses now."""
        return self.used.get(queue, NOTHING_CHARGED)

    def own(self, queue: QueueName) -> Bill:
        """What the queue's own workloads use, without those of the queues below it."""
        bill = self.used_by(queue)
        for name in self.forest.below.get(queue, ()):
            bill = bill.plus(self.used_by(name), -1)
        return bill

    def charge(self, queue: QueueName, bill: Bill, times: int = 1) -> "Ledger":
        """The ledger after `queue` was charged `times` the bill."""
        used = dict(self.used)
        for each in self.forest.chain(queue):
            used[each.name] = self.used_by(each.name).plus(bill, times)
        beside = None if self.beside is None else self.beside.charge(queue, bill, times)
        return Ledger(self.forest, used, self.capacity, beside)

    def headroom(self, queue: QueueName, flavor: str | None = None) -> int | None:
        """Milli-GPU that `queue` may still use, of one flavor or in total; None where it has no limit."""
        limit = self._tightest(queue, flavor)
        return None if limit is None else limit[0]

    def own_left(self, queue: QueueName) -> int:
        """Milli-GPU that the queue may still be charged before it, or one above it, borrows."""
        lefts = (q.total.nominal_milli_gpu - self.used_by(q.name).total_milli_gpu for q in self.forest.chain(queue))
        return max(min(lefts, default=0), 0)

    def shortage(self, queue: QueueName, bill: Bill) -> Shortage | None:
        """The first limit that `bill` would break: the total first, then flavors by name; None where none is."""
        wanted: list[tuple[str | None, int]] = [(None, bill.total_milli_gpu), *bill.flavors]
        for flavor, needed in wanted:
            limit = self._tightest(queue, flavor) if needed else None
            if limit is not None and needed > limit[0]:
                at_rest = Ledger(self.forest, {}, self.capacity).headroom(queue, flavor)
                return Shortage(
                    queue=limit[1],
                    flavor=flavor,
                    needed_milli_gpu=needed,
                    left_milli_gpu=max(limit[0], 0),
                    most_milli_gpu=at_rest or 0,
                )
        return None

    def _tightest(self, queue: QueueName, flavor: str | None) -> tuple[int, QueueName] | None:
        """What is left at the tightest limit that counts for `queue`, and whose limit that is, the nearest of equals.

        Two things limit a queue and each above it. Its ceiling limits what is used. And under every ceiling, and in the
        cluster, room stays free for what others keep to themselves; what a queue does not use of its own that it keeps
        costs those above it nothing (lending limits as Kueue's KEP-79 defines them). Where more is promised than there
        is, nobody keeps anything from a queue beside it that stays within its own nominal quota.
        """
        found: list[tuple[int, QueueName]] = []
        keeps = flavor in self.forest.kept
        unnoticed = 0
        own = 0
        way = self.forest.chain(queue)
        for each in way:
            quota = quota_of(each, flavor)
            used = _amount(self.used_by(each.name), flavor)
            ceiling = None if quota is None else quota.ceiling_milli_gpu
            if ceiling is not None:
                found.append((ceiling - used, each.name))
            if keeps:
                load = used + self._reserved_below(each.name, flavor)
                if ceiling is not None:
                    found.append((max(unnoticed + max(ceiling - load, 0), own), each.name))
                unnoticed += max(_kept(each, flavor) - load, 0)
                own = 0 if quota is None else quota.nominal_milli_gpu - used
        if keeps and way and self.capacity is not None:
            taken = sum(self._taken(name, flavor) for name in self.forest.below.get(None, ()))
            left = unnoticed + max(_amount(self.capacity, flavor) - taken, 0)
            found.append((max(left, own), way[-1].name))
        more = None if self.beside is None else self.beside._tightest(queue, flavor)  # noqa: SLF001  of the same class
        return min([*found, *([] if more is None else [more])], key=lambda limit: limit[0], default=None)

    def _taken(self, queue: QueueName, flavor: str | None) -> int:
        """What the queue uses and those below it keep, or what it keeps to itself where that is more."""
        load = _amount(self.used_by(queue), flavor) + self._reserved_below(queue, flavor)
        return max(load, _kept(self.forest.queues[queue], flavor))

    def _reserved_below(self, queue: QueueName, flavor: str | None) -> int:
        """What queues below it keep to themselves and do not use."""
        below = self.forest.below.get(queue, ())
        return sum(self._taken(name, flavor) - _amount(self.used_by(name), flavor) for name in below)


def _amount(bill: Bill, flavor: str | None) -> int:
    return bill.total_milli_gpu if flavor is None else bill.of(flavor)


def _kept(queue: Queue, flavor: str | None) -> int:
    quota = quota_of(queue, flavor)
    return 0 if quota is None else quota.kept_milli_gpu


def quota_of(queue: Queue, flavor: str | None) -> Quota | None:
    """The queue's quota in total, or for a flavor; None where it sets none for it."""
    if flavor is None:
        return queue.total
    if flavor.startswith(USER):
        most = queue.user_limit_milli_gpu
        return None if most is None else Quota(nominal_milli_gpu=most, borrowing_limit_milli_gpu=0)
    return next((quota for name, quota in queue.flavors if name == flavor), None)


def bill_for(queue: Queue, shape: PodShape, product: str) -> Bill:
    """What a pod of `shape` is charged on a node of `product`.

    GPUs, whole or in parts, are charged to each of the queue's flavors that means the product, slices to the flavor of
    their profile.
    """
    if not queue.flavors and not queue.user:
        return Bill(shape.milli_gpu)
    base = base_bill(queue, ((shape, 1),))
    return Bill(base.total_milli_gpu, tuple(sorted((*base.flavors, *flavor_charges(queue, shape, product)))))


def base_bill(queue: Queue, groups: Iterable[tuple[PodShape, int]]) -> Bill:
    """What so many pods of these shapes are charged on whatever node: all but what depends on the product."""
    total, milli_cpu, memory_mib = 0, 0, 0
    for shape, count in groups:
        total += count * shape.milli_gpu
        milli_cpu += count * shape.requests.milli_cpu
        memory_mib += count * -(-shape.requests.memory_bytes // MIB)
    charges = {CPU: milli_cpu, MEMORY: memory_mib}
    named = [(name, charges[name]) for name, _ in queue.flavors if charges.get(name)]
    if queue.user and total:
        named.append((USER + queue.user, total))
    return Bill(total, tuple(sorted(named)))


def sure_bill(queue: Queue, groups: Iterable[tuple[PodShape, int]]) -> Bill:
    """What so many pods of these shapes are charged at least, whichever of the models that they accept they get."""
    groups = tuple(groups)
    bill = base_bill(queue, groups)
    for shape, count in groups:
        slices = dict(shape.requests.mig_slices)
        of_model = MILLI_GPU * shape.requests.gpus + shape.share_milli * shape.requests.shared_gpus
        sure = [
            (name, slices[name] * mig_milli_gpu(name) if name in slices else of_model)
            for name, _ in queue.flavors
            if name in slices or (shape.models and all(model_matches(name, model) for model in shape.models))
        ]
        bill = bill.plus(Bill(0, tuple((name, n) for name, n in sure if n)), count)
    return bill


def payer(queues: Mapping[QueueName, Queue], workload: Workload) -> Queue:
    """The queue that a workload is charged to, with the user where users count."""
    queue = queues[QueueName(str(workload.queue))]
    return replace(queue, user=workload.user or NOBODY) if queue.counts_users else queue


def flavor_charges(queue: Queue, shape: PodShape, product: str) -> tuple[tuple[str, int], ...]:
    """The part of `bill_for` that goes to flavors, sorted by name."""
    of_model = MILLI_GPU * shape.requests.gpus + shape.share_milli * shape.requests.shared_gpus
    slices = dict(shape.requests.mig_slices)
    charges: list[tuple[str, int]] = []
    for flavor, _ in queue.flavors:
        if flavor in (CPU, MEMORY):
            continue
        if flavor in slices:
            charges.append((flavor, slices[flavor] * mig_milli_gpu(flavor)))
        elif of_model and model_matches(flavor, product):
            charges.append((flavor, of_model))
    return tuple(sorted(charges))
