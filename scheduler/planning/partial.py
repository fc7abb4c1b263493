"""Gangs part of which stands: a bind that was cut short, or a member that was replaced.

Times tell which it is. A pending member that was there when the first of the others was bound was meant to be bound
with them: the gang never stood whole. A pending member that came later replaces one that stood.
"""

from scheduler.model.plan import RollBack
from scheduler.planning.candidate import Candidate


def is_broken(candidate: Candidate) -> bool:
    """Whether some members stand, but too few for the gang to work."""
    return 0 < len(candidate.standing) < candidate.workload.min_member


def roll_back(candidate: Candidate, why: str) -> RollBack:
    """Take back the members that stand, so that the gang waits whole."""
    stand, least = len(candidate.standing), candidate.workload.min_member
    return RollBack(
        workload=candidate.workload.key,
        evict=tuple(pod.uid for pod in candidate.standing),
        why=f"{stand} of {least} pods were bound and the others cannot be: {why}",
    )
