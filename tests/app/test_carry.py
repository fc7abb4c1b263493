"""Carrying plans out against an API stand-in that keeps a log of the writes; the real one is in tests/cluster."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scheduler.app.allocations import NotGiven
from scheduler.app.carry import Bound, BrokenUp, Carry, CarryLimits, Member, Withdrawn
from scheduler.kube.api import ApiRefusedError, ApiUnreachableError, Response
from scheduler.kube.effects import Effects, PodRef
from scheduler.kube.http import Method
from scheduler.model.names import NodeName, PodUid, WorkloadKey

KEY = WorkloadKey("gang:ns/g")


class Log:
    """Answers every write with success unless `fail` raises, and remembers it as `what pod`."""

    def __init__(self, fail: Callable[[str], None] = lambda _: None) -> None:
        self.writes: list[str] = []
        self._fail = fail

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        await asyncio.sleep(0)
        name = path.split("/")[6]
        what = path.split("/")[7] if len(path.split("/")) > 7 else "pod"
        text = f"{method} {name} {what}"
        self._fail(text)
        self.writes.append(text)
        return Response(status=200, body=b'{"metadata":{"uid":"other"},"spec":{}}')


def carry_of(
    log: Log,
    count: int = 3,
    *,
    nominate: bool = True,
    timeout_s: float = 5.0,
    gated: bool = True,
    judged: bool = False,
    give: Callable[[], Awaitable[NotGiven | None]] | None = None,
) -> Carry:
    members = tuple(
        Member(
            ref=PodRef(uid=PodUid(f"u{i}"), namespace="ns", name=f"p{i}"),
            node=NodeName(f"n{i}"),
            gated=gated,
            nominated=None,
            judged=judged,
        )
        for i in range(count)
    )
    effects = Effects(log, may_write=lambda: True, concurrency=8, instance="test")
    limits = CarryLimits(nominate=nominate, arrival_timeout_s=timeout_s)
    return Carry(KEY, members, effects=effects, limits=limits, plan_name="1", scheduler_seen_s=lambda: 0.0, give=give)


async def arrivals(carry: Carry, *indexes: int) -> list[str | None]:
    return await asyncio.gather(*(carry.arrive(PodUid(f"u{i}"), NodeName(f"n{i}")) for i in indexes))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  the loop's own progress is what is waited for
            await asyncio.sleep(0)


async def test_all_nominations_come_before_any_gate_falls_and_all_arrive_before_any_bind() -> None:
    log = Log()
    carry = carry_of(log)
    run = asyncio.ensure_future(carry.run())
    await until(lambda: len(log.writes) == 6)
    assert [w.split()[2] for w in log.writes] == ["status"] * 3 + ["pod"] * 3
    first = asyncio.ensure_future(arrivals(carry, 0, 1))
    await until(lambda: carry.barrier.arrived == 2)
    assert len(log.writes) == 6
    assert await arrivals(carry, 2) == [None]
    assert await first == [None, None]
    ended = await run
    assert isinstance(ended, Bound)
    assert sorted(w for w in log.writes if w.endswith("binding")) == [f"POST p{i} binding" for i in range(3)]
    assert ended.held_s[0] >= ended.held_s[1] > ended.held_s[2] >= 0
    assert ended.spread_s > 0


async def test_no_gate_falls_before_the_members_claims_have_their_devices() -> None:
    log, given = Log(), asyncio.Event()

    async def give() -> None:
        await given.wait()

    carry = carry_of(log, nominate=False, give=give)
    run = asyncio.ensure_future(carry.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert log.writes == []
    given.set()
    await until(lambda: len(log.writes) == 3)
    assert await arrivals(carry, 0, 1, 2) == [None] * 3
    assert isinstance(await run, Bound)


async def test_a_plan_whose_claims_do_not_get_their_devices_lets_nobody_go() -> None:
    log = Log()

    async def give() -> NotGiven:
        return NotGiven(why="claim ns/c: no right", nodes=(NodeName("n1"),))

    assert await carry_of(log, give=give).run() == Withdrawn(why="claim ns/c: no right", refused=(NodeName("n1"),))
    assert log.writes == []


async def test_without_nominations_gates_fall_at_once() -> None:
    log = Log()
    carry = carry_of(log, nominate=False)
    run = asyncio.ensure_future(carry.run())
    await until(lambda: len(log.writes) == 3)
    assert await arrivals(carry, 0, 1, 2) == [None] * 3
    assert isinstance(await run, Bound)
    assert not [w for w in log.writes if w.endswith("status")]


async def test_a_withdrawn_plan_binds_nobody_and_tells_those_who_wait() -> None:
    log = Log()
    carry = carry_of(log)
    run = asyncio.ensure_future(carry.run())
    held = asyncio.ensure_future(arrivals(carry, 0, 1))
    await until(lambda: carry.barrier.arrived == 2)
    carry.withdraw("node n2 was deleted", NodeName("n2"))
    assert await run == Withdrawn(why="node n2 was deleted", refused=(NodeName("n2"),))
    answers = await held
    assert all(a is not None and "node n2 was deleted" in a for a in answers)
    late = await arrivals(carry, 2)
    assert late[0] is not None
    assert not [w for w in log.writes if w.endswith("binding")]


async def test_members_that_never_come_end_the_plan_and_name_their_nodes() -> None:
    carry = carry_of(Log(), timeout_s=0.2)
    run = asyncio.ensure_future(carry.run())
    held = asyncio.ensure_future(arrivals(carry, 0))
    assert await run == Withdrawn(
        why="2 of 3 members did not arrive to be bound", refused=(NodeName("n1"), NodeName("n2"))
    )
    assert await held != [None]


async def test_a_caller_that_hangs_up_has_not_arrived() -> None:
    carry = carry_of(Log())
    run = asyncio.ensure_future(carry.run())
    gone = asyncio.ensure_future(arrivals(carry, 0))
    await until(lambda: carry.barrier.arrived == 1)
    gone.cancel()
    await until(lambda: carry.barrier.arrived == 0)
    assert carry.first_arrival_s is None
    assert await arrivals(carry, 1, 2, 0) == [None] * 3
    assert isinstance(await run, Bound)


async def test_a_bind_that_fails_for_good_is_reported_and_the_others_stand() -> None:
    def fail(write: str) -> None:
        if write == "POST p1 binding":
            raise ApiRefusedError(status=404, reason="NotFound", message="pod is gone")

    carry = carry_of(Log(fail))
    run = asyncio.ensure_future(carry.run())
    assert [a is None for a in await arrivals(carry, 0, 1, 2)] == [True, False, True]
    result = await run
    assert isinstance(result, BrokenUp)
    assert result.failed == (PodUid("u1"),)


@pytest.mark.parametrize(
    "error",
    [
        ApiUnreachableError("no answer"),
        ApiRefusedError(status=429, reason="TooManyRequests", message="slow down"),
        ApiRefusedError(status=500, reason="InternalError", message="etcd is away"),
    ],
)
async def test_passing_failures_are_overcome(error: Exception) -> None:
    seen: set[str] = set()

    def fail(write: str) -> None:
        if write not in seen:
            seen.add(write)
            raise error

    carry = carry_of(Log(fail))
    run = asyncio.ensure_future(carry.run())
    assert await arrivals(carry, 0, 1, 2) == [None] * 3
    assert isinstance(await run, Bound)


@pytest.mark.long
async def test_members_that_a_silent_scheduler_was_not_woken_for_are_woken_again() -> None:
    log = Log()
    carry = carry_of(log, nominate=False, timeout_s=0.1)
    run = asyncio.ensure_future(carry.run())
    await until(lambda: len(log.writes) > 6)
    assert await arrivals(carry, 0, 1, 2) == [None] * 3
    assert isinstance(await run, Bound)


async def test_a_refused_ungating_withdraws_the_plan() -> None:
    def fail(write: str) -> None:
        if write == "PATCH p1 pod":
            raise ApiRefusedError(status=422, reason="Invalid", message="no right to patch pods")

    carry = carry_of(Log(fail))
    result = await carry.run()
    assert isinstance(result, Withdrawn)
    assert "no right to patch pods" in result.why


async def test_a_leader_without_lease_writes_nothing() -> None:
    log = Log()
    members = (
        Member(ref=PodRef(uid=PodUid("u"), namespace="ns", name="p"), node=NodeName("n"), gated=True, nominated=None),
    )
    effects = Effects(log, may_write=lambda: False, concurrency=1, instance="test")
    limits = CarryLimits(nominate=True, arrival_timeout_s=1.0)
    carry = Carry(KEY, members, effects=effects, limits=limits, plan_name="1", scheduler_seen_s=lambda: 0.0)
    assert isinstance(await carry.run(), Withdrawn)
    assert log.writes == []


async def test_a_refused_member_is_tried_once_more_and_may_come_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.app.carry.ASK_AGAIN_S", 0.0)
    log = Log()
    carry = carry_of(log, nominate=False)
    run = asyncio.ensure_future(carry.run())
    await until(lambda: len(log.writes) == 3)
    carry.refuse(PodUid("u1"))
    carry.refuse(PodUid("u1"))
    await until(lambda: len(log.writes) == 4)
    assert log.writes[-1] == "PATCH p1 pod"
    assert await arrivals(carry, 0, 1, 2) == [None] * 3
    assert isinstance(await run, Bound)


async def test_a_second_refusal_ends_the_plan_and_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.app.carry.ASK_AGAIN_S", 0.0)
    log = Log()
    carry = carry_of(log, nominate=False)
    run = asyncio.ensure_future(carry.run())
    await until(lambda: len(log.writes) == 3)
    carry.refuse(PodUid("u1"))
    await until(lambda: len(log.writes) == 4)
    carry.refuse(PodUid("u1"))
    assert await run == Withdrawn(why="kube-scheduler refused n1", refused=(NodeName("n1"),))


async def test_a_refused_member_that_stays_away_ends_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.app.carry.ASK_AGAIN_S", 0.0)
    monkeypatch.setattr("scheduler.app.carry.DOUBT_S", 0.05)
    carry = carry_of(Log(), nominate=False)
    run = asyncio.ensure_future(carry.run())
    carry.refuse(PodUid("u1"))
    assert await run == Withdrawn(why="kube-scheduler refused n1", refused=(NodeName("n1"),))


async def test_while_kube_scheduler_is_silent_a_plan_stands_but_not_for_members_it_has_judged() -> None:
    silent = asyncio.ensure_future(carry_of(Log(), timeout_s=0.1).run())
    judged = carry_of(Log(), timeout_s=0.1, judged=True)
    assert await judged.run() == Withdrawn(
        why="3 of 3 members did not arrive to be bound", refused=(NodeName("n0"), NodeName("n1"), NodeName("n2"))
    )
    assert not silent.done()
    silent.cancel()
