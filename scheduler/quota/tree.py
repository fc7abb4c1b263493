"""Arithmetic of queues: what each uses, what it may still use, whether it stays within its own.

Every queue is judged by itself. `_chain` is the one place that says which queues a workload counts for.
"""

from collections.abc import Mapping

import msgspec

from scheduler.model.flavors import model_matches
from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import MILLI_GPU, mig_milli_gpu
from scheduler.model.workload import PodShape


class Bill(msgspec.Struct, frozen=True):
    """A charge, or a sum of charges: in total and per flavor that the queue sets a quota for, sorted, in milli-GPU."""

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
    """A queue's limit that stands in the way. `flavor` is None where it is the queue's total."""

    queue: QueueName
    flavor: str | None
    needed_milli_gpu: int
    left_milli_gpu: int


class Ledger(msgspec.Struct, frozen=True):
    """What every queue uses. A charge makes a new ledger."""

    queues: Mapping[QueueName, Queue]
    used: Mapping[QueueName, Bill]

    def used_by(self, queue: QueueName) -> Bill:
        """What `queue` uses now."""
        return self.used.get(queue, NOTHING_CHARGED)

    def charge(self, queue: QueueName, bill: Bill, times: int = 1) -> "Ledger":
        """The ledger after `queue` was charged `times` the bill."""
        used = dict(self.used)
        for name in _chain(self.queues, queue):
            used[name] = self.used_by(name).plus(bill, times)
        return Ledger(self.queues, used)

    def headroom(self, queue: QueueName, flavor: str | None = None) -> int | None:
        """Milli-GPU that `queue` may still use, of one flavor or in total; None where it has no limit."""
        lefts = [left for name in _chain(self.queues, queue) if (left := self._left(name, flavor)) is not None]
        return min(lefts, default=None)

    def within_nominal(self, queue: QueueName, milli_gpu: int) -> bool:
        """Whether the queue owns what it would use after a further charge, so that it borrows nothing for it."""
        if milli_gpu <= 0:
            return True
        own = self.queues[queue].total.nominal_milli_gpu
        return self.used_by(queue).total_milli_gpu + milli_gpu <= own

    def shortage(self, queue: QueueName, bill: Bill) -> Shortage | None:
        """The first limit that `bill` would break: the total first, then flavors by name; None where none is."""
        wanted: list[tuple[str | None, int]] = [(None, bill.total_milli_gpu), *bill.flavors]
        for flavor, needed in wanted:
            left = self.headroom(queue, flavor)
            if needed and left is not None and needed > left:
                return Shortage(queue=queue, flavor=flavor, needed_milli_gpu=needed, left_milli_gpu=max(left, 0))
        return None

    def _left(self, queue: QueueName, flavor: str | None) -> int | None:
        quota = quota_of(self.queues[queue], flavor)
        ceiling = None if quota is None else quota.ceiling_milli_gpu
        if ceiling is None:
            return None
        used = self.used_by(queue)
        return ceiling - (used.total_milli_gpu if flavor is None else used.of(flavor))


def quota_of(queue: Queue, flavor: str | None) -> Quota | None:
    """The queue's quota in total, or for a flavor; None where it sets none for it."""
    if flavor is None:
        return queue.total
    return next((quota for name, quota in queue.flavors if name == flavor), None)


def bill_for(queue: Queue, shape: PodShape, product: str) -> Bill:
    """What a pod of `shape` is charged on a node of `product`.

    GPUs, whole or in parts, are charged to each of the queue's flavors that means the product, slices to the flavor of
    their profile.
    """
    total = shape.milli_gpu
    if not total or not queue.flavors:
        return Bill(total)
    return Bill(total, flavor_charges(queue, shape, product))


def flavor_charges(queue: Queue, shape: PodShape, product: str) -> tuple[tuple[str, int], ...]:
    """The part of `bill_for` that goes to flavors, sorted by name."""
    of_model = MILLI_GPU * shape.requests.gpus + shape.share_milli * shape.requests.shared_gpus
    slices = dict(shape.requests.mig_slices)
    charges: list[tuple[str, int]] = []
    for flavor, _ in queue.flavors:
        if flavor in slices:
            charges.append((flavor, slices[flavor] * mig_milli_gpu(flavor)))
        elif of_model and model_matches(flavor, product):
            charges.append((flavor, of_model))
    return tuple(sorted(charges))


def _chain(queues: Mapping[QueueName, Queue], queue: QueueName) -> tuple[QueueName, ...]:
    """The queues whose use and limits a workload of `queue` counts for, itself first."""
    return (queue,) if queue in queues else ()
