"""More on a refusal for want of room: own conditions in the way, what is missing, and who would have to end."""

import msgspec

from scheduler.model.names import people_name
from scheduler.model.plan import Reason, Wait
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.ends import who_has_to_end
from scheduler.planning.reasons.nearest import nearest, never_fits
from scheduler.planning.reasons.wishes import blocker, in_words, way_out
from scheduler.planning.reasons.wording import listed

REASONS = frozenset({Reason.INSUFFICIENT_RESOURCES, Reason.FRAGMENTED, Reason.TOPOLOGY_UNSATISFIED})


def further(desk: Desk, candidate: Candidate, wait: Wait) -> Wait:
    """The refusal with the other conditions of a smallest blocking set, and what would open the way."""
    if wait.reason not in REASONS or desk.looks >= desk.settings.explained:
        return wait
    desk.looks += 1
    ask = desk.ask(candidate)
    details, unblock = [wait.detail], wait.unblock
    message = wait.message
    if never_fits(desk, ask):
        where = "" if ask.required is None else f"in one {ask.required.name} "
        message = f"there would not be room for all its pods {where}even if nothing else stood there"
        unblock = "It needs more nodes that suit it, or has to ask for less."
    else:
        ends = who_has_to_end(desk, candidate, ask)
        missing = nearest(desk, ask) if wait.reason is not Reason.INSUFFICIENT_RESOURCES else ""
        details += [missing] if missing else []
        if ends:
            names = [people_name(key) for key in ends]
            details.append(f"it would fit if {listed(names)} ended")
    blocking = wait.blocking
    way = way_out(desk, candidate)
    if way is not None:
        # The reason may be a level already, with figures.
        named = any(each.kind == "topology" for each in blocking)
        own = [wish for wish in way.blocking if not (named and wish.kind in {"topology", "slices"})]
        blocking = (*blocking, *map(blocker, own))
        unblock = f"{unblock} {in_words(desk, candidate, way)}"
    return msgspec.structs.replace(wait, message=message, detail="; ".join(details), blocking=blocking, unblock=unblock)
