"""Plans on their way, and what happens to them when their pods change."""

import asyncio
from collections.abc import Collection

import msgspec
import pytest

from scheduler.app.allocations import Allocations
from scheduler.app.board import Board
from scheduler.app.carry import CarryResult, Withdrawn
from scheduler.app.commit import Clocks, CommitLimits, Committer
from scheduler.extender.guard import BindRequest
from scheduler.kube.api import Response
from scheduler.kube.effects import Effects
from scheduler.kube.effects_claims import Allocation, ClaimEffects
from scheduler.kube.http import Method
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Device, Node
from scheduler.model.plan import Admit, Assignment, Offer, Placement
from scheduler.model.queue import Queue
from scheduler.model.resources import Resources
from scheduler.model.workload import GangClaim, Pod, PodShape
from scheduler.state.cluster import ClusterState
from scheduler.state.events import DevicesSeen, NodeRefused, NodeSeen, PodGone, PodSeen, QueueSeen, Ticked
from scheduler.state.holders import Holders
from tests.state import build

KEY = WorkloadKey("gang:ns/g")
SHAPE = PodShape(requests=Resources(pods=1, extended=(("nvidia.com/gpu", 8),)))
PART = PodShape(requests=Resources(pods=1, extended=(("nvidia.com/gpu.shared", 1),)), share_milli=600)
DEVICES = tuple(Device(index=i) for i in range(8))


class Yes:
    """Takes every write."""

    async def request(
        self,
        method: Method,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> Response:
        await asyncio.sleep(0)
        return Response(status=200, body=b"{}")


def member(index: int, shape: PodShape = SHAPE) -> Pod:
    return Pod(
        uid=PodUid(f"u{index}"),
        namespace="ns",
        name=f"p{index}",
        shape=shape,
        managed=True,
        gated=True,
        gang=GangClaim(name="g", size=2),
        queue=QueueName("q"),
    )


class Desk:
    """A committer with a gang of two pods planned on two nodes."""

    def __init__(self, shape: PodShape = SHAPE) -> None:
        self.state = ClusterState()
        room = Resources(milli_cpu=8000, pods=10, extended=(("nvidia.com/gpu", 8),))
        for i in range(2):
            self.state.apply(NodeSeen(node=Node(name=NodeName(f"n{i}"), allocatable=room)))
            self.state.apply(DevicesSeen(node=NodeName(f"n{i}"), machine="", devices=DEVICES, shares_on_demand=True))
            self.state.apply(PodSeen(pod=member(i, shape)))
        self.state.apply(QueueSeen(queue=Queue(name=QueueName("q"))))
        self.ends: list[CarryResult] = []
        self.committer = Committer(
            effects=Effects(Yes(), may_write=lambda: True, concurrency=8, instance="test"),
            board=Board(),
            limits=CommitLimits(arrival_timeout_s=60.0, refusal_memory_s=60.0, offer_timeout_s=60.0),
            state=self.state,
            clocks=Clocks(now_s=lambda: 0, scheduler_seen_s=lambda: 0.0),
            wake=lambda: None,
            ended=lambda _key, result: self.ends.append(result),
        )
        self.admit()

    def admit(self) -> None:
        """Plan the gang on both nodes."""
        assignments = tuple(Assignment(pod=PodUid(f"u{i}"), node=NodeName(f"n{i}")) for i in range(2))
        workload = self.state.snapshot().workloads[KEY]
        decision = Admit(workload=KEY, placement=Placement(assignments=assignments))
        self.committer.admit(decision, workload, nominate=False, plan_name="1")

    async def refuse(self) -> None:
        """kube-scheduler would not take n1, when it was asked again either."""
        self.ends.clear()
        self.committer.node_refused(PodUid("u1"), NodeName("n1"))
        assert await self.end() == Withdrawn(why="kube-scheduler refused n1", refused=(NodeName("n1"),))

    def avoided_until_s(self) -> list[int]:
        return [fact.until_s for fact in self.state.facts() if isinstance(fact, NodeRefused)]

    def see(self, pod: Pod) -> None:
        self.state.apply(PodSeen(pod=pod))
        self.committer.pod_seen(pod)

    async def end(self) -> CarryResult:
        async with asyncio.timeout(5):
            while not self.ends:  # noqa: ASYNC110  the loop's own progress is what is waited for
                await asyncio.sleep(0)
        return self.ends[0]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"node": NodeName("n0")}, "member p0 stands on n0 already", id="is bound already"),
        pytest.param({"deleting": True}, "member p0 is being deleted", id="is leaving"),
    ],
)
async def test_a_plan_ends_when_a_member(changed: dict[str, object], why: str) -> None:
    desk = Desk()
    assert KEY in desk.state.snapshot().in_flight
    desk.see(msgspec.structs.replace(member(0), **changed))
    assert await desk.end() == Withdrawn(why=why)
    assert KEY not in desk.state.snapshot().in_flight


