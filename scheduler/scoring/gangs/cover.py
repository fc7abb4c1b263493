"""The cheapest nodes for a number of equal pods, exactly: a covering knapsack over the tree of domains.

Using a node or a domain for the first time has a price (`cost.Charges`), and a node used holds as many pods as fit on
it. The price of holding k pods within a domain is a function of k that follows from those of its parts: by the
0/1 knapsack recurrence for nodes, by (min, +) convolution for domains. Equal nodes are counted, not tried one by one.

Where slices of k pods have to stand in one domain of a level, pods inside such a domain are counted k at a time: of its
function only each k-th value is used, and everything outside works on whole slices.
"""

import msgspec
import numpy as np

from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.cost import Charges, fewest
from scheduler.scoring.gangs.knapsack import UNREACHABLE, Joined, batch, by_class

BATCHED_NODES = 64
"""Domains of at most this many nodes are worked out many at a time."""

PAIRED_DOMAINS = 64
"""Up to so many domains, all pairs of them are looked at where two are needed."""

BESIDE = 8
"""Domains of whole slices in which room for a last, shorter one is looked for: those with the least left over."""


Choice = tuple[int, list[Codes]]
"""A price, and the rows that it buys."""


class Cover(msgspec.Struct, frozen=True):
    """Nodes that hold the pods, how many on each, and what it costs."""

    rows: Codes
    counts: Codes
    cost: int


def cheapest(charges: Charges, fits: Codes, pods: int) -> tuple[Cover | None, int]:
    """The cheapest way found to hold `pods`, and a cost that no way goes below.

    Exact unless slices leave a rest: then room is found for the last, shorter slice as if it were whole, in a domain of
    others, or on nodes that the others leave alone, and the bound is that of the slices before it.
    """
    sizes = tuple(min(size, pods) for size in charges.slices)
    if all(max(sizes) % size == 0 for size in sizes):
        charges = msgspec.structs.replace(charges, slices=sizes)
    largest = max(charges.slices, default=1)
    rest = pods % largest
    least = Forest(charges, fits, pods - rest).cover() if pods > rest else Cover(fits[:0], fits[:0], 0)
    if least is None:
        return None, UNREACHABLE
    if not rest:
        return least, least.cost
    padded = Forest(charges, fits, pods + largest - rest).cover()
    found = [] if padded is None else [_shortened(charges, padded, pods)]
    if not found or found[0].cost > least.cost:
        found += [*_beside(charges, fits, least, rest), *_apart(charges, fits, least, rest)]
    return min(found, key=lambda cover: cover.cost, default=None), least.cost


def _beside(charges: Charges, fits: Codes, whole: Cover, rest: int) -> list[Cover]:
    """Whole slices, and the `rest` in a domain that holds some of them, which comes last in the order.

    Where there are no whole slices, the rest in a domain by itself.
    """
    level = charges.slices.index(max(charges.slices))
    codes = charges.codes[level] if level < len(charges.codes) else np.arange(len(fits))
    usable = np.flatnonzero(fits)
    domains, at = np.unique(codes[usable], return_inverse=True)
    left = np.bincount(at.reshape(-1), weights=fits[usable], minlength=len(domains)).astype(np.int64) - rest
    own = codes[whole.rows]
    shares = np.zeros_like(left)
    np.add.at(shares, np.searchsorted(domains, own), whole.counts)
    left -= shares
    # Within the domain, the slices of its own level stand together however they are laid out.
    inner = msgspec.structs.replace(charges, slices=(*(1,) * (level + 1), *charges.slices[level + 1 :]))
    found: list[Cover] = []
    candidates = np.flatnonzero((left >= 0) & ((shares > 0) | (len(own) == 0)))
    for each in candidates[np.argsort(left[candidates], kind="stable")][:BESIDE].tolist():
        domain = domains[each]
        last, _ = cheapest(inner, np.where(codes == domain, fits, 0), int(shares[each]) + rest)
        if last is not None:
            rows = np.append(whole.rows[own != domain], last.rows)
            counts = np.append(whole.counts[own != domain], last.counts)
            found.append(Cover(rows, counts, charges.cost_of(rows)))
    return found


