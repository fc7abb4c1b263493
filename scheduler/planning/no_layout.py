"""Why a gang finds no room where single levels would do: slices, roles with levels of their own, exclusive domains."""

from collections.abc import Sequence

from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.wording import pods
from scheduler.scoring.gang import Ask
from scheduler.scoring.problem import held_by, usable
from scheduler.scoring.slices import Slice, binding, gathered, in_slices, whole
from scheduler.scoring.topology import domains


def no_layout(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    """The slices, or the role, for which there is too little room in whole domains; None where it is not that."""
    return _no_slices(desk, candidate, ask)


def _no_slices(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    slices = binding(ask.slices, ask.topology, ask.required)
    for layers in (slices[at:] for at in range(len(slices) - 1, -1, -1)):
        for fits, (_, count) in zip(usable(desk.room, ask), ask.groups, strict=True):
            within = in_slices(desk.fleet, fits, layers)
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
