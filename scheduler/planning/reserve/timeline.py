"""What running work leaves free, and when: all known ends of one plan as columns."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.ends import NEVER, end_of, length_of, started_s
from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.reasons.stands import Stands
from scheduler.quota.tree import NOTHING_CHARGED, Bill, Ledger
from scheduler.quota.usage import KnownBills
from scheduler.scoring.fleet import Codes, Mask

Ending = tuple[int, int, bool]
"""When a workload is gone, in half of all cases and in nine of ten, and whether that is sure."""

UNKNOWN: Ending = (NEVER, NEVER, False)


class KnownEnds:
    """When workloads end, valid while a workload is the very same record and not over time; decides nothing."""

    def __init__(self) -> None:
        self._ends: dict[WorkloadKey, tuple[Workload, Ending]] = {}

    def of(self, snapshot: Snapshot, keys: Sequence[WorkloadKey], now_s: int) -> list[Ending]:
        """The end of each."""
        known, workloads = self._ends, snapshot.workloads
        found: list[Ending] = []
        for key in keys:
            workload = workloads[key]
            entry = known.get(key)
            if entry is None or entry[0] is not workload or entry[1][0] <= now_s:
                entry = known[key] = (workload, _ending(workload, now_s))
            found.append(entry[1])
        if len(known) > 2 * len(keys):
            self._ends = {key: known[key] for key in keys}
        return found


def _ending(workload: Workload, now_s: int) -> Ending:
    length = length_of(workload)
    end = None if length is None else end_of(started_s(workload), length, now_s)
    return UNKNOWN if end is None else (end.median_s, end.high_s, end.sure)


class Use(msgspec.Struct, frozen=True, eq=False):
    """What is taken of nodes, by row, and of a queue's quota; no row is listed twice."""

    rows: Codes
    amounts: IntTable
    queue: QueueName
    bill: Bill


class Timeline:
    """Running work by number, as in the table of what stands, with its expected ends."""

    def __init__(self, stands: Stands, snapshot: Snapshot, ends: KnownEnds, *, now_s: int, fixed: Mask) -> None:
        """`fixed`: rows on which nothing is taken to become free."""
        self._stands = stands
        self._snapshot = snapshot
        self._entries = ~fixed[stands.rows]
        self.keys = stands.keys
        columns = tuple(zip(*ends.of(snapshot, stands.keys, now_s), strict=True)) or ((), (), ())
        self.at: Codes = np.array(columns[0], dtype=np.int64)
        self.high: Codes = np.array(columns[1], dtype=np.int64)
        self.sure: Mask = np.array(columns[2], dtype=np.bool_)
        self._charges: _Charges | None = None
        self._freeing: Freeing | None = None
        self._times: Codes | None = None

    @property
    def times(self) -> Codes:
        """When something ends, in order, each time once."""
        if self._times is None:
            self._times = np.unique(self.at[self.at < NEVER])
        return self._times

    def freed(self, at_s: int, shape: tuple[int, ...]) -> IntTable:
        """What is free of each node in addition once all that ends by `at_s` is gone; a table of that shape."""
        if self._freeing is None:
            self._freeing = self._in_order_of_ends(shape)
        return self._freeing.until(at_s)

    def _in_order_of_ends(self, shape: tuple[int, ...]) -> "Freeing":
        ends = self.at[self._stands.who]
        entries = np.flatnonzero(self._entries & (ends < NEVER))
        entries = entries[np.argsort(ends[entries], kind="stable")]
        return Freeing(ends[entries], self._stands.rows[entries], self._stands.amounts[entries], shape)

    def standing_on(self, rows: Codes) -> Codes:
        """Numbers of the work that stands on any of these rows."""
        return np.unique(self._stands.who[np.isin(self._stands.rows, rows)])

    def last_ends(self, nodes: int) -> Codes:
        """When the last work on each node is expected to end: never, where that is not known; 0 where none runs."""
        found = np.zeros(nodes, dtype=np.int64)
        np.maximum.at(found, self._stands.rows, self.at[self._stands.who])
        return found

    def bills(self, at_s: int, known: KnownBills) -> Mapping[QueueName, Bill]:
        """What each queue gives up by what ends by `at_s`."""
        if self._charges is None:
            self._charges = _charges(self._snapshot, self.keys, known)
        charges = self._charges
        gone = self.at[charges.who] <= at_s
        sums = np.bincount(charges.account[gone], weights=charges.milli_gpu[gone], minlength=len(charges.accounts))
        totals: dict[QueueName, int] = {}
        flavors: dict[QueueName, dict[str, int]] = {}
        for (queue, flavor), amount in zip(charges.accounts, sums.astype(np.int64).tolist(), strict=True):
            if flavor is None:
                totals[queue] = amount
            elif amount:
                flavors.setdefault(queue, {})[flavor] = amount
        return {
            queue: Bill(total, tuple(sorted(flavors.get(queue, {}).items())))
            for queue, total in totals.items()
            if total or queue in flavors
        }


