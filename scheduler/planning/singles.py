"""Pods that stand alone, many equal ones at a time: each goes to the node that is best by its policy.

Where a pod may get a suspect GPU it goes last of all. Nodes where nothing is held back for a waiting gang go first,
then the best ones by the policy (`model.policy`; by default nodes already in use, so that whole ones stay whole, and of
these the one with the fewest free GPUs), then the one with the highest score by the administrator's own rules, then the
one whose links suit the pod best, and others least, then the first name.
Where a node that takes one of the pods is then fuller and better still, filling nodes one after the other in that
order comes to the same as choosing anew for every pod; other policies do choose anew. Parts of GPUs and MIG slices
that are made on demand go one by one, where each takes least from what others could be given.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from scheduler.model.names import NodeName, QueueName
from scheduler.model.plan import Admit, Offer, Placement, Proof
from scheduler.model.queue import Queue
from scheduler.model.resources import GPU
from scheduler.model.workload import PodShape
from scheduler.planning.by_policy import PLACE, TAKEN_OUT, fills_up, keys, one_by_one, policy_of
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.singles_in_parts import in_turn
from scheduler.quota.tree import Bill, base_bill, bill_for
from scheduler.scoring.devices.choosers import firmly
from scheduler.scoring.fleet import Codes
from scheduler.scoring.policies.free import request_of
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level

BEST = Proof()
"""A pod alone is put on the best node by the order above; there is nothing to prove beyond that."""


FEW = 8
"""For up to so many pods the next best node is looked for each time; for more all nodes are sorted once."""


def admit_singles(desk: Desk, batch: Sequence[Candidate]) -> list[Admit | Offer]:
    """Decisions for the first so many of equal pods as quota and room allow; none for the rest."""
    shape = batch[0].groups[0][0]
    # Devices are claimed on one node; where kube-scheduler refuses it, another is tried.
    if shape.scheduler_rules and not shape.by_claim:
        return list(_offers(desk, batch, shape))
    queue, room = desk.payer(batch[0].workload), desk.room
    admits: list[Admit | Offer] = []
    most = _quota_count(desk, queue, shape, len(batch))
    for sound_only in room.passes:
        with room.kept_sound(sound_only=sound_only):
            left = most - len(admits)
            for row, count in _spread_out(desk, queue, _linked_first(desk, batch[0], left), shape, left):
                room.take(row, shape, count)
                for devices in room.hand_out(row, [(shape, count)])[0]:
                    candidate = batch[len(admits)]
                    assignment = room.assignment(candidate.pending[0].uid, row, shape, devices)
                    placement = Placement(assignments=(assignment,), proof=BEST)
                    admits.append(Admit(workload=candidate.workload.key, placement=placement))
    return admits


def _linked_first(desk: Desk, candidate: Candidate, pods: int) -> Iterator[tuple[int, int]]:
    """As `seats`; where linked GPUs are preferred, all that there are of them come first."""
    (shape, count), *_ = candidate.groups
    firm = firmly(shape)
    if firm is not shape:
        yield from seats(desk, msgspec.structs.replace(candidate, groups=((firm, count),)), pods)
    yield from seats(desk, candidate, pods)


def seats(desk: Desk, candidate: Candidate, pods: int) -> Iterator[tuple[int, int]]:
    """The nodes that take the pod, best first, and how many of its kind each takes; `pods`: how many there are."""
    workload = candidate.workload
    shape = candidate.groups[0][0]
    room = desk.room
    fits = room.view(shape).fits
    rows = np.flatnonzero(fits)
    if workload.topology_required is not None:
        level = find_level(desk.fleet, desk.snapshot.topology, workload.topology_required)
        if level is not None:
            rows = rows[domains(desk.fleet, level).codes[rows] != NO_DOMAIN]
    if workload.avoid:
        rows = rows[~np.isin(rows, desk.fleet.rows(workload.avoid))]
    own = desk.own.scores(shape)
    if own is not None:
        rows = rows[np.lexsort((rows, -own[rows]))]
    policy = policy_of(candidate, desk.snapshot.queues[QueueName(str(workload.queue))])
    column = _column_that_matters(desk, shape)
    if room.by_parts(shape) and (fills_up(policy) or request_of(shape) is None):
        yield from in_turn(desk, shape, rows)
        return
    if not fills_up(policy):
        yield from one_by_one(desk, candidate, policy, rows, column)
        return
    rows, key = _by_links(desk, shape, rows, keys(desk, candidate, policy, rows, column), pods)
    if pods > FEW:
        key.sort()
    for at in range(len(key)):
        low = at if pods > FEW else int(np.argmin(key))
        row = int(rows[int(key[low]) & ((1 << PLACE) - 1)])
        yield row, int(fits[row])
        if pods <= FEW:
            key[low] = TAKEN_OUT


def _by_links(desk: Desk, shape: PodShape, rows: Codes, key: Codes, pods: int) -> tuple[Codes, Codes]:
    """Nodes and keys, those in front whose links suit the pod best, and others least, among equals by their key.

    Only nodes that one of so many `pods` may come to are looked at.
    """
    own, level = desk.own.scores(shape), key >> PLACE
    within = np.ones(len(rows), dtype=np.bool_)
    if pods < len(rows) and pods <= FEW:
        within = level <= np.partition(level, pods - 1)[pods - 1]
    tolls = desk.room.devices.tolls(rows[within], shape)
    if tolls is None:
        return rows, key
    speed, loss = np.zeros_like(rows), np.zeros_like(rows)
    speed[within], loss[within] = tolls
    order = np.lexsort((rows, loss, -speed, *(() if own is None else (-own[rows],))))
    return rows[order], (level[order] << PLACE) | np.arange(len(rows))


def _column_that_matters(desk: Desk, shape: PodShape) -> int:
    """The resource that packing goes by: GPUs, else the first device asked for, else CPU."""
    names = [name for name, _ in shape.requests.extended]
    column = desk.room.column(GPU if GPU in names else names[0]) if names else None
    return 0 if column is None else column


def _quota_count(desk: Desk, queue: Queue, shape: PodShape, wanted: int) -> int:
    """How many such pods the queue allows on whatever nodes."""
    bill = base_bill(queue, ((shape, 1),))
    for flavor, each in ((None, bill.total_milli_gpu), *bill.flavors):
        left = desk.ledger.headroom(queue.name, flavor)
        wanted = wanted if left is None or not each else min(wanted, max(left, 0) // each)
    return wanted


def _spread_out(
    desk: Desk, queue: Queue, found: Iterable[tuple[int, int]], shape: PodShape, wanted: int
) -> Iterator[tuple[int, int]]:
    """Nodes in order and how many pods each gets, while the quota of the node's flavor lasts; charges the queue."""
    products = desk.fleet.products
    bills: dict[int, Bill] = {}
    if wanted <= 0:
        return
    for row, fits in found:
        code = int(products.codes[row])
        bill = bills.get(code)
        if bill is None:
            bill = bills[code] = bill_for(queue, shape, _product(desk, row))
        count = min(wanted, fits)
        for flavor, each in bill.flavors:
            left = desk.ledger.headroom(queue.name, flavor)
            if left is not None and each:
                count = min(count, max(left, 0) // each)
        if count:
            desk.ledger = desk.ledger.charge(queue.name, bill, count)
            wanted -= count
            yield row, count
        if wanted <= 0:
            return


def _offers(desk: Desk, batch: Sequence[Candidate], shape: PodShape) -> Iterator[Offer]:
    """Every node that takes the pod and that its queue can pay for; it is counted on the best of them."""
    queue = desk.payer(batch[0].workload)
    listed: tuple[tuple[NodeName, int], ...] = ()
    best, left = 0, 0
    for candidate in batch:
        if not _quota_count(desk, queue, shape, 1):
            return
        if not left or not _pays(desk, candidate, best):
            found: dict[int, int] = {}
            for sound_only in desk.room.passes:
                with desk.room.kept_sound(sound_only=sound_only):
                    for row, fits in _linked_first(desk, candidate, len(desk.fleet)):
                        found.setdefault(row, fits)
            open_to_it = [(row, fits) for row, fits in found.items() if _pays(desk, candidate, row)]
            if not open_to_it:
                return
            listed = tuple((desk.room.name(row), len(open_to_it) - i) for i, (row, _) in enumerate(open_to_it))
            best, left = open_to_it[0]
        left -= 1
        desk.room.take(best, shape)
        desk.room.hand_out(best, [(shape, 1)])
        desk.ledger = desk.ledger.charge(queue.name, bill_for(queue, shape, _product(desk, best)))
        yield Offer(workload=candidate.workload.key, pod=candidate.pending[0].uid, nodes=listed)


def _product(desk: Desk, row: int) -> str:
    products = desk.fleet.products
    code = int(products.codes[row])
    return products.values[code] if code >= 0 else ""


def _pays(desk: Desk, candidate: Candidate, row: int) -> bool:
    return desk.pays_for(candidate, _product(desk, row))
