"""The only writer to the cluster: nominate, ungate, bind, evict, and what pods, queues and GPUNodes are told.

Every write asks the fence first, carries the pod's uid so that a namesake is never touched, and may be repeated
without harm. A write ends in one of a closed set of outcomes; retrying is the caller's business.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from scheduler.kube.api import ApiRefusedError, ApiUnreachableError, Response
from scheduler.kube.http import Method
from scheduler.kube.keys import (
    CHECKPOINT_REQUESTED_ANNOTATION,
    CONDITION_TYPE,
    EVICTED_ANNOTATION,
    FAILING_CONDITION_TYPE,
    GROUP_VERSION,
    MAKES_WAY_CONDITION_TYPE,
    MIG_CONFIG_LABEL,
    MIG_STATE_LABEL,
    MIG_WANTED_LABEL,
    PLAN_ANNOTATION,
    PLAN_GATE,
    QUEUE_FINALIZER,
)
from scheduler.kube.outcomes import Done, Failure, Fenced, Gone, Outcome, Refused, Unreachable, failure_of
from scheduler.kube.wire_own import QueueCondition, WireQueueStanding
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.workload import Pod

QUEUES = f"/apis/{GROUP_VERSION}/queues"
EVENTS = "events.k8s.io/v1"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
EVENT_TEXT_LIMIT = 1024
"""The longest `note` that events.k8s.io/v1 accepts (KEP-383)."""


class PodRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which pod a write is for."""

    uid: PodUid
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """The pod's path in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def object_reference(self) -> dict[str, str]:
        """The pod as an Event names it."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }


class LeaseRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The Lease that the replicas share: Events that concern the service as a whole are about it."""

    namespace: str
    name: str

    @property
    def object_reference(self) -> dict[str, str]:
        """The Lease as an Event names it."""
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": self.namespace,
            "name": self.name,
        }


class OwnRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of Bayplan's own objects. Events about objects without a namespace stand in `default`: others are refused."""

    kind: Literal["GPUNode", "Queue"]
    uid: str
    name: str
    namespace: str = "default"

    @property
    def object_reference(self) -> dict[str, str]:
        """The object as an Event names it."""
        return {"apiVersion": GROUP_VERSION, "kind": self.kind, "name": self.name, "uid": self.uid}


def ref(pod: Pod) -> PodRef:
    """The reference of a pod."""
    return PodRef(uid=pod.uid, namespace=pod.namespace, name=pod.name)


class Requests(Protocol):
    """The one thing that writes need of an API client."""

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        """One request; raises ApiUnreachableError or ApiRefusedError."""
        ...


class _BoundMeta(msgspec.Struct):
    uid: str


class _BoundSpec(msgspec.Struct):
    nodeName: str = ""  # noqa: N815  the API's spelling


class _BoundPod(msgspec.Struct):
    metadata: _BoundMeta
    spec: _BoundSpec


