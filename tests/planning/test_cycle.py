"""What a whole plan decides, drawn."""

import pytest

from scheduler.model.plan import Plan
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules import broken_rules
from tests.planning.build import draw, equal, outcome, shape, single


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=1000, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    return decided


def test_of_two_gangs_with_room_for_one_the_older_runs_whole() -> None:
    snap = draw(
        "n0: ........\nn1: ........\nn2: ........",
        equal("first", 2, created_s=-20),
        equal("second", 2, created_s=-10),
    )
    decided = planned(snap)
    assert outcome(decided, "first") == "n0 n1"
    assert outcome(decided, "second") == "InsufficientResources"


def test_a_gang_that_fits_in_sum_only_lets_small_jobs_pass() -> None:
    snap = draw(
        "big: ......\nsmall-0: ..\nsmall-1: ..\nsmall-2: ..",
        equal("gang", 3, 4, created_s=-20),
        single("one", shape(2), created_s=-10),
    )
    decided = planned(snap)
    assert outcome(decided, "gang") == "Fragmented"
    assert outcome(decided, "one") == "small-0"


@pytest.mark.parametrize(
    ("drawing", "count", "gpus", "want"),
    [
        pytest.param("b0/r0 n0: ####....\nb0/r0 n1: ........", 1, 4, "n0", id="fills the node in use"),
        pytest.param("b0/r0 n0: ........\nb0/r1 n1: ........\nb0/r1 n2: ........", 2, 8, "n1 n2", id="one rack"),
        pytest.param(
            "b0/r0 n0: ........\nb0/r0 n1: ........\nb0/r0 n2: ........\nb1/r1 n3: ........\nb1/r1 n4: ........",
            2, 8, "n3 n4", id="the rack that it fills, a larger one stays whole",
        ),
        pytest.param(
            "b0/r0 n0: ....\nb0/r0 n1: ####\nb0/r0 n2: ####\nb1/r1 n3: ....\nb1/r1 n4: ....",
            2, 4, "n3 n4", id="the domain that holds it whole, not the fuller one",
        ),
        pytest.param("b0/r0 n0: ....####\nb1/r1 n1: ....####", 2, 4, "n0 n1", id="two blocks where it must"),
        pytest.param("-/- n0: ........\nb0/r0 n1: ....\nb0/r0 n2: ....", 2, 4, "n0 n0", id="fewest nodes"),
        pytest.param("n0: x.......", 1, 8, "InsufficientResources", id="an unhealthy GPU is not planned on"),
    ],
)  # fmt: skip
def test_where_a_gang_goes(drawing: str, count: int, gpus: int, want: str) -> None:
    assert outcome(planned(draw(drawing, equal("g", count, gpus))), "g") == want
