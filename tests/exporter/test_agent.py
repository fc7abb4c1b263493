"""The agent over a simulated driver: whatever breaks, it answers, and the other GPUs are seen."""

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from scheduler.exporter.agent import Agent
from scheduler.exporter.memory import restored
from scheduler.exporter.report import report
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.faults import parse_fault
from scheduler.exporter.simulated.node import Placed
from scheduler.kube.wire_report import Report, ReportDevice
from tests.exporter.made import slots

CALL_S = 1.0
"""Short, so that what hangs is soon known to hang; nothing else is measured by it."""

WAIT_S = 60.0


class Watched:
    """An agent on a simulated machine, with a clock of its own for its pauses."""

    def __init__(self, machine: str, call_s: float) -> None:
        self.backend = FixtureBackend(machine, node="n")
        self.now_s = 0.0
        self.calls: list[tuple[str, str]] = []
        self.agent = Agent(
            self.backend,
            call_s=call_s,
            observe=lambda call, _seconds, wrong: self.calls.append((call, wrong)),
            monotonic_s=lambda: self.now_s,
        )

    def break_it(self, *faults: str) -> None:
        for text in faults:
            self.backend.apply(parse_fault(text))

    def heal(self, fault: str) -> None:
        self.backend.heal(parse_fault(fault))

    async def look(self) -> Report:
        return report(await self.agent.look())

    async def until(self, fits: Callable[[Report], bool]) -> Report:
        """Look until the report is as wanted."""
        async with asyncio.timeout(WAIT_S):
            while True:
                self.now_s += 100.0
                seen = await self.look()
                if fits(seen):
                    return seen
                await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(
    machine: str = "hgx_h100", *, call_s: float = 30.0, listening: bool = False
) -> AsyncGenerator[Watched]:
    one = Watched(machine, call_s)
    await one.look()
    listener = asyncio.create_task(one.agent.listen()) if listening else None
    try:
        yield one
    finally:
        one.backend.heal()
        if listener is not None:
            listener.cancel()
        await one.agent.close()


def states(seen: Report) -> list[str]:
    return [one.health.state for one in seen.devices]


def said(one: ReportDevice) -> str:
    return "; ".join(one.health.reasons) if isinstance(one.health.reasons, tuple) else ""


async def test_a_whole_machine_is_healthy() -> None:
    async with watched() as one:
        assert states(await one.look()) == ["Healthy"] * 8


@pytest.mark.parametrize("fault", ["lost:3", "absent:3"])
async def test_a_lost_gpu_stays_in_the_report_under_its_name(fault: str) -> None:
    async with watched() as one:
        before = await one.look()
        one.break_it(fault)
        after = await one.look()
        assert [each.uuid for each in after.devices] == [each.uuid for each in before.devices]
        assert states(after) == ["Healthy"] * 3 + ["Unhealthy"] + ["Healthy"] * 4
        assert "fell off the bus" in said(after.devices[3])
        assert after.devices[3].model == before.devices[3].model


async def test_a_gpu_that_was_lost_from_the_start_is_reported_by_its_place() -> None:
    agent = Agent(FixtureBackend("hgx_h100", faults=[parse_fault("lost:3")]))
    seen = report(await agent.look())
    await agent.close()
    assert sorted(states(seen)) == ["Healthy"] * 7 + ["Unhealthy"]
    (lost,) = [each for each in seen.devices if each.health.state == "Unhealthy"]
    assert (lost.uuid, lost.model) == ("unknown-at-3", "unknown")


async def test_a_hung_gpu_hides_no_other_and_keeps_one_thread() -> None:
    async with watched(call_s=CALL_S) as one:
        one.break_it("hang:5")
        threads = 0
        for look in range(3):
            seen = await one.look()
            assert states(seen) == ["Healthy"] * 5 + ["Unknown"] + ["Healthy"] * 2
            assert "did not answer in time" in said(seen.devices[5])
            threads = threads or threading.active_count()
            assert threading.active_count() == threads, look
        one.heal("hang:5")
        await one.until(lambda seen: states(seen) == ["Healthy"] * 8)


def linked(seen: Report) -> dict[str, set[tuple[int, int]]]:
    found: dict[str, set[tuple[int, int]]] = {"NVLink": set(), "PCIe": set()}
    for link in seen.links:
        found[link.type].add((link.a, link.b))
    return found


def every_pair(size: int) -> dict[str, set[tuple[int, int]]]:
    return {kind: set(itertools.combinations(range(size), 2)) for kind in ("NVLink", "PCIe")}


