"""On which node and devices a pod that stands alone goes: the policies, by the names that people know.

Filter and score look at all nodes at once, as columns. Every policy gives each node a key, lower is better; among
equal keys the first node by name wins, so that the same table always gives the same answer.
"""

from typing import assert_never

import numpy as np

from scheduler.model.demand import Request
from scheduler.model.policy import Policy
from scheduler.scoring.fleet import Codes
from scheduler.scoring.policies.fragmentation import WEIGHT, Amounts
from scheduler.scoring.policies.free import FreeTable
from scheduler.scoring.policies.prices import TOLERANCE_MILLI, Prices

PARTS = 1 << 20
"""Parts of its capacity in which a node's use is compared."""

_WHOLE = 34
MOST_KEY = (1 << 35) - 1
"""No key is above it, so that others can be put in front of keys."""


def packing_keys(policy: Policy, free: Codes, capacity: Codes) -> Codes:
    """A key of each node, lower is better, from 0 to 2^35, by what is free of the resource that packing goes by.

    LeastFragmentation cannot be told from one resource; where no prices are at hand it packs as MostAllocated.
    """
    match policy:
        case Policy.TOPOLOGY_PRESERVING:
            whole = (free >= capacity).astype(np.int64)
            return (whole << _WHOLE) | np.clip(free, 0, (1 << _WHOLE) - 1)
        case Policy.MOST_ALLOCATED | Policy.LEAST_FRAGMENTATION:
            return _part_free(free, capacity)
        case Policy.LEAST_ALLOCATED:
            return PARTS - _part_free(free, capacity)
        case _:
            assert_never(policy)


def price_keys(price: Amounts, tolerance_milli: int = TOLERANCE_MILLI) -> Codes:
    """A key of each price, lower is better: 0 for all that count as equal to the best; only finite prices."""
    over = price - (price.min(initial=np.inf) + tolerance_milli * WEIGHT)
    return np.clip(over, 0, MOST_KEY).astype(np.int64)


class Chooser:
    """Chooses nodes and devices of one table by one policy; `prices` are needed for LeastFragmentation."""

    def __init__(self, table: FreeTable, policy: Policy, prices: Prices) -> None:
        self._table = table
        self._policy = policy
        self._prices = prices

    def place(self, request: Request) -> tuple[int, tuple[int, ...]] | None:
        """The node and devices that the request gets, which are taken from the table; None where it has no room."""
        chosen = self.choose(request)
        if chosen is not None:
            self._table.take(chosen[0], request, chosen[1])
        return chosen

    def choose(self, request: Request) -> tuple[int, tuple[int, ...]] | None:
        """The node and devices that are best for the request; None where it has no room."""
        table = self._table
        if self._policy is Policy.LEAST_FRAGMENTATION:
            price = self._prices.of(request).price
            rows = np.flatnonzero(np.isfinite(price))
            keys = price_keys(price[rows])
        else:
            rows = np.flatnonzero(table.fits(request))
            free, capacity = table.packed_by(request)
            keys = packing_keys(self._policy, free[rows], capacity[rows])
        if not len(rows):
            return None
        row = int(rows[np.argmin(keys)])
        return row, self._devices(row, request)

    def _devices(self, row: int, request: Request) -> tuple[int, ...]:
        match self._policy:
            case Policy.LEAST_FRAGMENTATION:
                return self._prices.devices(row, request)
            case Policy.LEAST_ALLOCATED:
                return self._table.emptiest(row, request)
            case Policy.TOPOLOGY_PRESERVING | Policy.MOST_ALLOCATED:
                return self._table.tightest(row, request)
            case _:
                assert_never(self._policy)


def _part_free(free: Codes, capacity: Codes) -> Codes:
    return np.clip(free, 0, None) * PARTS // np.maximum(capacity, 1)
