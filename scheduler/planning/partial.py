"""Gangs part of which stands: a bind that was cut short (`Workload.never_stood`), or a member that was replaced."""

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
