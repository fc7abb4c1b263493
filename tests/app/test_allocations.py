"""Claims of plans against a writer that keeps a log; what a real control plane makes of it is in tests/cluster."""

import asyncio
from collections.abc import Collection, Mapping

import msgspec
import pytest

from scheduler.app import allocations
from scheduler.app.allocations import Allocations, NotGiven, PlanClaims
from scheduler.kube.api import ApiUnreachableError, Response
from scheduler.kube.effects import Effects, PodRef
from scheduler.kube.effects_claims import Allocation, ClaimEffects, ClaimRef
from scheduler.kube.http import Method
from scheduler.kube.outcomes import Done, Outcome, Refused
from scheduler.model.claims import ClaimKey, ClaimRequest, DeviceName, Offered, PodClaim
from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Device, Node
from scheduler.model.plan import Assignment
from scheduler.model.workload import Pod
from scheduler.state.claims import ClaimBook
from scheduler.state.events import ClaimSeen, SliceSeen
from scheduler.state.holders import Holders
from scheduler.state.offers import OfferBook


class Events:
    """Takes Events, and knows which pods stand. `down`: it does not tell."""

    def __init__(self) -> None:
        self.notes: list[bytes] = []
        self.standing: set[str] = set()
        self.down = False

    async def request(
        self,
        method: Method,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> Response:
        del content_type, accept
        if method == "GET":
            if self.down:
                raise ApiUnreachableError("no answer")
            name = path.rpartition("/")[2]
            spec = {"nodeName": "n"} if name in self.standing else {}
            found = {"metadata": {"uid": f"u{name.removeprefix('p')}"}, "spec": spec}
            return Response(status=200, body=msgspec.json.encode(found))
        self.notes.append(body or b"")
        return Response(status=200, body=b"{}")


class Writer(ClaimEffects):
    """Keeps what was written, in order; `refuses` names claims that cannot be allocated; `hold` stops allocations."""

    def __init__(self, effects: Effects, events: Events) -> None:
        super().__init__(effects, events)
        self.log: list[str] = []
        self.refuses: set[str] = set()
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def allocate(self, wanted: Allocation) -> Outcome:
        self.log.append(f"begin {wanted.claim.name}")
        await self.going_on.wait()
        if wanted.claim.name in self.refuses:
            return Refused(status=422, message="no right", passing=False)
        self.log.append(f"allocate {wanted.claim.name}")
        return Done()

    async def let_go(self, ref: ClaimRef, pods: Collection[PodRef] = ()) -> Outcome:
        await asyncio.sleep(0)
        self.log.append(f"let go {ref.name} of {','.join(pod.name for pod in pods)}")
        return Done()


class Beliefs(Holders):
    """What the service believes: claims of others, by hand, and GPUs with their slices."""

    def __init__(self) -> None:
        self.claims = ClaimBook()
        offers = OfferBook()
        gpus = [Offered(name=f"gpu-{i}") for i in range(4)]
        slices = [Offered(name=f"gpu-{i}-mig", kind="mig", parent=f"gpu-{i}", start=0, size=1) for i in range(4)]
        offers.see(SliceSeen(uid="s", name="s", driver="d", pool="n", node=NodeName("n"), devices=(*gpus, *slices)))
        super().__init__(self.claims, offers)
        self.guards: list[tuple[ClaimKey, Collection[Pod]]] = []

    def see(self, uid: str, *devices: DeviceName) -> None:
        self.claims.see(ClaimSeen(uid=uid, namespace="x", name=uid, allocated=devices))

    def guarded(self) -> list[tuple[ClaimKey, Collection[Pod]]]:
        return self.guards


class Desk:
    def __init__(self) -> None:
        self.events = Events()
        effects = Effects(self.events, may_write=lambda: True, concurrency=4, instance="test")
        self.writer = Writer(effects, self.events)
        self.beliefs = Beliefs()
        self.allocations = Allocations(effects, self.writer, self.beliefs)

    def plan(self, *indexes: int) -> PlanClaims:
        """A plan for pod pI with claim cI and device I, for each of these."""
        assignments = [Assignment(pod=PodUid(f"u{i}"), node=NodeName("n"), devices=(i,)) for i in indexes]
        found = self.allocations.of(assignments, {PodUid(f"u{i}"): pod(i) for i in indexes}, nodes)
        assert found is not None
        return found


def device(index: int | str) -> DeviceName:
    return DeviceName(driver="d", pool="n", device=f"gpu-{index}")


def nodes() -> Mapping[NodeName, Node]:
    devices = tuple(Device(index=i, claimed_as=device(i)) for i in range(4))
    return {NodeName("n"): Node(name=NodeName("n"), devices=devices)}


def pod(index: int, **others: object) -> Pod:
    claim = PodClaim(
        claim=f"c{index}", uid=f"uid{index}", requests=(ClaimRequest(name="r", resource="nvidia.com/gpu", count=1),)
    )
    fields: dict[str, object] = {"claims": (claim,), **others}
    return Pod(uid=PodUid(f"u{index}"), namespace="ns", name=f"p{index}", **fields)  # type: ignore[arg-type]


async def rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_all_claims_of_a_plan_are_given_their_devices_and_freed_where_it_fails() -> None:
    desk = Desk()
    plan = desk.plan(0, 1)
    assert await plan.give() is None
    assert sorted(desk.writer.log) == ["allocate c0", "allocate c1", "begin c0", "begin c1"]
    desk.writer.log.clear()
    await plan.ended([PodUid("u0"), PodUid("u1")])
    assert sorted(desk.writer.log) == ["let go c0 of p0", "let go c1 of p1"]


async def test_where_some_were_bound_only_the_devices_of_the_others_are_freed() -> None:
    desk = Desk()
    plan = desk.plan(0, 1)
    await plan.give()
    desk.writer.log.clear()
    await plan.ended([PodUid("u1")])
    assert desk.writer.log == ["let go c1 of p1"]
    await plan.ended(())
    assert desk.writer.log == ["let go c1 of p1"]


async def test_a_claim_that_is_refused_names_its_node_and_is_told_of() -> None:
    desk = Desk()
    desk.writer.refuses.add("c1")
    plan = desk.plan(0, 1)
    why = "claim ns/c1: the API server refused a write: no right"
    assert await plan.give() == NotGiven(why=why, nodes=(NodeName("n"),))
    assert why.encode() in desk.events.notes[0]


async def test_what_is_freed_while_it_is_being_given_is_freed_afterwards() -> None:
    desk = Desk()
    desk.writer.going_on.clear()
    plan = desk.plan(0)
    giving = asyncio.ensure_future(plan.give())
    await rest()
    giving.cancel()
    ending = asyncio.ensure_future(plan.ended([PodUid("u0")]))
    await rest()
    assert desk.writer.log == ["begin c0"]
    desk.writer.going_on.set()
    await ending
    assert desk.writer.log == ["begin c0", "allocate c0", "let go c0 of p0"]
    await asyncio.gather(giving, return_exceptions=True)


async def test_what_is_freed_before_it_is_given_is_not_given_and_nobody_is_told_of_a_failure() -> None:
    desk = Desk()
    desk.writer.going_on.clear()
    first, plan = desk.plan(0), desk.plan(0)
    giving = [asyncio.ensure_future(each.give()) for each in (first, plan)]
    await rest()
    ending = asyncio.ensure_future(plan.ended([PodUid("u0")]))
    await rest()
    desk.writer.going_on.set()
    assert await asyncio.gather(*giving) == [None, NotGiven(why="the plan was given up", nodes=(NodeName("n"),))]
    await ending
    assert desk.writer.log == ["begin c0", "allocate c0", "let go c0 of p0"]
    assert desk.events.notes == []


async def test_a_plan_waits_for_devices_that_its_victims_still_have() -> None:
    desk = Desk()
    desk.beliefs.see("other", device(0))
    giving = asyncio.ensure_future(desk.plan(0).give())
    await rest()
    assert desk.writer.log == []
    desk.allocations.claim_seen()
    await rest()
    assert desk.writer.log == []
    desk.beliefs.see("other")
    desk.allocations.claim_seen()
    assert await giving is None
    assert desk.writer.log == ["begin c0", "allocate c0"]


async def test_a_device_that_another_claim_keeps_is_not_given_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocations, "FREED_S", 0.0)
    desk = Desk()
    desk.beliefs.see("other", device(1), device(3))
    assert await desk.plan(0, 1).give() == NotGiven(why="gpu-1 of n was given to another claim")
    assert desk.writer.log == []
    # The claim itself may have it already, as after a crash.
    desk.beliefs.see("other", device(3))
    desk.beliefs.see("uid1", device(1))
    assert await desk.plan(0, 1).give() is None


