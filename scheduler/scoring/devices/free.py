"""The free GPUs of each node, one by one, as a plan gives them away."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, assert_never

import msgspec
import numpy as np

from scheduler.model.links import LinkGraph
from scheduler.model.names import NodeName
from scheduler.model.node import Allocator
from scheduler.model.resources import GPU
from scheduler.model.snapshot import Snapshot, Unsure
from scheduler.model.workload import Linked, PodShape
from scheduler.scoring.devices.choose import Chooser, Sizes, exact_chooser, indexes, largest_first, set_of, usable
from scheduler.scoring.devices.plugin import PluginChooser, plugin_chooser
from scheduler.scoring.devices.wide import WideChooser
from scheduler.scoring.fleet import Codes, Fleet, Mask

AnyChooser = Chooser | WideChooser | PluginChooser

Wants = Sequence[tuple[PodShape, int]]
"""Pods of one node: shapes, and how many of each."""


class Tolls(NamedTuple):
    """Of the GPUs that a pod would get on several nodes: their bottlenecks, and what those who come later lose."""

    speed: Codes
    loss: Codes


def linked_size(shape: PodShape) -> int:
    """How many GPUs of one pod have to be linked; 0 where none have to be."""
    gpus = shape.requests.count(GPU)
    return gpus if shape.linked is Linked.REQUIRED and gpus > 1 else 0


def firmly(shape: PodShape) -> PodShape:
    """The shape with preferred links required."""
    if shape.linked is not Linked.PREFERRED or shape.requests.count(GPU) < 2:
        return shape
    return msgspec.structs.replace(shape, linked=Linked.REQUIRED)


def can_link(fleet: Fleet, count: int) -> Mask:
    """The nodes that have linked sets of `count` GPUs when nothing stands there and all are healthy."""
    codes, choosers = _choosers(fleet)
    accepts = [chooser.could_link(count) for chooser in choosers]
    return np.array([*accepts, False], dtype=np.bool_)[codes]


class FreeDevices:
    """Healthy whole GPUs that nothing holds, per row; it changes with the plan, the snapshot is left as found.

    `kept`: GPUs that a waiting gang keeps from others are not free, and told apart from those that are used.
    `sound_only`: suspect GPUs do not count as free. `suspect`: per row the set of these, where there are any.
    """

    def __init__(self, snapshot: Snapshot, fleet: Fleet) -> None:
        self._snapshot = snapshot
        self._fleet = fleet
        self._free: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._codes, self._choosers = _choosers(fleet)
        self.sound_only = False
        self.suspect = {
            fleet.row_of[name]: set_of(ailing.suspect)
            for name, ailing in snapshot.ailing.items()
            if ailing.suspect and name in fleet.row_of
        }
        self._wary = [*(isinstance(c, PluginChooser) and not c.always_sure for c in self._choosers), False]

    def at(self, row: int) -> int:
        """The free GPUs of a node as a set (bit i stands for GPU i)."""
        free = self.suspect_too(row)
        return free & ~self.suspect.get(row, 0) if self.sound_only else free

    def suspect_too(self, row: int) -> int:
        """As `at`, with those that are suspect."""
        free = self._free.get(row)
        if free is None:
            free = self._usable(row)
            taken = self._snapshot.devices_used.get(self._fleet.names[row])
            if taken:
                free &= ~set_of(taken)
            self._free[row] = free
        return free

    def fits(self, rows: Sequence[int], count: int, *, kept: bool = False, steps: Sizes = ()) -> Codes:
        """How many linked sets of `count` GPUs each of `rows` has free; `kept`: with what is kept for others.

        `steps`: as of the shape of the pods (`PodShape.gpu_steps`).
        """
        free = [self.at(row) | self._kept.get(row, 0) if kept else self.at(row) for row in rows]
        return self._each(rows, free, count, self._snapshot.devices_unsure, steps)

    def fits_empty(self, rows: Sequence[int], count: int, *, steps: Sizes = ()) -> Codes:
        """As `fits`, if nothing stood there."""
        return self._each(rows, [self._usable(r) for r in rows], count, {}, steps)

    def tolls(self, rows: Codes, shape: PodShape) -> Tolls | None:
        """What it would mean that the pod gets its GPUs on each of `rows`; where the plugin chooses, at the worst.

        None where that is no difference: on machines all of whose pairs of GPUs are alike, and for pods without GPUs.
        """
        gpus = shape.requests.count(GPU)
        if not gpus or not _uneven(self._fleet):
            return None
        known: dict[tuple[int, int, Unsure | None], tuple[int, int]] = {}
        speed, loss = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        codes: list[int] = self._codes[rows].tolist()
        listed: list[int] = rows.tolist()
        unsure, names = self._snapshot.devices_unsure, self._fleet.names
        for at, (row, code) in enumerate(zip(listed, codes, strict=True)):
            if code >= 0:
                key = (code, self.at(row), unsure.get(names[row]) if unsure and self._wary[code] else None)
                toll = known.get(key)
                if toll is None:
                    toll = known[key] = _toll(self._choosers[code], *key[1:], shape)
                speed[at], loss[at] = toll
        return Tolls(speed, loss)

    def unsure(self, rows: Codes, shape: PodShape) -> int:
        """On how many of `rows` linked GPUs are free for the pod, but the device plugin may give others."""
        count, found = linked_size(shape), 0
        if count:
            for row in rows[self.fits(rows.tolist(), count, steps=shape.gpu_steps) == 0].tolist():
                chooser = self._chooser(row)
                found += isinstance(chooser, PluginChooser) and chooser.could_fit(self.at(row), count)
        return found

    def clashing(self, shapes: Sequence[PodShape], groups: Sequence[tuple[Codes, Codes]]) -> list[int]:
        """Rows of a layout (`groups[g]`: rows, and pods of `shapes[g]` on each) whose linked sets do not fit together.

        Those of one shape by themselves were counted as capacity, so only nodes with several shapes are in question.
        """
        sizes: dict[int, list[list[int]]] = {}
        by_steps: set[int] = set()
        for shape, (rows, counts) in zip(shapes, groups, strict=True):
            if linked_size(shape):
                for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                    sizes.setdefault(row, []).append([linked_size(shape)] * count)
                    if shape.gpu_steps:
                        by_steps.add(row)
        found: list[int] = []
        for row, some in sizes.items():
            chooser = self._chooser(row)
            wanted = largest_first(list(chain.from_iterable(some)))
            if len(some) > 1 and (
                chooser is None
                or not all(chooser.packable(free, wanted) for free in self._states(row, chooser))
                # What the plugin gives to container after container is not worked out beside other pods.
                or (row in by_steps and isinstance(chooser, PluginChooser) and not chooser.always_sure)
            ):
                found.append(row)
        return found

    def hand_out(self, row: int, wants: Wants) -> list[list[tuple[int, ...]]]:
        """The GPUs that each of these pods is expected to get; they are taken from now on. () where not known.

        Pods that have to be linked choose first, and leave room for each other.
        """
        chooser = self._chooser(row)
        given: list[list[tuple[int, ...]]] = [[()] * count for _, count in wants]
        pods = [
            (shape.requests.count(GPU), shape.linked, at, k, shape.gpu_steps)
            for at, (shape, count) in enumerate(wants)
            for k in range(count)
        ]
        firm = self._firm(row, [(gpus, wish) for gpus, wish, *_ in pods], chooser)
        keep = list(largest_first([gpus for gpus, wish, *_ in pods if wish in firm]))
        for gpus, wish, at, k, steps in sorted(pods, key=lambda pod: (pod[1] not in firm, -pod[0])):
            if wish in firm and gpus > 1:
                keep.remove(gpus)
            given[at][k] = self._take(row, gpus, wish, tuple(keep), chooser, steps)
        return given

    def put_back(self, row: int, devices: Sequence[int]) -> None:
        """These GPUs of a node, which were handed out, are free again."""
        self._free[row] = self.suspect_too(row) | set_of(devices)

    def take(self, row: int, devices: Sequence[int]) -> None:
        """Exactly these free GPUs of a node are taken from now on."""
        self._free[row] = self.suspect_too(row) & ~set_of(devices)

    def keep(self, row: int, shape: PodShape, count: int) -> None:
        """Keep the GPUs of `count` linked pods from others."""
        if linked_size(shape):
            before = self.at(row)
            self.hand_out(row, [(shape, count)])
            self._kept[row] = self._kept.get(row, 0) | (before & ~self.at(row))

    def _take(
        self, row: int, gpus: int, wish: Linked, keep: Sizes, chooser: AnyChooser | None, steps: Sizes
    ) -> tuple[int, ...]:
        free = self.at(row)
        sound = free & ~self.suspect.get(row, 0)
        some = 0
        # Where the plugin chooses, what is expected of it does not go by what it does not know.
        for among in (free,) if sound == free or isinstance(chooser, PluginChooser) else (sound, free):
            if not some and 0 < gpus <= among.bit_count():
                some = _chosen(among, gpus, wish, keep, chooser, steps)
        self._free[row] = self.suspect_too(row) & ~some
        return indexes(some)

    def _firm(self, row: int, pods: Sequence[tuple[int, Linked]], chooser: AnyChooser | None) -> frozenset[Linked]:
        """The wishes whose linked sets all leave room for each other."""
        if chooser is None:
            return frozenset()
        wanted = largest_first([gpus for gpus, wish in pods if wish is not Linked.ANY])
        if chooser.packable(self.at(row), wanted):
            return frozenset({Linked.REQUIRED, Linked.PREFERRED})
        return frozenset({Linked.REQUIRED})

    def _each(
        self,
        rows: Sequence[int],
        free: Sequence[int],
        count: int,
        unsure: Mapping[NodeName, Unsure],
        steps: Sizes,
    ) -> Codes:
        known: dict[tuple[int, int, Unsure | None], int] = {}
        found = np.zeros(len(rows), dtype=np.int64)
        codes: list[int] = self._codes[list(rows)].tolist()
        names = self._fleet.names
        for at, (code, some) in enumerate(zip(codes, free, strict=True)):
            key = (code, some, unsure.get(names[rows[at]]) if unsure and self._wary[code] else None)
            fits = known.get(key)
            if fits is None:
                fits = known[key] = self._fits_in(*key, count, steps) if code >= 0 else 0
            found[at] = fits
        return found

    def _fits_in(self, code: int, free: int, unsure: Unsure | None, count: int, steps: Sizes) -> int:
        chooser = self._choosers[code]
        if isinstance(chooser, PluginChooser):
            return min(chooser.fits(state, count, steps) for state in _states(chooser, free, unsure))
        return chooser.fits(free, count)

    def _states(self, row: int, chooser: AnyChooser) -> Collection[int]:
        unsure = self._snapshot.devices_unsure.get(self._fleet.names[row])
        return _states(chooser, self.at(row), unsure)

    def _chooser(self, row: int) -> AnyChooser | None:
        code = int(self._codes[row])
        return self._choosers[code] if code >= 0 else None

    def _usable(self, row: int) -> int:
        node = self._snapshot.nodes[self._fleet.names[row]]
        devices = node.devices
        known = self._fleet.usable_devices.get(row)
        # Reports leave the record of the devices as it is as long as nothing changed in it.
        if known is None or known[0] is not devices:
            chooser = self._chooser(row)
            free = usable(d for d in devices if d.claimed_as is not None) if node.claims_only else usable(devices)
            known = (devices, free if chooser is None else free & chooser.all)
            self._fleet.usable_devices[row] = known
        return known[1]


def _chosen(free: int, gpus: int, wish: Linked, keep: Sizes, chooser: AnyChooser | None, steps: Sizes) -> int:
    """Of so many free GPUs or more the best `gpus`; 0 where none are as wished."""
    if chooser is not None:
        return _best(chooser, free, gpus, wish if gpus > 1 else Linked.ANY, keep, steps)
    return 0 if wish is Linked.REQUIRED and gpus > 1 else set_of(indexes(free)[:gpus])


def _best(chooser: AnyChooser, free: int, gpus: int, wish: Linked, keep: Sizes, steps: Sizes) -> int:
    """As of the chooser; `steps` matter where the plugin chooses."""
    if isinstance(chooser, PluginChooser):
        return chooser.best(free, gpus, wish, keep, steps)
    return chooser.best(free, gpus, wish, keep)


def _toll(chooser: AnyChooser, free: int, unsure: Unsure | None, shape: PodShape) -> tuple[int, int]:
    """How slow the GPUs of a pod may be, and what others lose at most."""
    gpus = shape.requests.count(GPU)
    if not isinstance(chooser, PluginChooser):
        return chooser.toll(free, chooser.best(free, gpus, shape.linked))
    tolls = [chooser.toll(state, gpus, shape.gpu_steps) for state in _states(chooser, free, unsure)]
    return min(speed for speed, _ in tolls), max(loss for _, loss in tolls)


def _states(chooser: AnyChooser, free: int, unsure: Unsure | None) -> Collection[int]:
    """What may be free where `free` is expected to be."""
    if unsure is None or not isinstance(chooser, PluginChooser):
        return (free,)
    return chooser.states(free, set_of(unsure.devices), unsure.sizes)


def _choosers(fleet: Fleet) -> tuple[Codes, tuple[AnyChooser, ...]]:
    """A code per node, -1 where its links are not known; and for each code what chooses there."""

    def make() -> tuple[Codes, tuple[AnyChooser, ...]]:
        codes, kinds = fleet.links
        return codes, tuple(_chooser(graph, allocator) for graph, allocator in kinds)

    return fleet.remember("choosers", make)


def _uneven(fleet: Fleet) -> bool:
    """Whether it makes a difference on some machine which of its GPUs a pod gets."""

    def make() -> tuple[bool]:
        _, kinds = fleet.links
        return (any(len({speed for row in graph.mbps for speed in row if speed}) > 1 for graph, _ in kinds),)

    return fleet.remember("uneven", make)[0]


@lru_cache(maxsize=256)
def _chooser(graph: LinkGraph, allocator: Allocator) -> AnyChooser:
    match allocator:
        case Allocator.DRA:
            return exact_chooser(graph)
        case Allocator.DEVICE_PLUGIN:
            return plugin_chooser(graph)
        case Allocator.SCHEDULER:
            return PluginChooser(graph, predicted=0)
        case _:
            assert_never(allocator)
