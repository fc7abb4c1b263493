"""Claims on the room of running work, against an API server that answers as it is told."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from scheduler.app.board import Board
from scheduler.app.claims import Claims
from scheduler.app.commit import Clocks, CommitLimits, Committer
from scheduler.app.evictions import Evictions
from scheduler.app.grace import Grace
from scheduler.app.losses import REMEMBERED_S
from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.effects import Effects
from scheduler.kube.http import Method
from scheduler.kube.translate_eviction import ToldEviction
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey, pod_key
from scheduler.model.node import Node
from scheduler.model.plan import Assignment, Placement, Reason, Reclaim, Victim, Wait
from scheduler.model.queue import Queue
from scheduler.model.resources import Resources
from scheduler.model.workload import GangClaim, Pod, PodShape
from scheduler.state.audit import inconsistencies, violations
from scheduler.state.cluster import ClusterState
from scheduler.state.events import NodeSeen, PodGone, PodSeen, QueueSeen
from scheduler.telemetry import Telemetry

OWNER, GUEST, NODES = pod_key("ns", "owner"), WorkloadKey("gang:ns/guest"), ("n0", "n1")
SHAPE = PodShape(requests=Resources(pods=1, extended=(("nvidia.com/gpu", 8),)))
NOW_S = 1000


class Api:
    """Takes every write but those for which `refuse` has a status; remembers them in order."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.refuse: Callable[[str], int | None] = lambda _: None

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        await asyncio.sleep(0)
        if method == "GET":
            return Response(status=200, body=b'{"items": []}')
        write = f"{path.rpartition('/pods/')[2]} {(body or b'').decode()}"
        if (status := self.refuse(write)) is not None:
            raise ApiRefusedError(status, "", "no")
        self.writes.append(write)
        return Response(status=201, body=b"{}")

    def kinds(self) -> list[str]:
        """The writes on pods, by what they are for."""
        signs = {"dryRun": "try", "/eviction": "evict", "MakesWay": "mark", "checkpoint-requested": "ask"}
        found = [next((kind for sign, kind in signs.items() if sign in write), "") for write in self.writes]
        return [kind for kind, write in zip(found, self.writes, strict=True) if kind and "/events" not in write]


def guest(index: int) -> Pod:
    return Pod(
        uid=PodUid(f"guest{index}"),
        namespace="ns",
        name=f"guest{index}",
        shape=SHAPE,
        managed=True,
        gang=GangClaim(name="guest", size=2),
        queue=QueueName("q"),
        node=NodeName(NODES[index]),
    )


class Scene:
    """Two full nodes, and a claim on the second."""

    def __init__(self, grace_s: int = 0) -> None:
        self.api, self.state, self.telemetry = Api(), ClusterState(), Telemetry()
        room = Resources(pods=10, extended=(("nvidia.com/gpu", 8),))
        for index, name in enumerate(NODES):
            self.state.apply(NodeSeen(node=Node(name=NodeName(name), allocatable=room)))
            self.state.apply(PodSeen(pod=guest(index)))
        owner = Pod(uid=PodUid("owner"), namespace="ns", name="owner", shape=SHAPE, managed=True, gated=True)
        self.state.apply(PodSeen(pod=msgspec.structs.replace(owner, queue=QueueName("q"))))
        self.state.apply(QueueSeen(queue=Queue(name=QueueName("q"))))
        effects = Effects(self.api, may_write=lambda: True, concurrency=8, instance="test")
        self.now_s = NOW_S
        self.committer = Committer(
            effects=effects,
            board=Board(),
            limits=CommitLimits(arrival_timeout_s=60.0, refusal_memory_s=60.0, offer_timeout_s=60.0),
            state=self.state,
            clocks=Clocks(now_s=lambda: self.now_s, scheduler_seen_s=lambda: 0.0),
            wake=lambda: None,
        )
        evictions = Evictions(self.api, effects, self.telemetry, lambda: None)
        self.claims = Claims(
            grace=Grace(effects=effects, length_s=grace_s, now_s=lambda: self.now_s, pod_of=self.state.pod),
            evictions=evictions,
            committer=self.committer,
            state=self.state,
            telemetry=self.telemetry,
            now_s=lambda: self.now_s,
            wake=lambda: None,
        )

    def begin(self) -> None:
        victim = Victim(
            workload=GUEST,
            queue=QueueName("q"),
            pods=(PodUid("guest0"), PodUid("guest1")),
            cost_gpu_seconds=7,
            why="preempt",
        )
        decision = Reclaim(
            workload=OWNER,
            queue=QueueName("q"),
            placement=Placement(assignments=(Assignment(pod=PodUid("owner"), node=NodeName("n1")),)),
            victims=(victim,),
        )
        self.claims.begin(decision, self.state.snapshot().workloads[OWNER], nominate=False, plan_name="1")

    def see(self, pod: Pod) -> None:
        self.state.apply(PodSeen(pod=pod))
        self.claims.pod_seen(pod)

    def gone(self, uid: str) -> None:
        self.state.apply(PodGone(uid=PodUid(uid)))
        self.claims.pod_gone(PodUid(uid))

    def holds(self) -> None:
        assert violations(self.state.snapshot()) == []
        assert inconsistencies(self.state) == []

    @property
    def waits(self) -> bool:
        """Whether the owner's room is being cleared."""
        flight = self.state.snapshot().in_flight.get(OWNER)
        return flight is not None and bool(flight.leaving)

    def reason(self) -> Reason | None:
        wait = self.claims.told(self.state.snapshot(), {}).get(OWNER)
        return None if wait is None else wait.reason


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  the loop's own progress is what is waited for
            await asyncio.sleep(0)


