"""The year of jobs, and what Bayplan's planner is compared with."""

from collections.abc import Sequence

import pytest

from benchmarks import year
from benchmarks.year_jobs import GPUS, NODES, Job, Waits
from benchmarks.year_planner import play as play_planner
from benchmarks.year_rivals import RIVALS

FULL = NODES * GPUS


def job(number: int, comes_s: int, gpus: int, runs_s: int) -> Job:
    return Job(number, comes_s, gpus, runs_s, runs_s)


def played(policy: str, work: Sequence[Job]) -> Waits:
    return play_planner(work, year.SETTINGS[policy]) if policy in year.SETTINGS else RIVALS[policy](work)


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        pytest.param("FIFO", (99, 148, 147), id="nobody passes"),
        pytest.param("skip-ahead", (502, 0, 0), id="whoever fits starts"),
        pytest.param("EASY", (99, 0, 147), id="only who is gone in time"),
        pytest.param("Bayplan, defaults", (99, 0, 147), id="as EASY"),
        pytest.param("Bayplan", (99, 0, 147), id="short before long"),
    ],
)
def test_who_passes_a_large_job(policy: str, want: tuple[int, int, int]) -> None:
    # Two nodes are free, and one more from second 100 on. The large job needs three.
    before = [job(number, 0, GPUS, 100 if number == 0 else 1000) for number in range(NODES - 2)]
    large, short, long = (len(before) + i for i in range(3))
    come = [job(large, 1, 24, 50), job(short, 2, GPUS, 90), job(long, 3, GPUS, 500)]
    waits = played(policy, [*before, *come])
    assert (waits[large], waits[short], waits[long]) == want


@pytest.mark.parametrize("policy", [*RIVALS, *year.SETTINGS])
def test_everybody_starts_and_nobody_before_coming(policy: str) -> None:
    work = year.jobs(150, seed=2, factor=2.0)
    waits = played(policy, work)
    assert sorted(waits) == [each.number for each in work]
    assert min(waits.values()) == 0


def test_the_jobs_make_up_the_load_and_are_mostly_small() -> None:
    work = year.jobs(2000, seed=3, factor=3.0)
    span_s = year.YEAR_S * 2000 / year.JOBS
    assert sum(each.gpus * each.runs_s for each in work) == pytest.approx(year.LOAD * FULL * span_s, rel=0.01)
    assert sum(each.gpus == 1 for each in work) > 0.6 * len(work)
    assert 0 < sum(each.gpus >= 32 for each in work) < 0.05 * len(work)
    assert all(each.runs_s <= each.says_s <= 3 * each.runs_s + 1 for each in work)
    assert year.jobs(2000, seed=3, factor=3.0) == work
