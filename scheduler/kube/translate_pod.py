"""Pods as events."""

import sys
from collections.abc import Iterable

import msgspec

from scheduler.kube import keys, translate_values
from scheduler.kube.dialects.record import Texts
from scheduler.kube.dialects.table import understand
from scheduler.kube.dialects.words import class_of, queue_of
from scheduler.kube.requests import gpu_steps, pod_requests
from scheduler.kube.selectors import host_ports, node_affinity, scheduler_rules, tolerations
from scheduler.kube.translate_claim import by_class, pod_claims
from scheduler.kube.wire import Condition, Meta, OwnerReference, PodStatus, WirePod
from scheduler.model.names import NodeName, PodUid
from scheduler.model.workload import Pod, PodShape, Problem
from scheduler.state.events import PodGone, PodSeen, RunSeen
from scheduler.state.lengths import run_of

SHAPES_KEPT = 4096
NO_SHAPE = PodShape()


class PodReader:
    """Reads pods; equal shapes of different pods become the same record, so that 40,000 pods cost little memory."""

    def __init__(self, scheduler_name: str, user_label: str | None = None) -> None:
        """Pods of `scheduler_name` are ours; `user_label` says whose each is, the own one where it is None."""
        self._scheduler_name = scheduler_name
        self._user_label = user_label or keys.USER_LABEL
        self._decoder = msgspec.json.Decoder(WirePod)
        self._shapes: dict[PodShape, PodShape] = {}

    def read(self, raw: bytes | msgspec.Raw) -> tuple[Meta, PodSeen | PodGone]:
        """The pod's metadata, and what was seen of it.

        Raises:
            ValueError: the text is no pod, or a quantity in it cannot be read.
        """
        wire = self._decoder.decode(raw)
        meta = wire.metadata
        uid = PodUid(meta.uid)
        if wire.status.phase in ("Succeeded", "Failed"):
            return meta, PodGone(uid=uid)
        if wire.spec.scheduler_name == self._scheduler_name:
            return meta, PodSeen(pod=self._ours(wire, uid))
        return meta, PodSeen(pod=self._foreign(wire, uid))

    def read_ended(self, raw: bytes | msgspec.Raw) -> tuple[Meta, RunSeen]:
        """Of a pod of ours that did its work: its metadata, and how long that took, where it can be told.

        Raises:
            ValueError: as of `read`.
        """
        wire = self._decoder.decode(raw)
        ended_s = _ended_s(wire.status)
        if wire.status.phase != "Succeeded" or wire.spec.scheduler_name != self._scheduler_name or ended_s is None:
            return wire.metadata, RunSeen()
        pod = self._ours(wire, PodUid(wire.metadata.uid))
        return wire.metadata, RunSeen(run=run_of(pod, ended_s) if pod.managed else None)

    def _foreign(self, wire: WirePod, uid: PodUid) -> Pod:
        """A pod of another scheduler: where it stands and what it takes there is all that matters."""
        node, nominated = _node(wire.spec.node_name), _node(wire.status.nominated_node_name)
        shape = NO_SHAPE
        if node is not None or nominated is not None:
            shape = self._interned(PodShape(requests=pod_requests(wire), host_ports=host_ports(wire.spec)))
        meta = wire.metadata
        return Pod(
            uid=uid,
            namespace=sys.intern(meta.namespace),
            name=meta.name,
            shape=shape,
            priority=wire.spec.priority,
            created_s=_created_s(meta),
            node=node,
            bound_s=_bound_s(_condition(wire.status.conditions, "PodScheduled")) if node is not None else None,
            nominated_node=nominated,
            deleting=meta.deletion_timestamp is not None,
            claims=pod_claims(wire) if node is not None or nominated is not None else (),
        )

    def _ours(self, wire: WirePod, uid: PodUid) -> Pod:
        meta, spec = wire.metadata, wire.spec
        labels, annotations = meta.labels, meta.annotations
        problems: list[Problem] = []
        owner = _controller(meta.owner_references)
        others = understand(
            Texts(
                labels=labels,
                annotations=annotations,
                owner_kind=owner.kind if owner is not None else "",
                owner_name=owner.name if owner is not None else "",
            ),
            spec,
        )
        problems.extend(others.problems)
        gang = translate_values.gang_claim(labels, annotations, problems, others.gang)
        requests = pod_requests(wire)
        problems.extend(by_class(requests))
        shape = self._interned(
            PodShape(
                requests=requests,
                node_selector=tuple(sorted(spec.node_selector.items())),
                affinity=node_affinity(spec),
                tolerations=tolerations(spec),
                host_ports=host_ports(spec),
                models=translate_values.gpu_models(annotations, problems),
                linked=translate_values.linked(annotations, requests, problems),
                scheduler_rules=scheduler_rules(spec),
                share_milli=translate_values.share_milli(annotations, requests.shared_gpus, problems),
                gpu_steps=gpu_steps(wire),
            )
        )
        role, role_required = translate_values.role(annotations, problems)
        gates = {g.name for g in spec.scheduling_gates}
        scheduled = _condition(wire.status.conditions, "PodScheduled")
        told = _condition(wire.status.conditions, keys.CONDITION_TYPE)
        leaves = _if_true(_condition(wire.status.conditions, keys.MAKES_WAY_CONDITION_TYPE))
        queue, queue_key = queue_of(labels, others)
        priority_class, priority_key = class_of(others)
        preemptible = translate_values.preemptible(annotations, problems)
        unschedulable = _is(scheduled, "False", "Unschedulable")
        return Pod(
            uid=uid,
            namespace=sys.intern(meta.namespace),
            name=meta.name,
            shape=shape,
            ours=True,
            managed=shape.requests.wants_devices
            or gang is not None
            or keys.GANG_LABEL in labels
            or keys.PLAN_GATE in gates,
            priority=spec.priority,
            created_s=_created_s(meta),
            node=_node(spec.node_name),
            bound_s=_bound_s(scheduled),
            nominated_node=_node(wire.status.nominated_node_name),
            gated=keys.PLAN_GATE in gates,
            foreign_gates=bool(gates - {keys.PLAN_GATE}),
            deleting=meta.deletion_timestamp is not None,
            unschedulable=unschedulable,
            scheduler_message=scheduled.message if unschedulable and scheduled is not None else "",
            gang=gang,
            owner_uid=owner.uid if owner is not None else None,
            owner_name=owner.name if owner is not None else "",
            index=translate_values.index(labels, annotations),
            queue=queue,
            queue_key=queue_key,
            priority_class=priority_class,
            priority_key=priority_key,
            user=sys.intern(labels.get(self._user_label) or others.user or ""),
            topology_required=translate_values.level(annotations, keys.TOPOLOGY_REQUIRED_ANNOTATION, problems)
            or others.topology_required,
            topology_preferred=translate_values.level(annotations, keys.TOPOLOGY_PREFERRED_ANNOTATION, problems)
            or others.topology_preferred,
            topology_slices=translate_values.slices(annotations, problems) or others.topology_slices,
            topology_exclusive=translate_values.level(annotations, keys.TOPOLOGY_EXCLUSIVE_ANNOTATION, problems),
            role=role or others.role or "",
            role_required=role_required,
            policy=translate_values.policy(annotations, problems),
            duration_s=translate_values.ended_by(
                translate_values.duration_s(annotations, problems) or others.duration_s,
                wire.spec.active_deadline_seconds,
            ),
            checkpointed_s=translate_values.checkpointed_s(annotations, problems),
            preemptible=preemptible if others.preemptible is None else others.preemptible,
            makes_way=leaves is not None,
            leaves_why="" if leaves is None else sys.intern(leaves.message),
            asked_to_save_s=translate_values.asked_to_save_s(annotations),
            leaves_by_s=int(meta.deletion_timestamp.timestamp()) if meta.deletion_timestamp is not None else None,
            claims=pod_claims(wire),
            problems=tuple(problems),
            notes=others.notes,
            told=(told.reason, told.message) if told is not None else None,
            told_failing=_if_true(_condition(wire.status.conditions, keys.FAILING_CONDITION_TYPE)) is not None,
        )

    def _interned(self, shape: PodShape) -> PodShape:
        known = self._shapes.get(shape)
        if known is not None:
            return known
        if len(self._shapes) >= SHAPES_KEPT:
            self._shapes.clear()
        self._shapes[shape] = shape
        return shape


