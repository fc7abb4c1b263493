"""Slices that come and go, and the ways to place them that are compared."""

from collections import Counter

import pytest

from benchmarks import mig_arrivals
from scheduler.scoring.sharing.mig import EMPTY, is_legal
from scheduler.scoring.sharing.mig_tables import mig_models

A30 = mig_models()["A30-24GB"]
A100 = mig_models()["A100-80GB"]


def test_what_comes_asks_for_the_load() -> None:
    came = mig_arrivals.slices(A100, 5000, gpus=10, load=0.5)
    asked = sum(A100.profiles[one.profile].size * one.stays for one in came)
    assert asked / came[-1].at == pytest.approx(0.5 * 10 * 8, rel=0.05)
    assert came == mig_arrivals.slices(A100, 5000, gpus=10, load=0.5)


def test_first_fit_takes_the_first_place_and_the_planner_the_one_that_costs_least() -> None:
    profile = A100.index("1g.10gb")
    assert profile is not None
    begun = ((profile, 3),)
    assert mig_arrivals.first_fit(A100, [EMPTY, begun], profile) == (0, 0)
    assert mig_arrivals.least_loss(A100, [EMPTY, begun], profile) == (1, 2)


def test_who_is_placed_how() -> None:
    came = mig_arrivals.slices(A30, 1200, gpus=12, load=0.95)
    first = mig_arrivals.play(A30, came, mig_arrivals.first_fit, gpus=12)
    ours = mig_arrivals.play(A30, came, mig_arrivals.least_loss, gpus=12)
    again = mig_arrivals.play(A30, came, mig_arrivals.least_loss, gpus=12, moves=0.1)
    free = mig_arrivals.play_free(A30, came, gpus=12)
    assert first.accepted < free.accepted
    assert ours.accepted < again.accepted
    assert again.rounds
    assert again.moved
    assert mig_arrivals.part_closed(ours, again, free) > 0.3
    assert ours.moved == 0


def test_a_packing_holds_what_is_asked_for_and_none_is_said_only_where_there_is_none() -> None:
    names = [p.name for p in A100.profiles]
    wanted = Counter({names.index("3g.40gb"): 2, names.index("4g.40gb"): 2, names.index("2g.20gb"): 1})
    assert mig_arrivals.packing(A100, 2, wanted) is None
    made = mig_arrivals.packing(A100, 3, wanted)
    assert made is not None
    assert all(is_legal(A100, one) for one in made)
    there = Counter(profile for one in made for profile, _ in one)
    assert all(there[profile] >= n for profile, n in wanted.items())


def test_nothing_to_close_is_closed() -> None:
    some = mig_arrivals.Figures(10, 9)
    assert mig_arrivals.part_closed(some, some, some) == 1.0
    assert mig_arrivals.part_closed(some, mig_arrivals.Figures(10, 9), mig_arrivals.Figures(10, 10)) == 0.0
