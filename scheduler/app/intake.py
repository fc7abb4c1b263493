"""Events on their way into the state, and what has to be known of them at once: by the board, by plans on their way."""

from collections.abc import Callable

from scheduler.app.board import Board
from scheduler.app.claims import Claims
from scheduler.app.commit import Committer
from scheduler.app.node_teller import NodeTeller
from scheduler.app.predictions import Predictions
from scheduler.app.teller import Teller
from scheduler.extender.guard import Planned, Ruling
from scheduler.extender.verbs import WAITS
from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.model.workload import Pod
from scheduler.state.cluster import ClusterState
from scheduler.state.events import (
    ClaimGone,
    ClaimSeen,
    DevicesGone,
    DevicesSeen,
    Event,
    NodeGone,
    NodeSeen,
    PodGone,
    PodSeen,
)


class Intake:
    """The one way for events of watches into the state. Lives on the service's event loop."""

    def __init__(  # noqa: PLR0913  each by its name
        self,
        state: ClusterState,
        board: Board,
        committer: Committer,
        claims: Claims,
        teller: Teller,
        node_teller: NodeTeller,
        predictions: Predictions,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._state = state
        self._board = board
        self._committer = committer
        self._claims = claims
        self._teller = teller
        self._node_teller = node_teller
        self._predictions = predictions
        self._wake = wake

    def take(self, event: Event) -> None:
        """Apply an event and pass on what it means."""
        before = self._state.pod(event.pod.uid) if isinstance(event, PodSeen) else None
        if not self._state.apply(event):
            return
        match event:
            case PodSeen():
                strange = _comes_unplanned(before, event.pod, self._board.get(event.pod.uid))
                self._pod(before, event.pod)
                if strange and event.pod.node is not None:
                    self._committer.node_fuller(event.pod.node)
            case PodGone(uid=uid):
                self._committer.pod_gone(uid)
                self._claims.pod_gone(uid)
                self._teller.gone(uid)
                self._predictions.gone(uid)
            case NodeSeen(node=node):
                self._node(node)
            case NodeGone(name=name):
                self._unusable(name, "was deleted")
            case DevicesSeen():
                self._node_teller.seen(event)
                self._predictions.seen(event)
            case DevicesGone(node=name):
                self._node_teller.gone(name)
                self._predictions.forget(name)
            case ClaimSeen() | ClaimGone():
                self._committer.claim_seen(event.uid, event.allocated if isinstance(event, ClaimSeen) else ())
            case _:
                pass
        self._wake()

    def _pod(self, before: Pod | None, seen: Pod) -> None:
        key = self._state.workload_of(seen.uid)
        pod = self._state.pod(seen.uid)
        if key is None or pod is None:
            if seen.node is not None:
                # A pod that was ours to plan for its gate alone is not any more once it stands.
                self._committer.pod_seen(seen)
            return
        self._committer.pod_seen(pod)
        self._claims.pod_seen(pod)
        if pod.node is not None:
            self._teller.placed(pod)
            return
        self._board.wait(pod.uid, key)
        if (
            before is not None
            and pod.unschedulable
            and pod.scheduler_message != before.scheduler_message
            and WAITS not in pod.scheduler_message
        ):
            self._committer.pod_refused(pod.uid)

    def _node(self, node: Node) -> None:
        if node.unschedulable:
            self._unusable(node.name, "was cordoned")
        elif not node.ready:
            self._unusable(node.name, "is not ready")
        else:
            self._committer.node_fuller(node.name)

    def _unusable(self, node: NodeName, why: str) -> None:
        self._committer.node_unusable(node, why)
        self._claims.node_unusable(node, why)


def _comes_unplanned(before: Pod | None, now: Pod, ruling: Ruling | None) -> bool:
    """Whether the pod has just got a node that no plan of ours had for it."""
    if now.node is None or (before is not None and before.node == now.node):
        return False
    return not (isinstance(ruling, Planned) and ruling.node == now.node)
