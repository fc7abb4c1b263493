"""Work that is not preemptible only fills nominal quota, of its queue and of each above: it could not give back more.

What preemptible work uses of that does not count: it can make way.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import msgspec

from scheduler.model.names import QueueName, WorkloadKey, people_name
from scheduler.model.plan import Blocker, Decision, Reason, Wait
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import quota_amount, quota_unit
from scheduler.planning.reclaim.options import options_of
from scheduler.planning.reclaim.rights import on_nominal
from scheduler.quota.tree import USER, Bill, Ledger, Shortage, bill_for
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.rules.queue import nodes_of


@contextmanager
def own_quota(desk: Desk, candidate: Candidate) -> Generator[None]:
    """Inside, a candidate that is not preemptible has no more quota left than it may fill."""
    if candidate.workload.preemptible:
        yield
        return
    forest = desk.ledger.forest
    desk.ledger = _limited(desk, candidate)
    try:
        yield
    finally:
        desk.ledger = Ledger(forest, desk.ledger.used, desk.ledger.capacity)


def filled(desk: Desk, candidate: Candidate, decisions: Iterable[Decision]) -> None:
    """Remember what of nominal quota work like the candidate, if it is not preemptible, was given."""
    if candidate.workload.preemptible:
        return
    queue, products = desk.payer(candidate.workload), desk.fleet.products
    firm = _firm(desk)
    for decision in decisions:
        shapes = {pod.uid: pod.shape for pod in desk.snapshot.workloads[decision.workload].members}
        for uid, node in nodes_of(decision).items():
            code = int(products.codes[desk.fleet.row_of[node]])
            firm = firm.charge(queue.name, bill_for(queue, shapes[uid], products.values[code] if code >= 0 else ""))
    desk.firm = firm


def may_fill(desk: Desk, candidate: Candidate, bill: Bill) -> bool:
    """Whether the candidate is preemptible, or its charge leaves what such work may fill of nominal quota."""
    if candidate.workload.preemptible:
        return True
    queue = QueueName(str(candidate.workload.queue))
    firm = _firm(desk)
    at_rest = Ledger(on_nominal(firm.forest, firm.forest.chain(queue)), firm.used)
    return at_rest.shortage(queue, bill) is None


def overfilled(desk: Desk, candidate: Candidate) -> Wait | None:
    """The refusal of a candidate that is not preemptible and asks for more nominal quota than it may fill."""
    if candidate.workload.preemptible:
        return None
    least = candidate.least
    queue = QueueName(str(candidate.workload.queue))
    firm, chain = _firm(desk), desk.ledger.forest.chain(queue)
    at_rest = Ledger(on_nominal(firm.forest, chain), firm.used)
    shortages = [at_rest.shortage(queue, desk.base_bill(least))]
    if shortages[0] is None and firm.forest.queues[queue].flavors:
        shortages = [at_rest.shortage(queue, bill) for _, bill in options_of(desk, least)]
    # A user's limit is told as that.
    found = [
        shortage for shortage in shortages if shortage is not None and not (shortage.flavor or "").startswith(USER)
    ]
    # Nodes of another model may do.
    return _wait(candidate, found[0]) if found and len(found) == len(shortages) else None


def _wait(candidate: Candidate, shortage: Shortage) -> Wait:
    of = "" if shortage.flavor is None else f" of {shortage.flavor}"
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.QUOTA_EXHAUSTED,
        message="it is not preemptible and may only fill nominal quota, of its queue and of every queue above",
        detail=f"needs {quota_amount(shortage.flavor, shortage.needed_milli_gpu)}; queue {shortage.queue} has "
        f"{quota_amount(shortage.flavor, shortage.left_milli_gpu)} left for such work",
        blocking=(
            Blocker(
                kind="quota",
                subject=f"{shortage.queue}{of}",
                needed=shortage.needed_milli_gpu,
                available=shortage.left_milli_gpu,
                unit=quota_unit(shortage.flavor),
            ),
        ),
        unblock=f"Let it be preemptible, or ask for a larger nominal quota{of} in queue {shortage.queue}.",
    )


def _limited(desk: Desk, candidate: Candidate) -> Ledger:
    """The ledger in which what is left is no more than what such work may fill."""
    ledger, firm = desk.ledger, _firm(desk)
    chain = ledger.forest.chain(QueueName(str(candidate.workload.queue)))
    return Ledger(ledger.forest, ledger.used, ledger.capacity, Ledger(on_nominal(firm.forest, chain), firm.used))


def _firm(desk: Desk) -> Ledger:
    """What the queues use for work that is not preemptible."""
    if desk.firm is None:
        keys = {key for key, workload in desk.snapshot.workloads.items() if not workload.preemptible}
        snapshot = msgspec.structs.replace(
            desk.snapshot,
            workloads={key: workload for key, workload in desk.snapshot.workloads.items() if key in keys},
            in_flight={key: flight for key, flight in desk.snapshot.in_flight.items() if key in keys},
        )
        desk.firm = opening_ledger(snapshot)
    return desk.firm


def gives_way(candidate: Candidate, winner: WorkloadKey) -> Wait:
    """A workload of which this plan evicts pods waits with the others."""
    name = people_name(winner)
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.QUEUE_ORDER,
        message="some of its pods make way for another workload",
        detail=f"the room goes to {name}",
        blocking=(Blocker(kind="gang", subject=name),),
        unblock=f"It grows again when there is room beside {name}.",
    )