async def test_victims_are_tried_and_marked_before_any_is_evicted_and_the_room_is_held_until_they_are_gone() -> None:
    scene = Scene()
    scene.begin()
    assert scene.state.snapshot().workloads[GUEST].placed == ()
    scene.holds()
    await until(lambda: scene.api.kinds().count("evict") == 2)
    assert scene.api.kinds() == ["try"] * 2 + ["mark"] * 2 + ["evict"] * 2
    assert scene.reason() is Reason.MAKING_ROOM
    scene.gone("guest0")
    scene.holds()
    assert scene.waits
    scene.gone("guest1")
    await until(lambda: not scene.waits)
    assert OWNER in scene.state.snapshot().in_flight
    scene.holds()
    await scene.committer.stop()


async def test_nobody_is_evicted_where_one_cannot_be_and_its_workload_is_left_alone_for_a_while() -> None:
    scene = Scene()
    scene.api.refuse = lambda write: 429 if write.startswith("guest1/eviction") else None
    scene.begin()
    await until(lambda: not scene.waits)
    assert scene.api.kinds() == ["try"]
    assert scene.state.snapshot().workloads[GUEST].kept
    assert len(scene.state.snapshot().workloads[GUEST].placed) == 2
    scene.holds()


async def test_a_claim_ends_when_what_was_to_start_is_deleted_and_victims_that_stand_are_told_that_they_stay() -> None:
    scene = Scene(grace_s=60)
    scene.begin()
    await until(lambda: scene.api.kinds().count("ask") == 2)
    for index in range(2):
        scene.see(msgspec.structs.replace(guest(index), makes_way=True))
    scene.gone("owner")
    await until(lambda: not scene.waits)
    assert "evict" not in scene.api.kinds()
    scene.api.writes.clear()

    def marks() -> list[str]:
        return [write for write in scene.api.writes if '"type":"bayplan.dev/MakesWay"' in write]

    def told() -> bool:
        scene.claims.planned(scene.state.snapshot())
        return {write.partition("/")[0] for write in marks()} == {"guest0", "guest1"}

    await until(told)
    assert all('"status":"False"' in write for write in marks())
    await scene.claims.stop()
    scene.holds()


async def test_victims_leave_when_all_have_saved_their_work() -> None:
    scene = Scene(grace_s=60)
    scene.begin()
    await until(lambda: scene.api.kinds().count("ask") == 2)
    scene.see(msgspec.structs.replace(guest(0), checkpointed_s=NOW_S))
    scene.see(msgspec.structs.replace(guest(1), checkpointed_s=NOW_S - 1))
    assert "evict" not in scene.api.kinds()
    scene.see(msgspec.structs.replace(guest(1), checkpointed_s=NOW_S))
    await until(lambda: scene.api.kinds().count("evict") == 2)
    await scene.claims.stop()
    assert not scene.waits


