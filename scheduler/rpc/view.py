"""What the gRPC API shows of the service."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Assignment, Decision
from scheduler.planning.defrag.advice import Advice, NoAdvice, Target
from scheduler.planning.overview.records import QueueDetail, QueueStand


class PodRuling(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pod may go: the nodes of `scores` (the higher the better), or any node where it is `untouched`.

    A planned pod has one node, a waiting one none.
    """

    kind: Literal["planned", "offered", "waiting", "untouched"]
    workload: WorkloadKey | None = None
    scores: Mapping[NodeName, int] = {}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a workload: lines for people, the latest decision on it, and where its pods stand."""

    text: tuple[str, ...]
    queue: QueueName | None = None
    decision: Decision | None = None
    standing: tuple[Assignment, ...] = ()


class Planner(Protocol):
    """The service as the gRPC API sees it. Called on the service's loop; nothing but `moves_for` may wait."""

    def ruling_of_pod(self, uid: PodUid) -> PodRuling | None:
        """None: no such pod is known."""
        ...

    def explanation_of_pod(self, namespace: str, name: str) -> Explanation | None:
        """Explains the pod's gang, or the pod alone. None: no such pod is known."""
        ...

    def explanation_of_gang(self, namespace: str, name: str) -> Explanation | None:
        """None: no such gang is known."""
        ...

    async def moves_for(self, target: Target, *, let_wait: bool, budget_ms: int) -> Advice | NoAdvice:
        """The cheapest moves that reach `target`, found beside the loop; nothing is moved."""
        ...

    def queues(self, queue: QueueName | None) -> tuple[Sequence[QueueStand], QueueDetail | None]:
        """How all queues stand, and `queue` with its work; None where it is not asked for, or there is none."""
        ...
