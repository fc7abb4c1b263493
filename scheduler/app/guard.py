"""The service as the extender's thread sees it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from scheduler.app.board import Board
from scheduler.extender.guard import BindRequest, Offered, Planned, Ruling, Untouched, Waiting
from scheduler.kube.translate_pod import PodReader
from scheduler.model.names import NodeName, PodUid, WorkloadKey, gang_key, pod_key
from scheduler.model.workload import Pod
from scheduler.state.events import PodSeen

UNREADABLE = WorkloadKey("pod:unreadable")


class ServiceGuard:
    """Rulings come from the board, on the extender's own thread; everything else crosses to the service's loop."""

    def __init__(
        self,
        board: Board,
        *,
        scheduler_name: str,
        workload_of: Callable[[PodUid], WorkloadKey | None],
        leading: Callable[[], bool],
        bind: Callable[[BindRequest], Coroutine[Any, Any, str | None]],
        refused: Callable[[PodUid, NodeName], None],
    ) -> None:
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._reader = PodReader(scheduler_name)
        self._workload_of = workload_of
        self._leading = leading
        self._bind = bind
        self._refused = refused
        self.asked_s = 0.0
        """When kube-scheduler last asked anything, on the service loop's clock."""

    def ruling(self, uid: PodUid) -> Ruling | None:
        """The ruling on a pod that was seen. What a replica planned whose lease has run out stands no more."""
        self.asked_s = self._loop.time()
        match self._board.get(uid):
            case Planned(workload=workload) | Offered(workload=workload) if not self._leading():
                return Waiting(workload=workload)
            case ruling:
                return ruling

    def judge(self, pod: msgspec.Raw) -> Ruling:
        """A pod that our watch has not brought yet: one that may be ours to plan waits until it has; others pass."""
        try:
            _, seen = self._reader.read(pod)
        except ValueError:
            return Waiting(workload=UNREADABLE)
        match seen:
            case PodSeen(pod=read):
                return self._judge(read)
            case _:
                return Untouched()

    def refused(self, uid: PodUid, node: NodeName) -> None:
        """kube-scheduler's own filters would not take the planned node."""
        self._loop.call_soon_threadsafe(self._refused, uid, node)

    async def bind(self, request: BindRequest) -> str | None:
        """Bind on the service's loop; cancelling here cancels there."""
        if not self._leading():
            return "this replica does not lead"
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._bind(request), self._loop))

    def _judge(self, pod: Pod) -> Ruling:
        # A pod may be a member by its Job's mark alone, which the state knows and the pod does not.
        key = self._workload_of(pod.uid)
        if key is not None:
            return Waiting(workload=key)
        if not pod.managed:
            return Untouched()
        gang = pod.gang
        key = pod_key(pod.namespace, pod.name) if gang is None else gang_key(pod.namespace, gang.name)
        return Waiting(workload=key)
