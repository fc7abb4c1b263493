"""One plan: every waiting workload is decided once, in order, each on what the ones before it left."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

import msgspec

from scheduler.model.plan import Admit, Decision, Offer, Plan, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.batch import admit_beside
from scheduler.planning.cache import PlanCache
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.gangs import admit_gang
from scheduler.planning.growth import grow
from scheduler.planning.holds import hold_for
from scheduler.planning.order import Turns, by_turn, turns_of
from scheduler.planning.partial import incomplete, is_broken, roll_back
from scheduler.planning.reasons.refuse import behind, refuse
from scheduler.planning.reclaim.decide import reclaim_for, when_gone
from scheduler.planning.reclaim.departing import departed, departing, send_away
from scheduler.planning.reclaim.firm import filled, gives_way, overfilled, own_quota
from scheduler.planning.reserve.passing import beside_reservations, passed_by
from scheduler.planning.reserve.reserve import reserve_ahead, reserve_for
from scheduler.planning.screen import screen
from scheduler.planning.settings import PlanSettings
from scheduler.planning.singles import admit_singles
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.own_rules import NO_RULES, OwnRules

__all__ = ["PlanCache", "plan"]


def plan(
    snapshot: Snapshot,
    *,
    now_s: int,
    settings: PlanSettings,
    cache: PlanCache | None = None,
    rules: OwnRules = NO_RULES,
) -> Plan:
    """Decide every workload with pending members that is not in flight; the snapshot is left as found.

    `now_s`: seconds since 1970. `cache` saves work when plans follow each other and changes no decision. `rules`: those
    of the administrator's own. Gangs part of which stands come first, then all others in their turn (`order`), each
    with as many members as it needs; what is left goes to members that gangs can do without (`growth`).
    """
    cache = PlanCache() if cache is None else cache
    fleet = cache.fleet(snapshot)
    ready, refused = _screened(snapshot, fleet, cache.candidates(snapshot), now_s=now_s)
    if not ready and not cache.unfinished:
        return Plan(generation=snapshot.generation, now_s=now_s, decisions=tuple(refused), troubles=rules.troubles)
    ledger = cache.ledger(snapshot)
    desk = Desk(
        snapshot,
        fleet,
        ledger,
        now_s=now_s,
        settings=settings,
        rules=rules,
        known=cache.known,
    )
    for rest in cache.unfinished:
        send_away(desk, rest)
    if settings.reclaim:
        desk.departing = departing(snapshot, cache.departing, now_s)
    broken, whole = _that_need_room(ready)
    for candidate in by_turn(broken):
        desk.decisions.append(_complete(desk, candidate))
    _take_turns(desk, turns_of(desk, whole))
    grow(desk, ready)
    return Plan(
        generation=snapshot.generation,
        now_s=now_s,
        decisions=(*refused, *desk.decisions),
        troubles=desk.own.troubles,
    )


def _screened(
    snapshot: Snapshot, fleet: Fleet, candidates: Iterable[Candidate], *, now_s: int
) -> tuple[list[Candidate], list[Decision]]:
    """Those that can be planned, by their names, and the refusals of the others but for those in flight."""
    ready: list[Candidate] = []
    refused: list[Decision] = []
    for candidate in sorted(candidates, key=lambda c: c.workload.key):
        if candidate.workload.key in snapshot.in_flight:
            continue
        refusal = screen(snapshot, fleet, candidate, now_s=now_s)
        if refusal is None:
            ready.append(candidate)
        else:
            refused.append(refusal)
    return ready, refused


def _take_turns(desk: Desk, turns: Turns) -> None:
    """Decide all in their turn. What is overtaken by others of its queue is kept room for before."""
    while batch := turns.next_batch(desk.ledger):
        for candidate in turns.overtaken():
            reserve_ahead(desk, candidate)
        admitted = _decide(desk, batch)
        if desk.settings.by_length:
            for known in desk.slots.reservations:
                turns.shortest_first(known.queue)
        desk.decisions += [behind(candidate, batch[admitted]) for candidate in turns.decided(batch, admitted)]


def _that_need_room(ready: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Gangs part of which stands, and all others that do not stand, each with the members that it needs."""
    least = [(is_broken(candidate), candidate.least) for candidate in ready if not candidate.stands]
    return [each for broken, each in least if broken], [each for broken, each in least if not broken]


