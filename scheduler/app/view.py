"""The service as the gRPC API sees it: rulings from the board, explanations from the latest plan."""

from collections.abc import Sequence

from scheduler.app.adviser import Adviser
from scheduler.app.board import Board
from scheduler.app.reporter import Reporter
from scheduler.extender.guard import Offered, Planned, Untouched, Waiting
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey, gang_key, people_name, pod_key
from scheduler.model.plan import Assignment
from scheduler.model.workload import Workload
from scheduler.planning.defrag.advice import Advice, NoAdvice, Target
from scheduler.planning.overview.detail import queue_detail
from scheduler.planning.overview.records import QueueDetail, QueueStand
from scheduler.planning.overview.stands import queue_stands
from scheduler.planning.reasons.assumed import assumed_lines
from scheduler.planning.reasons.explain import explain, queueless_line, rule_lines
from scheduler.planning.reasons.failing import failing, failing_lines
from scheduler.quota.usage import opening_ledger
from scheduler.rpc.view import Explanation, PodRuling
from scheduler.state.cluster import ClusterState

PLANNED_SCORE = 1


class ServiceView:
    """Answers on the service's loop, without waiting but for moves."""

    def __init__(self, state: ClusterState, board: Board, reporter: Reporter, adviser: Adviser) -> None:
        self._state = state
        self._board = board
        self._reporter = reporter
        self._adviser = adviser

    def ruling_of_pod(self, uid: PodUid) -> PodRuling | None:
        """Where the pod may go."""
        match self._board.get(uid):
            case Planned(workload=key, node=node):
                return PodRuling(kind="planned", workload=key, scores={node: PLANNED_SCORE})
            case Offered(workload=key, scores=scores):
                return PodRuling(kind="offered", workload=key, scores=scores)
            case Waiting(workload=key):
                return PodRuling(kind="waiting", workload=key)
            case Untouched():
                return PodRuling(kind="untouched")
            case None:
                return self._of_state(uid)

    def explanation_of_pod(self, namespace: str, name: str) -> Explanation | None:
        """Explains the pod's gang, or the pod alone."""
        uid = self._state.uid_of(namespace, name)
        if uid is None:
            return None
        key = self._state.workload_of(uid)
        if key is None:
            return Explanation(text=(f"{namespace}/{name} is no pod that Bayplan plans.",))
        return self._explained(key)

    def explanation_of_gang(self, namespace: str, name: str) -> Explanation | None:
        """Explains a gang by its name."""
        return self._explained(gang_key(namespace, name)) or self._explained(pod_key(namespace, name))

    async def moves_for(self, target: Target, *, let_wait: bool, budget_ms: int) -> Advice | NoAdvice:
        """The cheapest moves that reach `target`."""
        return await self._adviser.moves_for(target, let_wait=let_wait, budget_ms=budget_ms)

    def queues(self, queue: QueueName | None) -> tuple[Sequence[QueueStand], QueueDetail | None]:
        """How all queues stand now, and one of them with its work and the latest word on what of it waits."""
        snapshot = self._state.snapshot()
        ledger = opening_ledger(snapshot)
        stands = queue_stands(snapshot, ledger)
        if queue is None:
            return stands, None
        return stands, queue_detail(snapshot, ledger, stands, self._reporter.waiting.values(), queue)

    def _of_state(self, uid: PodUid) -> PodRuling | None:
        pod, key = self._state.pod(uid), self._state.workload_of(uid)
        if pod is None:
            return None
        if key is None:
            return PodRuling(kind="untouched")
        if pod.node is None:
            return PodRuling(kind="waiting", workload=key)
        return PodRuling(kind="planned", workload=key, scores={pod.node: PLANNED_SCORE})

    def _explained(self, key: WorkloadKey) -> Explanation | None:
        workload = self._state.snapshot().workloads.get(key)
        if workload is None:
            return None
        wait = self._reporter.waiting.get(key)
        standing = tuple(
            Assignment(pod=p.uid, node=p.node, devices=p.devices, slices=p.slices)
            for p in workload.members
            if p.node is not None
        )
        text = [
            *(explain(wait) if wait is not None else _standing(workload, standing)),
            *filter(None, (queueless_line(workload),)),
        ]
        snapshot = self._state.snapshot()
        fails = failing_lines(failing(snapshot, workload))
        assumed = [f"{line}." for line in assumed_lines(snapshot, workload, (a.node for a in standing))]
        last = self._reporter.last
        left_out = rule_lines(last[1]) if last is not None else []
        return Explanation(
            text=(*text, *fails, *assumed, *workload.notes, *left_out),
            queue=workload.queue,
            decision=wait,
            standing=standing,
        )


def _standing(workload: Workload, standing: tuple[Assignment, ...]) -> list[str]:
    name, nodes = people_name(workload.key), sorted({NodeName(a.node) for a in standing})
    if not workload.pending:
        return [f"{name} has {len(standing)} of {workload.size} pods on {', '.join(nodes) or 'no node'}."]
    return [f"{name} is being started: {len(standing)} of {workload.size} pods have their node."]