STEP = 1024
"""Ends after which a table of what is free by then is kept, at least; and"""

TABLES = 32
"""how many tables there are at most."""


class Freeing:
    """What becomes free of each node, in order of ends, with tables of what is free after every so many."""

    def __init__(self, ends: Codes, rows: Codes, amounts: IntTable, shape: tuple[int, ...]) -> None:
        self._ends, self._rows, self._amounts = ends, rows, amounts
        self._step = max(STEP, -(-len(ends) // TABLES))
        self._tables = [np.zeros(shape, dtype=np.int64, order="F")]
        for low in range(0, len(ends) - self._step, self._step):
            self._tables.append(self._plus(len(self._tables) - 1, low + self._step))

    def until(self, at_s: int) -> IntTable:
        """All that is free by then; a table of its own."""
        high = int(np.searchsorted(self._ends, at_s, side="right"))
        return self._plus(min(high // self._step, len(self._tables) - 1), high)

    def _plus(self, base: int, high: int) -> IntTable:
        """The first `high` ends together, on top of the table after `base` steps."""
        table = self._tables[base].copy(order="F")
        rows, amounts = self._rows[base * self._step : high], self._amounts[base * self._step : high]
        if len(rows):
            for column in range(table.shape[1]):
                # Sums of whole numbers are exact as floats up to 2**53, more than any node has of anything.
                sums = np.bincount(rows, weights=amounts[:, column], minlength=len(table))
                table[:, column] += sums.astype(np.int64)
        return table


class _Charges(msgspec.Struct, frozen=True, eq=False):
    """Entry i: workload number `who[i]` is charged `milli_gpu[i]` to `accounts[account[i]]`, a queue and flavor."""

    who: Codes
    account: Codes
    milli_gpu: Codes
    accounts: list[tuple[QueueName, str | None]]


def _charges(snapshot: Snapshot, keys: Sequence[WorkloadKey], known: KnownBills) -> _Charges:
    accounts: dict[tuple[QueueName, str | None], int] = {}
    flat: list[int] = []
    for who, key in enumerate(keys):
        queue, entry = snapshot.workloads[key].queue, known.get(key)
        if queue is None or entry is None or entry[3] == NOTHING_CHARGED:
            continue
        bill = entry[3]
        flat += (who, accounts.setdefault((queue, None), len(accounts)), bill.total_milli_gpu)
        for flavor, amount in bill.flavors:
            flat += (who, accounts.setdefault((queue, flavor), len(accounts)), amount)
    table = np.array(flat, dtype=np.int64).reshape(len(flat) // 3, 3)
    return _Charges(table[:, 0], table[:, 1], table[:, 2], list(accounts))


def is_limited(ledger: Ledger) -> bool:
    """Whether any queue's use can ever be too much."""
    queues = ledger.forest.queues.values()
    if ledger.forest.kept or any(queue.counts_users for queue in queues):
        return True
    return any(
        quota.ceiling_milli_gpu is not None
        for queue in queues
        for quota in (queue.total, *dict(queue.flavors).values())
    )