@pytest.mark.parametrize(("makes_way", "asks"), [(True, 0), (False, 2)])
async def test_time_that_was_given_by_an_earlier_leader_counts(*, makes_way: bool, asks: int) -> None:
    scene = Scene(grace_s=60)
    for index in range(2):
        scene.see(msgspec.structs.replace(guest(index), makes_way=makes_way, asked_to_save_s=NOW_S - 60))
    scene.begin()
    await until(lambda: scene.api.kinds().count("ask" if asks else "evict") == 2)
    assert scene.api.kinds().count("ask") == asks
    await scene.claims.stop()


@pytest.mark.parametrize(("own", "above", "asks"), [(60, None, 2), (None, 60, 2), (0, 60, 0), (None, None, 0)], ids=str)
async def test_the_queue_says_how_long_its_pods_have_or_the_one_above_it_does(
    own: int | None, above: int | None, asks: int
) -> None:
    scene = Scene()
    org = QueueName("org")
    scene.state.apply(QueueSeen(queue=Queue(name=org, eviction_grace_s=above)))
    scene.state.apply(QueueSeen(queue=Queue(name=QueueName("q"), parent=org, eviction_grace_s=own)))
    scene.begin()
    await until(lambda: scene.api.kinds().count("ask" if asks else "evict") == 2)
    assert scene.api.kinds().count("ask") == asks
    if asks:
        assert "evict" not in scene.api.kinds()
        scene.now_s += 60
        await until(lambda: scene.api.kinds().count("evict") == 2)
    await scene.claims.stop()


async def test_who_comes_back_is_told_why_it_left_by_this_leader_and_by_the_next() -> None:
    told: list[str] = []
    for recalled in (False, True):
        scene = Scene()
        if recalled:
            scene.claims.losses.recall([ToldEviction(workload=GUEST, text="2 pods evicted for it", at_s=NOW_S)])
        else:
            scene.begin()
            await until(lambda s=scene: s.api.kinds().count("evict") == 2)
        for index in range(2):
            scene.gone(f"guest{index}")
        await until(lambda s=scene: not s.waits)
        for index in range(2):
            scene.see(msgspec.structs.replace(guest(index), uid=PodUid(f"again{index}"), node=None))
        waits = {GUEST: Wait(workload=GUEST, reason=Reason.FRAGMENTED, message="", detail="no room")}
        told.append(scene.claims.told(scene.state.snapshot(), waits)[GUEST].detail)
        scene.now_s += REMEMBERED_S + 1
        assert scene.claims.told(scene.state.snapshot(), waits)[GUEST].detail == "no room"
        await scene.committer.stop()
    assert told[0].startswith("no room; 2 pods evicted for ns/owner of queue q")
    assert told[1] == "no room; 2 pods evicted for it"


async def test_a_pod_that_leaves_says_why_to_whoever_did_not_evict_it() -> None:
    scene = Scene()
    leaves = {"makes_way": True, "leaves_why": "for a/b", "deleting": True}
    for index in range(2):
        scene.see(msgspec.structs.replace(guest(index), **leaves))
        scene.gone(f"guest{index}")
        scene.see(msgspec.structs.replace(guest(index), uid=PodUid(f"again{index}"), node=None))
    waits = {GUEST: Wait(workload=GUEST, reason=Reason.FRAGMENTED, message="")}
    assert scene.claims.told(scene.state.snapshot(), waits)[GUEST].detail == "for a/b"


async def test_room_that_becomes_free_while_victims_save_their_work_has_the_claim_decided_anew() -> None:
    scene = Scene(grace_s=60)
    scene.begin()
    await until(lambda: scene.api.kinds().count("ask") == 2)
    scene.claims.pod_gone(PodUid("somebody"))
    assert scene.waits
    scene.claims.look()
    await until(lambda: not scene.waits)
    assert "evict" not in scene.api.kinds()
    assert len(scene.state.snapshot().workloads[GUEST].placed) == 2
