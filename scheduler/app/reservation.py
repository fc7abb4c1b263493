"""What a plan takes into account as used from the moment it is being carried out."""

from scheduler.model.names import PodUid, QueueName
from scheduler.model.plan import Assignment
from scheduler.model.workload import Workload
from scheduler.state.events import Reserved

NO_QUEUE = QueueName("")


def reservation(
    workload: Workload, assignments: tuple[Assignment, ...], *, now_s: int, leaving: tuple[PodUid, ...] = ()
) -> Reserved:
    """The reservation of a plan for those of the workload's pending members that are assigned; for an offer, for all.

    `leaving` have to leave before it starts.
    """
    going = {a.pod for a in assignments} or {p.uid for p in workload.pending}
    return Reserved(
        workload=workload.key,
        queue=workload.queue or NO_QUEUE,
        assignments=assignments,
        milli_gpu=sum(p.shape.milli_gpu for p in workload.pending if p.uid in going),
        priority=workload.priority,
        now_s=now_s,
        leaving=leaving,
    )
