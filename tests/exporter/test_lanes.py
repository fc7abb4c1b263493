import asyncio
import threading

import pytest

from scheduler.exporter.lanes import DirectLane, Lane, Stuck, ThreadLane

WAIT_S = 60.0


@pytest.mark.parametrize("lane", [ThreadLane("x"), DirectLane()])
async def test_what_comes_back_is_given_and_what_fails_is_raised(lane: Lane) -> None:
    assert await lane.call("a", lambda: 7, deadline_s=WAIT_S) == 7
    with pytest.raises(ZeroDivisionError):
        await lane.call("b", lambda: 1 // 0, deadline_s=WAIT_S)
    assert lane.stuck is None
    assert await lane.idle(WAIT_S)
    lane.end()


async def test_while_a_call_hangs_no_other_is_made_and_nobody_waits() -> None:
    lane, free, calls = ThreadLane("x"), threading.Event(), list[str]()
    first = await lane.call("first", lambda: free.wait(WAIT_S), deadline_s=0.05)
    assert isinstance(first, Stuck)
    for _ in range(3):
        # Nobody waits for the deadline of a call that cannot be made.
        again = await asyncio.wait_for(lane.call("again", lambda: calls.append("made"), deadline_s=10 * WAIT_S), WAIT_S)
        assert isinstance(again, Stuck)
        assert again.call == "first"
    assert lane.late
    assert not await lane.idle(0.01)
    free.set()
    assert await lane.idle(WAIT_S)
    assert calls == []
    assert await lane.call("later", lambda: "back", deadline_s=WAIT_S) == "back"
    lane.end()


async def test_one_call_waits_for_another_that_has_time_left() -> None:
    lane, free = ThreadLane("x"), threading.Event()
    first = asyncio.create_task(lane.call("first", lambda: free.wait(WAIT_S), deadline_s=WAIT_S))
    second = asyncio.create_task(lane.call("second", lambda: 2, deadline_s=WAIT_S))
    third = asyncio.create_task(lane.call("third", lambda: 3, deadline_s=WAIT_S))
    await asyncio.sleep(0)
    assert not lane.late
    free.set()
    assert (await first, await second, await third) == (True, 2, 3)
    lane.end()


async def test_a_late_failure_is_nobodys() -> None:
    lane, free = ThreadLane("x"), threading.Event()

    def fail() -> None:
        free.wait(WAIT_S)
        raise ValueError("late")

    assert isinstance(await lane.call("a", fail, deadline_s=0.05), Stuck)
    free.set()
    assert await lane.idle(WAIT_S)
    assert await lane.call("b", lambda: 1, deadline_s=WAIT_S) == 1
    lane.end()
