"""What pods are told, against an API stand-in that keeps a log of the writes."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from scheduler.app.teller import PLANNED, Teller
from scheduler.kube.api import Response
from scheduler.kube.effects import Effects
from scheduler.kube.http import Method
from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.plan import Reason, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.state.cluster import ClusterState

KEY = WorkloadKey("gang:ns/g")


class Log:
    """Answers every write with success and remembers its body."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str]] = []

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        self.writes.append((path, (body or b"").decode()))
        return Response(status=200, body=b"{}")

    def conditions(self) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        for path, body in self.writes:
            if '"conditions"' in body:
                conditions = json.loads(body)["status"]["conditions"]
                found += [(path.split("/")[6], c["status"], c["reason"]) for c in conditions]
        return found

    def events(self) -> list[str]:
        return [json.loads(body)["note"] for path, body in self.writes if path.endswith("/events")]


def waiting(*pods: Pod) -> Snapshot:
    workload = Workload(
        key=KEY, is_gang=True, queue=None, size=2, min_member=2, priority=0, created_s=0, members=tuple(pods)
    )
    empty = ClusterState().snapshot()
    return Snapshot(generation=1, static_generation=1, nodes={}, columns=empty.columns, workloads={KEY: workload})


def pod(name: str, told: tuple[str, str] | None = None, nominated: str | None = None) -> Pod:
    node = NodeName(nominated) if nominated is not None else None
    return Pod(uid=PodUid(name), namespace="ns", name=name, managed=True, told=told, nominated_node=node)


def wait(message: str = "the quota is used up") -> Wait:
    return Wait(workload=KEY, reason=Reason.QUOTA_EXHAUSTED, message=message, unblock="raise the quota")


async def told(steps: Callable[[Teller], None], enough: Callable[[Log], bool], *, settle_s: float = 0.0) -> Log:
    log = Log()
    effects = Effects(log, may_write=lambda: True, concurrency=4, instance="test")
    teller = Teller(effects, settle_s=settle_s, leading=lambda: True)
    steps(teller)
    run = asyncio.ensure_future(teller.run())
    try:
        async with asyncio.timeout(5):
            while not enough(log):  # noqa: ASYNC110  the log fills as the loop turns
                await asyncio.sleep(0.01)
    finally:
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
    return log


async def test_every_waiting_pod_gets_the_reason_and_the_gang_one_event() -> None:
    log = await told(lambda t: t.decided(waiting(pod("a"), pod("b")), {KEY: wait()}), lambda log: len(log.writes) == 3)
    assert log.conditions() == [("a", "False", "QuotaExhausted"), ("b", "False", "QuotaExhausted")]
    assert log.events() == ["the quota is used up; raise the quota"]


async def test_what_stands_already_is_not_written_again() -> None:
    said = ("QuotaExhausted", "the quota is used up")
    log = await told(
        lambda t: t.decided(waiting(pod("a", told=said), pod("b")), {KEY: wait()}), lambda log: bool(log.events())
    )
    assert log.conditions() == [("b", "False", "QuotaExhausted")]


async def test_a_nomination_without_a_plan_is_cleared() -> None:
    log = await told(
        lambda t: t.decided(waiting(pod("a", nominated="n1")), {KEY: wait()}), lambda log: bool(log.events())
    )
    cleared = [json.loads(body)["status"] for _, body in log.writes if "nominatedNodeName" in body]
    assert cleared == [{"nominatedNodeName": None}]


async def test_a_placed_pod_is_told_that_its_wait_is_over() -> None:
    def steps(teller: Teller) -> None:
        teller.decided(waiting(pod("a")), {KEY: wait()})
        teller.placed(pod("a", told=("QuotaExhausted", "the quota is used up")))
        teller.decided(waiting(), {})

    log = await told(steps, lambda log: bool(log.conditions()))
    assert log.conditions() == [("a", "True", PLANNED)]
    assert log.events() == []


async def test_a_reason_that_passes_is_never_written() -> None:
    def steps(teller: Teller) -> None:
        teller.decided(waiting(pod("a")), {KEY: wait("passing")})
        teller.decided(waiting(), {})
        teller.placed(pod("b", told=("GangIncomplete", "1 of 2 pods are there")))

    log = await told(steps, lambda log: bool(log.conditions()), settle_s=0.2)
    assert log.conditions() == [("b", "True", PLANNED)]
