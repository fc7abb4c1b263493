import asyncio

import pytest

from scheduler.model.plan import Plan
from scheduler.rpc.feed import KEPT_PLANS, PlanFeed


async def test_a_reader_begins_with_the_latest_plan_and_gets_each_that_follows() -> None:
    feed = PlanFeed()
    feed.publish(Plan(generation=1))
    feed.publish(Plan(generation=2))
    with feed.subscribe() as reader:
        feed.publish(Plan(generation=3))
        got = [await reader.next() for _ in range(2)]
    assert [(d.plan.generation, d.missed) for d in got if d] == [(2, 0), (3, 0)]


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    feed = PlanFeed()
    with feed.subscribe() as reader:
        for generation in range(KEPT_PLANS + 10):
            feed.publish(Plan(generation=generation))
        got = [await reader.next() for _ in range(KEPT_PLANS)]
        feed.publish(Plan(generation=99))
        last = await reader.next()
    assert [d.plan.generation for d in got if d] == list(range(10, KEPT_PLANS + 10))
    assert [d.missed for d in got if d] == [10, *[0] * (KEPT_PLANS - 1)]
    assert last
    assert (last.plan.generation, last.missed) == (99, 0)


async def test_a_reader_waits_for_news() -> None:
    feed = PlanFeed()
    with feed.subscribe() as reader:
        waiting = asyncio.ensure_future(reader.next())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.01)
        feed.publish(Plan(generation=7))
        got = await waiting
    assert got
    assert got.plan.generation == 7


async def test_an_interrupted_reader_gets_what_is_unread_and_then_the_end() -> None:
    feed = PlanFeed()
    with feed.subscribe() as reader:
        feed.publish(Plan(generation=1))
        feed.interrupt()
        feed.publish(Plan(generation=2))
        got = [await reader.next() for _ in range(3)]
    assert [d.plan.generation if d else None for d in got] == [1, None, None]
    with feed.subscribe() as later:
        first = await later.next()
    assert first
    assert first.plan.generation == 2


def test_readers_leave_the_feed() -> None:
    feed = PlanFeed()
    with feed.subscribe(), feed.subscribe():
        assert feed.readers == 2
    assert feed.readers == 0
