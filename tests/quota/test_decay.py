"""What queues used of late: half of it is forgotten after a half-life, and a restart goes on from what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.quota.decay import ONE, average, kept, used_of_late
from scheduler.quota.forest import Forest
from scheduler.quota.tree import Bill, Ledger

DAY_S = 86_400


@pytest.mark.parametrize(("passed_s", "part"), [(0, 1.0), (DAY_S, 0.5), (2 * DAY_S, 0.25), (DAY_S // 2, 0.5**0.5)])
def test_half_is_left_after_a_half_life(passed_s: int, part: float) -> None:
    assert kept(passed_s, DAY_S) / ONE == pytest.approx(part, abs=1e-6)


@given(st.integers(0, 10**9), st.integers(1, 10**8))
def test_it_is_a_power_of_one_half_and_never_grows(passed_s: int, half_life_s: int) -> None:
    assert kept(passed_s, half_life_s) / ONE == pytest.approx(0.5 ** (passed_s / half_life_s), abs=1e-5)
    assert kept(passed_s + 1, half_life_s) <= kept(passed_s, half_life_s)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, DAY_S), st.integers(0, DAY_S))
def test_two_steps_come_to_the_same_as_one(before: int, used: int, first_s: int, then_s: int) -> None:
    halfway = average(before, used, first_s, DAY_S)
    found = average(halfway, used, then_s, DAY_S)
    assert found == pytest.approx(average(before, used, first_s + then_s, DAY_S), abs=max(before, used) * 1e-4 + 2)
    assert min(before, used) <= found <= max(before, used)


def test_a_queue_goes_on_from_what_was_written_and_a_new_one_from_what_it_uses() -> None:
    old = Queue(name=QueueName("old"), total=Quota(), recent_milli_gpu=8000, recent_at_s=0)
    new = Queue(name=QueueName("new"), total=Quota())
    ledger = Ledger(Forest({old.name: old, new.name: new}), {new.name: Bill(3000)})
    found = used_of_late(ledger, now_s=DAY_S, half_life_s=DAY_S)
    assert found == {"old": pytest.approx(4000, abs=1), "new": 3000}
