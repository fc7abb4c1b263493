"""What the extender needs of the service: rulings on pods, and the barrier before a bind."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from scheduler.model.names import NodeName, PodUid, WorkloadKey


class Planned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The pod goes to `node` and nowhere else."""

    workload: WorkloadKey
    node: NodeName


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """The pod may go to any node of `scores`, where the higher score is better."""

    workload: WorkloadKey
    scores: Mapping[NodeName, int]


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The pod is ours and has no plan: it may go nowhere."""

    workload: WorkloadKey


class Untouched(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The pod neither asks for devices nor belongs to a gang: kube-scheduler alone decides."""


Ruling = Planned | Offered | Waiting | Untouched


class BindRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """kube-scheduler chose `node` for the pod and holds its room there."""

    pod: PodUid
    namespace: str
    name: str
    node: NodeName


class Guard(Protocol):
    """The service as the extender sees it.

    Every method is called on the extender's own thread, never on the service's loop. The first three stand in
    kube-scheduler's serial loop: they must neither wait nor lock. What they raise is logged and answered as a failure
    of the one call.
    """

    def ruling(self, uid: PodUid) -> Ruling | None:
        """The ruling on a pod the service knows; None: never seen."""
        ...

    def judge(self, pod: msgspec.Raw) -> Ruling:
        """The ruling on a pod the service has not seen yet, from its JSON alone; `pod` is any JSON object."""
        ...

    def refused(self, uid: PodUid, node: NodeName) -> None:
        """kube-scheduler's own filters would not take the planned `node` for the pod."""
        ...

    async def bind(self, request: BindRequest) -> str | None:
        """Bind the pod, or hold until its gang can be bound. None: it is bound; a text: why it is not.

        Cancelled when kube-scheduler hangs up or the extender stops: the room is then given to others, so a bind that
        was not sent yet must not be sent any more.
        """
        ...
