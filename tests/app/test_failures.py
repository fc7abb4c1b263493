"""What is told of work on failing GPUs and nodes, and what is evicted, against a stand-in for the API server."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from msgspec.structs import replace

from scheduler.app import failures
from scheduler.app.evictions import Evictions
from scheduler.app.failures import Failures
from scheduler.app.grace import Grace
from scheduler.app.losses import Losses
from scheduler.app.replans import FIRST_PAUSE_S, Replans
from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.effects import Effects
from scheduler.kube.http import Method
from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.plan import Plan, RollBack
from scheduler.planning.reasons.failing import Cause
from scheduler.state.cluster import ClusterState
from scheduler.state.events import PodGone
from scheduler.telemetry import Telemetry
from tests.state.build import Thing, event_of, node, pod, queue, report, state_of


class Api:
    """Takes every write but those for which `refuse` has a status; remembers them in order."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, Any]] = []
        self.refuse: Callable[[str], int | None] = lambda _: None

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        await asyncio.sleep(0)
        if method == "GET":
            return Response(status=200, body=b'{"items": []}')
        if (status := self.refuse(path)) is not None:
            raise ApiRefusedError(status, "", "no")
        self.writes.append((method, path, json.loads(body or b"{}")))
        return Response(status=201, body=b"{}")

    @property
    def conditions(self) -> list[tuple[str, str, str, str]]:
        """Pod, type, status and reason of every condition written."""
        return [
            (path.split("/")[-2], c["type"].partition("/")[2], c["status"], c["reason"])
            for _, path, body in self.writes
            for c in body.get("status", {}).get("conditions", [])
        ]

    @property
    def events(self) -> list[tuple[str, str, str]]:
        """Pod, reason and text of every event."""
        return [
            (body["regarding"]["name"], str(body["reason"]), str(body["note"]))
            for _, path, body in self.writes
            if path.endswith("/events")
        ]

    @property
    def evicted(self) -> list[str]:
        return sorted(path.split("/")[-2] for _, path, _ in self.writes if path.endswith("/eviction"))

    @property
    def tried(self) -> list[str]:
        return sorted(path.split("/")[-2] for _, path, _ in self.writes if path.endswith("/eviction?dryRun=All"))


def gang_of_two(**more: object) -> ClusterState:
    """Members x on n1 and y on n2, each with GPUs 0 and 1 of its node."""
    return state_of(
        node("n1"),
        node("n2"),
        queue("default"),
        *(
            replace(pod(name, gpus=2, gang="g", size=2, queue=QueueName("default"), **more), node=NodeName(at))
            for name, at in (("x", "n1"), ("y", "n2"))
        ),
        report("n1", x=(0, 1)),
        report("n2", y=(0, 1)),
    )


class Scene:
    def __init__(self, state: ClusterState, *, replan: bool) -> None:
        self.api, self.state, self.losses, self.now_s = Api(), state, Losses(), 1000
        effects = Effects(self.api, may_write=lambda: True, concurrency=8, instance="test")
        self.evictions = Evictions(self.api, effects, Telemetry(), lambda: None)
        self.replans = Replans(
            grace=Grace(effects=effects, length_s=0, now_s=lambda: self.now_s, pod_of=state.pod),
            evictions=self.evictions,
            state=state,
            losses=self.losses,
            now_s=lambda: self.now_s,
        )
        self.failures = Failures(effects, state, self.replans if replan else None, leading=lambda: True)

    def apply(self, *things: Thing) -> None:
        for thing in things:
            self.state.apply(event_of(thing))
        snapshot = self.state.snapshot()
        self.failures.planned(snapshot, Plan(generation=snapshot.generation))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.ensure_future(self.failures.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.replans.stop()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110  what is waited for tells nobody
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "LOOK_PERIOD_S", 0.0)
    monkeypatch.setattr(failures, "SETTLE_S", {Cause.UNHEALTHY: 0.0, Cause.NODE_NOT_READY: 0.0})


async def test_a_gang_on_a_broken_gpu_is_told_once_and_told_again_when_that_is_over() -> None:
    scene = Scene(gang_of_two(), replan=False)
    async with scene.running():
        scene.apply(report("n2", sick=(1,), y=(0, 1)))
        await scene.until(lambda: len(scene.api.conditions) == 1)
        # It goes on looking, and has nothing more to say.
        await asyncio.sleep(0.05)
        assert scene.api.conditions == [("y", "OnFailingDevice", "True", "DeviceUnhealthy")]
        ((about, reason, note),) = scene.api.events
        assert (about, reason) == ("y", "DeviceUnhealthy")
        assert note == (
            "y: GPU 1 (GPU-1) of n2 is not healthy; a/g is left where it is; whoever deletes its pods has it planned "
            "elsewhere"
        )
        assert scene.api.evicted == []
        scene.apply(report("n2", y=(0, 1)))
        await scene.until(lambda: len(scene.api.conditions) == 2)
        assert scene.api.conditions[1] == ("y", "OnFailingDevice", "False", "Recovered")


