"""Laws of who makes way, on random trees of queues and small full clusters."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.names import QueueName
from scheduler.model.plan import Plan, Reclaim, Wait
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import explain
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.reclaim.cases import NOW_S, SETTINGS, by_hand, claims, decided, full, price

LAWS = settings(max_examples=100, deadline=None)


@pytest.mark.long
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


@pytest.mark.long
@LAWS
@given(snap=full())
def test_without_any_one_victim_there_is_no_room(snap: Snapshot) -> None:
    for settings_ in (SETTINGS, PlanSettings(solver_budget_ms=0, reclaim=True)):
        for claim in claims(plan(snap, now_s=NOW_S, settings=settings_)):
            for victim in claim.victims:
                fewer = tuple(other for other in claim.victims if other is not victim)
                less = msgspec.structs.replace(claim, victims=fewer)
                assert broken_rules(snap, Plan(generation=1, decisions=(less,)))


@pytest.mark.long
@LAWS
@given(snap=full(waiting=3))
def test_without_the_solver_the_same_rules_hold(snap: Snapshot) -> None:
    decided(snap, PlanSettings(solver_budget_ms=0, reclaim=True))


@pytest.mark.long
@LAWS
@given(snap=full(waiting=3))
def test_nobody_makes_way_unless_asked_to(snap: Snapshot) -> None:
    assert claims(plan(snap, now_s=NOW_S, settings=PlanSettings())) == []


@pytest.mark.long
@LAWS
@given(snap=full(waiting=2), data=st.data())
def test_the_order_of_the_input_decides_nothing(snap: Snapshot, data: st.DataObject) -> None:
    keys = data.draw(st.permutations(sorted(snap.workloads)))
    names = data.draw(st.permutations(sorted(snap.queues)))
    mixed = msgspec.structs.replace(
        snap,
        workloads={key: snap.workloads[key] for key in keys},
        queues={name: snap.queues[name] for name in names},
    )
    assert decided(mixed) == decided(snap)


@pytest.mark.long
@LAWS
@given(snap=full(waiting=2))
def test_the_snapshot_is_left_as_found(snap: Snapshot) -> None:
    before = snap.columns.used.copy(), dict(snap.devices_used), dict(snap.workloads)
    decided(snap)
    assert (snap.columns.used == before[0]).all()
    assert (snap.devices_used, snap.workloads) == before[1:]


@pytest.mark.long
@LAWS
@given(snap=full(waiting=2))
def test_names_decide_nothing_but_names(snap: Snapshot) -> None:
    other = {name: QueueName(f"team-{name}") for name in snap.queues}

    def renamed(queue: Queue) -> Queue:
        above = None if queue.parent is None else other[queue.parent]
        return msgspec.structs.replace(queue, name=other[queue.name], parent=above)

    workloads = {
        key: msgspec.structs.replace(w, queue=None if w.queue is None else other[w.queue])
        for key, w in snap.workloads.items()
    }
    there = msgspec.structs.replace(
        snap, workloads=workloads, queues={other[name]: renamed(queue) for name, queue in snap.queues.items()}
    )
    made = [(claim.workload, claim.placement, [v.pods for v in claim.victims]) for claim in claims(decided(snap))]
    assert [(c.workload, c.placement, [v.pods for v in c.victims]) for c in claims(decided(there))] == made