def _complete(desk: Desk, candidate: Candidate) -> Decision:
    """Place the missing members of a gang part of which stands, or take those back that stand."""
    with own_quota(desk, candidate):
        admitted = admit_gang(desk, candidate)
    if admitted is not None:
        filled(desk, candidate, [admitted])
        return admitted
    wait = overfilled(desk, candidate) or refuse(desk, candidate)
    return roll_back(candidate, wait.message) if candidate.workload.never_stood else incomplete(candidate, wait)


def _decide(desk: Desk, batch: Sequence[Candidate]) -> int:
    """Decide equal pods that stand alone, or one workload; how many of them start."""
    started = 0
    while started < len(batch) and _known(desk, batch[started]) is None:
        first = batch[started]
        with own_quota(desk, first), beside_reservations(desk, first):
            admitted = _admitted(desk, batch[started:])
        if not admitted and overfilled(desk, first) is None:
            admitted = _cleared(desk, first)
        filled(desk, first, admitted)
        desk.decisions += admitted
        started += len(admitted)
        if not admitted or not desk.settings.reclaim:
            break
    for candidate in batch[started:]:
        known = _known(desk, candidate)
        if known is not None:
            wait = known
            reserved = reserve_for(desk, candidate, wait.reason)
        else:
            with beside_reservations(desk, candidate):
                wait = desk.refusal(candidate, passed_by(desk, candidate), _refused(desk, candidate))
            reserved = reserve_for(desk, candidate, wait.reason)
            if reserved is None:
                desk.slots.narrow(())
                hold_for(desk, candidate, wait)
        desk.decisions.append(wait if reserved is None else msgspec.structs.replace(wait, reservation=reserved))
    return started


def _known(desk: Desk, candidate: Candidate) -> Wait | None:
    """What an equal candidate that would run past the same reservations was told."""
    return desk.refused(candidate, passed_by(desk, candidate))


def _admitted(desk: Desk, batch: Sequence[Candidate]) -> list[Decision]:
    """Those that find room and quota, from the first on."""
    first = batch[0]
    if first.workload.key in desk.moving:
        return []
    if first.alone:
        made: list[Admit | Offer] = list(admit_singles(desk, batch))
    else:
        gang = admit_gang(desk, first)
        # Whoever is placed anew could come to where room is reserved.
        if gang is None and not desk.leaving and not desk.slots.slots:
            gang = admit_beside(desk, first)
        made = [] if gang is None else [gang]
    desk.moving.update((decision.workload, decision.workload) for decision in made)
    if not desk.leaving:
        return list(made)
    later = (when_gone(desk, decision) for decision in made)
    return [decision for decision in takewhile(lambda decision: decision is not None, later) if decision is not None]


def _cleared(desk: Desk, candidate: Candidate) -> list[Decision]:
    """The decision to wait for work that leaves anyway, or else to have some make way; none where neither is of use."""
    with departed(desk, candidate) as more:
        if more:
            with own_quota(desk, candidate):
                admitted = _admitted(desk, [candidate])
            if admitted:
                return admitted
        claim = reclaim_for(desk, candidate)
        return [] if claim is None else [claim]


def _refused(desk: Desk, candidate: Candidate) -> Wait:
    """Why a workload waits."""
    if (winner := desk.moving.get(candidate.workload.key)) is not None:
        return gives_way(candidate, winner)
    wait = overfilled(desk, candidate)
    if wait is None:
        with own_quota(desk, candidate):
            wait = refuse(desk, candidate)
    return wait
