"""The calls of the gRPC API."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio

from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.planning.defrag.advise import BUDGET_MS
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc import bayplan_pb2_grpc
from scheduler.rpc.convert import assignment_message, decision_message, delivery_messages
from scheduler.rpc.convert_defrag import defrag_response, defrag_target
from scheduler.rpc.convert_queues import queues_response
from scheduler.rpc.feed import PlanFeed
from scheduler.rpc.view import Planner, PodRuling

NotReady = Callable[[], Sequence[str]]
"""Why the service is not ready, one reason an entry; empty: it is ready."""

MOST_BUDGET_MS = 60_000
"""The most time that one question about moves may give the solver."""

Context = grpc.aio.ServicerContext[Any, Any]
_Found = TypeVar("_Found")

_RULINGS = {
    "planned": pb.RULING_PLANNED,
    "offered": pb.RULING_OFFERED,
    "waiting": pb.RULING_WAITING,
    "untouched": pb.RULING_UNTOUCHED,
}


class BayplanService(bayplan_pb2_grpc.BayplanServicer):
    """Answers from what the planner knows. No call changes anything; none waits but `WatchPlans` and `Defrag`."""

    def __init__(self, planner: Planner, feed: PlanFeed, not_ready: NotReady) -> None:
        self._planner = planner
        self._feed = feed
        self._not_ready = not_ready

    async def Filter(self, request: pb.FilterRequest, context: Context) -> pb.FilterResponse:  # noqa: N802  as in the .proto
        """Which of the given nodes the pod may use."""
        ruling = await self._ruling(request.pod_uid, request.nodes, context)
        free = ruling.kind == "untouched"
        return pb.FilterResponse(
            ruling=_RULINGS[ruling.kind],
            nodes=[name for name in request.nodes if free or name in ruling.scores],
            workload=(ruling.workload or "").partition(":")[2],
        )

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802  as in the .proto
        """How good the given nodes are; for a pod that is not ours, each is as good as any other."""
        ruling = await self._ruling(request.pod_uid, request.nodes, context)
        free = ruling.kind == "untouched"
        scores = [
            pb.NodeScore(node=name, score=0 if free else ruling.scores[NodeName(name)])
            for name in request.nodes
            if free or name in ruling.scores
        ]
        return pb.ScoreResponse(scores=scores)

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:  # noqa: N802  as in the .proto
        """Where a workload stands, or why it waits."""
        await self._ready(context)
        kind = request.WhichOneof("subject")
        if kind is None:
            await _invalid(context, "the subject is missing: give pod or gang, as namespace/name")
        text = request.pod if kind == "pod" else request.gang
        namespace, _, name = text.partition("/")
        if not namespace or not name or "/" in name:
            await _invalid(context, f'{kind} is "{text}"; allowed: namespace/name')
        ask = self._planner.explanation_of_pod if kind == "pod" else self._planner.explanation_of_gang
        found = await _known(context, ask(namespace, name), f'no {kind} "{text}" is known here')
        answer = pb.ExplainResponse(
            text=found.text, queue=found.queue or "", standing=[assignment_message(a) for a in found.standing]
        )
        if found.decision is not None:
            answer.decision.CopyFrom(decision_message(found.decision))
        return answer

    async def WatchPlans(  # noqa: N802  as in the .proto
        self, request: pb.WatchPlansRequest, context: Context
    ) -> AsyncGenerator[pb.WatchPlansResponse]:
        """Plans as they are made. Those without a decision for the reader are passed over."""
        await self._ready(context)
        namespaces = frozenset(request.namespaces)
        if "" in namespaces:
            await _invalid(context, 'namespaces holds ""; allowed: names of namespaces, or none at all for every one')
        first = True
        with self._feed.subscribe() as reader:
            await context.send_initial_metadata(())  # tells the client that it misses nothing from here on
            while (delivery := await reader.next()) is not None:
                for message in delivery_messages(delivery, namespaces):
                    if first or message.missed or message.decisions:
                        first = False
                        yield message
        await context.abort(grpc.StatusCode.UNAVAILABLE, "this replica does not plan any more")

    async def Defrag(self, request: pb.DefragRequest, context: Context) -> pb.DefragResponse:  # noqa: N802  as in the .proto
        """The cheapest moves that open a domain, or make a waiting workload fit."""
        await self._ready(context)
        target = defrag_target(request)
        if target is None:
            await _invalid(context, "the target is missing: give open, or workload as namespace/name")
        if not 0 <= request.budget_ms <= MOST_BUDGET_MS:
            await _invalid(context, f"budget_ms is {request.budget_ms}; allowed: 0 to {MOST_BUDGET_MS}")
        budget_ms = request.budget_ms or BUDGET_MS
        found = await self._planner.moves_for(target, let_wait=request.let_wait, budget_ms=budget_ms)
        return defrag_response(found)

    async def Queues(self, request: pb.QueuesRequest, context: Context) -> pb.QueuesResponse:  # noqa: N802  as in the .proto
        """How all queues stand, and one of them with its work."""
        await self._ready(context)
        stands, detail = self._planner.queues(QueueName(request.queue) if request.queue else None)
        return queues_response(stands, detail)

    async def _ruling(self, uid: str, nodes: Sequence[str], context: Context) -> PodRuling:
        await self._ready(context)
        if not uid:
            await _invalid(context, "pod_uid is empty; give the pod's metadata.uid")
        if not nodes:
            await _invalid(context, "nodes is empty; give the names of the nodes to choose from")
        if "" in nodes:
            await _invalid(context, 'nodes holds ""; allowed: names of nodes')
        return await _known(context, self._planner.ruling_of_pod(PodUid(uid)), f'no pod with uid "{uid}" is known here')

    async def _ready(self, context: Context) -> None:
        reasons = self._not_ready()
        if reasons:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not ready: " + "; ".join(reasons))


async def _invalid(context: Context, why: str) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)


async def _known(context: Context, found: _Found | None, otherwise: str) -> _Found:
    if found is None:
        await context.abort(grpc.StatusCode.NOT_FOUND, otherwise)
    return found
