"""What keeps a workload from being planned at all, whatever room and quota there are."""

from scheduler.model.node import NODE_LEVEL
from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Problem
from scheduler.planning.candidate import Candidate
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.topology import find_level


def screen(snapshot: Snapshot, fleet: Fleet, candidate: Candidate) -> Wait | None:
    """Why the workload cannot be planned yet; None where it can."""
    workload = candidate.workload
    if workload.queue is None or workload.queue not in snapshot.queues:
        return _queue_missing(snapshot, candidate)
    problems = (*candidate.problems, *_level_problems(snapshot, fleet, candidate))
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
    present = len(candidate.pending) + len(candidate.standing)
    if present < workload.min_member:
        return Wait(
            workload=workload.key,
            reason=Reason.GANG_INCOMPLETE,
            message="not all pods of the gang have arrived",
            detail=f"{present} of {workload.min_member} pods have arrived",
            blocking=(
                Blocker(kind="gang", subject="pods", needed=workload.min_member, available=present, unit="pods"),
            ),
            unblock=f"Create the gang's missing pods, {workload.min_member} in all, or lower the gang's size.",
        )
    return None


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


def _level_problems(snapshot: Snapshot, fleet: Fleet, candidate: Candidate) -> list[Problem]:
    """Topology names that mean nothing in this cluster."""
    workload = candidate.workload
    if workload.topology_required is None and workload.topology_preferred is None:
        return []
    wanted = (
        ("topology-required", workload.topology_required),
        ("topology-preferred", workload.topology_preferred),
    )
    levels = ", ".join(level.name for level in (*snapshot.topology, NODE_LEVEL))
    return [
        Problem(where=where, value=name, allowed=f"a topology level ({levels}) or a label key that nodes have")
        for where, name in wanted
        if name is not None and find_level(fleet, snapshot.topology, name) is None
    ]