def _node(name: str) -> NodeName | None:
    return NodeName(sys.intern(name)) if name else None


def _created_s(meta: Meta) -> int:
    return int(meta.creation_timestamp.timestamp()) if meta.creation_timestamp is not None else 0


def _condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    for condition in conditions:
        if condition.type == kind:
            return condition
    return None


def _is(condition: Condition | None, status: str, reason: str) -> bool:
    return condition is not None and condition.status == status and condition.reason == reason


def _if_true(condition: Condition | None) -> Condition | None:
    return condition if condition is not None and condition.status == "True" else None


def _bound_s(scheduled: Condition | None) -> int | None:
    """When the pod got its node: PodScheduled turned True as it was bound."""
    if scheduled is None or scheduled.status != "True" or scheduled.last_transition_time is None:
        return None
    return int(scheduled.last_transition_time.timestamp())


def _ended_s(status: PodStatus) -> int | None:
    """When the last container of a pod ended; where that is not told of any, when the pod was ready no more."""
    ends = [each.state.terminated for each in status.container_statuses]
    told = [end.finished_at for end in ends if end is not None and end.finished_at is not None]
    ready = _condition(status.conditions, "Ready")
    if not told and ready is not None and ready.status == "False" and ready.last_transition_time is not None:
        told = [ready.last_transition_time]
    return int(max(told).timestamp()) if told else None


def _controller(owners: Iterable[OwnerReference]) -> OwnerReference | None:
    return next((o for o in owners if o.controller), None)
