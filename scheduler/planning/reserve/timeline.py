"""What running work leaves free, and when: all known ends of one plan as columns."""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from scheduler.model.ends import NEVER, End, end_of, length_of, started_s
from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.reasons.stands import Stands
from scheduler.quota.tree import Bill, Ledger
from scheduler.quota.usage import KnownBills
from scheduler.scoring.fleet import Codes, Mask


class KnownStarts:
    """Since when workloads stand, valid while a workload is the very same record; no decision depends on it."""

    def __init__(self) -> None:
        self._starts: dict[WorkloadKey, tuple[Workload, int | None]] = {}

    def of(self, snapshot: Snapshot, keys: Iterable[WorkloadKey]) -> list[int | None]:
        """When the last standing member of each got its node."""
        known, fresh = self._starts, dict[WorkloadKey, tuple[Workload, int | None]]()
        for key in keys:
            workload = snapshot.workloads[key]
            entry = known.get(key)
            fresh[key] = entry if entry is not None and entry[0] is workload else (workload, started_s(workload))
        self._starts = fresh
        return [started for _, started in fresh.values()]


class Use(msgspec.Struct, frozen=True, eq=False):
    """What is taken of nodes, by row, and of a queue's quota; no row is listed twice."""

    rows: Codes
    amounts: IntTable
    queue: QueueName
    bill: Bill


class Timeline:
    """Running work by number, as in the table of what stands, with its expected ends."""

    def __init__(self, stands: Stands, snapshot: Snapshot, starts: KnownStarts, *, now_s: int, fixed: Mask) -> None:
        """`fixed`: rows on which nothing is taken to become free."""
        self._stands = stands
        self._entries = ~fixed[stands.rows]
        self.keys = stands.keys
        ends: list[End | None] = [
            end_of(started, None if started is None else length_of(snapshot.workloads[key]), now_s)
            for key, started in zip(stands.keys, starts.of(snapshot, stands.keys), strict=True)
        ]
        self.at: Codes = np.array([NEVER if end is None else end.median_s for end in ends], dtype=np.int64)
        self.high: Codes = np.array([NEVER if end is None else end.high_s for end in ends], dtype=np.int64)
        self.sure: Mask = np.array([end is not None and end.sure for end in ends], dtype=np.bool_)
        self._queues = [snapshot.workloads[key].queue for key in stands.keys]

    @property
    def times(self) -> list[int]:
        """When something ends, in order."""
        return np.unique(self.at[self.at < NEVER]).tolist()

    def freed(self, at_s: int, shape: tuple[int, ...]) -> IntTable:
        """What is free of each node in addition once all that ends by `at_s` is gone; a table of that shape."""
        entries = self._entries & (self.at[self._stands.who] <= at_s)
        table = np.zeros(shape, dtype=np.int64, order="F")
        rows, amounts = self._stands.rows[entries], self._stands.amounts[entries]
        for column in range(shape[1]):
            # Sums of whole numbers are exact as floats up to 2**53, more than any node has of anything.
            table[:, column] = np.bincount(rows, weights=amounts[:, column], minlength=shape[0])
        return table

    def standing_on(self, rows: Codes) -> Codes:
        """Numbers of the work that stands on any of these rows."""
        return np.unique(self._stands.who[np.isin(self._stands.rows, rows)])

    def bills(self, at_s: int, known: KnownBills) -> Mapping[QueueName, Bill]:
        """What each queue gives up by what ends by `at_s`."""
        sums: dict[QueueName, Bill] = {}
        for who in np.flatnonzero(self.at <= at_s).tolist():
            entry, queue = known.get(self.keys[who]), self._queues[who]
            if entry is not None and queue is not None:
                sums[queue] = sums.get(queue, Bill()).plus(entry[3])
        return sums


def is_limited(ledger: Ledger) -> bool:
    """Whether any queue's use can ever be too much."""
    if ledger.forest.kept:
        return True
    queues = ledger.forest.queues.values()
    return any(
        quota.ceiling_milli_gpu is not None
        for queue in queues
        for quota in (queue.total, *dict(queue.flavors).values())
    )