def _apart(charges: Charges, fits: Codes, whole: Cover, rest: int) -> list[Cover]:
    """Whole slices as they are, and after them the `rest` on other nodes, if there is room for it."""
    left = fits.copy()
    left[whole.rows] = 0
    beside = msgspec.structs.replace(charges, paid=tuple(sorted({*charges.paid, *whole.rows.tolist()})))
    last, _ = cheapest(beside, left, rest) if whole.rows.size else (None, 0)
    if last is None:
        return []
    rows, counts = np.append(whole.rows, last.rows), np.append(whole.counts, last.counts)
    return [Cover(rows, counts, charges.cost_of(rows))]


def _shortened(charges: Charges, cover: Cover, pods: int) -> Cover:
    """The first `pods` pods of a cover, in its order."""
    counts = np.diff(np.minimum(np.cumsum(cover.counts), pods), prepend=0)
    rows = cover.rows[counts > 0]
    return Cover(rows, counts[counts > 0], charges.cost_of(rows))


class Forest:
    """The nodes that a shape fits on, arranged by domain, with prices."""

    def __init__(self, charges: Charges, fits: Codes, pods: int) -> None:
        """`pods` is a multiple of the largest slice."""
        self.depth = len(charges.codes)
        sizes = charges.slices or (1,) * (self.depth + 1)
        # To a domain of level i pods come `unit[i]` at a time, and that is what they are counted in there.
        self.unit = [max(sizes[i:]) for i in range(self.depth + 1)]
        self.each = [outer // inner for outer, inner in zip(self.unit, self.unit[1:], strict=False)]
        self.most = [pods // unit for unit in self.unit]
        self.weights = (*charges.level_weight, charges.node_weight)
        self.any_paid = bool(charges.paid)
        self._arrange(charges, fits, charges.order[fits[charges.order] >= self.unit[-1]])
        if max(self.unit) > 1 and any((holds == 0).any() for holds in self.holds):
            kept = np.ones(len(self.rows), dtype=np.bool_)
            for bounds, holds in zip(self.bounds, self.holds, strict=True):
                kept &= np.repeat(holds > 0, np.diff(bounds))
            self._arrange(charges, fits, self.rows[kept])
        self._functions: dict[tuple[int, int], Joined] = {}

    def _arrange(self, charges: Charges, fits: Codes, rows: Codes) -> None:
        """Lay out `rows`, which are in the tree's order, by domain."""
        self.rows = rows
        self.units = charges.units[rows]
        self.fits = np.minimum(fits[rows] // self.unit[-1], self.most[-1])
        self.node_cost = charges.node_weight + self.units
        self.node_cost[np.isin(rows, charges.paid)] = 0
        # Domains of level i are the stretches of rows from bounds[i][d] to bounds[i][d + 1].
        self.bounds: list[Codes] = []
        self.cost: list[Codes] = []
        for codes, weight, units in zip(charges.codes, charges.level_weight, charges.domain_units, strict=True):
            own = codes[rows]
            starts = np.flatnonzero(np.diff(own, prepend=-1))
            price = weight + units[own[starts]]
            price[np.isin(own[starts], codes[list(charges.paid)])] = 0
            self.bounds.append(np.append(starts, len(rows)))
            self.cost.append(price)
        self.holds: list[Codes] = []
        inner, at = self.fits, np.arange(len(rows))
        for bounds, each in zip(reversed(self.bounds), reversed(self.each), strict=True):
            starts = bounds[:-1]
            inner = np.add.reduceat(inner, np.searchsorted(at, starts)) // each if len(starts) else starts
            self.holds.insert(0, inner)
            at = starts

    def cover(self) -> Cover | None:
        """The cheapest way to hold all pods; None where they do not fit."""
        if int((self.holds[0] if self.depth else self.fits).sum()) < self.most[0]:
            return None
        free = np.flatnonzero(self.node_cost == 0)
        if len(free) and max(self.unit) == 1 and int(self.fits[free].sum()) >= self.most[0]:
            # The nodes of standing members hold all: the first of them, by domain and name.
            enough = free[: int(np.searchsorted(np.cumsum(self.fits[free]), self.most[0])) + 1]
            return Cover(*self._trim(enough), 0)
        cost, chosen = self._cheapest(0, 0, len(self.cost[0]) if self.depth else len(self.rows), self.most[0])
        return Cover(*self._trim(np.sort(np.concatenate(chosen))), cost)

    def _trim(self, chosen: Codes) -> tuple[Codes, Codes]:
        """Rows and counts that sum to the pods exactly: fewer pods on the emptiest of the chosen nodes."""
        counts = self._counts(chosen, 0, self.most[0] * self.unit[0])
        used = counts > 0
        return self.rows[chosen][used], counts[used]

    def _counts(self, chosen: Codes, level: int, pods: int) -> Codes:
        """How many of `pods` stand on each of the `chosen` nodes, which hold them; whole slices in each domain."""
        level = next((i for i in range(level, self.depth) if self.each[i] > 1), self.depth)
        if level == self.depth:
            return _less(self.fits[chosen], self.units[chosen], pods // self.unit[-1]) * self.unit[-1]
        inside = np.searchsorted(self.bounds[level], chosen, side="right")
        parts = np.split(chosen, np.flatnonzero(np.diff(inside)) + 1)
        holds = np.array([self._held(part, level) for part in parts], dtype=np.int64)
        shares = _less(holds, holds, pods // self.unit[level]) * self.unit[level]
        return np.concatenate(
            [self._counts(part, level + 1, share) for part, share in zip(parts, shares.tolist(), strict=True)]
        )

    def _held(self, chosen: Codes, level: int) -> int:
        """How many slices of a level the `chosen` nodes of one of its domains hold."""
        inner = next((i for i in range(level + 1, self.depth) if self.each[i] > 1), self.depth)
        if inner == self.depth:
            return int(self.fits[chosen].sum()) // self.each[level]
        inside = np.searchsorted(self.bounds[inner], chosen, side="right")
        parts = np.split(chosen, np.flatnonzero(np.diff(inside)) + 1)
        return sum(self._held(part, inner) for part in parts) // self.each[level]

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
            inside, chosen = self._cheapest(level + 1, *self._inside(level, part), pods * self.each[level])
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
            pods *= self.each[inner - 1]
            bound += self.weights[inner] * fewest(self.holds[inner][low:high], pods)
            low, high = int(self.bounds[inner][low]), int(self.bounds[inner][high])
            if inner + 1 < self.depth:
                low, high = (int(i) for i in np.searchsorted(self.bounds[inner + 1], [low, high]))
        pods *= self.each[-1]
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
        joined = Joined(by_class(self.holds[level][lone], prices, pods), first)
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
        pods = min(int(self.holds[level][part]), self.most[level]) * self.each[level]
        low, high = self._inside(level, part)
        if level + 1 == self.depth:
            inside = by_class(self.fits[low:high], self.node_cost[low:high], pods)
            return self._keep(level, part, Joined(inside, np.arange(low, high)))
        return self._keep(level, part, self._join(level + 1, np.arange(low, high), pods))

    def _keep(self, level: int, part: int, function: Joined) -> Joined:
        function.charge(int(self.cost[level][part]), self.each[level])
        self._functions[level, part] = function
        return function

    def _prepare(self, level: int, parts: Codes) -> None:
        """Work out the functions of many small domains of the innermost level at once."""
        sizes = np.diff(self.bounds[level])
        small = [p for p in parts.tolist() if sizes[p] <= BATCHED_NODES and (level, p) not in self._functions]
        if not small:
            return
        starts = self.bounds[level][small]
        found = batch(self.fits, self.node_cost, starts, sizes[small], self.most[-1])
        for part, inside in zip(small, found, strict=True):
            start = int(self.bounds[level][part])
            self._keep(level, part, Joined(inside, np.arange(start, start + int(sizes[part]))))


def _less(holds: Codes, empty: Codes, wanted: int) -> Codes:
    """`holds` less what is too much: taken off where most is `empty`."""
    counts = holds.copy()
    surplus = int(counts.sum()) - wanted
    for at in np.lexsort((np.arange(len(counts)), -empty)).tolist():
        if surplus <= 0:
            break
        less = min(surplus, int(counts[at]))
        counts[at] -= less
        surplus -= less
    return counts
