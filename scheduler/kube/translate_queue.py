"""Queues as events. What cannot be read of a spec is told by name, and the queue stays as it last was."""

import sys
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from scheduler.kube.keys import QUEUE_FINALIZER
from scheduler.kube.wire import NameMeta
from scheduler.kube.wire_own import (
    QueueMeta,
    QueueSpec,
    WireAmounts,
    WireFlavor,
    WireQueue,
    WireQueueMeta,
    WireSelector,
)
from scheduler.model.names import QueueName
from scheduler.model.policy import POLICY_NAMES, policy_named
from scheduler.model.queue import CPU, MEMORY, Queue, QueueOrder, Quota
from scheduler.model.resources import MILLI_GPU
from scheduler.model.workload import Problem, Requirement, SelectorOperator
from scheduler.state.events import QueueSeen

MOST = 1_000_000
"""The largest amount of GPUs, cores or GiB, and the largest weight, as the definition of Queue has it."""

MOST_PRIORITY = 1_000_000_000
MOST_SECONDS = 315_360_000
"""Ten years."""

MOST_GRACE_SECONDS = 86_400

MILLI_CPU = 1000
MIB_OF_GIB = 1024

ORDERS: tuple[QueueOrder, ...] = ("Fair", "StrictFIFO")
_OPERATORS: tuple[SelectorOperator, ...] = ("In", "NotIn", "Exists", "DoesNotExist")

_queue_decoder = msgspec.json.Decoder(WireQueue)
_meta_decoder = msgspec.json.Decoder(WireQueueMeta)


def read_queue(raw: bytes | msgspec.Raw) -> tuple[NameMeta, QueueSeen]:
    """A Queue's metadata, and the queue, with `problems` where something of its spec cannot be used.

    Raises:
        ValueError: the text is no object with a name.
    """
    try:
        wire = _queue_decoder.decode(raw)
    except msgspec.ValidationError as err:
        meta = _meta_decoder.decode(raw).metadata
        problem = _unreadable(str(err), msgspec.json.decode(raw))
        return meta, QueueSeen(queue=_refused(meta, (problem,)))
    spec, recent = wire.spec, wire.status.recent
    problems = tuple(_problems(wire.metadata.name, spec))
    if problems:
        return wire.metadata, QueueSeen(queue=_refused(wire.metadata, problems))
    more = [
        (name, _quota(amounts, unit))
        for name, amounts, unit in ((CPU, spec.cpu, MILLI_CPU), (MEMORY, spec.memory, MIB_OF_GIB))
        if amounts is not None
    ]
    return wire.metadata, QueueSeen(
        queue=Queue(
            name=_name(wire.metadata),
            parent=QueueName(sys.intern(spec.parent)) if spec.parent is not None else None,
            namespaces=tuple(sorted(set(spec.namespaces))),
            namespace_selector=None if spec.namespace_selector is None else _selector(spec.namespace_selector),
            total=_quota(spec),
            flavors=tuple(sorted([*((f.name, _quota(f)) for f in spec.flavors), *more])),
            weight=spec.weight,
            priority=spec.priority,
            min_runtime_s=spec.min_runtime_seconds,
            user_limit_milli_gpu=None if spec.user_limit is None else spec.user_limit * MILLI_GPU,
            order="StrictFIFO" if spec.order == "StrictFIFO" else "Fair",
            policy=None if spec.policy is None else policy_named(spec.policy),
            generation=wire.metadata.generation,
            recent_milli_gpu=max(recent.milli_gpu, 0),
            recent_at_s=None if recent.at is None else int(recent.at.timestamp()),
            ending=wire.metadata.deletion_timestamp is not None,
            held=QUEUE_FINALIZER in wire.metadata.finalizers,
            uid=wire.metadata.uid,
            parent_before=None if wire.status.parent is None else QueueName(sys.intern(wire.status.parent)),
            eviction_grace_s=spec.eviction_grace_seconds,
        )
    )


def _refused(meta: QueueMeta, problems: tuple[Problem, ...]) -> Queue:
    """A queue of which only this is known: what is wrong with it, and whether it is there to stay."""
    return Queue(
        name=_name(meta),
        generation=meta.generation,
        problems=problems,
        ending=meta.deletion_timestamp is not None,
        held=QUEUE_FINALIZER in meta.finalizers,
        uid=meta.uid,
    )


def _name(meta: NameMeta) -> QueueName:
    return QueueName(sys.intern(meta.name))


