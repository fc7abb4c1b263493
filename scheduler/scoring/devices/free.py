"""The free GPUs of each node, one by one, as a plan gives them away."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from scheduler.model.names import NodeName
from scheduler.model.resources import GPU
from scheduler.model.snapshot import Snapshot, Unsure
from scheduler.model.workload import Linked, PodShape
from scheduler.scoring.devices.choose import Sizes, indexes, largest_first, set_of, usable
from scheduler.scoring.devices.choosers import AnyChooser, choosers_of, gathered, linked_size, rejecting, uneven
from scheduler.scoring.devices.plugin import PluginChooser
from scheduler.scoring.fleet import Codes, Fleet

Wants = Sequence[tuple[PodShape, int]]
"""Pods of one node: shapes, and how many of each."""


class Tolls(NamedTuple):
    """Of the GPUs that a pod would get on several nodes: their bottlenecks, and what those who come later lose."""

    speed: Codes
    loss: Codes


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
        self._codes, self._choosers = choosers_of(fleet)
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

    def limit(
        self, fits: Codes, rows: Codes | None, shape: PodShape, *, kept: bool = False, empty: bool = False
    ) -> None:
        """Keep `fits`, pods of a shape on each of `rows` (None: on every row), to those that are sure of their GPUs.

        `kept`: with what is kept for others. `empty`: if nothing stood there.
        """
        linked = linked_size(shape)
        if not linked and not (gathered(shape) and rejecting(self._fleet).any()):
            return
        at = np.flatnonzero(fits)
        where = at if rows is None else rows[at]
        if not linked:
            strict = rejecting(self._fleet)[where]
            at, where = at[strict], where[strict]
        listed: list[int] = where.tolist()
        unsure: Mapping[NodeName, Unsure] = {} if empty else self._snapshot.devices_unsure
        free = [
            self._usable(row) if empty else self.at(row) | (self._kept.get(row, 0) if kept else 0) for row in listed
        ]
        fits[at] = np.minimum(fits[at], self._each(listed, free, shape, unsure))

    def tolls(self, rows: Codes, shape: PodShape) -> Tolls | None:
        """What it would mean that the pod gets its GPUs on each of `rows`; where the plugin chooses, at the worst.

        None where that is no difference: on machines all of whose pairs of GPUs are alike, and for pods without GPUs.
        """
        gpus = shape.requests.count(GPU)
        if not gpus or not uneven(self._fleet):
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
            fits: Codes = np.full(len(rows), count, dtype=np.int64)
            self.limit(fits, rows, shape)
            for row in rows[fits == 0].tolist():
                chooser = self._chooser(row)
                found += isinstance(chooser, PluginChooser) and chooser.could_fit(self.at(row), count)
        return found

    def scattered(self, rows: Codes, shape: PodShape) -> int:
        """On how many of `rows` enough GPUs are free for the pod, but too far apart for the kubelet."""
        if not gathered(shape):
            return 0
        strict = rows[rejecting(self._fleet)[rows]]
        fits: Codes = np.array([self.at(row).bit_count() >= shape.requests.gpus for row in strict.tolist()], np.int64)
        enough = int(fits.sum())
        self.limit(fits, strict, msgspec.structs.replace(shape, linked=Linked.ANY))
        return enough - int(fits.sum())

    def clashing(self, shapes: Sequence[PodShape], groups: Sequence[tuple[Codes, Codes]]) -> list[int]:
        """Rows of a layout (`groups[g]`: rows, and pods of `shapes[g]` on each) whose linked sets do not fit together.

        Those of one shape by themselves were counted as capacity, so only nodes with several shapes are in question.
        """
        found = [
            row for row, sizes, steps in self._several(shapes, groups, linked=True) if self._clash(row, sizes, steps)
        ]
        if rejecting(self._fleet).any():
            found += [
                row
                for row, sizes, steps in self._several(shapes, groups, linked=False)
                if row not in found and self._clash(row, sizes, steps, linked=False)
            ]
        return found

    def _several(
        self, shapes: Sequence[PodShape], groups: Sequence[tuple[Codes, Codes]], *, linked: bool
    ) -> Iterator[tuple[int, list[int], bool]]:
        """Rows with pods of several shapes, linked ones or all; the GPUs of each; and whether some ask in steps."""
        sizes: dict[int, list[list[int]]] = {}
        by_steps: set[int] = set()
        for shape, (rows, counts) in zip(shapes, groups, strict=True):
            gpus = linked_size(shape) if linked else 0 if shape.by_claim else shape.requests.gpus
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True) if gpus else ():
                sizes.setdefault(row, []).append([gpus] * count)
                if shape.gpu_steps:
                    by_steps.add(row)
        yield from (
            (row, list(chain.from_iterable(some)), row in by_steps) for row, some in sizes.items() if len(some) > 1
        )

    def _clash(self, row: int, sizes: Sequence[int], by_steps: bool, *, linked: bool = True) -> bool:  # noqa: FBT001
        chooser = self._chooser(row)
        if not linked:
            if not isinstance(chooser, PluginChooser) or not chooser.rejects:
                return False
            wanted = tuple(sorted(sizes, reverse=True))
            return by_steps or not all(
                chooser.packable(free, wanted, linked=False) for free in self._states(row, chooser)
            )
        wanted = largest_first(sizes)
        return (
            chooser is None
            or not all(chooser.packable(free, wanted) for free in self._states(row, chooser))
            # What the plugin gives to container after container is not worked out beside other pods.
            or (by_steps and isinstance(chooser, PluginChooser) and not chooser.always_sure)
        )

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
        self, rows: Sequence[int], free: Sequence[int], shape: PodShape, unsure: Mapping[NodeName, Unsure]
    ) -> Codes:
        known: dict[tuple[int, int, Unsure | None], int] = {}
        found = np.zeros(len(rows), dtype=np.int64)
        codes: list[int] = self._codes[list(rows)].tolist()
        names = self._fleet.names
        for at, (code, some) in enumerate(zip(codes, free, strict=True)):
            key = (code, some, unsure.get(names[rows[at]]) if unsure and self._wary[code] else None)
            fits = known.get(key)
            if fits is None:
                fits = known[key] = self._fits_in(*key, shape) if code >= 0 else 0
            found[at] = fits
        return found

    def _fits_in(self, code: int, free: int, unsure: Unsure | None, shape: PodShape) -> int:
        chooser, gpus, linked = self._choosers[code], shape.requests.gpus, linked_size(shape) > 0
        if isinstance(chooser, PluginChooser):
            states = _states(chooser, free, unsure)
            return min(chooser.fits(state, gpus, shape.gpu_steps, linked=linked) for state in states)
        return chooser.fits(free, gpus)

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
