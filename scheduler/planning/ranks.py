"""Ranks: how close the pods of a gang that follow each other stand."""

from collections.abc import Iterable

import numpy as np

from scheduler.model.plan import Assignment, Ring
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.scoring.gangs.ring import ring


def ring_of(desk: Desk, candidate: Candidate, assignments: Iterable[Assignment]) -> Ring | None:
    """The ring of the members that have ranks, those that stand included; None for fewer than two."""
    nodes = {pod.uid: pod.node for pod in candidate.standing}
    nodes.update((assignment.pod, assignment.node) for assignment in assignments)
    ranked = (nodes.get(pod.uid) for pod in candidate.workload.members if pod.index is not None)
    rows = [desk.fleet.row_of[name] for name in ranked if name is not None and name in desk.fleet.row_of]
    return ring(desk.fleet, desk.snapshot.topology, np.array(rows, dtype=np.int64))
