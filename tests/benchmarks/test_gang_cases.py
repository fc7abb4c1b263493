"""The cases of big gangs."""

from itertools import combinations

import pytest

from benchmarks import gang_cases, synthetic


@pytest.mark.long
def test_small_cases_are_planned_and_proven() -> None:
    for case in gang_cases.cases(600, 64, 4):
        assert case.proof.status == "optimal"
        assert case.spread == (1.0, 1.0)
        assert case.took_ms > 0


@pytest.mark.parametrize("gpus", [1, 4])
@pytest.mark.parametrize("pods", [1, 300, 900])
def test_the_fewest_blocks_by_trying_all(pods: int, gpus: int) -> None:
    busy = synthetic.holes(5 * synthetic.BLOCK_NODES - 100, 4)
    rooms = [
        sum((8 - each) // gpus for each in busy[start : start + synthetic.BLOCK_NODES])
        for start in range(0, len(busy), synthetic.BLOCK_NODES)
    ]
    least = min(
        (len(some) for n in range(1, 6) for some in combinations(rooms, n) if sum(some) >= pods), default=len(rooms)
    )
    assert gang_cases.fewest_blocks(busy, pods, gpus) == least
