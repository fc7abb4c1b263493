"""The price of holding at least k pods on some nodes, as a function of k: knapsacks, and their (min, +) joins.

All prices are whole numbers below `cost.LARGEST`; a function has an entry for each k from 0 to the most that fits.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scheduler.scoring.fleet import Codes

UNREACHABLE = 1 << 61
"""The price of what cannot be; two of them still fit into 64 bits."""


class Choices(Protocol):
    """Prices of 0, 1, 2 … pods on some nodes, and which of the nodes to use."""

    cost: Codes

    def of(self, pods: int) -> Codes:
        """Positions of the nodes to use for `pods` pods, in no order."""
        ...


class _Equal:
    """Nodes that all hold the same number of pods: the cheapest first."""

    def __init__(self, each: int, costs: Codes, pods: int) -> None:
        self._each = each
        self._order = np.argsort(costs, kind="stable")
        sums = np.concatenate(([0], np.cumsum(costs[self._order])))
        self.cost: Codes = sums[-(-np.arange(pods + 1) // each)]

    def of(self, pods: int) -> Codes:
        return self._order[: -(-pods // self._each)]


class _Classes:
    """Nodes in classes of equal (pods held, price): bounded knapsack, multiplicities split into powers of two."""

    def __init__(self, fits: Codes, costs: Codes, pods: int) -> None:
        self._order = np.lexsort((np.arange(len(fits)), costs, -fits))
        fits, costs = fits[self._order], costs[self._order]
        changed = (np.diff(fits, prepend=-1) != 0) | (np.diff(costs, prepend=-1) != 0)
        self._starts = np.flatnonzero(changed)
        counts = np.diff(np.append(self._starts, len(fits)))
        self._items: list[tuple[int, int, int, npt.NDArray[np.bool_]]] = []
        price = np.full(pods + 1, UNREACHABLE, dtype=np.int64)
        price[0] = 0
        other = np.empty_like(price)
        for at, (start, count) in enumerate(zip(self._starts.tolist(), counts.tolist(), strict=True)):
            each, cost = int(fits[start]), int(costs[start])
            for several in _powers(min(count, -(-pods // each))):
                size = min(each * several, pods)
                other[:size] = price[0]
                other[size:] = price[: pods + 1 - size]
                other += cost * several
                better = other < price
                np.minimum(price, other, out=price)
                self._items.append((at, several, size, better))
        self.cost: Codes = price

    def of(self, pods: int) -> Codes:
        counts = np.zeros(len(self._starts), dtype=np.int64)
        for at, several, size, better in reversed(self._items):
            if better[pods]:
                counts[at] += several
                pods = max(pods - size, 0)
        parts = [self._order[s : s + n] for s, n in zip(self._starts.tolist(), counts.tolist(), strict=True) if n]
        return np.concatenate(parts) if parts else self._order[:0]


class _OneOfBatch:
    """One domain of a batch; `better[t, j, k]`: domain j uses its node t for k pods."""

    def __init__(self, cost: Codes, fits: Codes, better: npt.NDArray[np.bool_]) -> None:
        self.cost: Codes = cost
        self._fits = fits
        self._better = better

    def of(self, pods: int) -> Codes:
        chosen: list[int] = []
        for at in range(len(self._fits) - 1, -1, -1):
            if self._better[at, pods]:
                chosen.append(at)
                pods = max(pods - int(self._fits[at]), 0)
        return np.array(chosen, dtype=np.int64)


def by_class(fits: Codes, costs: Codes, pods: int) -> Choices:
    """Prices on nodes that hold `fits` (above zero) for `costs` each, up to `pods` or what they hold together."""
    pods = min(pods, int(fits.sum()))
    if not len(fits) or int(fits.min()) == int(fits.max()):
        return _Equal(int(fits[0]) if len(fits) else 1, costs, pods)
    return _Classes(fits, costs, pods)


def batch(fits: Codes, costs: Codes, starts: Codes, sizes: Codes, pods: int) -> list[Choices]:
    """Prices within many domains at once: domain j is the stretch of `sizes[j]` nodes from `starts[j]`."""
    most = int(sizes.max())
    steps = np.arange(most)
    at = np.minimum(starts[:, None] + steps, len(fits) - 1)
    there = steps < sizes[:, None]
    weight = np.where(there, fits[at], 0)
    price = np.where(there, costs[at], UNREACHABLE)
    holds = np.minimum(weight.sum(axis=1), pods)
    width = int(holds.max()) + 1
    ks = np.arange(width)
    best = np.full((len(starts), width), UNREACHABLE, dtype=np.int64)
    best[:, 0] = 0
    better = np.empty((most, len(starts), width), dtype=np.bool_)
    for t in range(most):
        other = np.take_along_axis(best, np.maximum(ks - weight[:, t, None], 0), axis=1)
        other += price[:, t, None]
        np.less(other, best, out=better[t])
        np.minimum(best, other, out=best)
    return [
        _OneOfBatch(best[j, : held + 1], weight[j, :size], better[:, j])
        for j, (held, size) in enumerate(zip(holds.tolist(), sizes.tolist(), strict=True))
    ]


class Joined:
    """Nodes that stand alone, and domains with prices of their own, taken together; used whole, it costs `own` more."""

    def __init__(self, lone: Choices, rows: Codes) -> None:
        self._each = 1
        self._lone = lone
        self._rows = rows
        self._stages: list[tuple[Codes, Joined]] = []
        self._inner: Codes = lone.cost
        self.cost: Codes = lone.cost

    def add(self, part: "Joined", pods: int, least: int = 1) -> None:
        """Join another domain, to be used for `least` pods or more; prices above `pods` are of no interest."""
        self._stages.append((self._inner, part))
        cost = part.cost
        if least > 1:
            cost = cost.copy()
            cost[1:least] = cost[least]
        self._inner = convolve(self._inner, cost, pods)
        self.cost = self._inner

    def charge(self, own: int, each: int = 1) -> None:
        """Add the price of using any of this at all; from now on `each` pods are counted as one."""
        self._each = each
        self.cost = self._inner[::each].copy()
        self.cost[1:] += own

    def of(self, pods: int) -> list[Codes]:
        """Rows to use for `pods` pods."""
        pods *= self._each
        chosen: list[Codes] = []
        price = self._inner
        for before, part in reversed(self._stages):
            shares = np.arange(len(part.cost))
            rest = np.maximum(pods - shares, 0)
            possible = rest < len(before)
            sums = before[rest[possible]] + part.cost[possible]
            share = int(shares[possible][np.argmax(sums == price[pods])])
            if share:
                chosen += part.of(share)
            pods = max(pods - share, 0)
            price = before
        return [*chosen, self._rows[self._lone.of(pods)]]


def convolve(a: Codes, b: Codes, pods: int) -> Codes:
    """Prices of k pods shared between two: the least of a[i] + b[j] over i + j >= k."""
    top = min(len(a) + len(b) - 2, pods)
    if len(a) < len(b):
        a, b = b, a
    ends = _ends(b)
    # Reading before the start of `a` means that `b` alone holds more than enough.
    longest = len(b) - 1
    padded = np.concatenate((np.full(longest, a[0]), a, np.full(max(top + 1 - len(a), 0), UNREACHABLE)))
    best = np.full(top + 1, UNREACHABLE, dtype=np.int64)
    other = np.empty_like(best)
    for share, price in zip(ends.tolist(), b[ends].tolist(), strict=True):
        start = longest - share
        np.add(padded[start : start + top + 1], price, out=other)
        np.minimum(best, other, out=best)
    return best


def _ends(cost: Codes) -> Codes:
    """Where a non-decreasing function is about to rise: the most that is to be had for each price."""
    return np.append(np.flatnonzero(cost[1:] > cost[:-1]), len(cost) - 1)


def _powers(count: int) -> Sequence[int]:
    """1, 2, 4 … and a rest that sum to `count`, so that every number up to it is a sum of some."""
    parts: list[int] = []
    part = 1
    while count > 0:
        parts.append(min(part, count))
        count -= part
        part *= 2
    return parts
