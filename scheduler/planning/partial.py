"""Gangs part of which stands: a bind that was cut short, or a member that was replaced.

Times tell which it is. A pending member that was there when the first of the others was bound was meant to be bound
with them: the gang never stood whole. A pending member that came later replaces one that stood.
"""

from scheduler.model.plan import RollBack
from scheduler.planning.candidate import Candidate


def is_broken(candidate: Candidate) -> bool:
    """Whether some members stand, but too few for the gang to work."""
    return 0 < len(candidate.standing) < candidate.workload.min_member


def never_stood(candidate: Candidate) -> bool:
    """Whether too few members stand for the gang to work, and some of the missing ones were there all along.

    A gang whose members' bind times are not known is taken to have stood, since a roll-back evicts pods.
    """
    bound = [pod.bound_s for pod in candidate.standing if pod.bound_s is not None]
    if not bound or len(candidate.standing) >= candidate.workload.min_member:
        return False
    first_s = min(bound)
    return any(pod.created_s <= first_s for pod in candidate.pending)


def roll_back(candidate: Candidate, why: str) -> RollBack:
    """Take back the members that stand, so that the gang waits whole."""
    stand, least = len(candidate.standing), candidate.workload.min_member
    return RollBack(
        workload=candidate.workload.key,
        evict=tuple(pod.uid for pod in candidate.standing),
        why=f"{stand} of {least} pods were bound and the others cannot be: {why}",
    )
