"""Fair shares of several things at once: GPUs in all, GPUs of each flavor, CPU and memory.

Dominant resource fairness (Ghodsi et al., NSDI 2011), weighted and down the tree: what counts of a queue is the largest
part that it has of any one thing, of all that the cluster has of it. Of each thing a queue first gets what it asks for
within its nominal quota of that. What it asks for beyond comes in the proportions in which it asks for it, to all
queues beside each other at a pace that raises their largest parts evenly, by weight. A queue stops when it has all that
it asks for, or when something that it needs is all given out; the others go on. Only things of which some queue states
a quota count, besides GPUs in all; where that is all there is, `share.fair_shares` says the same.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from scheduler.model.names import QueueName
from scheduler.model.queue import Quota
from scheduler.quota.forest import Forest
from scheduler.quota.share import fair_shares, filled
from scheduler.quota.tree import USER, Bill, quota_of

PARTS = 1 << 32
"""Parts of what a queue asks for beyond nominal, and of what the cluster has, in which is counted."""

Amounts = dict[str | None, int]
"""So much of each thing; None is GPUs in all, the rest are names of flavors."""


def fair_bills(forest: Forest, demand: Mapping[QueueName, Bill], capacity: Bill) -> Mapping[QueueName, Bill]:
    """What each queue deserves with all that stands below it.

    `demand`: what each queue's own workloads use and wait for. `capacity`: all that the cluster has.
    """
    things = things_of(forest)
    if not things[1:]:
        totals = {name: bill.total_milli_gpu for name, bill in demand.items()}
        return {name: Bill(n) for name, n in fair_shares(forest, totals, capacity.total_milli_gpu).items()}
    there = _amounts(capacity, things)
    own = {name: _amounts(demand.get(name, Bill()), things) for name in forest.queues}
    wanted: dict[QueueName, Amounts] = {}
    order = _downwards(forest)
    for name in reversed(order):
        below = [wanted[child] for child in forest.below.get(name, ())]
        wanted[name] = {
            thing: _capped(own[name][thing] + sum(each[thing] for each in below), _quota(forest, name, thing))
            for thing in things
        }
    shares: dict[QueueName, Amounts] = {}
    for above in (None, *order):
        names = forest.below.get(above, [])
        amounts = there
        if above is not None:
            amounts = {thing: n - min(own[above][thing], n) for thing, n in shares[above].items()}
        shares.update(zip(names, _divide(forest, names, [wanted[name] for name in names], amounts, there), strict=True))
    return {
        name: Bill(share[None], tuple((thing, n) for thing, n in share.items() if thing is not None))
        for name, share in shares.items()
    }


def things_of(forest: Forest) -> list[str | None]:
    """GPUs in all, and whatever else some queue states a quota for, by name."""
    stated = {
        name
        for queue in forest.queues.values()
        for name, quota in queue.flavors
        if quota.is_stated or quota.borrowing_limit_milli_gpu is not None
    }
    return [None, *sorted(stated)]


def used_parts(used: Bill, share: Bill, parts: int) -> int | None:
    """The largest part that is used of what is deserved of anything, in `parts`; None where something has no share."""
    found = 0
    for thing, n in ((None, used.total_milli_gpu), *used.flavors):
        if thing is not None and (thing.startswith(USER) or all(thing != name for name, _ in share.flavors)):
            continue
        deserved = share.total_milli_gpu if thing is None else share.of(thing)
        if deserved:
            found = max(found, n * parts // deserved)
        elif n or thing is None:
            return None
    return found


def _divide(
    forest: Forest, names: Sequence[QueueName], wanted: Sequence[Amounts], amounts: Amounts, there: Amounts
) -> list[Amounts]:
    """What of the amounts each of `names`, which stand beside each other, deserves."""
    given: list[Amounts] = [{} for _ in names]
    rest: Amounts = {}
    for thing, amount in amounts.items():
        quotas = [_quota(forest, name, thing) for name in names]
        nominal = [min(want[thing], quota.nominal_milli_gpu) for want, quota in zip(wanted, quotas, strict=True)]
        if sum(nominal) > amount:
            nominal = filled(nominal, [quota.nominal_milli_gpu for quota in quotas], amount)
        kept = sum(max(quota.kept_milli_gpu - n, 0) for quota, n in zip(quotas, nominal, strict=True))
        rest[thing] = max(amount - sum(nominal) - kept, 0)
        for each, n in zip(given, nominal, strict=True):
            each[thing] = n
    more = [{thing: want[thing] - has[thing] for thing in amounts} for want, has in zip(wanted, given, strict=True)]
    weights = [forest.queues[name].weight for name in names]
    for each, asked, x in zip(given, more, _paces(more, weights, rest, there), strict=True):
        for thing, n in asked.items():
            each[thing] += x * n // PARTS
    return given


def _paces(more: Sequence[Amounts], weights: Sequence[int], rest: Amounts, there: Amounts) -> list[int]:
    """How much each gets of what it asks for beyond nominal, in `PARTS`."""
    pace = [_pace(asked, weight, there) for asked, weight in zip(more, weights, strict=True)]
    got = [0] * len(more)
    going: list[int] = [i for i, asked in enumerate(more) if any(asked.values())]
    left = dict(rest)
    while going:
        # When each thing would be all given out, as a fraction: what is left by what is taken of it in a unit of time.
        loads = {thing: sum(pace[i] * more[i][thing] for i in going) for thing in left}
        ends = [(left[thing], load, thing) for thing, load in loads.items() if load]
        amount, load, _ = min(ends, key=lambda end: Fraction(end[0], end[1]))
        full = [i for i in going if load <= amount * pace[i]]
        # Some have all that they ask for before anything is all given out; the others stop at what they need of it.
        out = {thing for has, taken, thing in ends if has * load == amount * taken}
        stopped = full or [i for i in going if any(more[i][thing] for thing in out)]
        for i in stopped:
            got[i] = PARTS if full else amount * pace[i] * PARTS // load
            for thing, n in more[i].items():
                left[thing] -= got[i] * n // PARTS
        going = sorted(set(going) - set(stopped))
    return got


def _pace(asked: Amounts, weight: int, there: Amounts) -> int:
    """How fast a queue gets what it asks for: slower, the larger a part of the cluster its largest part is."""
    largest = max((n * PARTS // there[thing] for thing, n in asked.items() if n and there[thing]), default=0)
    return weight * PARTS * PARTS // max(largest, 1)


def _amounts(bill: Bill, things: Sequence[str | None]) -> Amounts:
    return {thing: bill.total_milli_gpu if thing is None else bill.of(thing) for thing in things}


def _quota(forest: Forest, name: QueueName, thing: str | None) -> Quota:
    return quota_of(forest.queues[name], thing) or Quota()


def _capped(amount: int, quota: Quota) -> int:
    ceiling = quota.ceiling_milli_gpu
    return amount if ceiling is None else min(amount, ceiling)


def _downwards(forest: Forest) -> list[QueueName]:
    """All queues, those above before those below."""
    found = list(forest.below.get(None, ()))
    for name in found:
        found += forest.below.get(name, ())
    return found
