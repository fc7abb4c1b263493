"""Room that becomes free anyway: counted on before anybody else has to make way."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from scheduler.model.plan import Admit, Reclaim, RollBack, Wait
from scheduler.model.queue import Queue
from scheduler.model.workload import Workload
from scheduler.planning.reclaim.departing import LATE_S, SOON_S
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import drawn, snapshot
from tests.planning.reclaim.cases import NOW_S, asks, claims, decided, gone, runs, team, tree

TEAMS = tree(team("a", 0), team("b", 16))


def changed(workload: Workload, at: Sequence[int], **fields: Any) -> Workload:  # noqa: ANN401
    """The workload with some of its members otherwise."""
    members = tuple(
        msgspec.structs.replace(pod, **fields) if i in at else pod for i, pod in enumerate(workload.members)
    )
    return msgspec.structs.replace(workload, members=members)


def leaving(workload: Workload, *, in_s: int = 30, at: Sequence[int] = (0,), **fields: Any) -> Workload:  # noqa: ANN401
    return changed(workload, at, deleting=True, leaves_by_s=NOW_S + in_s, **fields)


def three(*work: Workload, queues: Sequence[Queue] = TEAMS) -> Any:  # noqa: ANN401
    made, _ = drawn("n1: ........\nn2: ........\nn3: ........")
    return snapshot(made, work, queues=queues)


STAYING = runs("one", "a", ["n1"], since=1), runs("two", "a", ["n2"], since=1)


def test_nobody_makes_way_for_room_that_becomes_free_anyway() -> None:
    snap = three(*STAYING, leaving(runs("ends", "a", ["n3"])), asks("x", "b"))
    plan = decided(snap)
    (claim,) = claims(plan)
    assert (gone(plan), claim.after, claim.placement.assignments[0].node) == (set(), ("ends-0",), "n3")
    assert broken_rules(snap, plan) == []


def test_those_make_way_that_are_needed_beside_it() -> None:
    snap = three(*STAYING, leaving(runs("ends", "a", ["n3"])), asks("x", "b", 2))
    plan = decided(snap)
    (claim,) = claims(plan)
    assert len(gone(plan)) == 1
    assert claim.after == ("ends-0",)
    assert broken_rules(snap, plan) == []


@pytest.mark.parametrize(
    ("in_s", "marked", "waits"),
    [
        (SOON_S, False, True),
        (SOON_S + 1, False, False),
        (SOON_S + 1, True, True),
        (-LATE_S, False, True),
        (-LATE_S - 1, True, False),
    ],
)
def test_only_what_leaves_in_time_is_waited_for(in_s: int, *, marked: bool, waits: bool) -> None:
    ends = leaving(runs("ends", "a", ["n3"]), in_s=in_s, makes_way=marked)
    assert (gone(decided(three(*STAYING, ends, asks("x", "b")))) == set()) is waits


def test_who_owns_nothing_in_a_branch_that_does_waits_for_it() -> None:
    queues = tree(team("a", 0), team("b", 16), team("c", parent="b"))
    plan = decided(three(*STAYING, leaving(runs("ends", "a", ["n3"])), asks("x", "c"), queues=queues))
    (claim,) = claims(plan)
    assert (gone(plan), claim.after) == (set(), ("ends-0",))


def test_who_would_borrow_does_not_wait_for_it() -> None:
    (wait,) = decided(three(*STAYING, leaving(runs("ends", "a", ["n3"])), asks("x", "a"))).decisions
    assert isinstance(wait, Wait)


def test_the_rest_of_a_gang_that_was_begun_to_be_evicted_leaves_and_nobody_else() -> None:
    half = changed(runs("half", "a", ["n2", "n3"], since=500), (0, 1), makes_way=True)
    half = leaving(half, makes_way=True)
    snap = three(runs("one", "a", ["n1"], since=1), half, asks("x", "b", 2))
    plan = decided(snap)
    back, claim = plan.decisions
    assert isinstance(back, RollBack)
    assert back.evict == ("half-1",)
    assert isinstance(claim, Reclaim)
    assert (claim.victims, claim.after) == ((), ("half-0", "half-1"))
    assert broken_rules(snap, plan) == []


def test_a_gang_that_was_told_to_leave_and_stands_whole_stays() -> None:
    told = changed(runs("told", "a", ["n2", "n3"]), (0, 1), makes_way=True)
    plan = decided(three(told, asks("x", "b")))
    assert [type(d) for d in plan.decisions] == [Admit]


def test_a_claim_may_not_count_on_pods_that_stay() -> None:
    snap = three(*STAYING, leaving(runs("ends", "a", ["n3"])), asks("x", "b"))
    plan = decided(snap)
    (claim,) = claims(plan)
    wrong = msgspec.structs.replace(claim, after=("one-0",))
    found = broken_rules(snap, msgspec.structs.replace(plan, decisions=(wrong,)))
    assert "pod:team/x: it counts on one-0 to leave, which stays" in found
