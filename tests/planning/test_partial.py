"""Gangs part of which stands: crashes between binds, replacements, surplus."""

from typing import Any

import pytest

from scheduler.model.plan import RollBack
from scheduler.model.workload import Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, gang, node, outcome, pods, shape, single, snapshot, waiting


def half_bound(*, bound_s: int | None, pending_created_s: int, **more: Any) -> Workload:  # noqa: ANN401  fields of the record
    """A gang of two: one on n0 since `bound_s`, the other created at `pending_created_s` waits."""
    (stands,) = pods("stands", [shape(8)], on=["n0"], created_s=5, bound_s=bound_s)
    (waits,) = pods("waits", [shape(8)], created_s=pending_created_s)
    return gang("g", [stands, waits], created_s=5, **more)


def decided(drawing: str, *workloads: Workload) -> list[str]:
    snap = draw(drawing, *workloads)
    made = plan(snap, now_s=1000, settings=PlanSettings())
    assert broken_rules(snap, made) == []
    return [outcome(made, name) for name in ("g", "other")]


@pytest.mark.parametrize(
    ("bound_s", "created_s", "want"),
    [
        pytest.param(10, 5, "taken back", id="was there before the other was bound"),
        pytest.param(10, 10, "taken back", id="came in the same second"),
        pytest.param(10, 11, "InsufficientResources", id="replaces a member that stood"),
        pytest.param(None, 5, "InsufficientResources", id="nobody knows when the other was bound"),
    ],
)
def test_where_the_rest_finds_no_room(bound_s: int | None, created_s: int, want: str) -> None:
    workload = half_bound(bound_s=bound_s, pending_created_s=created_s)
    assert decided("n0: ........\nn1: ########", workload)[0] == want


@pytest.mark.parametrize(("bound_s", "created_s"), [(10, 5), (10, 20), (None, 5)])
def test_where_there_is_room_the_rest_is_placed(bound_s: int | None, created_s: int) -> None:
    workload = half_bound(bound_s=bound_s, pending_created_s=created_s)
    assert decided("n0: ........\nn1: ........", workload)[0] == "n1"


def test_a_broken_gang_goes_before_everything_else() -> None:
    other = single("other", shape(8), priority=100, created_s=1)
    found = decided("n0: ........\nn1: ........", half_bound(bound_s=10, pending_created_s=5), other)
    assert found == ["n1", "InsufficientResources"]


def test_a_gang_that_lost_members_says_how_many_stand() -> None:
    snap = draw("n0: ........\nn1: ########", half_bound(bound_s=10, pending_created_s=11))
    wait = waiting(plan(snap, now_s=1000, settings=PlanSettings()), "g")
    assert wait.detail.startswith("of the 2 pods that it needs 1 stand; ")


def test_members_that_are_not_needed_are_no_reason_to_take_others_back() -> None:
    workload = half_bound(bound_s=10, pending_created_s=5, least=1)
    assert decided("n0: ........\nn1: ########", workload)[0] == "RunsWithFewer"


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        pytest.param(1, 2, "InsufficientResources", id="two that stood were replaced, one never started"),
        pytest.param(1, 0, "GangIncomplete", id="those that stood are not replaced yet"),
        pytest.param(3, 0, "taken back", id="more never started than it can do without"),
    ],
)
def test_an_elastic_gang_that_fell_below_what_it_needs(old: int, new: int, want: str) -> None:
    stand = pods("stands", [shape(8)], on=["n0"], created_s=5, bound_s=10)
    wait = (*pods("old", [shape(8)] * old, created_s=5), *pods("new", [shape(8)] * new, created_s=20))
    workload = gang("g", [*stand, *wait], created_s=5, size=4, least=3)
    assert decided("n0: ........\nn1: ########", workload)[0] == want


def test_all_members_that_stand_are_taken_back_with_the_reason() -> None:
    stand = pods("stand", [shape(4)] * 2, on=["n0", "n0"], created_s=5, bound_s=10)
    (waits,) = pods("waits", [shape(4)], created_s=5)
    snap = draw("n0: ........", gang("g", [*stand, waits]))
    (decision,) = plan(snap, now_s=0, settings=PlanSettings()).decisions
    assert isinstance(decision, RollBack)
    assert decision.evict == ("stand-0", "stand-1")
    assert decision.why == (
        "2 of 3 pods were bound and the others cannot be: too few GPUs are free on nodes that suit it"
    )


def test_a_missing_member_is_waited_for() -> None:
    (stands,) = pods("stands", [shape(8)], on=["n0"], created_s=5, bound_s=10)
    (waits,) = pods("waits", [shape(8)], created_s=5)
    assert decided("n0: ........\nn1: ........", gang("g", [stands, waits], size=3))[0] == "GangIncomplete"


def test_a_member_on_a_node_of_no_known_model_settles_no_model() -> None:
    torn = gang("torn", pods("torn", [shape(1, models=("H100", "A100"))] * 2, on=["bare"]))
    snap = snapshot([node("bare", 0), node("h0")], [torn])
    decided = plan(snap, now_s=0, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    assert outcome(decided, "torn") == "h0"