@pytest.mark.parametrize("hung", [{3}, {0, 6}], ids=str)
async def test_gpus_that_hang_from_the_start_hide_nothing_of_the_others(hung: set[int]) -> None:
    one = Watched("hgx_h100", CALL_S)
    one.break_it(*(f"hang:{gpu}" for gpu in hung))
    seen = await asyncio.wait_for(one.look(), WAIT_S)
    # GPUs without an address come last.
    sound = 8 - len(hung)
    assert states(seen) == ["Healthy"] * sound + ["Unknown"] * len(hung)
    assert linked(seen) == every_pair(sound)
    for each in seen.devices[sound:]:
        told = {one.field: one.reason for one in each.unread or ()}
        assert told.keys() == {"facts", "links", "state"}
        assert {reason.partition(" (")[0] for reason in told.values()} == {"the driver did not answer in time"}
    # All that hang have one deadline, which they have together.
    assert [call for call, wrong in one.calls if wrong] == ["slot"] * len(hung)
    one.backend.heal()
    whole = await one.until(lambda seen: states(seen) == ["Healthy"] * 8)
    assert linked(whole) == every_pair(8)
    await one.agent.close()


async def test_links_of_a_gpu_that_hangs_later_are_remembered() -> None:
    async with watched(call_s=CALL_S) as one:
        before = await one.look()
        one.break_it("hang:5", "hang:2")
        seen = await one.look()
        assert [each.index for each in seen.devices if each.health.state == "Unknown"] == [2, 5]
        # Of NVLinks one end is enough, and the driver's word of before that they reach each other.
        assert linked(seen) == {**linked(before), "NVLink": linked(before)["NVLink"] - {(2, 5)}}


@pytest.mark.long
async def test_a_gpu_that_hangs_keeps_its_errors_when_it_answers_again() -> None:
    async with watched(call_s=CALL_S, listening=True) as one:
        one.break_it("xid:4=79")
        await one.until(lambda seen: states(seen)[4] == "Unhealthy")
        one.break_it("hang:4")
        await one.until(lambda seen: "did not answer in time" in said(seen.devices[4]))
        one.heal("hang:4")
        seen = await one.until(lambda seen: "did not answer in time" not in said(seen.devices[4]))
        assert states(seen)[4] == "Unhealthy"
        assert said(seen.devices[4]) == "Xid 79, and no reset since: the GPU fell off the bus"


async def test_a_gpu_of_an_earlier_run_that_hangs_is_unknown_and_not_lost() -> None:
    async with watched() as one:
        earlier = await one.look()
    again = Watched("hgx_h100", CALL_S)
    again.break_it("hang:3")
    again.agent.remember(restored(earlier))
    seen = await again.look()
    assert [each.uuid for each in seen.devices] == [each.uuid for each in earlier.devices]
    assert states(seen) == ["Healthy"] * 3 + ["Unknown"] + ["Healthy"] * 4
    assert [call for call, wrong in again.calls if wrong] == ["slot"]
    again.backend.heal()
    await again.agent.close()


async def test_a_hung_driver_does_not_hang_the_agent() -> None:
    async with watched(call_s=CALL_S) as one:
        one.break_it("hang")
        seen = await asyncio.wait_for(one.look(), WAIT_S)
        assert states(seen) == ["Unknown"] * 8
        threads = threading.active_count()
        await one.look()
        assert threading.active_count() == threads
        one.heal("hang")
        await one.until(lambda seen: states(seen) == ["Healthy"] * 8)


async def test_a_driver_that_hangs_from_the_start_is_opened_when_it_answers() -> None:
    one = Watched("l40s_x4", CALL_S)
    one.break_it("hang")
    task = asyncio.create_task(one.agent.look())
    await asyncio.sleep(0)
    one.heal("hang")
    assert len((await asyncio.wait_for(task, WAIT_S)).devices) == 4
    await one.agent.close()


async def test_a_driver_that_goes_away_leaves_the_gpus_unknown_and_is_opened_again() -> None:
    async with watched() as one:
        one.break_it("driver")
        seen = await one.look()
        assert states(seen) == ["Unknown"] * 8
        assert "the driver cannot be reached" in said(seen.devices[0])
        assert [each.field for each in seen.unread] == ["devices"]
        opened = one.calls.count(("open", ""))
        await one.look()
        assert one.calls.count(("open", "DRIVER_GONE")) == 0, "it waits before it tries again"
        one.heal("driver")
        await one.until(lambda seen: states(seen) == ["Healthy"] * 8)
        assert one.calls.count(("open", "")) == opened + 1


