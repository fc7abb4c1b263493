"""Laws of who makes way, on random trees of queues and small full clusters."""

import msgspec
from hypothesis import given, settings

from scheduler.model.plan import Plan, Reclaim, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import explain
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.reclaim.cases import NOW_S, SETTINGS, by_hand, claims, decided, full, price

LAWS = settings(max_examples=100, deadline=None)


@LAWS
@given(snap=full(waiting=3))
def test_no_plan_breaks_a_rule_and_all_who_wait_are_answered(snap: Snapshot) -> None:
    made = decided(snap)
    assert sorted(d.workload for d in made.decisions) == sorted(w.key for w in snap.workloads.values() if w.pending)
    assert all(all(explain(decision)) for decision in made.decisions)


@settings(max_examples=60, deadline=None)
@given(snap=full(most=5))
def test_nothing_cheaper_would_do(snap: Snapshot) -> None:
    made = decided(snap)
    (decision,) = made.decisions
    if isinstance(decision, Reclaim):
        assert decision.proof.status == "optimal"
        assert price(snap, decision) == by_hand(snap, decision.workload)
    elif isinstance(decision, Wait):
        assert by_hand(snap, decision.workload) is None


@LAWS
@given(snap=full())
def test_without_any_one_victim_there_is_no_room(snap: Snapshot) -> None:
    for settings_ in (SETTINGS, PlanSettings(solver_budget_ms=0, reclaim=True)):
        for claim in claims(plan(snap, now_s=NOW_S, settings=settings_)):
            for victim in claim.victims:
                fewer = tuple(other for other in claim.victims if other is not victim)
                less = msgspec.structs.replace(claim, victims=fewer)
                assert broken_rules(snap, Plan(generation=1, decisions=(less,)))


@LAWS
@given(snap=full(waiting=3))
def test_without_the_solver_the_same_rules_hold(snap: Snapshot) -> None:
    decided(snap, PlanSettings(solver_budget_ms=0, reclaim=True))


@LAWS
@given(snap=full(waiting=3))
def test_nobody_makes_way_unless_asked_to(snap: Snapshot) -> None:
    assert claims(plan(snap, now_s=NOW_S, settings=PlanSettings())) == []