async def test_a_plan_ends_when_a_member_is_gone() -> None:
    desk = Desk()
    desk.committer.pod_gone(PodUid("u1"))
    assert await desk.end() == Withdrawn(why="member p1 was deleted")


async def test_a_plan_ends_when_others_fill_its_node_with_what_it_asks_for() -> None:
    desk = Desk()
    stranger = Pod(uid=PodUid("s"), namespace="ns", name="s", shape=SHAPE, node=NodeName("n1"))
    desk.state.apply(PodSeen(pod=stranger))
    desk.committer.node_fuller(NodeName("n0"))
    assert desk.ends == []
    desk.committer.node_fuller(NodeName("n1"))
    assert await desk.end() == Withdrawn(why="n1 was filled by others")


async def test_a_plan_for_parts_ends_when_others_take_all_gpus_of_a_node_that_divides_them() -> None:
    desk = Desk(PART)
    stranger = Pod(uid=PodUid("s"), namespace="ns", name="s", shape=SHAPE, node=NodeName("n1"))
    desk.state.apply(PodSeen(pod=stranger))
    desk.committer.node_fuller(NodeName("n1"))
    assert await desk.end() == Withdrawn(why="n1 was filled by others")


async def test_a_pod_that_is_offered_a_part_is_bound_where_one_is_left() -> None:
    desk = Desk(PART)
    alone = Pod(uid=PodUid("a"), namespace="ns", name="a", shape=PART, managed=True, queue=QueueName("q"))
    desk.see(alone)
    nodes = ((NodeName("n0"), 1),)
    workload = desk.state.snapshot().workloads[WorkloadKey("pod:ns/a")]
    desk.committer.offer(Offer(workload=workload.key, pod=alone.uid, nodes=nodes), workload, plan_name="2")
    filling = [
        Pod(uid=PodUid(f"f{i}"), namespace="ns", name=f"f{i}", shape=PART, node=NodeName("n0")) for i in range(7)
    ]
    for pod in filling:
        desk.state.apply(PodSeen(pod=pod))
    request = BindRequest(pod=alone.uid, namespace="ns", name="a", node=NodeName("n0"))
    assert await desk.committer.bind(request) == "n0 is planned for others"
    desk.state.apply(PodGone(uid=PodUid("f6")))
    assert await desk.committer.bind(request) is None


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused member is asked again at once, and has no time to come."""
    monkeypatch.setattr("scheduler.app.carry.ASK_AGAIN_S", 0.0)
    monkeypatch.setattr("scheduler.app.carry.DOUBT_S", 0.0)


@pytest.mark.usefixtures("quick")
async def test_a_first_refusal_is_remembered_for_seconds_and_each_further_one_twice_as_long() -> None:
    desk = Desk()
    seen: list[int] = []
    for _ in range(7):
        await desk.refuse()
        seen += desk.avoided_until_s()
        desk.state.apply(Ticked(now_s=1000))
        desk.admit()
    assert seen == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.usefixtures("quick")
async def test_a_gang_of_other_pods_by_the_same_name_is_not_blamed_for_refusals_of_the_first() -> None:
    desk = Desk()
    for _ in range(4):
        await desk.refuse()
        desk.admit()
    assert desk.committer.rests(KEY)
    assert desk.avoided_until_s() == [16]
    desk.ends.clear()
    desk.committer.pod_gone(PodUid("u0"))
    assert await desk.end() == Withdrawn(why="member p0 was deleted")
    assert not desk.committer.rests(KEY)
    desk.state.apply(Ticked(now_s=1000))
    desk.admit()
    await desk.refuse()
    assert desk.avoided_until_s() == [2]


async def test_only_the_members_that_start_are_charged() -> None:
    desk = Desk()
    await desk.committer.stop()
    pod = PodUid("u0")
    placement = Placement(assignments=(Assignment(pod=pod, node=NodeName("n0")),))
    workload = desk.state.snapshot().workloads[KEY]
    desk.committer.admit(Admit(workload=KEY, placement=placement), workload, nominate=False, plan_name="2")
    flight = desk.state.snapshot().in_flight[KEY]
    assert [a.pod for a in flight.assignments] == [pod]
    assert flight.milli_gpu == 8000
    await desk.committer.stop()


class Given(Allocations):
    """Gives every claim its devices, and keeps what was taken back."""

    def __init__(self, effects: Effects, claims: Holders) -> None:
        super().__init__(effects, ClaimEffects(effects, Yes()), claims)
        self.given: set[str] = set()
        self.taken_back: set[str] = set()

    async def give(self, wanted: Collection[Allocation]) -> None:
        self.given.update(grant.device.device for each in wanted for grant in each.grants)

    async def take_back(self, given: Collection[Allocation]) -> None:
        await asyncio.sleep(0)
        self.taken_back.update(grant.device.device for each in given for grant in each.grants)


async def test_devices_of_a_plan_that_others_take_are_free_before_its_room_is() -> None:
    state = build.state_of(
        build.node("n1", gpus=0), build.offer("n1"), build.queue(), build.claiming("p", "c"), build.claim("c")
    )
    effects = Effects(Yes(), may_write=lambda: True, concurrency=8, instance="test")
    claims = Given(effects, state.claims)
    ends: list[CarryResult] = []
    committer = Committer(
        effects=effects,
        board=Board(),
        limits=CommitLimits(arrival_timeout_s=60.0, refusal_memory_s=60.0, offer_timeout_s=60.0),
        state=state,
        clocks=Clocks(now_s=lambda: 0, scheduler_seen_s=lambda: 0.0),
        wake=lambda: None,
        claims=claims,
        ended=lambda _key, result: ends.append(result),
    )
    (workload,) = state.snapshot().workloads.values()
    (pod,) = workload.pending
    placement = Placement(assignments=(Assignment(pod=pod.uid, node=NodeName("n1"), devices=(3,)),))
    committer.admit(Admit(workload=workload.key, placement=placement), workload, nominate=False, plan_name="1")
    assert committer.planned(pod.uid)
    await asyncio.sleep(0)
    for index in (4, 3):
        device = build.gpu_name("n1", index)
        state.apply(build.claim("other", device, ours=False))
        committer.claim_seen("claim-other", (device,))
    async with asyncio.timeout(5):
        while not claims.taken_back:
            assert workload.key in state.snapshot().in_flight
            await asyncio.sleep(0)
        while not ends:  # noqa: ASYNC110  the same
            await asyncio.sleep(0)
    assert ends == [Withdrawn(why="gpu-3 of n1 was given to another claim")]
    assert claims.given == claims.taken_back == {"gpu-3"}
    assert not committer.planned(pod.uid)
    assert workload.key not in state.snapshot().in_flight
