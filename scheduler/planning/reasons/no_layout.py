"""Why a gang finds no room where single levels would do: slices, roles with levels of their own, exclusive domains."""

from collections.abc import Sequence

import numpy as np

from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.planning.apart import exclusive_level
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import listed, pods
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import held_by, usable
from scheduler.scoring.gangs.roles import large_enough
from scheduler.scoring.gangs.slices import Slice, binding, gathered, in_slices, whole
from scheduler.scoring.topology import domains


def no_layout(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    """The slices, or the role, for which there is too little room in whole domains; None where it is not that."""
    return _no_role(desk, candidate, ask) or _no_slices(desk, candidate, ask)


def _no_role(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    """The role that fits into no domain of its level."""
    fits = usable(desk.room, ask)
    for role in ask.together:
        if large_enough(desk.fleet, ask, role, fits).size:
            continue
        name = candidate.members[role.groups[0]][0].role
        codes = domains(desk.fleet, role.level).codes
        held = sum(
            (np.minimum(held_by(codes, fits[g]), ask.groups[g][1]) for g in role.groups), np.zeros(1, dtype=np.int64)
        )
        best, needed = int(np.max(held, initial=0)), sum(ask.groups[g][1] for g in role.groups)
        standing = " where its other pods stand" if role.standing else ""
        level = role.level.name
        return Wait(
            workload=candidate.workload.key,
            reason=Reason.TOPOLOGY_UNSATISFIED,
            message=f"no {level}{standing} has room for all pods of the role {name} together",
            detail=f"the role {name} needs room for {pods(needed)} in one {level}{standing}; the best has room for "
            f"{best}",
            blocking=(Blocker(kind="topology", subject=level, needed=needed, available=best, unit="pods"),),
            unblock=f"It starts when enough work leaves one {level}, or without bayplan.dev/role-topology-required on "
            f"the pods of {name}.",
        )
    return None


def _no_slices(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    slices = binding(desk.fleet, ask.slices, ask.required)
    for layers in (slices[at:] for at in range(len(slices) - 1, -1, -1)):
        for fits, (_, count) in zip(usable(desk.room, ask), ask.groups, strict=True):
            within = in_slices(desk.fleet, fits, ask.slices)
            room = gathered(desk.fleet, within, layers, count)
            held = int(room.sum())
            if ask.required is not None:
                held = int(held_by(domains(desk.fleet, ask.required).codes, room).max(initial=0))
            needed = whole(layers, count)
            if held < needed:
                return _sliced_wait(candidate, layers, needed, held)
    return None


def _sliced_wait(candidate: Candidate, layers: Sequence[Slice], needed: int, held: int) -> Wait:
    level, size = layers[0]
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.TOPOLOGY_UNSATISFIED,
        message=f"there is too little room for every {size} consecutive pods in one {level.name}",
        detail=f"needs room for {pods(needed)} in slices of {size} to a {level.name}; there is room for {held}",
        blocking=(Blocker(kind="topology", subject=level.name, needed=needed, available=held, unit="pods"),),
        unblock=f"It starts when enough work leaves single {level.name}s, or with smaller slices "
        "(bayplan.dev/topology-slices).",
    )


def no_domain_apart(desk: Desk, candidate: Candidate, ask: Ask) -> Wait:
    """The room is where other gangs are, and one of them, or this one, wants its domains for itself."""
    own = exclusive_level(desk.snapshot, desk.fleet, candidate.workload)
    count = len(candidate.pending)
    room = [np.minimum(f, n) for f, (_, n) in zip(usable(desk.room, ask), ask.groups, strict=True)]
    if ask.required is None:
        held = sum(min(int(f.sum()), n) for f, (_, n) in zip(room, ask.groups, strict=True))
    else:
        codes = domains(desk.fleet, ask.required).codes
        each = (np.minimum(held_by(codes, f), n) for f, (_, n) in zip(room, ask.groups, strict=True))
        held = int(np.max(sum(each, np.zeros(1, dtype=np.int64)), initial=0))
    where = "" if ask.required is None else f" in one {ask.required.name}"
    if own is not None:
        message = f"{own.name}s without other gangs have too little room for it"
        detail = f"needs room for {pods(count)}{where}; {own.name}s without other gangs have room for {held}"
        unblock = f"It starts when other gangs leave a {own.name}, or without bayplan.dev/topology-exclusive."
    else:
        named = desk.apart.named(candidate.workload)
        message = "the room that it needs is in domains that other gangs have for themselves"
        detail = f"needs room for {pods(count)}{where}; elsewhere there is room for {held}; kept by {listed(named)}"
        unblock = "It starts when one of them ends, or when other work does."
    level = own.name if own is not None else desk.apart.levels(candidate.workload)
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.TOPOLOGY_UNSATISFIED,
        message=message,
        detail=detail,
        blocking=(Blocker(kind="topology", subject=level, needed=count, available=held, unit="pods"),),
        unblock=unblock,
    )
