"""What stands on one node, or is about to, and how much of it that takes."""

from collections.abc import Iterable
from functools import reduce

import msgspec

from scheduler.model.names import PodUid
from scheduler.model.plan import Assignment
from scheduler.model.resources import NOTHING, Resources, larger, plus
from scheduler.model.workload import Pod, PodShape


class Use(msgspec.Struct):
    """Pods of a node, and assignments in flight with the shape of their pod.

    `leaving` are the pods that plans in flight wait for, `waiting` the assignments of such plans. `claims`: those of
    pods in flight, where any pod in flight has some.
    """

    pods: dict[PodUid, Pod] = msgspec.field(default_factory=dict[PodUid, Pod])
    claims: dict[PodUid, frozenset[str]] = msgspec.field(default_factory=dict[PodUid, frozenset[str]])
    flights: dict[PodUid, tuple[Assignment, PodShape]] = msgspec.field(
        default_factory=dict[PodUid, tuple[Assignment, PodShape]]
    )
    leaving: set[PodUid] = msgspec.field(default_factory=set[PodUid])
    waiting: set[PodUid] = msgspec.field(default_factory=set[PodUid])


def taken_by(use: Use) -> list[Resources]:
    """What is used, in parts: of those that leave and of those that wait for it, whichever take more."""
    if not use.leaving:
        return [shape.requests for shape in shapes_of(use)]
    staying = [pod.shape.requests for uid, pod in use.pods.items() if uid not in use.leaving]
    started = [shape.requests for uid, (_, shape) in use.flights.items() if uid not in use.waiting]
    leaving = _sum(pod.shape.requests for uid, pod in use.pods.items() if uid in use.leaving)
    waiting = _sum(shape.requests for uid, (_, shape) in use.flights.items() if uid in use.waiting)
    return [*staying, *started, larger(leaving, waiting)]


def shapes_of(use: Use) -> list[PodShape]:
    """The shapes of all that stands there or is about to."""
    return [pod.shape for pod in use.pods.values()] + [shape for _, shape in use.flights.values()]


def _sum(amounts: Iterable[Resources]) -> Resources:
    return reduce(plus, amounts, NOTHING)
