"""Where everything stands after the moves: found with the planner's own placing, or else as the solver laid it out."""

from collections.abc import Collection, Sequence

import msgspec

from scheduler.model.names import NodeName, WorkloadKey
from scheduler.model.plan import Admit, Assignment, Placement
from scheduler.model.snapshot import Snapshot
from scheduler.planning.candidate import Candidate, candidate_of
from scheduler.planning.defrag.lifted import lifted
from scheduler.planning.defrag.movers import Scene
from scheduler.planning.desk import Desk
from scheduler.planning.gangs import admit_gang
from scheduler.planning.singles import admit_singles
from scheduler.scoring.moves.seats import Seats


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot in which the moved workloads wait, and who can be placed in it; the others find no room."""

    after: Snapshot
    placed: tuple[Admit, ...]


def settle(
    scene: Scene,
    moved: Collection[WorkloadKey],
    closed: Collection[NodeName],
    waiting: Candidate | None,
    *,
    smallest_first: bool = False,
) -> Settled:
    """Place the waiting workload and then all that moves, the most bound and the largest first, or the other way round.

    Whoever finds no room is left out; nothing that moves goes to the nodes `closed`.
    """
    after = lifted(scene.snapshot, moved, closed)
    desk = scene.desk(after)
    turn = _in_turn(after, moved, waiting)
    if smallest_first:
        first = 0 if waiting is None else 1
        turn = [*turn[:first], *reversed(turn[first:])]
    placed = [_placed(desk, candidate) for candidate in turn]
    return Settled(after=after, placed=tuple(admit for admit in placed if admit is not None))


def laid_out(
    scene: Scene, seats: Sequence[tuple[WorkloadKey, Seats]], closed: Collection[NodeName], waiting: Candidate | None
) -> Settled:
    """Everything where `seats` say; the rules are not looked at."""
    moved = [key for key, _ in seats if waiting is None or key != waiting.workload.key]
    after = lifted(scene.snapshot, moved, closed)
    desk = scene.desk(after)
    by_key = {candidate.workload.key: candidate for candidate in _in_turn(after, moved, waiting)}
    return Settled(after=after, placed=tuple(_seated(desk, by_key[key], groups) for key, groups in seats))


def _in_turn(after: Snapshot, moved: Collection[WorkloadKey], waiting: Candidate | None) -> list[Candidate]:
    found = [candidate for key in moved if (candidate := candidate_of(after.workloads[key])) is not None]
    found.sort(
        key=lambda c: (not _is_bound(c), -max(p.shape.requests.gpus for p in c.pending), -c.milli_gpu, c.workload.key)
    )
    return found if waiting is None else [waiting, *found]


def _placed(desk: Desk, candidate: Candidate) -> Admit | None:
    if candidate.alone and not candidate.groups[0][0].scheduler_rules:
        return next((each for each in admit_singles(desk, [candidate]) if isinstance(each, Admit)), None)
    return admit_gang(desk, candidate)


def _is_bound(candidate: Candidate) -> bool:
    workload = candidate.workload
    return workload.topology_required is not None or bool(workload.topology_slices)


def _seated(desk: Desk, candidate: Candidate, groups: Seats) -> Admit:
    """The members of each group on its rows, ranks in the order of the rows, with the GPUs that each would get."""
    assigned: dict[str, Assignment] = {}
    wants: dict[int, list[tuple[int, int]]] = {}
    for g, (rows, counts) in enumerate(groups):
        desk.room.take_rows(rows, counts, candidate.groups[g][0])
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            wants.setdefault(row, []).append((g, count))
    devices: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for row, some in wants.items():
        given = desk.room.hand_out(row, [(candidate.groups[g][0], count) for g, count in some])
        devices.update({(row, g): sets for (g, _), sets in zip(some, given, strict=True)})
    for g, (rows, counts) in enumerate(groups):
        waiting = iter(candidate.members[g])
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            for pod, given in zip((next(waiting) for _ in range(count)), devices[row, g], strict=True):
                assigned[pod.uid] = Assignment(pod=pod.uid, node=desk.room.name(row), devices=given)
    placed = tuple(assigned[pod.uid] for pod in candidate.pending if pod.uid in assigned)
    return Admit(workload=candidate.workload.key, placement=Placement(assignments=placed))
