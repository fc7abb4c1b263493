"""Fair shares: what each queue deserves of the cluster's GPUs, given what the queues ask for.

Weighted max-min fairness down the tree. Of what a queue deserves, the queues below it first get what they ask for
within their nominal quota. The rest goes to those that ask for more, in proportion to their weights, and nobody gets
more than is asked for or than the ceiling allows; what one does not need goes to the others ("water filling":
Bertsekas and Gallager, Data Networks, 2nd edition, 6.5.2). Amounts are whole milli-GPU; what division leaves over goes
to queues by name, so that the result depends on no order.
"""

from collections.abc import Mapping, Sequence

from scheduler.model.names import QueueName
from scheduler.model.queue import Quota
from scheduler.quota.forest import Forest
from scheduler.quota.tree import quota_of


def fair_shares(forest: Forest, demand: Mapping[QueueName, int], capacity_milli_gpu: int) -> dict[QueueName, int]:
    """Milli-GPU that each queue deserves with all that stands below it.

    `demand`: what each queue's own workloads use and wait for, in milli-GPU.
    """
    wanted: dict[QueueName, int] = {}
    for name in _upwards(forest):
        below = sum(wanted[child] for child in forest.below.get(name, ()))
        ceiling = forest.queues[name].total.ceiling_milli_gpu
        asked = demand.get(name, 0) + below
        wanted[name] = asked if ceiling is None else min(asked, ceiling)
    shares: dict[QueueName, int] = {}
    left: list[tuple[QueueName | None, int]] = [(None, capacity_milli_gpu)]
    while left:
        above, amount = left.pop()
        names = forest.below.get(above, [])
        own = 0 if above is None else min(demand.get(above, 0), amount)
        for name, share in zip(names, _divide(forest, names, wanted, amount - own), strict=True):
            shares[name] = share
            left.append((name, share))
    return shares


def lent(
    forest: Forest, used: Mapping[QueueName, int], capacity_milli_gpu: int, flavor: str | None = None
) -> dict[QueueName, int]:
    """Milli-GPU of each queue's nominal quota, of a flavor or in total, that others use now.

    What queues beside each other use above nominal comes from what nobody owns, and then from what the others leave
    idle and lend, in proportion to that.
    """
    gone: dict[QueueName, int] = {}
    left: list[tuple[QueueName | None, int, int]] = [(None, capacity_milli_gpu, 0)]
    while left:
        above, nominal, outside = left.pop()
        names = forest.below.get(above, [])
        totals = [quota_of(forest.queues[name], flavor) or Quota() for name in names]
        uses = [used.get(name, 0) for name in names]
        borrowed = sum(max(n - q.nominal_milli_gpu, 0) for n, q in zip(uses, totals, strict=True))
        unowned = max(nominal - sum(q.nominal_milli_gpu for q in totals), 0)
        idle = [max(q.nominal_milli_gpu - max(n, q.kept_milli_gpu), 0) for n, q in zip(uses, totals, strict=True)]
        for name, total, part in zip(
            names, totals, filled(idle, idle, max(borrowed + outside - unowned, 0)), strict=True
        ):
            gone[name] = part
            left.append((name, total.nominal_milli_gpu, part))
    return gone


def _divide(forest: Forest, names: Sequence[QueueName], wanted: Mapping[QueueName, int], amount: int) -> list[int]:
    """What of `amount` each of `names`, which stand beside each other, deserves."""
    queues = [forest.queues[name] for name in names]
    nominal = [min(wanted[q.name], q.total.nominal_milli_gpu) for q in queues]
    if sum(nominal) > amount:
        # There is less than was promised: in proportion to the promises.
        return filled(nominal, [q.total.nominal_milli_gpu for q in queues], amount)
    # What a queue keeps from being lent goes to nobody else, whether it is asked for or not.
    kept = sum(max(q.total.kept_milli_gpu - n, 0) for q, n in zip(queues, nominal, strict=True))
    more = [wanted[q.name] - n for q, n in zip(queues, nominal, strict=True)]
    extra = filled(more, [q.weight for q in queues], max(amount - sum(nominal) - kept, 0))
    return [n + e for n, e in zip(nominal, extra, strict=True)]


def filled(wanted: Sequence[int], weights: Sequence[int], amount: int) -> list[int]:
    """`amount` divided in proportion to `weights`, none above what is `wanted`; all of it, if that much is wanted.

    What rounding leaves over goes to the first that still want something, one milli-GPU each.
    """
    given: list[int] = [0] * len(wanted)
    left = min(amount, sum(wanted))
    open_to: list[int] = [i for i, want in enumerate(wanted) if want > 0 and weights[i] > 0]
    while left > 0 and open_to:
        weight = sum(weights[i] for i in open_to)
        full: list[int] = [i for i in open_to if (wanted[i] - given[i]) * weight <= left * weights[i]]
        if not full:
            parts = {i: left * weights[i] // weight for i in open_to}
            over = left - sum(parts.values())
            for at, i in enumerate(open_to):
                given[i] += parts[i] + (at < over)
            return given
        for i in full:
            left -= wanted[i] - given[i]
            given[i] = wanted[i]
        open_to = [i for i in open_to if i not in full]
    return given


def _upwards(forest: Forest) -> list[QueueName]:
    """All queues, those below before those above."""
    found: list[QueueName] = []
    left = list(forest.below.get(None, ()))
    while left:
        name = left.pop()
        found.append(name)
        left += forest.below.get(name, ())
    return found[::-1]