async def test_a_slice_of_a_gpu_that_a_plan_gives_out_whole_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocations, "FREED_S", 0.0)
    desk = Desk()
    desk.beliefs.see("other", device("1-mig"))
    assert await desk.plan(0, 1).give() == NotGiven(why="gpu-1-mig of n was given to another claim")
    assert await desk.plan(0, 2).give() is None


async def test_a_device_that_cannot_be_claimed_any_more_ends_the_plan() -> None:
    desk = Desk()
    assert await desk.plan(7).give() == NotGiven(why="GPU 7 of n cannot be claimed any more")
    assert await desk.allocations.take_back(()) is None
    assert desk.writer.log == []


def test_a_plan_without_claims_has_nothing_to_do() -> None:
    async def play() -> None:
        desk = Desk()
        assignments = [Assignment(pod=PodUid("u0"), node=NodeName("n"), devices=(0,))]
        assert desk.allocations.of(assignments, {PodUid("u0"): pod(0, claims=())}, nodes) is None

    asyncio.run(play())


async def test_a_plan_ends_when_its_devices_go_to_others_or_its_claims_lose_them() -> None:
    desk = Desk()
    plan = desk.plan(0, 1)
    for others, why in (
        ((device(2),), None),
        ((device(2), device(1)), "gpu-1 of n was given to another claim"),
        ((device("2-mig"),), None),
        ((device("1-mig"),), "gpu-1-mig of n was given to another claim"),
    ):
        desk.beliefs.see("other", *others)
        assert plan.lost("other", others) == why
    # What is seen may be older than what was written.
    assert plan.lost("uid0", ()) is None
    assert plan.lost("uid0", (device(0),)) is None
    assert plan.lost("uid0", ()) == "a claim lost the devices that it was given"


