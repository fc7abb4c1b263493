"""What is free by when, added up in steps."""

import numpy as np
import pytest

from scheduler.planning.reserve.timeline import STEP, TABLES, Freeing


@pytest.mark.parametrize("count", [0, 1, STEP, STEP + 1, 3 * STEP, TABLES * STEP + 7, 2 * TABLES * STEP])
def test_what_is_free_by_then_is_the_sum_of_all_that_ended(count: int) -> None:
    chance = np.random.default_rng(count)
    ends = np.sort(chance.integers(0, 50, count))
    rows = chance.integers(0, 7, count)
    amounts = chance.integers(0, 1 << 40, (count, 2))
    freeing = Freeing(ends, rows, amounts, (7, 2))
    for at_s in (-1, 0, 7, 24, 49, 60):
        want = np.zeros((7, 2), dtype=np.int64)
        np.add.at(want, rows[ends <= at_s], amounts[ends <= at_s])
        found = freeing.until(at_s)
        assert np.array_equal(found, want)
        found += 1
        assert np.array_equal(freeing.until(at_s), want)
