"""Single pods go where they keep a node in use no longer than it is anyway."""

import pytest

from scheduler.model.plan import Plan
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, gang, outcome, pods, shape, single, snapshot
from tests.planning.build import node as made

NOW_S = 10_000

ENDS = {"n0": 100, "n1": 500, "n2": 900}
"""In how many seconds the work on each node ends; on n3 nothing runs."""


def planned(*waiting: tuple[str, int, int | None]) -> Plan:
    """Pods by name, GPUs and seconds."""
    there = [
        gang(f"on-{name}", pods(f"on-{name}", [shape(4)], on=[name], bound_s=NOW_S - 10), duration_s=10 + seconds)
        for name, seconds in ENDS.items()
    ]
    fresh = [
        single(name, shape(gpus), created_s=i, duration_s=seconds) for i, (name, gpus, seconds) in enumerate(waiting)
    ]
    snap = snapshot([made(f"n{i}") for i in range(4)], [*there, *fresh])
    decided = plan(snap, now_s=NOW_S, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    return decided


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        pytest.param(50, "n0", id="gone before all: beside what ends soonest afterwards"),
        pytest.param(100, "n0", id="gone with it"),
        pytest.param(101, "n1", id="longer than the first"),
        pytest.param(700, "n2", id="longer than the first two"),
        pytest.param(5000, "n2", id="longest of all: where that adds least"),
        pytest.param(None, "n0", id="of unknown length: the first of equally full ones"),
    ],
)
def test_where_a_pod_goes(seconds: int | None, want: str) -> None:
    assert outcome(planned(("p", 1, seconds)), "p") == want


def test_what_the_same_plan_starts_counts() -> None:
    decided = planned(("long", 1, 2000), ("next", 1, 1500))
    assert [outcome(decided, name) for name in ("long", "next")] == ["n2", "n2"]


def test_a_whole_node_comes_last() -> None:
    assert outcome(planned(("p", 5, 50)), "p") == "n3"
    assert outcome(planned(("p", 4, 9000)), "p") == "n2"


def test_work_that_nobody_knows_of_is_no_company_for_short_work() -> None:
    snap = draw("n0: ####....\nn1: ........", single("p", duration_s=50))
    assert outcome(plan(snap, now_s=NOW_S, settings=PlanSettings()), "p") == "n0"
