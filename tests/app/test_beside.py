"""Work beside, and what its loop hears of its end."""

import asyncio

import pytest

from scheduler.app.beside import beside, broken


async def breaks() -> None:
    await asyncio.sleep(0)
    raise KeyError("uid")


async def waits() -> None:
    await asyncio.Event().wait()


async def test_what_breaks_is_heard_of_though_nobody_holds_on_to_it() -> None:
    found = broken(asyncio.get_running_loop())
    beside(breaks())
    with pytest.raises(KeyError, match="uid"):
        async with asyncio.timeout(5):
            await found


async def test_what_ends_or_is_cancelled_is_no_break() -> None:
    found = broken(asyncio.get_running_loop())
    done, cancelled = beside(asyncio.sleep(0, "ok")), beside(waits())
    assert await done == "ok"
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await asyncio.sleep(0)
    assert not found.done()


async def test_the_first_break_counts_and_other_words_of_the_loop_go_where_they_went(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    found = broken(loop)
    first = beside(breaks())
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.gather(beside(breaks()), return_exceptions=True)
    await asyncio.sleep(0)
    assert found.exception() is first.exception()
    loop.call_exception_handler({"message": "a transport failed"})
    assert "a transport failed" in caplog.text
