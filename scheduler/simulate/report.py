"""Puts together what a simulation answers from how its world stands at the end."""

from collections.abc import Mapping, Sequence

from msgspec import UNSET

from scheduler.model.names import QueueName, people_name
from scheduler.model.plan import Blocker, Reservation, Wait
from scheduler.model.resources import MILLI_GPU
from scheduler.quota.standing import Standing
from scheduler.simulate.document import WorkloadDoc
from scheduler.simulate.outcome import (
    BlockerOutcome,
    Outcome,
    PlanOutcome,
    PodOutcome,
    QueueOutcome,
    ReservationOutcome,
    RingOutcome,
    SliceOutcome,
    WorkloadOutcome,
    WorkloadState,
)
from scheduler.simulate.world import SimPod, World


def outcome_of(
    world: World,
    *,
    rounds: int,
    stable: bool,
    waits: Mapping[str, Wait],
    plans: Sequence[PlanOutcome],
    stand: Mapping[QueueName, Standing],
    violations: tuple[str, ...],
) -> Outcome:
    """The answer: the pods of `world`, and for those that wait what the last plan said of them.

    `stand`: how the queues stand at the end.
    """
    members: dict[str, list[SimPod]] = {workload.name: [] for workload in world.doc.workloads}
    for sim in world.pods:
        members[sim.workload].append(sim)
    said = {sim.name: waits.get(world.key_of(sim)) for sim in world.pods if sim.pod.node is None}
    lost = {sim.name: world.evicted[world.key_of(sim)] for sim in world.pods if world.key_of(sim) in world.evicted}
    return Outcome(
        scenario=world.doc.name,
        rounds=rounds,
        stable=stable,
        pods={sim.name: _pod(sim) for sim in world.pods},
        workloads={
            w.name: _workload(w, members[w.name], said, lost, _ring(world, members[w.name]))
            for w in world.doc.workloads
        },
        queues={queue.name: _queue(stand[QueueName(queue.name)]) for queue in world.doc.queues},
        plans=tuple(plans),
        violations=violations,
    )


def _pod(sim: SimPod) -> PodOutcome:
    state = "pending" if sim.pod.node is None else "running"
    slices = tuple(SliceOutcome(device=s.device, profile=s.profile, start=s.start) for s in sim.given.slices)
    return PodOutcome(workload=sim.workload, node=sim.pod.node, devices=sim.given.devices, mig=slices, state=state)


def _ring(world: World, members: Sequence[SimPod]) -> RingOutcome | None:
    known = world.rings.get(world.key_of(members[0])) if members else None
    return None if known is None else RingOutcome(hops=known.hops, fewest=known.fewest)


def _workload(
    workload: WorkloadDoc,
    members: Sequence[SimPod],
    said: Mapping[str, Wait | None],
    lost: Mapping[str, str],
    ring: RingOutcome | None,
) -> WorkloadOutcome:
    placed = [sim.pod.role for sim in members if sim.pod.node is not None]
    enough = len(placed) >= workload.least and all(placed.count(r) >= n for r, n in workload.role_minimums.items())
    state: WorkloadState = "pending" if not placed else "running" if enough else "partial"
    waiting = [sim for sim in members if sim.pod.node is None]
    waits = [wait for sim in waiting if (wait := said.get(sim.name)) is not None]
    reasons = dict.fromkeys(_reason(wait) for wait in waits)
    reasons.update(dict.fromkeys(lost[sim.name] for sim in waiting if sim.evictions and sim.name in lost))
    blockers = dict.fromkeys(blocker for wait in waits for blocker in wait.blocking)
    return WorkloadOutcome(
        state=state,
        reason="; ".join(reasons) or None,
        blocking=tuple(_blocker(b) for b in blockers),
        evictions=sum(sim.evictions for sim in members),
        ring=ring,
        reservation=next((_reservation(wait.reservation) for wait in waits if wait.reservation is not None), UNSET),
    )


def _reservation(kept: Reservation) -> ReservationOutcome:
    return ReservationOutcome(
        starts_in=kept.start_s - kept.made_s,
        latest_in=kept.latest_s - kept.made_s,
        nodes=kept.nodes,
        after=tuple(people_name(key).partition("/")[2] for key in kept.after),
    )


def _reason(wait: Wait) -> str:
    return f"{wait.message}: {wait.detail}" if wait.detail else wait.message


def _blocker(blocker: Blocker) -> BlockerOutcome:
    return BlockerOutcome(
        kind=blocker.kind,
        subject=blocker.subject,
        needed=blocker.needed,
        available=blocker.available,
        unit=blocker.unit,
    )


def _queue(standing: Standing) -> QueueOutcome:
    return QueueOutcome(
        used=standing.used_milli_gpu / MILLI_GPU,
        borrowed=standing.borrowed_milli_gpu / MILLI_GPU,
        lent=standing.lent_milli_gpu / MILLI_GPU,
        fair_share=standing.fair_share_milli_gpu / MILLI_GPU,
    )