def _quota(spec: QueueSpec | WireFlavor | WireAmounts, unit: int = MILLI_GPU) -> Quota:
    return Quota(
        nominal_milli_gpu=(spec.nominal or 0) * unit,
        given=spec.nominal is not None,
        borrowing_limit_milli_gpu=None if spec.borrowing_limit is None else spec.borrowing_limit * unit,
        lending_limit_milli_gpu=None if spec.lending_limit is None else spec.lending_limit * unit,
    )


def _selector(selector: WireSelector) -> tuple[Requirement, ...]:
    equal = [Requirement(key=key, operator="In", values=(value,)) for key, value in selector.match_labels.items()]
    more = [
        Requirement(key=each.key, operator=operator, values=tuple(each.values))
        for each in selector.match_expressions
        for operator in _OPERATORS
        if each.operator == operator
    ]
    return tuple(sorted([*equal, *more], key=lambda r: (r.key, r.operator, r.values)))


# What is wrong


def _problems(name: str, spec: QueueSpec) -> Iterator[Problem]:
    if spec.parent == name:
        yield Problem(where="spec.parent", value=name, allowed="another queue, or none")
    for where, amounts in _amounts(spec):
        yield from _within(f"{where}.nominal", amounts.nominal, 0, MOST)
        yield from _within(f"{where}.borrowingLimit", amounts.borrowing_limit, 0, MOST)
        yield from _within(f"{where}.lendingLimit", amounts.lending_limit, 0, MOST)
    yield from _within("spec.userLimit", spec.user_limit, 0, MOST)
    yield from _within("spec.weight", spec.weight, 1, MOST)
    yield from _within("spec.priority", spec.priority, -MOST_PRIORITY, MOST_PRIORITY)
    yield from _within("spec.minRuntimeSeconds", spec.min_runtime_seconds, 0, MOST_SECONDS)
    yield from _within("spec.evictionGraceSeconds", spec.eviction_grace_seconds, 0, MOST_GRACE_SECONDS)
    names = [flavor.name for flavor in spec.flavors]
    for twice in sorted({each for each in names if names.count(each) > 1}):
        yield Problem(where="spec.flavors", value=twice, allowed="each kind of GPU once")
    for reserved in sorted({CPU, MEMORY} & set(names)):
        yield Problem(where="spec.flavors", value=reserved, allowed=f"GPU models and MIG profiles; use spec.{reserved}")
    if spec.order not in ORDERS:
        yield Problem(where="spec.order", value=spec.order, allowed=" or ".join(ORDERS))
    if spec.policy is not None and policy_named(spec.policy) is None:
        yield Problem(where="spec.policy", value=spec.policy, allowed=POLICY_NAMES)
    if spec.namespace_selector is not None:
        yield from _selector_problems(spec.namespace_selector)


def _selector_problems(selector: WireSelector) -> Iterator[Problem]:
    for at, each in enumerate(selector.match_expressions):
        where = f"spec.namespaceSelector.matchExpressions[{at}]"
        if each.operator not in _OPERATORS:
            yield Problem(where=f"{where}.operator", value=each.operator, allowed=" or ".join(_OPERATORS))
        elif bool(each.values) != (each.operator in ("In", "NotIn")):
            allowed = "at least one value for In and NotIn, none for Exists and DoesNotExist"
            yield Problem(where=f"{where}.values", value=", ".join(each.values), allowed=allowed)


def _amounts(spec: QueueSpec) -> Iterator[tuple[str, QueueSpec | WireFlavor | WireAmounts]]:
    yield "spec", spec
    for flavor in spec.flavors:
        yield f"spec.flavors[{flavor.name}]", flavor
    for name, amounts in ((CPU, spec.cpu), (MEMORY, spec.memory)):
        if amounts is not None:
            yield f"spec.{name}", amounts


def _within(where: str, value: int | None, least: int, most: int) -> Iterator[Problem]:
    if value is not None and not least <= value <= most:
        yield Problem(where=where, value=str(value), allowed=f"a whole number from {least} to {most}, or left out")


def _unreadable(message: str, document: object) -> Problem:
    """What the decoder refused, with the value that stands there."""
    what, _, path = message.partition(" - at `$")
    path = path.removesuffix("`").removeprefix(".")
    value: Any = document
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            value = cast("list[Any]", value)[int(step[1:-1])] if step[1:-1].isdigit() else value
        elif isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(step, value)
    wanted = what.partition("Expected ")[2].partition(", got")[0].replace("`", "") or what
    for word, kind in (("int", "a whole number"), ("str", "text"), ("array", "a list"), ("object", "a mapping")):
        wanted = " or ".join(kind if part == word else part for part in wanted.split(" | ")).replace(f"{word} ", kind)
    wanted = wanted.replace(" or null", ", or left out")
    return Problem(where=path or "the object", value=str(value), allowed=wanted)
