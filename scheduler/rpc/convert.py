"""Plans as messages of the gRPC API."""

from collections.abc import Collection, Iterator
from typing import assert_never

from scheduler.model.names import WorkloadKey, people_name
from scheduler.model.plan import Admit, Assignment, Decision, Offer, Placement, Reclaim, Reservation, RollBack, Wait
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc.feed import Delivery

MESSAGE_BYTES = 1 << 20
"""Decisions are put together up to this size. gRPC clients take 4 MiB at most unless told otherwise."""


def decision_message(decision: Decision) -> pb.Decision:
    """One decision."""
    message = pb.Decision(workload=people_name(decision.workload), is_gang=decision.workload.startswith("gang:"))
    match decision:
        case Admit(placement=placement):
            message.admit.CopyFrom(_admit(placement))
        case Offer():
            nodes = [pb.NodeScore(node=node, score=score) for node, score in decision.nodes]
            message.offer.CopyFrom(pb.Offer(pod_uid=decision.pod, nodes=nodes))
        case Wait():
            message.wait.CopyFrom(_wait(decision))
        case RollBack():
            message.roll_back.CopyFrom(pb.RollBack(evict_pod_uids=decision.evict, why=decision.why))
        case Reclaim():
            message.reclaim.CopyFrom(_reclaim(decision))
        case _:
            assert_never(decision)
    return message


def assignment_message(assignment: Assignment) -> pb.Assignment:
    """One pod's node."""
    slices = [pb.MigSlice(device=one.device, profile=one.profile, start=one.start) for one in assignment.slices]
    return pb.Assignment(pod_uid=assignment.pod, node=assignment.node, devices=assignment.devices, slices=slices)


def delivery_messages(delivery: Delivery, namespaces: Collection[str]) -> Iterator[pb.WatchPlansResponse]:
    """The plan's decisions on workloads of `namespaces` (none: on all), in as many messages as their size asks for.

    There is always a first message, even without decisions.
    """
    generation = delivery.plan.generation
    message = pb.WatchPlansResponse(generation=generation, missed=delivery.missed)
    size = 0
    for decision in delivery.plan.decisions:
        if namespaces and _namespace(decision.workload) not in namespaces:
            continue
        converted = decision_message(decision)
        if size and size + converted.ByteSize() > MESSAGE_BYTES:
            yield message
            message, size = pb.WatchPlansResponse(generation=generation), 0
        message.decisions.append(converted)
        size += converted.ByteSize()
    yield message


def _namespace(workload: WorkloadKey) -> str:
    return people_name(workload).partition("/")[0]


def _admit(placement: Placement) -> pb.Admit:
    proof = placement.proof
    return pb.Admit(
        assignments=[assignment_message(a) for a in placement.assignments],
        proof=pb.Proof(status=proof.status, cost=proof.cost, bound=proof.bound),
        spread=[pb.DomainUse(level=s.level, used=s.used, fewest=s.fewest) for s in placement.spread],
        ring=None if placement.ring is None else pb.Ring(hops=placement.ring.hops, fewest=placement.ring.fewest),
    )


def _reclaim(claim: Reclaim) -> pb.Reclaim:
    victims = [
        pb.Victim(
            workload=people_name(victim.workload),
            queue=victim.queue,
            pod_uids=victim.pods,
            cost_gpu_seconds=victim.cost_gpu_seconds,
            why=victim.why,
        )
        for victim in claim.victims
    ]
    proof = pb.Proof(status=claim.proof.status, cost=claim.proof.cost, bound=claim.proof.bound)
    return pb.Reclaim(placement=_admit(claim.placement), victims=victims, proof=proof)


def _wait(wait: Wait) -> pb.Wait:
    return pb.Wait(
        reason=wait.reason.value,
        message=wait.message,
        detail=wait.detail,
        unblock=wait.unblock,
        blocking=[
            pb.Blocker(kind=b.kind, subject=b.subject, needed=b.needed, available=b.available, unit=b.unit)
            for b in wait.blocking
        ],
        problems=[pb.Problem(where=p.where, value=p.value, allowed=p.allowed) for p in wait.problems],
        reservation=None if wait.reservation is None else _reservation(wait.reservation),
    )


def _reservation(kept: Reservation) -> pb.Reservation:
    return pb.Reservation(
        made_s=kept.made_s,
        start_s=kept.start_s,
        latest_s=kept.latest_s,
        sure=kept.sure,
        nodes=kept.nodes,
        milli_gpu=kept.milli_gpu,
        after=[people_name(key) for key in kept.after],
        learned_runs=kept.learned_runs,
    )
