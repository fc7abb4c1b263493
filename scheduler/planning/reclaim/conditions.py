"""Rights and limits of queues as conditions on who leaves together.

They allow at least what is allowed: where a condition cannot be said as one sum it is left out, and the answer is
judged by `rights`.
"""

from collections.abc import Iterator, Sequence

from scheduler.model.names import QueueName
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.rights import Asking, amount_of, counted, ways
from scheduler.planning.reclaim.softer import softer
from scheduler.planning.reclaim.units import Unit
from scheduler.quota.tree import Bill, Ledger, quota_of
from scheduler.scoring.moves.moves import Sum

MOST_PAIRS = 100_000
"""Up to so many pairs of units, rights are said unit by unit."""


def conditions(desk: Desk, asking: Asking, units: Sequence[Unit]) -> tuple[Sum, ...]:
    """What has to hold for the units that leave, so that the asking workload may be charged for what it gets."""
    ledger = desk.ledger
    found = [*_whole(units), *_ceilings(ledger, asking.queue, asking.bill, units)]
    if len(units) ** 2 <= MOST_PAIRS:
        found += _rights(desk, asking, units)
    return tuple(found)


def _whole(units: Sequence[Unit]) -> Iterator[Sum]:
    """What a gang cannot do without leaves only with its surplus."""
    core = {unit.key: at for at, unit in enumerate(units) if unit.whole}
    for at, unit in enumerate(units):
        if not unit.whole and unit.key in core:
            yield Sum(((at, 1), (core[unit.key], -1)), least=0)


def _ceilings(ledger: Ledger, queue: QueueName, bill: Bill, units: Sequence[Unit]) -> Iterator[Sum]:
    """No queue goes above what it may use."""
    for each in ledger.forest.chain(queue):
        for flavor in (None, *(name for name, _ in bill.flavors)):
            quota = quota_of(each, flavor)
            if quota is not None and quota.ceiling_milli_gpu is not None:
                needed = (
                    amount_of(ledger.used_by(each.name), flavor) + amount_of(bill, flavor) - quota.ceiling_milli_gpu
                )
                if needed > 0 and amount_of(bill, flavor):
                    yield Sum(_inside(ledger, each.name, flavor, units), least=needed)


def _rights(desk: Desk, asking: Asking, units: Sequence[Unit]) -> Iterator[Sum]:
    """Who asks is covered by nominal quota, and who loses would borrow again."""
    ledger = desk.ledger
    for at, unit in enumerate(units):
        if unit.queue == asking.queue:
            continue
        both = ways(ledger.forest, asking.queue, unit.queue)
        for each in both.asking:
            for flavor, amount, nominal in counted(ledger.forest, each, asking.bill):
                needed = amount_of(ledger.used_by(each.name), flavor) + amount - nominal
                if needed > 0:
                    yield Sum((*_inside(ledger, each.name, flavor, units), (at, -needed)), least=0)
        levels = [
            [(each.name, flavor, nominal) for flavor, _, nominal in counted(ledger.forest, each, unit.bill)]
            for each in both.losing
        ]
        for places in levels if asking.outright else [[place for level in levels for place in level]]:
            if len(places) == 1:
                yield from _borrows_again(desk, places[0], units, at)


def _borrows_again(
    desk: Desk, place: tuple[QueueName, str | None, int], units: Sequence[Unit], at: int
) -> Iterator[Sum]:
    """If the unit leaves, what else leaves keeps its queue so full that it would be above nominal with it."""
    name, flavor, nominal = place
    ledger, unit = desk.ledger, units[at]
    soft = softer(desk, unit.queue, unit.workload.priority)
    above = amount_of(ledger.used_by(name), flavor) - amount_of(soft, flavor) - nominal - 1
    others = tuple(
        term
        for term in _inside(ledger, name, flavor, units)
        for other in (units[term[0]],)
        if other.key != unit.key
        and not (other.queue == unit.queue and other.workload.priority < unit.workload.priority)
    )
    all_of_them = sum(n for _, n in others)
    if above < 0:
        yield Sum(((at, 1),), most=0)
    elif all_of_them > above:
        yield Sum((*others, (at, all_of_them)), most=above + all_of_them)


def _inside(ledger: Ledger, queue: QueueName, flavor: str | None, units: Sequence[Unit]) -> tuple[tuple[int, int], ...]:
    """The units of a queue and of those below it, and what each counts."""
    return tuple(
        (at, n)
        for at, unit in enumerate(units)
        if (n := amount_of(unit.bill, flavor)) and any(each.name == queue for each in ledger.forest.chain(unit.queue))
    )
