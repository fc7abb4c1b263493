"""The API over a real channel."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, ClassVar

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid, QueueName, gang_key
from scheduler.model.plan import Assignment, Plan, Reason, Wait
from scheduler.planning.defrag.advice import Advice, NoAdvice, Target
from scheduler.planning.overview.records import Amounts, QueueDetail, QueueStand
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc import bayplan_pb2_grpc
from scheduler.rpc.feed import KEPT_PLANS, PlanFeed
from scheduler.rpc.server import SERVICE, ListenError, RpcServer
from scheduler.rpc.view import Explanation, PodRuling

GANG = gang_key("team", "train")
WAIT = Wait(workload=GANG, reason=Reason.QUOTA_EXHAUSTED, message="waits for quota")


def scores(**values: int) -> dict[NodeName, int]:
    return {NodeName(name): score for name, score in values.items()}


class FakePlanner:
    rulings: ClassVar = {
        "planned": PodRuling(kind="planned", workload=GANG, scores=scores(n2=0)),
        "offered": PodRuling(kind="offered", workload=GANG, scores=scores(n1=5, n3=9)),
        "waiting": PodRuling(kind="waiting", workload=GANG),
        "untouched": PodRuling(kind="untouched"),
    }
    explanation = Explanation(
        text=("team/train waits", "needs 8 GPUs"),
        queue=QueueName("a"),
        decision=WAIT,
        standing=(Assignment(pod=PodUid("u1"), node=NodeName("n1")),),
    )

    def ruling_of_pod(self, uid: PodUid) -> PodRuling | None:
        return self.rulings.get(uid)

    def explanation_of_pod(self, namespace: str, name: str) -> Explanation | None:
        return self.explanation if (namespace, name) == ("team", "train-0") else None

    def explanation_of_gang(self, namespace: str, name: str) -> Explanation | None:
        return self.explanation if (namespace, name) == ("team", "train") else None

    async def moves_for(self, target: Target, *, let_wait: bool, budget_ms: int) -> Advice | NoAdvice:
        return NoAdvice(message=f"{target}; let_wait={let_wait}; {budget_ms} ms", unblock="Wait.")

    def queues(self, queue: QueueName | None) -> tuple[tuple[QueueStand, ...], QueueDetail | None]:
        stand = QueueStand(name=QueueName("a"), total=Amounts(used_milli_gpu=8000))
        return (stand,), None if queue is None else QueueDetail(stand=replace(stand, name=queue))


class Api:
    """A running server, what decides its readiness, and a client."""

    def __init__(self) -> None:
        self.feed = PlanFeed()
        self.reasons: list[str] = []
        self.server = RpcServer(FakePlanner(), self.feed, lambda: self.reasons)

    async def start(self) -> None:
        await self.server.start("127.0.0.1", 0)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.client: Any = bayplan_pb2_grpc.BayplanStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)

    async def stop(self) -> None:
        await self.channel.close(None)
        await self.server.stop(0.1)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    await api.start()
    yield api
    await api.stop()


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error: Any = caught.value
    return error.code().name, error.details()


@pytest.mark.parametrize(
    ("pod", "nodes", "ruling", "workload"),
    [
        ("planned", ["n2"], pb.RULING_PLANNED, "team/train"),
        ("offered", ["n3", "n1"], pb.RULING_OFFERED, "team/train"),
        ("waiting", [], pb.RULING_WAITING, "team/train"),
        ("untouched", ["n3", "n2", "n1"], pb.RULING_UNTOUCHED, ""),
    ],
)
async def test_filter(api: Api, pod: str, nodes: list[str], ruling: pb.Ruling, workload: str) -> None:
    answer = await api.client.Filter(pb.FilterRequest(pod_uid=pod, nodes=["n3", "n2", "n1"]))
    assert answer == pb.FilterResponse(ruling=ruling, nodes=nodes, workload=workload)


@pytest.mark.parametrize(
    ("pod", "scored"),
    [
        ("planned", {}),
        ("offered", {"n3": 9, "n1": 5}),
        ("waiting", {}),
        ("untouched", {"n3": 0, "n1": 0}),
    ],
)
async def test_score(api: Api, pod: str, scored: dict[str, int]) -> None:
    answer = await api.client.Score(pb.ScoreRequest(pod_uid=pod, nodes=["n3", "n1"]))
    assert {s.node: s.score for s in answer.scores} == scored


@pytest.mark.parametrize("queue", ["", "b"])
async def test_queues(api: Api, queue: str) -> None:
    answer = await api.client.Queues(pb.QueuesRequest(queue=queue))
    assert [(q.name, q.total.used_milli_gpu) for q in answer.queues] == [("a", 8000)]
    assert answer.detail.stand.name == queue
    assert answer.HasField("detail") == bool(queue)


@pytest.mark.parametrize("subject", [{"pod": "team/train-0"}, {"gang": "team/train"}])
async def test_explain(api: Api, subject: dict[str, str]) -> None:
    answer = await api.client.Explain(pb.ExplainRequest(**subject))  # pyright: ignore[reportArgumentType]
    assert list(answer.text) == ["team/train waits", "needs 8 GPUs"]
    assert answer.queue == "a"
    assert answer.decision.wait.reason == "QuotaExhausted"
    assert [(a.pod_uid, a.node) for a in answer.standing] == [("u1", "n1")]


@pytest.mark.parametrize(
    ("method", "request_", "code", "says"),
    [
        ("Filter", pb.FilterRequest(nodes=["n1"]), "INVALID_ARGUMENT", "pod_uid is empty"),
        ("Filter", pb.FilterRequest(pod_uid="planned"), "INVALID_ARGUMENT", "nodes is empty"),
        ("Score", pb.ScoreRequest(pod_uid="planned", nodes=[""]), "INVALID_ARGUMENT", 'nodes holds ""'),
        ("Score", pb.ScoreRequest(pod_uid="who", nodes=["n1"]), "NOT_FOUND", 'no pod with uid "who"'),
        ("Explain", pb.ExplainRequest(), "INVALID_ARGUMENT", "the subject is missing"),
        ("Explain", pb.ExplainRequest(pod="x"), "INVALID_ARGUMENT", 'pod is "x"; allowed: namespace/name'),
        ("Explain", pb.ExplainRequest(gang="a/b/c"), "INVALID_ARGUMENT", 'gang is "a/b/c"'),
        ("Explain", pb.ExplainRequest(gang="team/x"), "NOT_FOUND", 'no gang "team/x" is known'),
        ("WatchPlans", pb.WatchPlansRequest(namespaces=[""]), "INVALID_ARGUMENT", "namespaces holds"),
    ],
)
async def test_what_cannot_be_answered_is_refused_in_one_sentence(
    api: Api, method: str, request_: object, code: str, says: str
) -> None:
    call: Any = getattr(api.client, method)(request_)
    got, details = await refusal(call.read() if method == "WatchPlans" else call)
    assert got == code
    assert says in details
    assert "\n" not in details


async def test_a_replica_that_is_not_ready_answers_with_its_reasons(api: Api) -> None:
    api.reasons = ["another replica leads", "pods are not listed"]
    for call in (
        api.client.Filter(pb.FilterRequest(pod_uid="planned", nodes=["n1"])),
        api.client.Explain(pb.ExplainRequest(gang="team/train")),
        api.client.WatchPlans(pb.WatchPlansRequest()).read(),
    ):
        assert await refusal(call) == ("UNAVAILABLE", "not ready: another replica leads; pods are not listed")


async def test_plans_are_streamed_from_the_latest_on(api: Api) -> None:
    api.feed.publish(Plan(generation=1, decisions=(WAIT,)))
    watch = api.client.WatchPlans(pb.WatchPlansRequest())
    assert (await watch.read()).generation == 1
    api.feed.publish(Plan(generation=2))
    api.feed.publish(Plan(generation=3, decisions=(WAIT,)))
    third = await watch.read()
    assert (third.generation, third.missed) == (3, 0), "a plan without decisions is passed over"
    watch.cancel()


async def test_a_watch_of_other_namespaces_sees_nothing_of_ours(api: Api) -> None:
    watch = api.client.WatchPlans(pb.WatchPlansRequest(namespaces=["elsewhere"]))
    api.feed.publish(Plan(generation=1, decisions=(WAIT,)))
    first = await watch.read()
    assert (first.generation, len(first.decisions)) == (1, 0)
    watch.cancel()


async def test_a_slow_reader_is_told_what_it_missed_and_nobody_waits_for_it(api: Api) -> None:
    large = Wait(workload=GANG, reason=Reason.FRAGMENTED, message="x" * 1_000_000)
    watch = api.client.WatchPlans(pb.WatchPlansRequest())
    await watch.wait_for_connection()
    last = KEPT_PLANS + 40
    for generation in range(1, last + 1):
        api.feed.publish(Plan(generation=generation, decisions=(large,)))
    seen, missed = 0, 0
    while True:
        message = await watch.read()
        seen, missed = seen + 1, missed + message.missed
        if message.generation == last:
            break
    assert missed > 0
    assert seen + missed == last
    watch.cancel()


async def test_a_reader_that_leaves_is_forgotten(api: Api) -> None:
    watch = api.client.WatchPlans(pb.WatchPlansRequest())
    api.feed.publish(Plan(generation=1))
    await watch.read()
    watch.cancel()
    async with asyncio.timeout(5):
        while api.feed.readers:  # noqa: ASYNC110  the server forgets it without a word
            await asyncio.sleep(0)


async def test_watches_end_when_the_replica_stops_planning(api: Api) -> None:
    api.feed.publish(Plan(generation=1))
    watch = api.client.WatchPlans(pb.WatchPlansRequest())
    await watch.read()
    api.reasons = ["another replica leads"]
    assert await refusal(watch.read()) == ("UNAVAILABLE", "this replica does not plan any more")


async def test_health_follows_readiness(api: Api) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    watch = api.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watch.read()).status == serving
    api.reasons = ["another replica leads"]
    assert (await watch.read()).status == not_serving
    for name in ("", SERVICE):
        assert (await api.health.Check(health_pb2.HealthCheckRequest(service=name))).status == not_serving
    api.reasons = []
    assert (await watch.read()).status == serving
    code, _ = await refusal(api.health.Check(health_pb2.HealthCheckRequest(service="other")))
    assert code == "NOT_FOUND"
    watch.cancel()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (pb.DefragRequest(open=pb.OpenDomain(level="rack", domain="r3")), "rack r3; let_wait=False; 5000 ms"),
        (
            pb.DefragRequest(open=pb.OpenDomain(level="rack", nodes=2), let_wait=True, budget_ms=7),
            "2 whole nodes of any rack; let_wait=True; 7 ms",
        ),
        (pb.DefragRequest(workload="team/train"), "room for team/train; let_wait=False; 5000 ms"),
    ],
)
async def test_moves_are_asked_for(api: Api, request_: pb.DefragRequest, message: str) -> None:
    answer = await api.client.Defrag(request_)
    assert answer == pb.DefragResponse(none=pb.NoAdvice(message=message, certain=True, unblock="Wait."))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (pb.DefragRequest(), "the target is missing: give open, or workload as namespace/name"),
        (pb.DefragRequest(workload="a/b", budget_ms=-1), "budget_ms is -1; allowed: 0 to 60000"),
        (pb.DefragRequest(workload="a/b", budget_ms=60_001), "budget_ms is 60001; allowed: 0 to 60000"),
    ],
)
async def test_questions_about_moves_that_cannot_be_understood(api: Api, request_: pb.DefragRequest, why: str) -> None:
    assert await refusal(api.client.Defrag(request_)) == ("INVALID_ARGUMENT", why)


async def test_no_moves_are_told_while_not_ready(api: Api) -> None:
    api.reasons.append("not leading")
    assert await refusal(api.client.Defrag(pb.DefragRequest(workload="a/b"))) == (
        "UNAVAILABLE",
        "not ready: not leading",
    )


async def test_reflection_lists_the_service_and_its_calls(api: Api) -> None:
    client: Any = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    ask = reflection_pb2.ServerReflectionRequest
    call = client.ServerReflectionInfo(iter([ask(list_services=""), ask(file_containing_symbol=SERVICE)]))
    listed, file = [await call.read() for _ in range(2)]
    assert {SERVICE, "grpc.health.v1.Health"} <= {s.name for s in listed.list_services_response.service}
    assert b"WatchPlans" in file.file_descriptor_response.file_descriptor_proto[0]


async def test_a_taken_port_is_said_in_one_sentence(api: Api) -> None:
    other = RpcServer(FakePlanner(), PlanFeed(), list)
    with pytest.raises(ListenError, match=rf"cannot listen on 127\.0\.0\.1:{api.server.port}"):
        await other.start("127.0.0.1", api.server.port)
    await other.stop()


async def test_stopping_ends_watches_at_once(api: Api) -> None:
    api.feed.publish(Plan(generation=1))
    watch = api.client.WatchPlans(pb.WatchPlansRequest())
    await watch.read()
    await asyncio.wait_for(api.server.stop(5), 2)
    code, _ = await refusal(watch.read())
    assert code == "UNAVAILABLE"
