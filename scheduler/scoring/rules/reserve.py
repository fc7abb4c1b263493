"""What reservations have to keep, for the checker: each fits where and when it says, beside all that was decided.

A moment is judged as a snapshot of its own: the work that is known to have ended by then taken out, and what the plan
starts that still runs then put in with all reservations that have begun.
"""

from collections.abc import Callable, Iterator

import msgspec

from scheduler.model.names import PodUid, WorkloadKey
from scheduler.model.plan import Admit, Offer, Placement, Plan, Reclaim, Reservation, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.scoring.rules.gone import without_pods

Judge = Callable[[Snapshot, Plan], list[str]]


def broken_reservations(snapshot: Snapshot, plan: Plan, judge: Judge) -> list[str]:
    """Every rule that a reservation breaks, one sentence each; `judge` tells what is wrong with a plan that starts now.

    What a plan with evictions leaves free is not known before these are carried out, so it is not judged.
    """
    kept = [d.reservation for d in plan.decisions if isinstance(d, Wait) and d.reservation is not None]
    waits = {d.workload for d in plan.decisions if isinstance(d, Wait)}
    broken = [f"{r.workload}: reserved, but it does not wait" for r in kept if r.workload not in waits]
    broken += [f"{r.workload}: reserved for the past" for r in kept if r.start_s <= plan.now_s]
    broken += [f"{r.workload}: surely later than at the latest" for r in kept if r.latest_s < r.start_s]
    if any(isinstance(decision, Reclaim) for decision in plan.decisions):
        return broken
    for reservation in kept:
        known, unknown = reservation.kept_from_s, reservation.kept_from_unknown_s
        if _first(reservation) < reservation.start_s:
            broken.append(f"{reservation.workload}: kept from others before it can start")
        for at_s, concerned in ((known, _is_known), (unknown, _is_unknown), (max(known, unknown), _is_any)):
            then = without_pods(snapshot, set(_ended(snapshot, plan.now_s, at_s)))
            begun = [r for r in kept if _first(r) <= at_s < _end(snapshot, r.workload, _last(r))]
            running = [
                decision
                for decision in plan.decisions
                if isinstance(decision, Admit | Offer)
                and _end(snapshot, decision.workload, plan.now_s) > at_s
                and concerned(snapshot.workloads[decision.workload])
            ]
            moment = Plan(
                generation=snapshot.generation,
                decisions=(*map(_without_devices, running), *map(_admitted, begun)),
            )
            broken += [f"{reservation.workload}: at its reserved start, {why}" for why in judge(then, moment)]
    return broken


def _ended(snapshot: Snapshot, now_s: int, at_s: int) -> Iterator[PodUid]:
    """Pods of work that is known to be gone at `at_s`; what should be gone already is taken to need as long again."""
    for workload in snapshot.workloads.values():
        starts = [pod.bound_s for pod in workload.placed]
        known = [start for start in starts if start is not None]
        length = _length_s(workload)
        if not known or len(known) < len(starts) or length is None:
            continue
        while max(known) + length <= now_s:
            length *= 2
        if max(known) + length <= at_s:
            yield from (pod.uid for pod in workload.placed if not _divides(snapshot, pod))


def _length_s(workload: Workload) -> int | None:
    """How long it is expected to run, as it says or as earlier runs of its like did."""
    if workload.duration_s is not None:
        return max(workload.duration_s, 1)
    return None if workload.learned is None else max(workload.learned.median_s, 1)


def _divides(snapshot: Snapshot, pod: Pod) -> bool:
    """Whether the pod's node divides GPUs on demand: nothing is relied upon to end there."""
    node = None if pod.node is None else snapshot.nodes.get(pod.node)
    return node is not None and node.on_demand


def _end(snapshot: Snapshot, key: WorkloadKey, start_s: int) -> float:
    workload: Workload | None = snapshot.workloads.get(key)
    if workload is None or workload.duration_s is None:
        return float("inf")
    return start_s + max(workload.duration_s, 1)


def _is_known(workload: Workload) -> bool:
    return workload.duration_s is not None


def _is_unknown(workload: Workload) -> bool:
    return workload.duration_s is None


def _is_any(_: Workload) -> bool:
    return True


def _first(reservation: Reservation) -> int:
    return min(reservation.kept_from_s, reservation.kept_from_unknown_s)


def _last(reservation: Reservation) -> int:
    return max(reservation.kept_from_s, reservation.kept_from_unknown_s)


def _admitted(reservation: Reservation) -> Admit:
    return Admit(workload=reservation.workload, placement=Placement(assignments=reservation.assignments))


def _without_devices(decision: Admit | Offer) -> Admit | Offer:
    """Which GPUs are free then is not known now."""
    if isinstance(decision, Offer):
        return decision
    there = tuple(msgspec.structs.replace(a, devices=()) for a in decision.placement.assignments)
    return Admit(workload=decision.workload, placement=Placement(assignments=there))
