"""Rights and limits of queues as conditions on who leaves together.

They allow at least what is allowed: where a condition cannot be said as one sum it is left out, and the answer is
judged by `rights`.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.rights import Asking, amount_of, counted, ways
from scheduler.planning.reclaim.softer import softer
from scheduler.planning.reclaim.units import Unit
from scheduler.quota.tree import Bill, Ledger, quota_of
from scheduler.scoring.moves.moves import Sum

Terms = tuple[tuple[int, int], ...]
"""Units by number, and what each counts."""

MOST_PAIRS = 100_000
"""Up to so many pairs of units, rights are said unit by unit."""


class _Counts(msgspec.Struct, frozen=True):
    """What the units of a queue and of those below it count: one by one, by workload, by queue and priority, in sum."""

    terms: Terms
    of_each: Mapping[WorkloadKey, int]
    of_tier: Mapping[tuple[QueueName, int], int]
    total: int


class _Sums:
    """What of the units counts for a queue, in total or of a flavor; each is worked out once."""

    def __init__(self, ledger: Ledger, units: Sequence[Unit]) -> None:
        self._units = units
        self._above = {unit.queue: {each.name for each in ledger.forest.chain(unit.queue)} for unit in units}
        self._known: dict[tuple[QueueName, str | None], _Counts] = {}

    def inside(self, queue: QueueName, flavor: str | None) -> Terms:
        """The units of a queue and of those below it, and what each counts."""
        return self._of(queue, flavor).terms

    def beside(self, queue: QueueName, flavor: str | None, unit: Unit) -> int:
        """What all units count in sum that are not of the same workload, nor softer work of its own queue."""
        counts = self._of(queue, flavor)
        soft = (
            n
            for (name, priority), n in counts.of_tier.items()
            if name == unit.queue and priority < unit.workload.priority
        )
        return counts.total - counts.of_each.get(unit.key, 0) - sum(soft)

    def _of(self, queue: QueueName, flavor: str | None) -> _Counts:
        known = self._known.get((queue, flavor))
        if known is None:
            terms = tuple(
                (at, n)
                for at, unit in enumerate(self._units)
                if (n := amount_of(unit.bill, flavor)) and queue in self._above[unit.queue]
            )
            of_each: dict[WorkloadKey, int] = {}
            of_tier: dict[tuple[QueueName, int], int] = {}
            for at, n in terms:
                unit = self._units[at]
                tier = unit.queue, unit.workload.priority
                of_each[unit.key] = of_each.get(unit.key, 0) + n
                of_tier[tier] = of_tier.get(tier, 0) + n
            known = self._known[queue, flavor] = _Counts(terms, of_each, of_tier, sum(of_each.values()))
        return known


def conditions(desk: Desk, asking: Asking, units: Sequence[Unit]) -> tuple[Sum, ...]:
    """What has to hold for the units that leave, so that the asking workload may be charged for what it gets."""
    ledger, sums = desk.ledger, _Sums(desk.ledger, units)
    found = [*_whole(units), *_ceilings(ledger, asking.queue, asking.bill, sums)]
    if len(units) ** 2 <= MOST_PAIRS:
        found += _rights(desk, asking, units, sums)
    return tuple(found)


def _whole(units: Sequence[Unit]) -> Iterator[Sum]:
    """What a gang cannot do without leaves only with its surplus."""
    core = {unit.key: at for at, unit in enumerate(units) if unit.whole}
    for at, unit in enumerate(units):
        if not unit.whole and unit.key in core:
            yield Sum(((at, 1), (core[unit.key], -1)), least=0)


def _ceilings(ledger: Ledger, queue: QueueName, bill: Bill, sums: _Sums) -> Iterator[Sum]:
    """No queue goes above what it may use."""
    for each in ledger.forest.chain(queue):
        for flavor in (None, *(name for name, _ in bill.flavors)):
            quota = quota_of(each, flavor)
            if quota is not None and quota.ceiling_milli_gpu is not None:
                needed = (
                    amount_of(ledger.used_by(each.name), flavor) + amount_of(bill, flavor) - quota.ceiling_milli_gpu
                )
                if needed > 0 and amount_of(bill, flavor):
                    yield Sum(sums.inside(each.name, flavor), least=needed)


def _rights(desk: Desk, asking: Asking, units: Sequence[Unit], sums: _Sums) -> Iterator[Sum]:
    """Who asks is covered by nominal quota, and who loses would borrow again."""
    ledger = desk.ledger
    wholes: dict[WorkloadKey, Bill] = {}
    for unit in units:
        wholes[unit.key] = wholes.get(unit.key, Bill()).plus(unit.bill)
    for at, unit in enumerate(units):
        if unit.queue == asking.queue:
            continue
        both = ways(ledger.forest, asking.queue, unit.queue)
        top = both.asking[-1]
        for flavor, amount, nominal in counted(ledger.forest, top, asking.bill):
            needed = amount_of(ledger.used_by(top.name), flavor) + amount - nominal
            if needed > 0:
                yield Sum((*sums.inside(top.name, flavor), (at, -needed)), least=0)
        # What a unit has no right to alone, it may lose with the rest of its workload.
        levels = [
            [(each.name, flavor, nominal) for flavor, _, nominal in counted(ledger.forest, each, wholes[unit.key])]
            for each in both.losing
        ]
        for places in levels if asking.outright else levels[-1:]:
            if len(places) == 1:
                yield from _borrows_again(desk, places[0], units, at, sums)


def _borrows_again(
    desk: Desk, place: tuple[QueueName, str | None, int], units: Sequence[Unit], at: int, sums: _Sums
) -> Iterator[Sum]:
    """If the unit leaves, what else leaves keeps its queue so full that it would be above nominal with it."""
    name, flavor, nominal = place
    unit = units[at]
    soft = softer(desk, unit.queue, unit.workload.priority)
    above = amount_of(desk.ledger.used_by(name), flavor) - amount_of(soft, flavor) - nominal - 1
    all_of_them = sums.beside(name, flavor, unit)
    if above < 0:
        yield Sum(((at, 1),), most=0)
    elif all_of_them > above:
        others = (term for term in sums.inside(name, flavor) if _is_beside(units[term[0]], unit))
        yield Sum((*others, (at, all_of_them)), most=above + all_of_them)


def _is_beside(other: Unit, unit: Unit) -> bool:
    """Whether a unit is not of the same workload as the other, nor softer work of its own queue."""
    softer_there = other.queue == unit.queue and other.workload.priority < unit.workload.priority
    return other.key != unit.key and not softer_there
