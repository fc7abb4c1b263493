"""The cheapest work that has to make way so that a workload fits: lower tiers strictly first, then what is lost.

The solver looks for it as it does for moves (`scoring.moves.cpsat_moves`), except that who leaves needs no place
elsewhere; rights and limits of queues are conditions on who leaves together. Each answer is placed by the planner's
own means, and one that fails there is ruled out. Where the solver finds nothing in its time, work is lifted in order of
tier and cost, and what proves needless stays.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from scheduler.model.names import QueueName
from scheduler.planning.candidate import Candidate
from scheduler.planning.defrag.movers import seat_of
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.conditions import conditions
from scheduler.planning.reclaim.lift import Lifter, losers
from scheduler.planning.reclaim.pool import MANY, Pool
from scheduler.planning.reclaim.rights import Asking, wronged
from scheduler.planning.reclaim.softer import softer
from scheduler.planning.reclaim.units import Tier, Unit
from scheduler.quota.tree import Bill, bill_for
from scheduler.scoring.fleet import Mask
from scheduler.scoring.gangs.gang import Ask, Layout, Limits
from scheduler.scoring.moves.moves import Amounts, Bundle, Choice, MoveProblem, Mover, Sum

TRIES = 12
"""Answers of the solver that may fail before it is given up."""


PASSES = 4
"""How often work is lifted in order, each time without what had no part in it by right."""


class Found(msgspec.Struct, frozen=True):
    """Who leaves, where the asking workload goes then, and whether nothing cheaper is known to be impossible."""

    units: tuple[Unit, ...]
    layout: Layout
    proven: bool

    @property
    def price(self) -> tuple[tuple[Tier, int, int], ...]:
        """What is lost in each tier, the highest first; lower is better."""
        return price_of(self.units)


def price_of(units: Iterable[Unit]) -> tuple[tuple[Tier, int, int], ...]:
    """Tiers, the highest first, with what is lost in each and how many pods leave."""
    sums: dict[Tier, tuple[int, int]] = {}
    for unit in units:
        lost, pods = sums.get(unit.tier, (0, 0))
        sums[unit.tier] = lost + unit.lost, pods + len(unit.pods)
    return tuple((tier, *sums[tier]) for tier in sorted(sums, reverse=True))


class Search:
    """The search for one workload among the units of a pool; `nodes` are those that it may use.

    `outright`: only who borrows at every level loses to it.
    """

    def __init__(
        self, desk: Desk, lifter: Lifter, candidate: Candidate, pool: Pool, nodes: Mask, *, outright: bool
    ) -> None:
        self._desk = desk
        self._lifter = lifter
        self._candidate = candidate
        self._pool = pool
        self._nodes = nodes
        self._queue = QueueName(str(candidate.workload.queue))
        self._outright = outright

    def run(self) -> Found | None:
        """The cheapest units found; None where none would do, or none were found."""
        units, whole = self._narrowed()
        if not units:
            return None
        tiers = sorted({unit.tier for unit in units})
        low, high = 0, len(tiers) - 1
        while low < high:
            middle = (low + high) // 2
            if self.layout(_up_to(units, tiers[middle])) is not None:
                high = middle
            else:
                low = middle + 1
        for tier in tiers[low:]:
            found = self._within(_up_to(units, tier))
            if found is not None:
                return found if whole else msgspec.structs.replace(found, proven=False)
        return None

    def layout(self, units: Sequence[Unit], *, thorough: bool = False) -> Layout | None:
        """Where the workload goes if these leave; the desk is left as found. `thorough`: with the solver's help."""
        lifted = self._lifter.lift(units)
        layout = self._placed(thorough=thorough)
        self._lifter.put_back(lifted)
        return layout

    def is_lawful(self, units: Sequence[Unit], layout: Layout) -> bool:
        """Whether the workload has a right to have all of these leave."""
        gone = {unit.key for unit in units if unit.whole}
        left = self._pool.surplus_of(gone) - set(units)
        return not left and not wronged(self._desk.ledger, self._asking(self._bill(layout)), losers(units, self._desk))

    def _asking(self, bill: Bill) -> Asking:
        priority = self._candidate.workload.priority
        return Asking(self._queue, priority, bill, self._outright, softer(self._desk, self._queue, priority))

    # One choice

    def _placed(self, *, thorough: bool) -> Layout | None:
        desk, candidate = self._desk, self._candidate
        if desk.ledger.shortage(self._queue, desk.base_bill(candidate)) is not None:
            return None
        ask = self._ask()
        layout = desk.could_place(candidate, ask)
        if layout is None and thorough:
            layout = desk.place(candidate, ask)
        if layout is None or desk.ledger.shortage(self._queue, self._bill(layout)) is not None:
            return None
        return layout

    def _ask(self) -> Ask:
        ask = self._desk.ask(self._candidate)
        return msgspec.structs.replace(ask, allowed=self._nodes if ask.allowed is None else ask.allowed & self._nodes)

    def _bill(self, layout: Layout) -> Bill:
        queue, products = self._desk.payer(self._candidate.workload), self._desk.fleet.products
        bill = Bill()
        for (shape, _), (rows, counts) in zip(self._candidate.groups, layout.groups, strict=True):
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                code = int(products.codes[row])
                bill = bill.plus(bill_for(queue, shape, products.values[code] if code >= 0 else ""), count)
        return bill

    def _within(self, units: Sequence[Unit]) -> Found | None:
        """The cheapest of these units."""
        lifted = self._lifter.lift(units)
        layout = self._placed(thorough=True)
        seat = seat_of(self._desk, self._candidate)
        self._lifter.put_back(lifted)
        if layout is None:
            return None
        found = self._solved(units, self._on_nodes(seat), self._bill(layout))
        return found or self._in_order(units)

    def _on_nodes(self, seat: Bundle) -> Bundle:
        kinds = tuple(
            (msgspec.structs.replace(kind, fits=np.where(self._nodes, kind.fits, 0)), count)
            for kind, count in seat.kinds
        )
        return msgspec.structs.replace(seat, kinds=kinds)

    # By the solver

    def _solved(self, units: Sequence[Unit], seat: Bundle, bill: Bill) -> Found | None:
        if self._desk.solver_left_ms <= 0:
            return None
        base = conditions(self._desk, self._asking(bill), units)
        failed: list[Choice] = []
        while len(failed) < TRIES:
            choice, optimal = self._choose(units, seat, base, failed)
            if choice is None:
                return None
            some = [units[at] for at in choice.moved]
            layout = self.layout(some, thorough=True)
            if layout is not None and self.is_lawful(some, layout):
                return Found(tuple(some), layout, proven=True) if optimal else self._pruned(some)
            failed.append(choice)
        return None

    def _choose(
        self, units: Sequence[Unit], seat: Bundle, base: Sequence[Sum], failed: Sequence[Choice]
    ) -> tuple[Choice | None, bool]:
        """Tier by tier from the highest: the least that has to be lost in it, given what those above it lose."""
        # Loading the solver takes half a second, which only those pay who need it.
        from scheduler.scoring.moves.cpsat_moves import choose  # noqa: PLC0415

        desk, sums, optimal = self._desk, list(base), True
        choice: Choice | None = None
        unit_price = 1 + sum(len(unit.pods) for unit in units)
        # Of sets that cost the same in all tiers, the first in order.
        ranks = range(len(units)) if len(units) <= MANY else [0] * len(units)
        bundle = Bundle(kinds=())
        used = [self._use(unit) for unit in units]
        tiers = sorted({unit.tier for unit in units}, reverse=True)
        for tier in tiers:
            prices = [unit.lost // 1000 * unit_price + len(unit.pods) if unit.tier == tier else 0 for unit in units]
            if tier == tiers[-1]:
                prices = [price * (1 + sum(ranks)) + rank for price, rank in zip(prices, ranks, strict=True)]
            movers = tuple(
                Mover(price=price, use=use, holds=frozenset(use), bundle=bundle)
                for price, use in zip(prices, used, strict=True)
            )
            problem = MoveProblem(free=desk.room.free, movers=movers, seat=seat, sums=tuple(sums))
            limits = Limits(budget_ms=desk.solver_left_ms, seed=desk.settings.seed, workers=desk.settings.workers)
            chosen = choose(problem, limits, resettle=False, bound=0, forbidden=failed)
            desk.solver_left_ms -= chosen.spent_ms
            if chosen.choice is None:
                return None, False
            choice = chosen.choice
            optimal = optimal and chosen.outcome == "optimal"
            sums.append(Sum(terms=tuple((at, n) for at, n in enumerate(prices) if n), most=choice.price))
        return choice, optimal

    def _use(self, unit: Unit) -> dict[int, Amounts]:
        use: dict[int, dict[int, int]] = {}
        for pod in unit.pods:
            if pod.node is not None:
                amounts = use.setdefault(self._desk.fleet.row_of[pod.node], {})
                for column, n in self._desk.room.demand(pod.shape.requests) or ():
                    amounts[column] = amounts.get(column, 0) + n
        return {row: tuple(sorted(amounts.items())) for row, amounts in use.items()}

    # In order

    def _in_order(self, units: Sequence[Unit]) -> Found | None:
        """The first units that are enough and may leave; those that may not leave with them are passed over."""
        left = units
        for _ in range(PASSES):
            some = self._prefix(left)
            found = self._pruned(some)
            layout = self.layout(some) if found is None else None
            if found is not None or layout is None:
                return found
            wrong = wronged(self._desk.ledger, self._asking(self._bill(layout)), losers(some, self._desk))
            left = [unit for unit in left if unit.key not in wrong]
            if not wrong or not left or self.layout(left) is None:
                return None
        return None

    def _prefix(self, units: Sequence[Unit]) -> list[Unit]:
        """The first so many units, in order, that are enough."""
        low, high = 1, len(units)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.layout(units[:middle]) is not None else (middle + 1, high)
        return list(units[:high])

    def _pruned(self, units: Sequence[Unit]) -> Found | None:
        """As few of the units as will do, the dearest left out first; None where there is no right to these."""
        kept = list(units)
        layout = self.layout(kept, thorough=True)
        if layout is None:
            return None
        lawful = self.is_lawful(kept, layout)
        for unit in sorted(kept, key=lambda unit: (unit.tier, unit.lost), reverse=True):
            fewer = [other for other in kept if other is not unit]
            less = self.layout(fewer) if fewer else None
            if less is not None and (allowed := self.is_lawful(fewer, less)) >= lawful:
                kept, layout, lawful = fewer, less, allowed
        return Found(tuple(kept), layout, proven=False) if lawful else None

    def _narrowed(self) -> tuple[Sequence[Unit], bool]:
        """The units to look at, and whether these are all: where there are many, those on the cheapest nodes."""
        pool = self._pool
        if len(pool) <= MANY:
            return (pool.units, True) if self.layout(pool.units, thorough=True) is not None else ((), True)
        most = MANY
        while True:
            units = pool.first(most)
            if self.layout(units) is not None:
                return units, False
            if most >= len(pool.places):
                return (), True
            most *= 4


def _up_to(units: Iterable[Unit], tier: Tier) -> list[Unit]:
    return [unit for unit in units if unit.tier <= tier]
