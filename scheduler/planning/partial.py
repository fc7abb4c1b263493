"""Gangs part of which stands.

A bind that was cut short (`Workload.never_stood`), a member that was replaced, or an eviction that was cut short.
"""

import msgspec

from scheduler.model.plan import RollBack, Wait
from scheduler.model.workload import Workload
from scheduler.planning.candidate import Candidate


def is_broken(candidate: Candidate) -> bool:
    """Whether some members stand, but too few for the gang to work."""
    return candidate.workload.is_gang and bool(candidate.standing) and not candidate.stands


def incomplete(candidate: Candidate, wait: Wait) -> Wait:
    """Why the missing members wait, and that the others stand."""
    lack = candidate.workload.lacking(candidate.standing)[0]
    of_role = "" if lack.role is None else f" of the role {lack.role}"
    stand = f"of the {lack.needed} pods{of_role} that it needs {lack.there} stand"
    return msgspec.structs.replace(wait, detail=f"{stand}; {wait.detail}" if wait.detail else stand)


def roll_back(candidate: Candidate, why: str) -> RollBack:
    """Take back the members that stand, so that the gang waits whole."""
    stand, least = len(candidate.standing), candidate.workload.min_member
    return RollBack(
        workload=candidate.workload.key,
        evict=tuple(pod.uid for pod in candidate.standing),
        why=f"{stand} of {least} pods were bound and the others cannot be: {why}",
    )


def unfinished(workload: Workload) -> RollBack | None:
    """The rest of a gang that was made to leave and of which only some have left; None where there is no such rest.

    Too few stand for it to work, and those that do were told to leave.
    """
    placed = workload.placed
    if not placed or not workload.lacking(placed) or not any(pod.makes_way for pod in placed):
        return None
    why = f"the others were made to leave, and {len(placed)} of at least {workload.min_member} are left"
    return RollBack(workload=workload.key, evict=tuple(pod.uid for pod in placed), why=why)