async def test_every_pod_of_a_large_gang_on_what_fails_is_told() -> None:
    uids = [f"x{i:02}" for i in range(12)]
    members = (pod(uid, gpus=1, gang="g", size=12, queue=QueueName("default")) for uid in uids)
    standing = (replace(member, node=NodeName("n1")) for member in members)
    scene = Scene(state_of(node("n1", gpus=16), queue("default"), *standing), replan=False)
    async with scene.running():
        scene.apply(node("n1", gpus=16, ready=False))
        await scene.until(lambda: len(scene.api.conditions) == len(uids))
    assert sorted(name for name, *_ in scene.api.conditions) == uids


async def test_what_lasts_a_moment_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "SETTLE_S", {Cause.UNHEALTHY: 3600.0, Cause.NODE_NOT_READY: 3600.0})
    scene = Scene(gang_of_two(), replan=True)
    async with scene.running():
        scene.apply(report("n2", sick=(1,), y=(0, 1)), node("n1", ready=False))
        await asyncio.sleep(0.05)
    assert scene.api.writes == []


async def test_by_policy_the_gang_is_marked_and_evicted_whole() -> None:
    scene = Scene(gang_of_two(), replan=True)
    async with scene.running():
        scene.apply(node("n1", ready=False))
        await scene.until(lambda: scene.api.evicted == ["x", "y"])
        await asyncio.sleep(0.05)
        # They count as leaving until they are gone, so that nobody tells them that they stay.
        assert all(scene.evictions.under_way(PodUid(uid)) for uid in ("x", "y"))
    kinds = [(kind, status) for _, kind, status, _ in scene.api.conditions]
    assert kinds == [("OnFailingDevice", "True"), ("MakesWay", "True"), ("MakesWay", "True")]
    marks = [at for at, (_, path, _) in enumerate(scene.api.writes) if path.endswith("/status")]
    evictions = [at for at, (_, path, _) in enumerate(scene.api.writes) if path.endswith("/eviction")]
    tries = [at for at, (_, path, _) in enumerate(scene.api.writes) if "dryRun" in path]
    assert max(tries) < max(marks) < min(evictions)
    said = {text for _, reason, text in scene.api.events if reason == "OnFailingDevice"}
    assert said == {"2 pods of a/g evicted to be planned elsewhere: x stands on n1, which is not ready"}


async def test_a_plan_that_sees_half_of_it_gone_evicts_nobody_a_second_time() -> None:
    scene = Scene(gang_of_two(), replan=True)
    async with scene.running():
        scene.apply(node("n1", ready=False))
        await scene.until(lambda: scene.api.evicted == ["x", "y"])
        scene.apply(PodGone(uid=PodUid("y")))
        (left,) = scene.state.snapshot().workloads.values()
        scene.evictions.roll_back(RollBack(workload=left.key, evict=(PodUid("x"),), why="the others left"), left)
        await asyncio.sleep(0.05)
    assert scene.api.evicted == ["x", "y"]
    assert "RolledBack" not in {reason for _, reason, _ in scene.api.events}


async def test_nobody_is_evicted_where_one_may_not_be_and_that_is_tried_again_later() -> None:
    scene = Scene(gang_of_two(), replan=True)
    scene.api.refuse = lambda path: 429 if path.endswith("/y/eviction?dryRun=All") else None
    async with scene.running():
        scene.apply(report("n2", sick=(1,), y=(0, 1)))
        await scene.until(lambda: any("is not evicted" in note for _, _, note in scene.api.events))
        tried = len(scene.api.tried)
        await asyncio.sleep(0.05)
        assert len(scene.api.tried) == tried
        assert scene.api.evicted == []
        assert not scene.evictions.under_way(PodUid("x"))
        scene.api.refuse = lambda _: None
        scene.now_s += FIRST_PAUSE_S
        await scene.until(lambda: scene.api.evicted == ["x", "y"])


async def test_work_that_is_not_preemptible_is_only_told() -> None:
    scene = Scene(gang_of_two(preemptible=False), replan=True)
    async with scene.running():
        scene.apply(report("n2", sick=(1,), y=(0, 1)))
        await scene.until(lambda: len(scene.api.conditions) == 1)
        await asyncio.sleep(0.05)
    assert [note for _, _, note in scene.api.events] == [
        "y: GPU 1 (GPU-1) of n2 is not healthy; a/g is left where it is, since it may not be evicted"
    ]
    assert scene.api.tried == scene.api.evicted == []


async def test_a_suspect_gpu_is_no_reason_to_move() -> None:
    scene = Scene(gang_of_two(), replan=True)
    told = report("n2", y=(0, 1))
    async with scene.running():
        scene.apply(replace(told, devices=tuple(replace(d, suspect=True) for d in told.devices)))
        await asyncio.sleep(0.05)
    assert scene.api.writes == []


async def test_what_another_leader_told_is_taken_back_when_it_is_over() -> None:
    scene = Scene(gang_of_two(told_failing=True), replan=False)
    async with scene.running():
        scene.apply(report("n2", sick=(1,), y=(0, 1)))
        await scene.until(lambda: ("x", "OnFailingDevice", "False", "Recovered") in scene.api.conditions)
        scene.state.apply(PodGone(uid=PodUid("y")))
        scene.apply(report("n2"))
        await asyncio.sleep(0.05)
    assert ("y", "OnFailingDevice", "False", "Recovered") not in scene.api.conditions
