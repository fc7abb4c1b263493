"""Room for parts of GPUs and for MIG slices on the nodes of a plan that divide their GPUs as pods need it.

Other nodes advertise how many parts and slices they have; there the counts of the room are all that matters.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence

import msgspec
import numpy as np

from scheduler.model.node import MigInstance, Node
from scheduler.model.resources import GPU_SHARED, MIG_PREFIX, is_divided
from scheduler.model.snapshot import Columns, IntTable, Snapshot
from scheduler.model.workload import PodShape
from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.sharing.divided import (
    Divided,
    Harm,
    Need,
    Taken,
    as_used,
    count,
    free_milli,
    harm,
    hold,
    hold_slice,
    need_of,
    take,
    untouched,
)
from scheduler.scoring.sharing.mig_tables import model_on
from scheduler.scoring.sharing.portions import whole_of

UNLIMITED = 1 << 40
"""What nodes that divide GPUs on demand have of parts and slices in the tables of a plan: `Parts` limits these."""


Use = tuple[object, object, object]
"""What a snapshot says of the use of a node's GPUs; the same records as long as it is the same."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod got of a node's GPUs: their indexes, in whole or in part, and MIG instances."""

    devices: tuple[int, ...] = ()
    slices: tuple[MigInstance, ...] = ()


NONE = Given()


def in_parts(shape: PodShape) -> bool:
    """Whether a pod asks for parts of GPUs or for MIG slices."""
    return any(is_divided(name) for name, _ in shape.requests.extended)


class Parts:
    """The GPUs of all nodes that divide them on demand, changed as a plan gives them out."""

    def __init__(self, snapshot: Snapshot, fleet: Fleet) -> None:
        self._snapshot = snapshot
        self._names = fleet.names
        self._have: dict[int, Divided] = {}
        self._without_holds: dict[int, Divided] = {}
        self._shut: dict[int, int] = {}
        self._known: dict[int, tuple[Node, Divided]] = fleet.remember("untouched GPUs", dict)
        self._stood: dict[int, tuple[Divided, Use, Divided]] = fleet.remember("GPUs as they stood", dict)
        self._given: dict[tuple[int, PodShape], list[Given]] = {}
        self.rows: Mask = dividing(fleet, snapshot)
        """The nodes that divide GPUs on demand."""
        self.any = bool(self.rows.any())

    def widened(self, columns: Columns) -> tuple[tuple[str, ...], IntTable, IntTable]:
        """Resources, allocatable and free amounts with all parts and slices there are; `UNLIMITED` on `rows`."""
        nodes = (self._snapshot.nodes[self._names[row]] for row in np.flatnonzero(self.rows).tolist())
        models = {model for model in map(model_on, nodes) if model is not None}
        names = {GPU_SHARED, *(MIG_PREFIX + profile.resource for model in models for profile in model.profiles)}
        resources = (*columns.resources, *sorted(names.difference(columns.resources)))
        tables: list[IntTable] = []
        for known in (columns.allocatable, columns.free):
            table: IntTable = np.zeros((len(known), len(resources)), dtype=np.int64)
            table[:, : known.shape[1]] = known
            for column, name in enumerate(resources):
                if is_divided(name):
                    table[self.rows, column] = UNLIMITED
            tables.append(table)
        return resources, tables[0], tables[1]

    def of(self, row: int) -> Divided:
        """The GPUs of a node as they are now."""
        have = self._have.get(row)
        if have is None:
            have = self._have[row] = self._as_it_stands(row)
        return have

    def fits(self, shape: PodShape, rows: Sequence[int], gpus: Codes | None, *, kept: bool = False) -> Codes:
        """How many pods of a shape each of `rows` takes, as far as its GPUs go.

        `gpus`: how many untouched GPUs of each may be taken into use; None for all. `kept`: with what is kept for
        others. A pod that asks for whole GPUs as well gets nothing here.
        """
        found = np.zeros(len(rows), dtype=np.int64)
        if shape.requests.gpus:
            return found
        needs = _needs(shape)
        limits = [None] * len(rows) if gpus is None else gpus.tolist()
        for at, (row, limit) in enumerate(zip(rows, limits, strict=True)):
            have = self._without_holds.get(row) if kept else None
            have = self.of(row) if have is None else have
            if not self._shut or self._shut.get(row, 0) <= _untouched(have):
                found[at] = count(_limited(have, limit), needs(have))
        return found

    def when_empty(self, shape: PodShape) -> Codes:
        """How many pods of a shape the GPUs of each node take when nobody has anything of them; 0 on other nodes."""
        fits = np.zeros(len(self._names), dtype=np.int64)
        needs = _needs(shape)
        for row in np.flatnonzero(self.rows).tolist() if not shape.requests.gpus else ():
            have = self._when_empty(row)
            fits[row] = count(have, needs(have))
        return fits

    def _as_it_stands(self, row: int) -> Divided:
        """The GPUs of a node in the snapshot; known again as long as its record and its use are the same."""
        name, snapshot = self._names[row], self._snapshot
        use = (snapshot.devices_used.get(name), snapshot.shares_used.get(name), snapshot.slices.get(name))
        empty, known = self._when_empty(row), self._stood.get(row)
        if known is None or known[0] is not empty or any(a is not b for a, b in zip(known[1], use, strict=True)):
            known = self._stood[row] = (empty, use, divided_of(snapshot, row, empty))
        return known[2]

    def _when_empty(self, row: int) -> Divided:
        """The GPUs of a node if nobody had anything of them; known again as long as its record is the same."""
        node = self._snapshot.nodes[self._names[row]]
        known = self._known.get(row)
        if known is None or known[0] is not node:
            known = self._known[row] = (node, untouched(node))
        return known[1]

    def harm(self, row: int, gpus: int, shape: PodShape) -> Harm | None:
        """What one more pod of a shape takes from what others could be given; None where it finds no room."""
        have = self.of(row)
        return harm(_limited(have, gpus), need_of(shape, have.capacities))

    def free_milli(self, row: int) -> int:
        """What is free of a node's GPUs, in parts and slices too, in milli-GPU."""
        return free_milli(self.of(row))

    def beside(self, row: int, gpus: int, others: Iterable[tuple[PodShape, int]], at: int, shape: PodShape) -> int:
        """How many pods of `shape` a node takes beside `others`, whose pods are placed in this order, it being `at`.

        As many, and each smaller number too, so that any of them may be chosen.
        """
        capacities = self.of(row).capacities
        before = [need_of(s, capacities) for i, (s, n) in enumerate(others) if i < at for _ in range(n)]
        after = [need_of(s, capacities) for i, (s, n) in enumerate(others) if i >= at for _ in range(n)]
        have = _all(_limited(self.of(row), gpus), before)
        pods = 0
        while have is not None:
            taken = take(have, need_of(shape, capacities))
            if taken is None or taken.left == have or _all(taken.left, after) is None:
                break
            have, pods = taken.left, pods + 1
        return pods

    def clash(self, row: int, gpus: int, pods: Iterable[tuple[PodShape, int]]) -> bool:
        """Whether pods of these shapes, placed in this order, do not fit on a node together."""
        have = self.of(row)
        needs = (need_of(shape, have.capacities) for shape, number in pods for _ in range(number))
        return _all(_limited(have, gpus), needs) is None

    def shut(self, rows: Sequence[int], gpus: int) -> None:
        """Take `gpus` GPUs off what may be divided on each of `rows`; where none is left, nothing more is given."""
        for row in rows:
            self._shut[row] = self._shut.get(row, 0) + gpus

    def take(self, row: int, gpus: int, shape: PodShape, pods: int, *, for_others: bool = False) -> tuple[int, ...]:
        """Give `pods` pods of a shape what they ask for; the untouched GPUs that were taken into use for it.

        `for_others`: it is kept for pods that do not come yet.

        Raises:
            LookupError: they do not fit, which was to be asked first.
        """
        have = before = self.of(row)
        need = need_of(shape, have.capacities)._replace(whole=0)
        if for_others:
            self._without_holds.setdefault(row, have)
        for _ in range(pods):
            taken = take(_limited(have, gpus - _untouched(before) + _untouched(have)), need)
            if taken is None:
                raise LookupError(f"{self._names[row]} has no room for {need}")
            have = taken.left._replace(opens=_untouched(taken.left))
            if not for_others:
                given = Given(devices=taken.devices, slices=taken.slices)
                self._given.setdefault((row, shape), []).append(given)
                self._note(row, need, given)
        self._have[row] = have
        still = {slot.device for slot in have.slots if slot.untouched}
        return tuple(slot.device for slot in before.slots if slot.untouched and slot.device not in still)

    def given(self, row: int, shape: PodShape) -> Given:
        """What the next pod of those that `take` was asked for got."""
        waiting = self._given.get((row, shape))
        return waiting.pop(0) if waiting else NONE

    def hold_whole(self, row: int, devices: Iterable[int]) -> None:
        """Whole GPUs of a node were given to a pod."""
        have = self.of(row)
        for device in devices:
            have = hold(have, device)
            self._note(row, Need(whole=1), Given(devices=(device,)))
        self._have[row] = have

    def _note(self, row: int, need: Need, given: Given) -> None:
        """Take what was given from the node as it would be without holds, where there are any."""
        have = self._without_holds.get(row)
        if have is not None:
            for device in given.devices:
                have = hold(have, device, share=None if need.whole else need.share)
            for one in given.slices:
                have = hold_slice(have, one)
            self._without_holds[row] = have


