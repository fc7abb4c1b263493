"""What chooses the GPUs of pods on each node of a fleet, and on which nodes it could choose as pods want it."""

from functools import lru_cache
from typing import assert_never

import msgspec
import numpy as np

from scheduler.model.node import Allocator
from scheduler.model.resources import GPU
from scheduler.model.workload import Linked, PodShape
from scheduler.scoring.devices.choose import Chooser, Sizes, exact_chooser
from scheduler.scoring.devices.plugin import PluginChooser, plugin_chooser
from scheduler.scoring.devices.wide import WideChooser
from scheduler.scoring.fleet import Codes, Fleet, Mask, Wiring

AnyChooser = Chooser | WideChooser | PluginChooser


def linked_size(shape: PodShape) -> int:
    """How many GPUs of one pod have to be linked; 0 where none have to be."""
    gpus = shape.requests.count(GPU)
    return gpus if shape.linked is Linked.REQUIRED and gpus > 1 else 0


def firmly(shape: PodShape) -> PodShape:
    """The shape with preferred links required."""
    if shape.linked is not Linked.PREFERRED or shape.requests.count(GPU) < 2:
        return shape
    return msgspec.structs.replace(shape, linked=Linked.REQUIRED)


def gathered(shape: PodShape) -> bool:
    """Whether a pod wants several whole GPUs which the kubelet may want to be near to each other."""
    return shape.requests.gpus > 1 and not shape.by_claim


def can_gather(fleet: Fleet, count: int, steps: Sizes) -> Mask | None:
    """The nodes whose kubelet takes pods of `count` GPUs if all are free; None where all do. `steps`: of the shape."""
    codes, choosers = choosers_of(fleet)
    if not rejecting(fleet).any():
        return None
    accepts = [not isinstance(c, PluginChooser) or not c.rejects or c.could_admit(count, steps) for c in choosers]
    return np.array([*accepts, True], dtype=np.bool_)[codes]


def can_link(fleet: Fleet, count: int) -> Mask:
    """The nodes that have linked sets of `count` GPUs when nothing stands there and all are healthy."""
    codes, choosers = choosers_of(fleet)
    accepts = [chooser.could_link(count) for chooser in choosers]
    return np.array([*accepts, False], dtype=np.bool_)[codes]


def choosers_of(fleet: Fleet) -> tuple[Codes, tuple[AnyChooser, ...]]:
    """A code per node, -1 where its links are not known; and for each code what chooses there."""

    def make() -> tuple[Codes, tuple[AnyChooser, ...]]:
        codes, kinds = fleet.links
        return codes, tuple(map(_chooser, kinds))

    return fleet.remember("choosers", make)


def uneven(fleet: Fleet) -> bool:
    """Whether it makes a difference on some machine which of its GPUs a pod gets."""

    def make() -> tuple[bool]:
        _, kinds = fleet.links
        return (any(len({speed for row in graph.mbps for speed in row if speed}) > 1 for graph, *_ in kinds),)

    return fleet.remember("uneven", make)[0]


def rejecting(fleet: Fleet) -> Mask:
    """The nodes whose kubelet rejects pods that get GPUs which are not near to each other."""

    def make() -> Mask:
        codes, choosers = choosers_of(fleet)
        rejects = [isinstance(chooser, PluginChooser) and chooser.rejects for chooser in choosers]
        return np.array([*rejects, False], dtype=np.bool_)[codes]

    return fleet.remember("rejecting", make)


@lru_cache(maxsize=256)
def _chooser(wiring: Wiring) -> AnyChooser:
    match wiring.allocator:
        case Allocator.DRA:
            return exact_chooser(wiring.graph)
        case Allocator.DEVICE_PLUGIN:
            return plugin_chooser(wiring.graph, wiring.alignment)
        case Allocator.SCHEDULER:
            return PluginChooser(wiring.graph, predicted=0)
        case _:
            assert_never(wiring.allocator)
