"""Prices of placing a request on each node, kept per kind of request: only nodes that changed are priced again."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scheduler.model.demand import Kind, Request
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes
from scheduler.scoring.policies.fragmentation import Amounts, States, Worth
from scheduler.scoring.policies.free import FreeTable

TOLERANCE_MILLI = 50
"""Placements whose prices differ by at most so many milli-GPU count as equal.

The mix is an estimate, and so is every price. Among equals a fixed order of nodes fills one node after the other.
"""

KNOWN_CELLS = 1 << 22
"""Prices are kept for so many pairs of a node and a kind of request; only speed depends on it."""

NO_DEVICE = -1


class Priced(NamedTuple):
    """The price on each node in milli-GPU times `WEIGHT`, infinite where the request has no room.

    `device`: which device of the node has that price; `NO_DEVICE` where the request takes whole GPUs or none.
    """

    price: Amounts
    device: Codes


class Prices:
    """What placements of one table cost by a mix of `kinds`; nothing, where there are none."""

    def __init__(self, table: FreeTable, kinds: Sequence[Kind] = ()) -> None:
        self._table = table
        self._known: dict[Request, tuple[Priced, int]] = {}
        self._worth: Worth | None = None
        self._now: Amounts = np.zeros(len(table), dtype=np.float64)
        self._now_at = 0
        self.learn(kinds)

    def learn(self, kinds: Sequence[Kind]) -> None:
        """Price by this mix from now on."""
        self._known.clear()
        self._worth = Worth(self._table, kinds) if kinds else None
        table = self._table
        self._now_at = len(table.log)
        self._now = self._worth_of(States(table.milli_cpu, table.memory, table.devices, table.product))

    def of(self, request: Request) -> Priced:
        """The prices of one request on every node as the table is now."""
        log = self._table.log
        known = self._known.get(request)
        if known is None:
            if len(self._known) * len(self._table) >= KNOWN_CELLS:
                self._known.clear()
            priced = self._price(request, np.arange(len(self._table)))
        else:
            priced, at = known
            rows = np.unique(np.array(log[at:], dtype=np.int64))
            if len(rows):
                again = self._price(request, rows)
                priced.price[rows] = again.price
                priced.device[rows] = again.device
        self._known[request] = (priced, len(log))
        return priced

    def devices(self, row: int, request: Request) -> tuple[int, ...]:
        """The devices that the price of a node is for."""
        device = int(self.of(request).device[row])
        return self._table.tightest(row, request) if device == NO_DEVICE else (device,)

    def _catch_up(self) -> None:
        """Bring the worth of the nodes up to date with the table."""
        table = self._table
        if self._now_at < len(table.log):
            rows = np.unique(np.array(table.log[self._now_at :], dtype=np.int64))
            self._now_at = len(table.log)
            self._now[rows] = self._worth_of(
                States(table.milli_cpu[rows], table.memory[rows], table.devices[rows], table.product[rows])
            )

    def _worth_of(self, states: States) -> Amounts:
        """The worth of each state; equal ones are worked out once."""
        if self._worth is None:
            return np.zeros(len(states.milli_cpu), dtype=np.float64)
        if len(states.milli_cpu) * self._worth.kinds < FEW:
            return self._worth.of(states)
        first, back = _distinct(states)
        return self._worth.of(States(*(column[first] for column in states)))[back]

    def _price(self, request: Request, rows: Codes) -> Priced:
        """Prices on `rows`, of the best device where a share is asked for."""
        self._catch_up()
        table = self._table
        price = np.full(len(rows), np.inf)
        device = np.full(len(rows), NO_DEVICE, dtype=np.int64)
        at = np.flatnonzero(table.fits(request, rows))
        if not len(at):
            return Priced(price, device)
        one_of = request.devices == 1 and request.share_milli < MILLI_GPU
        before = table.devices[rows[at]]
        node, chosen, after = _each_device(before, request) if one_of else _tightest(before, request)
        stands = rows[at][node]
        worth = self._worth_of(
            States(
                table.milli_cpu[stands] - request.milli_cpu,
                table.memory[stands] - request.memory,
                after,
                table.product[stands],
            )
        )
        cost = self._now[stands] - worth
        order = np.lexsort((chosen, cost, node))
        best = order[np.flatnonzero(np.diff(node[order], prepend=-1))]
        price[at] = cost[best]
        device[at] = chosen[best]
        return Priced(price, device)


FEW = 1 << 12
"""For fewer pairs of a state and a kind than this, looking for equal states costs more than it saves."""


def _distinct(states: States) -> tuple[Codes, Codes]:
    """The first of every set of equal states, and for each state which of those it equals; devices in any order."""
    table = np.column_stack(
        [states.milli_cpu, states.memory, states.product, np.sort(states.devices, axis=1)],
    )
    rows = np.ascontiguousarray(table).view(np.dtype((np.void, table.dtype.itemsize * table.shape[1]))).ravel()
    _, first, back = np.unique(rows, return_index=True, return_inverse=True)
    return first, back.ravel()


def _each_device(before: IntTable, request: Request) -> tuple[Codes, Codes, IntTable]:
    """Every choice of one device with enough free: the row of `before`, the device, and what is free then.

    Of devices with equal amounts the first stands for all.
    """
    enough = before >= request.share_milli
    for later in range(1, before.shape[1]):
        enough[:, later] &= (before[:, :later] != before[:, later, None]).all(axis=1)
    node, chosen = np.nonzero(enough)
    after = before[node]
    after[np.arange(len(node)), chosen] -= request.share_milli
    return node, chosen, after


def _tightest(before: IntTable, request: Request) -> tuple[Codes, Codes, IntTable]:
    """One choice a row: the devices with the least free that is enough."""
    node = np.arange(len(before))
    after = before.copy()
    if request.devices:
        free = np.where(before >= request.share_milli, before, MILLI_GPU + 1)
        chosen = np.argsort(free, axis=1, kind="stable")[:, : request.devices]
        after[node[:, None], chosen] -= request.share_milli
    return node, np.full(len(node), NO_DEVICE, dtype=np.int64), after
