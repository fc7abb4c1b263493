"""Jobs, queues and topologies as events."""

import sys

import msgspec

from scheduler.kube import keys, translate_values
from scheduler.kube.wire import Meta, NameMeta, WireJob
from scheduler.kube.wire_own import QueueSpec, WireFlavor, WireQueue, WireTopology
from scheduler.model.names import QueueName
from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.model.policy import POLICY_NAMES, policy_named
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import MILLI_GPU
from scheduler.model.workload import Problem
from scheduler.state.events import JobSeen, QueueSeen, TopologySeen

_job_decoder = msgspec.json.Decoder(WireJob)
_queue_decoder = msgspec.json.Decoder(WireQueue)
_topology_decoder = msgspec.json.Decoder(WireTopology)


def read_job(raw: bytes | msgspec.Raw) -> tuple[Meta, JobSeen]:
    """A Job's metadata, and what it says of its pods.

    Raises:
        ValueError: the text is no Job.
    """
    wire = _job_decoder.decode(raw)
    meta, spec = wire.metadata, wire.spec
    problems = list[Problem]()
    gang = translate_values.gang_claim(meta.labels, meta.annotations, problems)
    whole = spec.completion_mode == "Indexed" and spec.completions is not None and spec.completions > 1
    queue = meta.labels.get(keys.QUEUE_LABEL)
    return meta, JobSeen(
        uid=meta.uid,
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        completions=spec.completions if whole and spec.completions == spec.parallelism else None,
        succeeded=wire.status.succeeded,
        gang=gang,
        queue=QueueName(sys.intern(queue)) if queue is not None else None,
        problems=tuple(problems),
    )


def read_queue(raw: bytes | msgspec.Raw) -> tuple[NameMeta, QueueSeen]:
    """A Queue's metadata, and the queue.

    Raises:
        ValueError: the text is no Queue.
    """
    wire = _queue_decoder.decode(raw)
    spec = wire.spec
    if spec.order not in ("Fair", "StrictFIFO"):
        raise ValueError(f"spec.order is {spec.order!r}; allowed: Fair, StrictFIFO")
    policy = None if spec.policy is None else policy_named(spec.policy)
    if spec.policy is not None and policy is None:
        raise ValueError(f"spec.policy is {spec.policy!r}; allowed: {POLICY_NAMES}")
    return wire.metadata, QueueSeen(
        queue=Queue(
            name=QueueName(sys.intern(wire.metadata.name)),
            parent=QueueName(sys.intern(spec.parent)) if spec.parent is not None else None,
            namespaces=tuple(sorted(set(spec.namespaces))),
            total=_quota(spec),
            flavors=tuple((f.name, _quota(f)) for f in sorted(spec.flavors, key=lambda f: f.name)),
            weight=spec.weight,
            priority=spec.priority,
            min_runtime_s=spec.min_runtime_seconds,
            order=spec.order,
            policy=policy,
            generation=wire.metadata.generation,
        )
    )


def _quota(spec: QueueSpec | WireFlavor) -> Quota:
    return Quota(
        nominal_milli_gpu=(spec.nominal or 0) * MILLI_GPU,
        given=spec.nominal is not None,
        borrowing_limit_milli_gpu=None if spec.borrowing_limit is None else spec.borrowing_limit * MILLI_GPU,
        lending_limit_milli_gpu=None if spec.lending_limit is None else spec.lending_limit * MILLI_GPU,
    )


def read_topology(raw: bytes | msgspec.Raw) -> tuple[NameMeta, TopologySeen]:
    """A Topology's metadata, and its levels without the node level, which is always there.

    Raises:
        ValueError: the text is no Topology.
    """
    wire = _topology_decoder.decode(raw)
    levels = (TopologyLevel(name=level.name, label=level.node_label) for level in wire.spec.levels)
    return wire.metadata, TopologySeen(
        name=wire.metadata.name, levels=tuple(level for level in levels if level.label != NODE_LEVEL.label)
    )