async def test_claims_with_a_guard_that_no_plan_needs_are_seen_to() -> None:
    desk = Desk()
    keys = [ClaimKey(uid=f"uid{i}", namespace="ns", name=f"c{i}") for i in range(4)]
    stands = pod(1, node=NodeName("n"))
    desk.beliefs.guards = [(keys[0], [pod(0)]), (keys[1], [stands]), (keys[2], []), (keys[3], [pod(3)])]
    for _ in range(2):
        desk.allocations.look(lambda uid: uid == PodUid("u3"))
    await rest()
    assert sorted(desk.writer.log) == ["let go c0 of p0", "let go c1 of ", "let go c2 of "]


async def test_a_pod_that_was_bound_and_is_not_seen_on_its_node_yet_keeps_its_devices() -> None:
    desk = Desk()
    desk.beliefs.guards = [(ClaimKey(uid="uid0", namespace="ns", name="c0"), [pod(0)])]
    desk.events.standing = {"p0"}
    desk.events.down = True
    desk.allocations.look(lambda _: False)
    await rest()
    assert desk.writer.log == []
    desk.events.down = False
    desk.allocations.look(lambda _: False)
    await rest()
    assert desk.writer.log == ["let go c0 of "]


async def test_a_leader_that_is_relieved_writes_nothing_more() -> None:
    desk = Desk()
    desk.writer.going_on.clear()
    plan = desk.plan(0)
    giving = asyncio.ensure_future(plan.give())
    await rest()
    await desk.allocations.stop()
    desk.writer.going_on.set()
    await asyncio.gather(giving, return_exceptions=True)
    assert desk.writer.log == ["begin c0"]
