"""The churn that gangs are placed under."""

import pytest

from benchmarks import churn


def test_load_stays_near_its_mark_and_only_running_gangs_leave() -> None:
    running: dict[int, int] = {}
    loads: list[float] = []
    for gang, nodes in churn.events(3000, seed=2):
        if nodes:
            assert gang not in running
            running[gang] = nodes
        else:
            del running[gang]
        loads.append(sum(running.values()) / churn.NODES)
    assert max(loads) <= 1
    assert churn.LOAD - 0.1 < sum(loads[200:]) / len(loads[200:]) < churn.LOAD + 0.1


def test_spread_is_counted_from_what_is_given() -> None:
    happened = [churn.Event(0, 16), churn.Event(1, 2), churn.Event(0, 0), churn.Event(2, 17)]
    found = churn.play(happened, churn.first_fit)
    # One rack; one rack; then 16 nodes of the first rack and one of the second, where two are the fewest.
    assert (found.spread, found.of_possible, found.worst, found.gangs) == (1, 1, 1, 3)
    apart = churn.play([churn.Event(0, 2)], lambda _free, _count: (0, 16))
    assert (apart.spread, apart.of_possible) == (2, 2)


@pytest.mark.parametrize("answer", [(0, 0), (0,), (0, 1, 2)])
def test_a_wrong_answer_is_not_counted(answer: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        churn.play([churn.Event(0, 2)], lambda _free, _count: answer)
    with pytest.raises(AssertionError):
        churn.play([churn.Event(0, 1), churn.Event(1, 1)], lambda _free, _count: (0,))


def test_the_planner_spreads_less_than_the_others() -> None:
    happened = list(churn.events(400, seed=3))
    spreads = {name: churn.play(happened, choose).spread for name, choose in churn.ways().items()}
    assert spreads["Bayplan"] < 1.15 < min(spread for name, spread in spreads.items() if name != "Bayplan")