def dividing(fleet: Fleet, snapshot: Snapshot) -> Mask:
    """The nodes that divide GPUs on demand."""

    def make() -> Mask:
        mask = np.array([snapshot.nodes[name].on_demand for name in fleet.names], dtype=np.bool_)
        mask.setflags(write=False)
        return mask

    return fleet.remember("dividing", make)


def divided_of(snapshot: Snapshot, row: int, empty: Divided | None = None) -> Divided:
    """The GPUs of a node as they stand in a snapshot; `empty`: `untouched` of it, where that is known."""
    name = snapshot.columns.names[row]
    have = untouched(snapshot.nodes[name]) if empty is None else empty
    shares = dict(snapshot.shares_used.get(name, ()))
    slices = [one for one in snapshot.slices.get(name, ()) if one.in_use]
    taken = snapshot.devices_used.get(name, frozenset())
    return as_used(have, slices, {device: shares.get(device, whole_of(have.capacities)) for device in taken})


def _needs(shape: PodShape) -> Callable[[Divided], Need]:
    """What pods of a shape ask of the GPUs of each node, told once for each kind of GPUs."""
    known: dict[Hashable, Need] = {}

    def need(have: Divided) -> Need:
        found = known.get(have.capacities)
        if found is None:
            found = known[have.capacities] = need_of(shape, have.capacities)
        return found

    return need


def _limited(have: Divided, opens: int | None) -> Divided:
    return have if opens is None or opens >= have.opens else have._replace(opens=max(opens, 0))


def _untouched(have: Divided) -> int:
    return sum(slot.untouched for slot in have.slots)


def _all(have: Divided | None, needs: Iterable[Need]) -> Divided | None:
    """What is left after all of them; None where one finds no room."""
    for need in needs:
        taken: Taken | None = None if have is None else take(have, need)
        have = None if taken is None else taken.left
    return have
