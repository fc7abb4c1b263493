"""What keeps a workload from being planned at all, whatever room and quota there are."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from scheduler.model.claims import ClaimWait, PodClaim
from scheduler.model.names import QueueName
from scheduler.model.node import NODE_LEVEL
from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Lack, Problem, Workload
from scheduler.planning.candidate import Candidate
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.topology import find_level

ARRIVAL_S = 3
"""How long after its last pod came an elastic gang waits for more before it starts with fewer than its size: pods of a
Job come in waves, and a place that suits the first of them may be too small for all."""


def screen(snapshot: Snapshot, fleet: Fleet, candidate: Candidate, *, now_s: int | None = None) -> Wait | None:
    """Why the workload cannot be planned yet; None where it can. Without `now_s`, no more pods are expected."""
    workload = candidate.workload
    if workload.queue is None or workload.queue not in snapshot.queues:
        return _queue_missing(snapshot, candidate)
    if snapshot.queues[workload.queue].ending:
        return _queue_ending(candidate, workload.queue)
    problems = (*candidate.problems, *_policy_problems(candidate), *_level_problems(snapshot, fleet, candidate))
    if problems:
        return Wait(
            workload=workload.key,
            reason=Reason.INVALID_REQUEST,
            message="; ".join(str(problem) for problem in problems),
            problems=problems,
            blocking=tuple(Blocker(kind="request", subject=problem.where) for problem in problems),
            unblock="Correct " + " and ".join(dict.fromkeys(problem.where for problem in problems)) + ".",
        )
    gated = candidate.gated
    if gated:
        return Wait(
            workload=workload.key,
            reason=Reason.GATED_BY_OTHERS,
            message="scheduling gates of others stand on its pods",
            detail=f"{gated} of {len(candidate.pending)} pending pods carry scheduling gates besides bayplan.dev/plan",
            blocking=(Blocker(kind="request", subject="schedulingGates", needed=0, available=gated, unit="pods"),),
            unblock="Whoever set the other scheduling gates has to remove them.",
        )
    unready = [claim for pod in candidate.pending for claim in pod.claims if claim.waits]
    if unready:
        return _unready(candidate, unready)
    lacking = workload.lacking((*candidate.pending, *candidate.standing))
    if lacking:
        return _incomplete(candidate, lacking[0])
    return None if now_s is None else _arriving(candidate, now_s)


_CLAIM_WAITS: Mapping[ClaimWait, tuple[str, str]] = {
    "missing": (
        "a ResourceClaim that its pods name is not there yet",
        "Create the ResourceClaim; those of templates are made by kube-controller-manager.",
    ),
    "in use": (
        "another pod that names the same ResourceClaim gets its devices first",
        "It starts beside the other pod; members of one gang need claims of their own.",
    ),
    "left over": (
        "a ResourceClaim of its pods still has devices that no plan counts on",
        "It starts when the claim's status.allocation has been taken back.",
    ),
}


def _unready(candidate: Candidate, claims: Sequence[PodClaim]) -> Wait:
    """Claims that no plan can be made for now; the one to tell of is the same as long as the same ones wait."""
    first = min(claims, key=lambda claim: (claim.waits, claim.claim, claim.name))
    message, unblock = _CLAIM_WAITS[first.waits]
    name = first.claim or f"of its template for {first.name}"
    detail = f"ResourceClaim {name}" + (f" and {len(claims) - 1} more" if len(claims) > 1 else "")
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.CLAIM_NOT_READY,
        message=message,
        detail=detail,
        blocking=(Blocker(kind="request", subject="resourceClaims", needed=0, available=len(claims), unit="claims"),),
        unblock=unblock,
    )


def _incomplete(candidate: Candidate, lack: Lack) -> Wait:
    of_role = "" if lack.role is None else f" of the role {lack.role}"
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.GANG_INCOMPLETE,
        message=f"not all pods{of_role or ' of the gang'} have arrived",
        detail=f"{lack.there} of {lack.needed} pods{of_role} have arrived",
        blocking=(
            Blocker(kind="gang", subject=f"pods{of_role}", needed=lack.needed, available=lack.there, unit="pods"),
        ),
        unblock=f"Create the gang's missing pods, {lack.needed} in all, or lower the gang's size."
        if lack.role is None
        else f"Create the role's missing pods, {lack.needed} in all, or ask for fewer with bayplan.dev/role-min.",
    )


def _arriving(candidate: Candidate, now_s: int) -> Wait | None:
    """An elastic gang more pods of which may come any moment."""
    workload, present = candidate.workload, len(candidate.pending)
    until_s = max(pod.created_s for pod in candidate.pending) + ARRIVAL_S
    if candidate.standing or present >= workload.size or now_s >= until_s:
        return None
    return Wait(
        workload=workload.key,
        reason=Reason.GANG_INCOMPLETE,
        message="more pods of the gang may still arrive",
        detail=f"{present} of {workload.size} pods have arrived, and {workload.min_member} are enough",
        blocking=(Blocker(kind="gang", subject="pods", needed=workload.size, available=present, unit="pods"),),
        unblock=f"It starts without the others if none comes for {ARRIVAL_S} seconds.",
        until_s=until_s,
    )


def _queue_missing(snapshot: Snapshot, candidate: Candidate) -> Wait:
    workload = candidate.workload
    problems = candidate.problems
    if workload.queue is not None:
        known = ", ".join(sorted(snapshot.queues)) or "none exists yet"
        where = "queue"
        problems = (*problems, Problem(where=where, value=workload.queue, allowed=f"the name of a Queue ({known})"))
    message = "; ".join(str(problem) for problem in problems) or "no queue serves its namespace"
    return Wait(
        workload=workload.key,
        reason=Reason.QUEUE_MISSING,
        message=message,
        problems=problems,
        blocking=(Blocker(kind="quota", subject=workload.queue or "queue"),),
        unblock="Create the Queue, or name an existing one with the label bayplan.dev/queue.",
    )


def _queue_ending(candidate: Candidate, queue: QueueName) -> Wait:
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.QUEUE_MISSING,
        message=f"queue {queue} was deleted",
        detail="what runs in it goes on to its end, and nothing new starts",
        blocking=(Blocker(kind="quota", subject=queue),),
        unblock="Name another queue with the label bayplan.dev/queue, or have the Queue created again.",
    )


def _policy_problems(candidate: Candidate) -> list[Problem]:
    """Policies of single pods on members of a gang, which is laid out by topology."""
    named = {pod.policy.value for pod in candidate.pending if pod.policy is not None}
    if not candidate.workload.is_gang:
        return []
    allowed = "only on pods that stand alone; a gang is laid out by topology"
    return [
        Problem(where="annotation bayplan.dev/placement-policy", value=name, allowed=allowed) for name in sorted(named)
    ]


def _level_problems(snapshot: Snapshot, fleet: Fleet, candidate: Candidate) -> list[Problem]:
    """Topology names that mean nothing in this cluster."""
    workload = candidate.workload
    wanted = [
        ("topology-required", workload.topology_required),
        ("topology-preferred", workload.topology_preferred),
        ("topology-exclusive", workload.topology_exclusive),
        *(("topology-slices", name) for name, _ in workload.topology_slices),
        *(("role-topology-required", name) for name in sorted({p.role_required or "" for p in candidate.pending})),
    ]
    wanted = [(where, name) for where, name in wanted if name]
    if not wanted:
        return []
    levels = ", ".join(level.name for level in (*snapshot.topology, NODE_LEVEL))
    unknown = [
        Problem(where=where, value=name, allowed=f"a topology level ({levels}) or a label key that nodes have")
        for where, name in wanted
        if find_level(fleet, snapshot.topology, name) is None
    ]
    return unknown or _slice_problems(snapshot, fleet, workload)


def _slice_problems(snapshot: Snapshot, fleet: Fleet, workload: Workload) -> list[Problem]:
    """Slices whose levels are not in the topology's order."""
    order = (*snapshot.topology, NODE_LEVEL)
    levels = [find_level(fleet, snapshot.topology, name) for name, _ in workload.topology_slices]
    places = [order.index(level) for level in levels if level in order]
    if all(a < b for a, b in pairwise(places)):
        return []
    value = ",".join(f"{name}={size}" for name, size in workload.topology_slices)
    allowed = f"levels in this order: {', '.join(level.name for level in order)}"
    return [Problem(where="topology-slices", value=value, allowed=allowed)]