class Effects:
    """Writes, at most `concurrency` under way at once. `observe` is told each write's kind and outcome."""

    def __init__(
        self,
        api: Requests,
        *,
        may_write: Callable[[], bool],
        concurrency: int,
        instance: str,
        observe: Callable[[str, str], None] = lambda _kind, _outcome: None,
    ) -> None:
        self._api = api
        self._may_write = may_write
        self._slots = asyncio.Semaphore(concurrency)
        self._instance = instance
        self._observe = observe

    async def nominate(self, pod: PodRef, node: NodeName | None) -> Outcome:
        """Set `status.nominatedNodeName`; None clears it."""
        patch = {"metadata": {"uid": pod.uid}, "status": {"nominatedNodeName": node}}
        return await self._send("nominate", "PATCH", f"{pod.path}/status", patch, MERGE_PATCH)

    async def ungate(self, pod: PodRef) -> Outcome:
        """Remove our scheduling gate and leave those of others."""
        gates = [{"$patch": "delete", "name": PLAN_GATE}]
        patch = {"metadata": {"uid": pod.uid}, "spec": {"schedulingGates": gates}}
        return await self._send("ungate", "PATCH", pod.path, patch, STRATEGIC_PATCH)

    async def wake(self, pod: PodRef, plan: str) -> Outcome:
        """Touch a pod without gate, so that kube-scheduler tries it again at once."""
        patch = {"metadata": {"uid": pod.uid, "annotations": {PLAN_ANNOTATION: plan}}}
        return await self._send("wake", "PATCH", pod.path, patch, MERGE_PATCH)

    async def bind(self, pod: PodRef, node: NodeName) -> Outcome:
        """Bind the pod to `node`; a pod that is bound already answers Refused with status 409."""
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        return await self._send("bind", "POST", f"{pod.path}/binding", body)

    async def bound_node(self, pod: PodRef) -> NodeName | None:
        """Where the pod stands by the API server's own word; None where it has no node, is gone, or no answer came."""
        try:
            response = await self._api.request("GET", pod.path)
        except (ApiUnreachableError, ApiRefusedError):
            return None
        read = msgspec.json.decode(response.body, type=_BoundPod)
        return NodeName(read.spec.nodeName) if read.metadata.uid == pod.uid and read.spec.nodeName else None

    async def on_a_node(self, pod: PodRef) -> bool | None:
        """Whether the pod has a node by the API server's own word; None where no answer came."""
        answer = await self.look(pod.path)
        if isinstance(answer, Response):
            read = msgspec.json.decode(answer.body, type=_BoundPod)
            return read.metadata.uid == pod.uid and bool(read.spec.nodeName)
        return False if isinstance(answer, Gone) else None

    async def evict(self, pod: PodRef, *, only_try: bool = False) -> Outcome:
        """Evict through the Eviction API, so that disruption budgets hold and a namesake is spared.

        `only_try`: the API server says what it would do, and does nothing.
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        query = "?dryRun=All" if only_try else ""
        return await self._send("try evict" if only_try else "evict", "POST", f"{pod.path}/eviction{query}", body)

    async def stands(self, pod: PodRef) -> bool:
        """Whether the pod is still there, as far as an answer came."""
        try:
            response = await self._api.request("GET", pod.path)
        except ApiUnreachableError:
            return True
        except ApiRefusedError as err:
            return err.status != 404
        return msgspec.json.decode(response.body, type=_BoundPod).metadata.uid == pod.uid

    async def cordon(self, node: NodeName, *, on: bool) -> Outcome:
        """Keep new pods off a node, or let them onto it again."""
        return await self._send(
            "cordon", "PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": on}}, MERGE_PATCH
        )

    async def label_node(self, node: NodeName, labels: Mapping[str, str | None]) -> Outcome:
        """Set labels of a node, or take those off that are None; others stay as they are."""
        patch = {"metadata": {"labels": dict(labels)}}
        return await self._send("label node", "PATCH", f"/api/v1/nodes/{node}", patch, MERGE_PATCH)

    async def mark_node(self, node: NodeName, config: str) -> Outcome:
        """Keep new pods off a node, and say which configuration its GPUs are to take."""
        patch = {"metadata": {"labels": {MIG_WANTED_LABEL: config}}, "spec": {"unschedulable": True}}
        return await self._send("mark node", "PATCH", f"/api/v1/nodes/{node}", patch, MERGE_PATCH)

    async def divide_node(self, node: NodeName, config: str) -> Outcome:
        """Have the MIG manager apply a configuration; how far it was with another is forgotten."""
        return await self.label_node(node, {MIG_CONFIG_LABEL: config, MIG_STATE_LABEL: None})

    async def release_node(self, node: NodeName, *, opened: bool) -> Outcome:
        """Take our mark off a node, and let new pods onto it if `opened`."""
        spec = {"spec": {"unschedulable": False}} if opened else {}
        patch = {"metadata": {"labels": {MIG_WANTED_LABEL: None}}, **spec}
        return await self._send("release node", "PATCH", f"/api/v1/nodes/{node}", patch, MERGE_PATCH)

    async def set_config(self, name: str, version: str, key: str, text: str) -> Outcome:
        """Set one key of the ConfigMap `namespace/name` if it is still of that resourceVersion."""
        namespace, _, own = name.partition("/")
        patch = {"metadata": {"resourceVersion": version}, "data": {key: text}}
        return await self._send(
            "config", "PATCH", f"/api/v1/namespaces/{namespace}/configmaps/{own}", patch, MERGE_PATCH
        )

    async def tell(self, pod: PodRef, *, planned: bool, reason: str, message: str) -> Outcome:
        """Write our condition on the pod: what it waits for, or that its plan stands."""
        return await self._condition("tell", pod, CONDITION_TYPE, planned, reason, message)

    async def mark(self, pod: PodRef, *, reason: str, message: str, leaves: bool = True) -> Outcome:
        """Write on a running pod that it is to make way, for whom and why; or that it stays after all."""
        return await self._condition("mark", pod, MAKES_WAY_CONDITION_TYPE, leaves, reason, message)

    async def tell_failing(self, pod: PodRef, *, failing: bool, reason: str, message: str) -> Outcome:
        """Write on a running pod that it stands on what fails, and why; or that it does no more."""
        return await self._condition("tell failing", pod, FAILING_CONDITION_TYPE, failing, reason, message)

    async def request_checkpoint(self, pod: PodRef, now_s: int) -> Outcome:
        """Ask a running pod to save its work now."""
        moment = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = {"metadata": {"uid": pod.uid, "annotations": {CHECKPOINT_REQUESTED_ANNOTATION: moment}}}
        return await self._send("ask", "PATCH", pod.path, patch, MERGE_PATCH)

    async def _condition(
        self,
        kind: str,
        pod: PodRef,
        condition_type: str,
        status: bool,  # noqa: FBT001  a value, not a choice of what to do
        reason: str,
        message: str,
    ) -> Outcome:
        condition = {
            "type": condition_type,
            "status": "True" if status else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        return await self._send(kind, "PATCH", f"{pod.path}/status", patch, STRATEGIC_PATCH)

    async def event(
        self,
        about: PodRef | LeaseRef | OwnRef,
        *,
        reason: str,
        note: str,
        warning: bool = False,
        once: bool = False,
        evicted: WorkloadKey | None = None,
    ) -> Outcome:
        """Record an Event. `once`: not again while one of this text stands there, whichever replica wrote it.

        `evicted`: the workload that lost the pod, where the Event says why.
        """
        now = datetime.now(UTC)
        unlike = hashlib.sha256(f"{about} {reason} {note}".encode()).hexdigest()[:16]
        suffix = unlike if once else f"{int(now.timestamp() * 1e9):x}"
        body = {
            "apiVersion": EVENTS,
            "kind": "Event",
            "metadata": {
                "name": f"{about.name[:200]}.{suffix}",
                "namespace": about.namespace,
                **({} if evicted is None else {"annotations": {EVICTED_ANNOTATION: evicted}}),
            },
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "bayplan.dev/planner",
            "reportingInstance": self._instance[:128],
            "action": "Planning",
            "reason": reason,
            "note": note[:EVENT_TEXT_LIMIT],
            "type": "Warning" if warning else "Normal",
            "regarding": about.object_reference,
        }
        path = f"/apis/{EVENTS}/namespaces/{about.namespace}/events"
        outcome = await self._send("event", "POST", path, body)
        stands = once and isinstance(outcome, Refused) and outcome.status == 409
        return Done() if stands else outcome

    async def queue_told(self, name: QueueName) -> tuple[OwnRef, Mapping[str, QueueCondition]] | None:
        """Which Queue stands under the name, and its conditions by type; None where no answer came."""
        read = await self._queue(name)
        if read is None:
            return None
        return OwnRef(kind="Queue", uid=read.metadata.uid, name=name), {c.type: c for c in read.status.conditions}

    async def queue_status(self, name: str, status: Mapping[str, object]) -> Outcome:
        """Write a Queue's status."""
        return await self._send("queue", "PATCH", f"{QUEUES}/{name}/status", {"status": dict(status)}, MERGE_PATCH)

    async def hold_queue(self, name: QueueName, *, on: bool) -> Outcome:
        """Have the Queue stay when it is deleted, or let it go; finalizers of others are left as they are."""
        read = await self._queue(name)
        if read is None:
            return Unreachable(message=f"Queue {name} could not be read")
        meta = read.metadata
        if on == (QUEUE_FINALIZER in meta.finalizers) or (on and meta.deletion_timestamp is not None):
            return Done()
        kept = [each for each in meta.finalizers if each != QUEUE_FINALIZER]
        finalizers = [*kept, QUEUE_FINALIZER] if on else kept
        patch = {"metadata": {"resourceVersion": meta.resource_version, "finalizers": finalizers}}
        return await self._send("hold", "PATCH", f"{QUEUES}/{name}", patch, MERGE_PATCH)

    async def _queue(self, name: QueueName) -> WireQueueStanding | None:
        try:
            response = await self._api.request("GET", f"{QUEUES}/{name}/status")
        except (ApiUnreachableError, ApiRefusedError):
            return None
        return msgspec.json.decode(response.body, type=WireQueueStanding)

    async def exchange(
        self, kind: str, method: Method, path: str, body: Mapping[str, object] | bytes, content_type: str = MERGE_PATCH
    ) -> Response | Failure:
        """One write of the given kind, with the API server's answer to it; a body that is no bytes goes as JSON."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with self._slots:
            answer = await self._exchange_once(method, path, content, content_type)
        self._observe(kind, "done" if isinstance(answer, Response) else type(answer).__name__.lower())
        return answer

    async def look(self, path: str) -> Response | Gone | Refused | Unreachable:
        """Read what a write is to depend on."""
        try:
            return await self._api.request("GET", path)
        except (ApiUnreachableError, ApiRefusedError) as err:
            return failure_of(err)

    async def _send(
        self, kind: str, method: Method, path: str, body: Mapping[str, object], content_type: str = "application/json"
    ) -> Outcome:
        answer = await self.exchange(kind, method, path, body, content_type)
        return Done() if isinstance(answer, Response) else answer

    async def _exchange_once(self, method: Method, path: str, body: bytes, content_type: str) -> Response | Failure:
        if not self._may_write():
            return Fenced()
        try:
            return await self._api.request(method, path, body=body, content_type=content_type)
        except (ApiUnreachableError, ApiRefusedError) as err:
            return failure_of(err)
