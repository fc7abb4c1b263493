"""Who may lose running work to whom.

Between queues (reclaim) the branches count that part the two sides, right below the queue that both have in common: an
inner queue's nominal quota covers its whole subtree. Whoever asks stays within the nominal quota of its branch; whoever
loses is of a branch that borrows, and were it to come back alone, its branch would borrow again. So no branch is taken
below nominal, nobody who lost has a right to take it back, and what a branch shares out within what it owns stays with
it. Where that is enough only who borrows at every level loses: others their own queue is entitled to within the branch.
Nor may it have a right by its priority: what its queue borrows only with work of lower priority is not borrowed by it.
And what a queue borrows since others below it do is not laid to the charge of those that do not.

Within a queue (preempt) strictly lower priority loses, and to work that borrows a model, CPU or memory only what uses
that, too: anything else could have a right to another queue's room in its place.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.queue import CPU, MEMORY, Queue, Quota
from scheduler.quota.forest import Forest
from scheduler.quota.tree import USER, Bill, Ledger, quota_of


class Ways(msgspec.Struct, frozen=True):
    """The queues from each side up to, and without, the one that both have in common; nearest first."""

    asking: tuple[Queue, ...]
    losing: tuple[Queue, ...]


def ways(forest: Forest, asking: QueueName, losing: QueueName) -> Ways:
    """The ways of two queues. A queue above the other has only itself on its way."""
    up, down = forest.chain(asking), forest.chain(losing)
    common = {queue.name for queue in up} & {queue.name for queue in down}
    mine = tuple(queue for queue in up if queue.name not in common)
    theirs = tuple(queue for queue in down if queue.name not in common)
    return Ways(mine or tuple(up[:1]), theirs or tuple(down[:1]))


def counted(forest: Forest, queue: Queue, bill: Bill) -> Iterator[tuple[str | None, int, int]]:
    """What of a charge counts against nominal quota of a queue: flavor, amount, nominal; None is the total.

    Flavors count where the queue states an amount for them, or queues below it do; the total where it is stated, or no
    GPU flavor of the charge is.
    """
    inner = bool(forest.below.get(queue.name))
    named = False
    for flavor, amount in bill.flavors:
        quota = None if flavor.startswith(USER) else quota_of(queue, flavor)
        if amount and quota is not None and (quota.given or (inner and quota.summed)):
            named = named or flavor not in (CPU, MEMORY)
            yield flavor, amount, quota.nominal_milli_gpu
    if bill.total_milli_gpu and (queue.total.given or not named):
        yield None, bill.total_milli_gpu, queue.total.nominal_milli_gpu


def amount_of(bill: Bill, flavor: str | None) -> int:
    """The part of a bill that is charged to a flavor, or all of it."""
    return bill.total_milli_gpu if flavor is None else bill.of(flavor)


def is_covered(after: Ledger, way: Iterable[Queue], bill: Bill) -> bool:
    """Whether `bill`, which `after` contains, is within the nominal quota of every queue on the way."""
    return all(
        amount_of(after.used_by(queue.name), flavor) <= nominal
        for queue in way
        for flavor, _, nominal in counted(after.forest, queue, bill)
    )


def would_borrow(after: Ledger, way: Sequence[Queue], bill: Bill) -> tuple[bool, ...]:
    """Whether each queue on the way would be above nominal quota with `bill`, which `after` does not contain."""
    return tuple(
        any(
            amount_of(after.used_by(queue.name), flavor) + amount - _others(after, way[:at], queue, flavor) > nominal
            for flavor, amount, nominal in counted(after.forest, queue, bill)
        )
        for at, queue in enumerate(way)
    )


def _others(after: Ledger, way: Sequence[Queue], top: Queue, flavor: str | None) -> int:
    """What queues beside those on the way, from below `top` down, use above their own nominal quota."""
    on_way = {queue.name for queue in way}
    found = 0
    for queue in (*way[1:], top) if way else ():
        for name in after.forest.below.get(queue.name, ()):
            quota = quota_of(after.forest.queues[name], flavor)
            if name not in on_way and quota is not None and (flavor is None or quota.is_stated):
                found += max(amount_of(after.used_by(name), flavor) - quota.nominal_milli_gpu, 0)
    return found


class Loser(msgspec.Struct, frozen=True):
    """What one workload gives up: its queue, its priority, the charge.

    `softer`: what work of its queue uses that could make way for it (`softer.softer`), losers included.
    """

    workload: WorkloadKey
    queue: QueueName
    priority: int
    bill: Bill
    softer: Bill = Bill()


class Asking(msgspec.Struct, frozen=True):
    """Who asks: the queue, the priority, the charge.

    `outright`: only who borrows at every level may lose, and only what is borrowed at every level. `softer`: what work
    of its queue uses that could make way for it, losers included.
    """

    queue: QueueName
    priority: int
    bill: Bill
    outright: bool = False
    softer: Bill = Bill()


def wronged(before: Ledger, asking: Asking, losers: Sequence[Loser]) -> dict[WorkloadKey, str]:
    """Who would lose work without the asking workload having a right to it, and why; `before` contains all losers."""
    queue, priority, bill = asking.queue, asking.priority, asking.bill
    after = without(before, losers).charge(queue, bill)
    found: dict[WorkloadKey, str] = {}
    for loser in losers:
        if loser.queue == queue:
            if loser.priority >= priority:
                found[loser.workload] = "it is of the same queue and of no lower priority"
            elif _borrows_else(after, asking, loser, losers):
                found[loser.workload] = "it does not use what its queue would borrow for the asking workload"
            continue
        both = ways(before.forest, queue, loser.queue)
        borrows = would_borrow(_firm(after, loser, losers), both.losing, loser.bill)
        if not is_covered(after, both.asking[-1:], bill):
            found[loser.workload] = "the asking workload is not covered by nominal quota"
        elif not (all(borrows) if asking.outright else borrows[-1]):
            found[loser.workload] = "its queue does not borrow that much"
    return found


def _borrows_else(after: Ledger, asking: Asking, loser: Loser, losers: Sequence[Loser]) -> bool:
    """Whether the asking workload, of the same queue, borrows anything that the loser uses nothing of."""
    ahead = _firm(after, asking, losers)
    return any(
        amount_of(ahead.used_by(queue.name), flavor) > nominal and not amount_of(loser.bill, flavor)
        for queue in below_top(after.forest, asking.queue)
        for flavor, _, nominal in counted(after.forest, queue, asking.bill)
    )


def below_top(forest: Forest, queue: QueueName) -> Sequence[Queue]:
    """The queue and those above it that have others beside them: all but the top, where there is only one."""
    way = forest.chain(queue)
    return way[:-1] if len(forest.below.get(None, ())) == 1 else way


def _firm(after: Ledger, one: Loser | Asking, losers: Sequence[Loser]) -> Ledger:
    """The ledger without the work of its queue that could make way for the one and does not leave anyway."""
    soft = one.softer
    for other in losers:
        if other.queue == one.queue and other.priority < one.priority:
            soft = soft.plus(other.bill, -1)
    return after if not soft.total_milli_gpu else after.charge(one.queue, soft, -1)


def without(ledger: Ledger, losers: Iterable[Loser]) -> Ledger:
    """The ledger with what these give up taken off."""
    sums: dict[QueueName, Bill] = {}
    for loser in losers:
        sums[loser.queue] = sums.get(loser.queue, Bill()).plus(loser.bill)
    for name, bill in sums.items():
        ledger = ledger.charge(name, bill, -1)
    return ledger


def borrowing(ledger: Ledger, way: Iterable[Queue]) -> bool:
    """Whether each queue on the way uses more than its nominal quota, of a flavor or in total."""
    return all(
        any(
            amount_of(ledger.used_by(queue.name), flavor) > nominal
            for flavor, _, nominal in counted(ledger.forest, queue, ledger.used_by(queue.name))
        )
        for queue in way
    )


def borrowed_milli(ledger: Ledger, way: Iterable[Queue]) -> int:
    """What the queues on the way use above nominal quota, in sum over all flavors and totals that count."""
    return sum(
        max(amount_of(ledger.used_by(queue.name), flavor) - nominal, 0)
        for queue in way
        for flavor, _, nominal in counted(ledger.forest, queue, ledger.used_by(queue.name))
    )


def could_cover(forest: Forest, way: Iterable[Queue], bills: Sequence[Bill]) -> bool:
    """Whether nominal quota on the way covers one of these bills if nothing else were used there."""
    return any(
        all(amount <= nominal for queue in way for _, amount, nominal in counted(forest, queue, bill)) for bill in bills
    )


def protection_s(way: Iterable[Queue]) -> int:
    """For how long work of the losing side is safe from reclaim after it got its nodes: the longest `minRuntime`."""
    return max((queue.min_runtime_s for queue in way), default=0)


def on_nominal(forest: Forest, way: Iterable[Queue]) -> Forest:
    """The queues, those on the way without anything to borrow."""
    return forest.changed({queue.name: _own_only(forest, queue) for queue in way})


def _own_only(forest: Forest, queue: Queue) -> Queue:
    inner = bool(forest.below.get(queue.name))
    flavors = tuple(
        (name, _no_more(quota)) if quota.given or (inner and quota.nominal_milli_gpu) else (name, quota)
        for name, quota in queue.flavors
    )
    return msgspec.structs.replace(queue, total=_no_more(queue.total), flavors=flavors)


def _no_more(quota: Quota) -> Quota:
    return msgspec.structs.replace(quota, borrowing_limit_milli_gpu=0)
