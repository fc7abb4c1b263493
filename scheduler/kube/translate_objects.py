"""Jobs, namespaces and topologies as events."""

import sys

import msgspec

from scheduler.kube import translate_values
from scheduler.kube.dialects import kueue
from scheduler.kube.dialects.record import Texts
from scheduler.kube.dialects.table import understand
from scheduler.kube.dialects.words import class_of, queue_of
from scheduler.kube.wire import Meta, NameMeta, WireJob, WireNamespace
from scheduler.kube.wire_own import WireTopology
from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.model.workload import GangClaim, Problem
from scheduler.state.events import JobSeen, NamespaceSeen, TopologySeen

_job_decoder = msgspec.json.Decoder(WireJob)
_namespace_decoder = msgspec.json.Decoder(WireNamespace)
_topology_decoder = msgspec.json.Decoder(WireTopology)


def read_job(raw: bytes | msgspec.Raw) -> tuple[Meta, JobSeen]:
    """A Job's metadata, and what it says of its pods.

    An Indexed Job of which Kueue admits all pods at once is a gang.

    Raises:
        ValueError: the text is no Job.
    """
    wire = _job_decoder.decode(raw)
    meta, spec = wire.metadata, wire.spec
    problems = list[Problem]()
    owner = next((o for o in meta.owner_references if o.controller), None)
    others = understand(
        Texts(
            labels=meta.labels,
            annotations=meta.annotations,
            owner_kind="Job" if owner is None else owner.kind,
            owner_name=meta.name if owner is None else owner.name,
        )
    )
    problems.extend(others.problems)
    gang = translate_values.gang_claim(meta.labels, meta.annotations, problems, others.gang)
    whole = spec.completion_mode == "Indexed" and spec.completions is not None and spec.completions > 1
    queue, queue_key = queue_of(meta.labels, others)
    priority_class, priority_key = class_of(others)
    whole = whole and spec.completions == spec.parallelism
    if gang is None and whole and kueue.NAME in others.dialects and others.queue is not None:
        gang = GangClaim(name=f"job/{meta.name}")
    return meta, JobSeen(
        uid=meta.uid,
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        completions=spec.completions if whole else None,
        succeeded=wire.status.succeeded,
        deadline_s=translate_values.ended_by(None, spec.active_deadline_seconds),
        gang=gang,
        queue=queue,
        queue_key=queue_key,
        priority_class=priority_class,
        priority_key=priority_key,
        problems=tuple(problems),
        notes=others.notes,
    )


def read_namespace(raw: bytes | msgspec.Raw) -> tuple[Meta, NamespaceSeen]:
    """A namespace's metadata, and its labels.

    Raises:
        ValueError: the text is no namespace.
    """
    meta = _namespace_decoder.decode(raw).metadata
    labels = tuple((sys.intern(key), sys.intern(value)) for key, value in sorted(meta.labels.items()))
    return meta, NamespaceSeen(name=sys.intern(meta.name), labels=labels)


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
