"""What a candidate may use beside the reservations of others: all that is free, or what is not kept from it."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from scheduler.model.ends import NEVER, length_of
from scheduler.model.plan import Decision
from scheduler.model.queue import Queue
from scheduler.model.workload import PodShape, Workload
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reserve.slots import Passed, Slot, most_used
from scheduler.planning.reserve.timeline import Use, is_limited
from scheduler.quota.tree import Bill, Ledger, bill_for
from scheduler.scoring.rules.queue import nodes_of
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level


def end_if_started(workload: Workload, at_s: int) -> int:
    """When a workload surely is gone if it starts at `at_s`."""
    length = length_of(workload)
    return at_s + length.median_s if length is not None and length.sure else NEVER


def passed_by(desk: Desk, candidate: Candidate) -> Passed:
    """The slots at which the candidate may still run if it starts now."""
    if not desk.slots.slots:
        return ()
    return desk.slots.passed(end_if_started(candidate.workload, desk.now_s), candidate.workload)


def expected_end(workload: Workload, at_s: int) -> int:
    """When a workload is expected to be gone if it starts at `at_s`, sure or not."""
    length = length_of(workload)
    return NEVER if length is None else at_s + length.median_s


@contextmanager
def beside_reservations(desk: Desk, candidate: Candidate) -> Generator[None]:
    """Inside, the candidate finds no room and no quota that it would keep from a reservation."""
    passed = passed_by(desk, candidate)
    catch_up(desk)
    desk.slots.narrow(passed)
    with away_from(desk, candidate, desk.slots.of(passed)), _quota_beside(desk, passed):
        yield


@contextmanager
def away_from(desk: Desk, candidate: Candidate, slots: Sequence[Slot]) -> Generator[None]:
    """Inside, a gang that wants domains for itself finds none in which room is kept for others."""
    before = desk.shut
    name = candidate.workload.topology_exclusive
    level = None if name is None or not slots else find_level(desk.fleet, desk.snapshot.topology, name)
    if level is not None:
        codes = domains(desk.fleet, level).codes
        kept = codes[np.concatenate([slot.use.rows for slot in slots])]
        desk.shut |= frozenset(np.flatnonzero(np.isin(codes, kept[kept != NO_DOMAIN])).tolist())
    try:
        yield
    finally:
        desk.shut = before


@contextmanager
def _quota_beside(desk: Desk, passed: Passed) -> Generator[None]:
    if not passed or not is_limited(desk.ledger):
        yield
        return
    base = desk.unreserved = desk.ledger
    inside = desk.ledger = most_used(base, [slot.ledger for slot in desk.slots.of(passed)])
    try:
        yield
    finally:
        after, used = desk.ledger, dict(base.used)
        for name, bill in after.used.items():
            if (before := inside.used_by(name)) != bill:
                used[name] = base.used_by(name).plus(bill).plus(before, -1)
        desk.ledger = Ledger(base.forest, used, base.capacity)


def catch_up(desk: Desk) -> None:
    """Count what the plan started since the last time against the slots that it passes."""
    if not desk.slots.slots:
        return
    for decision in desk.decisions[desk.slots.seen :]:
        count_in(desk, decision)
    desk.slots.seen = len(desk.decisions)


def count_in(desk: Desk, decision: Decision) -> None:
    """Count what a decision starts."""
    nodes = nodes_of(decision)
    if not nodes:
        return
    workload = desk.snapshot.workloads[decision.workload]
    end_s = end_if_started(workload, desk.now_s)
    placed = Counter((pod.shape, desk.fleet.row_of[nodes[pod.uid]]) for pod in workload.members if pod.uid in nodes)
    if workload.queue is not None and workload.queue in desk.snapshot.queues:
        desk.slots.start(workload.key, use_of(desk, desk.payer(workload), placed), end_s)


def use_of(desk: Desk, queue: Queue, placed: Mapping[tuple[PodShape, int], int]) -> Use:
    """What so many pods of these shapes take on these rows, and of the queue's quota."""
    rows = sorted({row for _, row in placed})
    at = {row: i for i, row in enumerate(rows)}
    amounts = np.zeros((len(rows), desk.room.free.shape[1]), dtype=np.int64)
    products = desk.fleet.products
    demands: dict[PodShape, list[tuple[int, int]]] = {}
    charged: Counter[tuple[PodShape, int]] = Counter()
    for (shape, row), count in placed.items():
        if shape not in demands:
            demands[shape] = desk.room.demand(shape.requests) or []
        for column, n in demands[shape]:
            amounts[at[row], column] += n * count
        charged[shape, int(products.codes[row])] += count
    bill = Bill()
    for (shape, code), count in charged.items():
        bill = bill.plus(bill_for(queue, shape, products.values[code] if code >= 0 else ""), count)
    return Use(np.array(rows, dtype=np.int64), amounts, queue.name, bill)