async def test_pauses_before_the_driver_is_asked_again_grow() -> None:
    async with watched() as one:
        one.break_it("driver")
        tries: list[float] = []
        await one.look()
        while one.now_s < 300:
            one.now_s += 0.5
            before = len(one.calls)
            await one.look()
            if ("open", "DRIVER_GONE") in one.calls[before:]:
                tries.append(one.now_s)
        gaps = [b - a for a, b in itertools.pairwise(tries)]
        assert gaps[0] < 5
        assert 40 < max(gaps) < 80
        assert len(tries) < 15


async def test_a_node_without_a_driver_has_no_gpus_and_says_why() -> None:
    agent = Agent(FixtureBackend("hgx_h100", faults=[parse_fault("driver")]))
    seen = report(await agent.look())
    assert seen.devices == ()
    assert [(each.field, each.reason) for each in seen.unread] == [
        ("devices", "the driver cannot be reached: the driver is not loaded")
    ]
    await agent.close()


@pytest.mark.long
async def test_an_error_lasts_until_the_gpu_was_lost_and_came_back() -> None:
    async with watched(listening=True) as one:
        one.break_it("xid:4=79")
        seen = await one.until(lambda seen: states(seen)[4] == "Unhealthy")
        assert said(seen.devices[4]) == "Xid 79, and no reset since: the GPU fell off the bus"
        assert seen.devices[4].health.xids == (79,)
        one.heal("xid:4=79")
        assert states(await one.look())[4] == "Unhealthy"
        one.break_it("lost:4")
        await one.look()
        one.heal("lost:4")
        assert states(await one.look()) == ["Healthy"] * 8


@pytest.mark.long
async def test_an_error_wakes_whoever_waits_for_the_next_look() -> None:
    async with watched(listening=True) as one:
        one.break_it("xid:2=48")
        await asyncio.wait_for(one.agent.woken.wait(), WAIT_S)
        assert list(one.agent.errors) == [(slots(one.backend)[2].uuid, 48)]


@pytest.mark.long
async def test_a_driver_that_starts_anew_has_forgiven_errors() -> None:
    async with watched(listening=True) as one:
        one.break_it("xid:4=79")
        await one.until(lambda seen: states(seen)[4] == "Unhealthy")
        one.heal("xid:4=79")
        one.break_it("driver")
        await one.until(lambda seen: states(seen)[0] == "Unknown")
        one.heal("driver")
        await one.until(lambda seen: states(seen) == ["Healthy"] * 8)


@pytest.mark.long
async def test_a_gpu_whose_errors_cannot_be_heard_says_so() -> None:
    async with watched() as one:
        one.break_it("unwatched:1")
        listener = asyncio.create_task(one.agent.listen())
        seen = await one.until(lambda seen: bool(seen.devices[1].unread))
        listener.cancel()
    assert [each.index for each in seen.devices if each.unread] == [1]


async def test_slices_that_are_made_and_removed_are_seen() -> None:
    async with watched("dgx_a100") as one:
        one.backend.divide(2, [Placed(gpu=2, profile="3g.40gb", start=4)])
        made = (await one.look()).devices[2]
        assert made.mig_mode == "Enabled"
        assert [each.start for each in made.mig_instances or ()] == [4]
        one.backend.divide(2, None)
        assert (await one.look()).devices[2].mig_mode == "Disabled"


async def test_a_driver_that_counts_otherwise_changes_nothing() -> None:
    async with watched("dgx1_v100") as one:
        before = await one.look()
        one.backend.reindex([7, 6, 5, 4, 3, 2, 1, 0])
        assert await one.look() == before


async def test_one_look_more_asks_nothing_that_does_not_change() -> None:
    async with watched() as one:
        one.calls.clear()
        await one.look()
        assert sorted(call for call, _ in one.calls) == ["count", *["slot"] * 8, *["state"] * 8]


@pytest.mark.long
async def test_errors_and_lost_gpus_of_an_earlier_run_are_remembered() -> None:
    async with watched(listening=True) as one:
        one.break_it("xid:4=79")
        earlier = await one.until(lambda seen: states(seen)[4] == "Unhealthy")
    agent = Agent(FixtureBackend("hgx_h100", node="n", faults=[parse_fault("lost:1")]))
    agent.remember(restored(earlier))
    later = report(await agent.look())
    await agent.close()
    assert [each.uuid for each in later.devices] == [each.uuid for each in earlier.devices]
    assert states(later) == ["Healthy", "Unhealthy", "Healthy", "Healthy", "Unhealthy", "Healthy", "Healthy", "Healthy"]
    assert later.devices[1].model == earlier.devices[1].model
