"""Which roles of a gang are in the way, where others of its roles would find room."""

import msgspec

from scheduler.model.plan import Reason, Wait
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import listed

REASONS = frozenset({Reason.NO_NODE_MATCHES, Reason.INSUFFICIENT_RESOURCES, Reason.FRAGMENTED})


def name_roles(desk: Desk, candidate: Candidate, wait: Wait) -> Wait:
    """The refusal with the names of roles that find no room even if they had it to themselves."""
    roles = {pod.role for pod in candidate.pending}
    if wait.reason not in REASONS or not candidate.workload.role_minimums or len(roles) == 1:
        return wait
    lacking = [role for role in sorted(roles) if not _fits(desk, candidate, role)]
    if not lacking or len(lacking) == len(roles):
        return wait
    names = [role or "(none)" for role in lacking]
    what = f"the role {names[0]} finds" if len(names) == 1 else f"the roles {listed(names)} find"
    return msgspec.structs.replace(wait, detail=f"{what} no room, the others would; {wait.detail}")


def _fits(desk: Desk, candidate: Candidate, role: str) -> bool:
    """Whether the members of one role find room."""
    part = candidate.only([pod for pod in candidate.pending if pod.role == role])
    return desk.could_place(part, desk.ask(part)) is not None
