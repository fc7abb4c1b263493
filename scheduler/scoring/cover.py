"""The cheapest nodes for a number of equal pods, exactly: a covering knapsack over the tree of domains.

Using a node or a domain for the first time has a price (`cost.Charges`), and a node used holds as many pods as fit on
it. The price of holding k pods within a domain is a function of k that follows from those of its parts: by the
0/1 knapsack recurrence for nodes, by (min, +) convolution for domains. Equal nodes are counted, not tried one by one.
"""

import msgspec
import numpy as np

from scheduler.scoring.cost import Charges, fewest
from scheduler.scoring.fleet import Codes
from scheduler.scoring.knapsack import UNREACHABLE, Joined, batch, by_class

BATCHED_NODES = 64
"""Domains of at most this many nodes are worked out many at a time."""

PAIRED_DOMAINS = 64
"""Up to so many domains, all pairs of them are looked at where two are needed."""


Choice = tuple[int, list[Codes]]
"""A price, and the rows that it buys."""


class Cover(msgspec.Struct, frozen=True):
    """Nodes that hold the pods, how many on each, and what it costs."""

    rows: Codes
    counts: Codes
    cost: int


class Forest:
    """The nodes that a shape fits on, arranged by domain, with prices."""

    def __init__(self, charges: Charges, fits: Codes, pods: int) -> None:
        rows = charges.order[fits[charges.order] > 0]
        self.rows = rows
        self.pods = pods
        self.units = charges.units[rows]
        self.fits = np.minimum(fits[rows], pods)
        self.node_cost = charges.node_weight + self.units
        self.node_cost[np.isin(rows, charges.paid)] = 0
        self.weights = (*charges.level_weight, charges.node_weight)
        self.depth = len(charges.codes)
        # Domains of level i are the stretches of rows from bounds[i][d] to bounds[i][d + 1].
        self.bounds: list[Codes] = []
        self.cost: list[Codes] = []
        self.holds: list[Codes] = []
        for codes, weight, units in zip(charges.codes, charges.level_weight, charges.domain_units, strict=True):
            own = codes[rows]
            starts = np.flatnonzero(np.diff(own, prepend=-1))
            price = weight + units[own[starts]]
            price[np.isin(own[starts], codes[list(charges.paid)])] = 0
            self.bounds.append(np.append(starts, len(rows)))
            self.cost.append(price)
            self.holds.append(np.add.reduceat(self.fits, starts) if len(starts) else starts)
        self.any_paid = bool(charges.paid)
        self._functions: dict[tuple[int, int], Joined] = {}

    def cover(self) -> Cover | None:
        """The cheapest way to hold all pods; None where they do not fit."""
        if int(self.fits.sum()) < self.pods:
            return None
        free = np.flatnonzero(self.node_cost == 0)
        if len(free) and int(self.fits[free].sum()) >= self.pods:
            # The nodes of standing members hold all: the first of them, by domain and name.
            enough = free[: int(np.searchsorted(np.cumsum(self.fits[free]), self.pods)) + 1]
            return Cover(*self._trim(enough), 0)
        cost, chosen = self._cheapest(0, 0, len(self.cost[0]) if self.depth else len(self.rows), self.pods)
        return Cover(*self._trim(np.sort(np.concatenate(chosen))), cost)

    def _trim(self, chosen: Codes) -> tuple[Codes, Codes]:
        """Rows and counts that sum to the pods exactly: fewer pods on the emptiest of the chosen nodes."""
        counts = self.fits[chosen].copy()
        surplus = int(counts.sum()) - self.pods
        for at in np.lexsort((np.arange(len(chosen)), -self.units[chosen])).tolist():
            if surplus <= 0:
                break
            less = min(surplus, int(counts[at]))
            counts[at] -= less
            surplus -= less
        used = counts > 0
        return self.rows[chosen][used], counts[used]

    def _cheapest(self, level: int, low: int, high: int, pods: int) -> Choice:
        """The cheapest way to hold `pods` in the domains `low` to `high` of `level`, which together hold them."""
        if level == self.depth:
            choices = by_class(self.fits[low:high], self.node_cost[low:high], pods)
            return int(choices.cost[pods]), [choices.of(pods) + low]
        parts = np.arange(low, high)
        holds = self.holds[level]
        paid = parts[self.cost[level][parts] == 0]
        if len(paid) and int(holds[paid].sum()) >= pods:
            parts = paid
        if (not len(paid) or len(parts) == 1) and int(holds[parts].max()) >= pods:
            return self._best_single(level, parts[holds[parts] >= pods], pods)
        if len(paid):
            return self._all_of(self._join(level, parts, pods), pods)
        # No fewer domains than `count` will do, so each of so few has to hold what the largest others cannot.
        count = fewest(holds[parts], pods)
        least = pods - int(np.sort(holds[parts])[::-1][: count - 1].sum())
        parts = parts[holds[parts] >= least]
        if count == 2 and len(parts) <= PAIRED_DOMAINS:
            return self._best_pair(level, parts, pods)
        return self._all_of(self._join(level, parts, pods, least), pods)

    def _all_of(self, joined: Joined, pods: int) -> Choice:
        return int(joined.cost[pods]), joined.of(pods)

    def _best_pair(self, level: int, parts: Codes, pods: int) -> Choice:
        """The cheapest way to share `pods` between two domains, none of which holds them alone."""
        functions = self._functions_of(level, parts)
        table = np.full((len(functions), pods + 1), UNREACHABLE, dtype=np.int64)
        for at, function in enumerate(functions):
            table[at, : len(function.cost)] = function.cost
        best, pair, share = UNREACHABLE, (0, 0), 0
        for at in range(len(functions) - 1):
            sums = table[at] + table[at + 1 :, ::-1]
            low = int(np.argmin(sums))
            if int(sums.flat[low]) < best:
                other, share = divmod(low, pods + 1)
                best, pair = int(sums.flat[low]), (at, at + 1 + other)
        first, second = functions[pair[0]], functions[pair[1]]
        return best, [*first.of(share), *second.of(pods - share)]

    def _best_single(self, level: int, parts: Codes, pods: int) -> Choice:
        """The cheapest of several domains each of which holds `pods` alone, looked at from the most promising on."""
        lower = [(self._at_least(level, part, pods), part) for part in parts.tolist()]
        best: Choice = (UNREACHABLE, [])
        for bound, part in sorted(lower):
            if bound >= best[0]:
                break
            inside, chosen = self._cheapest(level + 1, *self._inside(level, part), pods)
            cost = inside + int(self.cost[level][part])
            if cost < best[0]:
                best = (cost, chosen)
        return best

    def _at_least(self, level: int, part: int, pods: int) -> int:
        """A lower bound for holding `pods` within one domain: the fewest domains and nodes that are large enough."""
        bound = int(self.cost[level][part])
        if self.any_paid:
            return bound
        low, high = self._inside(level, part)
        for inner in range(level + 1, self.depth):
            bound += self.weights[inner] * fewest(self.holds[inner][low:high], pods)
            low, high = int(self.bounds[inner][low]), int(self.bounds[inner][high])
            if inner + 1 < self.depth:
                low, high = (int(i) for i in np.searchsorted(self.bounds[inner + 1], [low, high]))
        return bound + self.weights[-1] * fewest(self.fits[slice(*self._rows(level, part))], pods)

    def _rows(self, level: int, part: int) -> tuple[int, int]:
        return int(self.bounds[level][part]), int(self.bounds[level][part + 1])

    def _inside(self, level: int, part: int) -> tuple[int, int]:
        """The range of domains of the next level (or of rows) within a domain."""
        first, last = self._rows(level, part)
        if level + 1 == self.depth:
            return first, last
        low, high = np.searchsorted(self.bounds[level + 1], [first, last])
        return int(low), int(high)

    def _join(self, level: int, parts: Codes, pods: int, least: int = 1) -> Joined:
        """The price of 0 to `pods` pods in several domains of a level, of which each used one holds `least` or more."""
        sizes = np.diff(self.bounds[level])[parts]
        lone = parts[sizes == 1]
        prices = np.array([self._chain_cost(level, part) for part in lone.tolist()], dtype=np.int64)
        first = self.bounds[level][lone]
        joined = Joined(by_class(self.fits[first], prices, pods), first)
        for function in self._functions_of(level, parts[sizes > 1]):
            joined.add(function, pods, least)
        return joined

    def _functions_of(self, level: int, parts: Codes) -> list[Joined]:
        """The prices in several domains, each by itself."""
        if level + 1 == self.depth:
            self._prepare(level, parts)
        return [self._function(level, part) for part in parts.tolist()]

    def _chain_cost(self, level: int, part: int) -> int:
        """The price of a domain that holds one node, with that of everything inside it."""
        row = int(self.bounds[level][part])
        price = int(self.cost[level][part]) + int(self.node_cost[row])
        for inner in range(level + 1, self.depth):
            price += int(self.cost[inner][np.searchsorted(self.bounds[inner], row)])
        return price

    def _function(self, level: int, part: int) -> Joined:
        """The price of 0 to all pods in one domain, its own price included."""
        known = self._functions.get((level, part))
        if known is not None:
            return known
        pods = min(int(self.holds[level][part]), self.pods)
        low, high = self._inside(level, part)
        if level + 1 == self.depth:
            inside = by_class(self.fits[low:high], self.node_cost[low:high], pods)
            return self._keep(level, part, Joined(inside, np.arange(low, high)))
        return self._keep(level, part, self._join(level + 1, np.arange(low, high), pods))

    def _keep(self, level: int, part: int, function: Joined) -> Joined:
        function.charge(int(self.cost[level][part]))
        self._functions[level, part] = function
        return function

    def _prepare(self, level: int, parts: Codes) -> None:
        """Work out the functions of many small domains of the innermost level at once."""
        sizes = np.diff(self.bounds[level])
        small = [p for p in parts.tolist() if sizes[p] <= BATCHED_NODES and (level, p) not in self._functions]
        if not small:
            return
        starts = self.bounds[level][small]
        for part, inside in zip(small, batch(self.fits, self.node_cost, starts, sizes[small], self.pods), strict=True):
            start = int(self.bounds[level][part])
            self._keep(level, part, Joined(inside, np.arange(start, start + int(sizes[part]))))
