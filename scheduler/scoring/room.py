"""The free capacity that one plan works with: taken from a snapshot, and used up as the plan decides."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Allocator
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, Resources, is_divided
from scheduler.model.snapshot import BASE_RESOURCES, IntTable, Snapshot
from scheduler.model.workload import HostPort, PodShape
from scheduler.scoring.devices.free import FreeDevices, Wants
from scheduler.scoring.devices.sides import Sides
from scheduler.scoring.filters import ports_clash, static_mask, tolerates_cordon
from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.own_rules import NO_RULES, Panel
from scheduler.scoring.sharing.parts import Parts, in_parts

UNBOUNDED = 1 << 30
"""More pods than any node takes."""


class Room:
    """Free amounts per node, ports and devices taken, and how many pods of each shape still fit where.

    A room belongs to one plan and changes with it; the snapshot it came from is left as found.
    """

    def __init__(self, snapshot: Snapshot, fleet: Fleet, own: Panel | None = None) -> None:
        """`own`: the administrator's own rules, whose filters narrow every view."""
        self.snapshot = snapshot
        self.fleet = fleet
        self.own = Panel(NO_RULES, snapshot, fleet) if own is None else own
        columns = snapshot.columns
        self.parts = Parts(snapshot, fleet)
        self.resources, self.allocatable, free = (
            self.parts.widened(columns) if self.parts.any else (columns.resources, columns.allocatable, columns.free)
        )
        # Column-major: every use reads whole columns.
        self.free: IntTable = np.asfortranarray(free)
        self._column_of = {name: i for i, name in enumerate(self.resources)}
        self._ports: dict[int, tuple[HostPort, ...]] = {
            columns.row_of[name]: ports for name, ports in snapshot.ports_used.items() if name in columns.row_of
        }
        self.devices = FreeDevices(snapshot, fleet)
        self.sides = Sides(snapshot, fleet)
        self._views: dict[PodShape, View] = {}
        self._ready_cordoned: Mask | None = None
        self._without_devices: Mask | None = None
        self.log: list[int] = []

    def view(self, shape: PodShape) -> "View":
        """How many pods of `shape` fit on each node, up to date with everything taken so far."""
        view = self._views.get(shape)
        if view is None:
            view = View(self, shape)
            self._views[shape] = view
        view.catch_up()
        return view

    def demand(self, requests: Resources) -> list[tuple[int, int]] | None:
        """The columns that `requests` needs and how much of each; None where no node has a requested resource.

        Only amounts above zero count, and every pod counts as one (kube-scheduler's plugin noderesources, fit.go).
        """
        wanted = [requests.milli_cpu, requests.memory_bytes, requests.ephemeral_bytes, max(requests.pods, 1)]
        demand = [(self._column_of[name], n) for name, n in zip(BASE_RESOURCES, wanted, strict=True) if n > 0]
        for name, n in requests.extended:
            if n > 0:
                if name not in self._column_of:
                    return None
                demand.append((self._column_of[name], n))
        return demand

    @property
    def passes(self) -> tuple[bool, ...]:
        """Whether to look only for what is sound, one try after the other: suspect GPUs are used when nothing else is.

        For `kept_sound`.
        """
        return (True, False) if self.devices.suspect else (False,)

    @contextmanager
    def kept_sound(self, *, sound_only: bool) -> Generator[None]:
        """With `sound_only`, room where a pod may get a suspect GPU counts as none, until the context ends."""
        before, self.devices.sound_only = self.devices.sound_only, sound_only
        self.log.extend(self.devices.suspect)
        try:
            yield
        finally:
            self.devices.sound_only = before
            self.log.extend(self.devices.suspect)

    def sound(self, row: int, shape: PodShape) -> int:
        """How many pods of a shape a node takes for sure none of which gets a suspect GPU, other limits aside.

        The plugin does not know what is suspect, and may give it to whoever asks.
        """
        suspect = self.devices.suspect.get(row, 0)
        whole = shape.requests.gpus
        if not suspect or not shape.requests.wants_devices:
            return UNBOUNDED
        if self.by_parts(shape) or not whole:
            return 0
        if self.snapshot.nodes[self.name(row)].allocator is Allocator.DRA:
            return (self.devices.suspect_too(row) & ~suspect).bit_count() // whole
        return 0 if self.devices.suspect_too(row) & suspect else UNBOUNDED

    def column(self, resource: str) -> int | None:
        """The column of a resource; None where no node has it."""
        return self._column_of.get(resource)

    @property
    def without_devices(self) -> Mask:
        """Nodes that have no extended resource at all."""
        if self._without_devices is None:
            extended = self.snapshot.columns.allocatable[:, len(BASE_RESOURCES) :]
            self._without_devices = np.logical_not(extended.any(axis=1), dtype=np.bool_)
        return self._without_devices

    def open_to(self, shape: PodShape) -> Mask:
        """Nodes that are ready, and not cordoned unless `shape` tolerates that."""
        usable = self.snapshot.columns.usable
        if not tolerates_cordon(shape):
            return usable
        if self._ready_cordoned is None:
            self._ready_cordoned = usable.copy()
            for row in np.flatnonzero(~usable).tolist():
                node = self.snapshot.nodes[self.fleet.names[row]]
                self._ready_cordoned[row] = node.ready and not node.mig_changing
        return self._ready_cordoned

    def ports(self, row: int) -> tuple[HostPort, ...]:
        """Host ports taken on a node."""
        return self._ports.get(row, ())

    @property
    def port_rows(self) -> Mapping[int, tuple[HostPort, ...]]:
        """Nodes with host ports taken."""
        return self._ports

    def take(self, row: int, shape: PodShape, count: int = 1) -> None:
        """Use the capacity of `count` pods of `shape` on a node."""
        if self.by_parts(shape):
            self._divide(row, shape, count)
        if self.sides.any:
            self.sides.take(np.array([row]), np.array([count]), shape)
        for column, n in self.demand(shape.requests) or ():
            self.free[row, column] -= n * count
        if shape.host_ports:
            self._ports[row] = (*self.ports(row), *shape.host_ports)
        self.log.append(row)

    def take_rows(self, rows: Codes, counts: Codes, shape: PodShape, *, for_others: bool = False) -> None:
        """Use the capacity of `counts[i]` pods of `shape` on node `rows[i]`; no row is listed twice.

        `for_others`: they do not come yet.
        """
        if self.by_parts(shape):
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                self._divide(row, shape, count, for_others=for_others)
        self.sides.take(rows, counts, shape)
        for column, n in self.demand(shape.requests) or ():
            self.free[rows, column] -= n * counts
        if shape.host_ports:
            for row in rows.tolist():
                self._ports[row] = (*self.ports(row), *shape.host_ports)
        self.log.extend(rows.tolist())

    def put_back(self, rows: Codes, counts: Codes, shape: PodShape) -> None:
        """Undo `take_rows` for a shape without host ports; devices are put back by `devices`."""
        self.sides.take(rows, -counts, shape)
        for column, n in self.demand(shape.requests) or ():
            self.free[rows, column] += n * counts
        self.log.extend(rows.tolist())

    def leave(self, row: int, shape: PodShape) -> None:
        """A pod of `shape` that stood on a node before the plan is gone, which `take` undoes; its GPUs are not told.

        Not on nodes that divide their GPUs on demand.
        """
        for column, n in self.demand(shape.requests) or ():
            self.free[row, column] += n
        left = list(self.ports(row))
        for port in shape.host_ports:
            if port in left:
                left.remove(port)
        if shape.host_ports:
            self._ports[row] = tuple(left)
        self.log.append(row)

    def narrow(self, rows: Sequence[int], gpus: int) -> None:
        """Take `gpus` off what is free on each of `rows`, once for each time that it is listed."""
        column = self.column(GPU)
        if column is not None:
            np.subtract.at(self.free[:, column], list(rows), gpus)
            self.log.extend(rows)
        if self.parts.any:
            self.parts.shut(rows, gpus)

    def hand_out(self, row: int, wants: Wants) -> list[list[tuple[int, ...]]]:
        """The GPUs that pods which share a node are expected to get, chosen together; they count as taken from now on.

        For each shape of `wants` one set a pod; () where the node's devices are not known.
        """
        self.log.append(row)
        given = self.devices.hand_out(row, wants)
        if self.parts.rows[row]:
            self.parts.hold_whole(row, (device for sets in given for some in sets for device in some))
        return given

    def assignment(self, pod: PodUid, row: int, shape: PodShape, devices: tuple[int, ...]) -> Assignment:
        """A pod's place on a node, with the whole GPUs that it was handed, or the parts and slices taken for it."""
        name = self.name(row)
        if devices or not self.by_parts(shape):
            return Assignment(pod=pod, node=name, devices=devices)
        given = self.parts.given(row, shape)
        return Assignment(pod=pod, node=name, devices=given.devices, slices=given.slices)

    def hold_rows(self, rows: Codes, counts: Codes, shape: PodShape) -> None:
        """`take_rows` for pods that do not come yet."""
        self.take_rows(rows, counts, shape, for_others=True)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            self.devices.keep(row, shape, count)

    def name(self, row: int) -> NodeName:
        """The node of a row."""
        return self.fleet.names[row]

    def by_parts(self, shape: PodShape) -> bool:
        """Whether pods of a shape ask for parts or slices, and some node makes these on demand."""
        return self.parts.any and in_parts(shape)

    def gpus(self, rows: Sequence[int], more: IntTable | None = None) -> Codes | None:
        """Free whole GPUs of `rows`, with `more`; None where no node has any."""
        column = self.column(GPU)
        if column is None:
            return None
        free = self.free[list(rows), column]
        return free if more is None else free + more[list(rows), column]

    def left(self, column: int) -> Codes:
        """What is free of a resource per node, 0 where it is over-committed; GPUs divided on demand in milli-GPU."""
        free: Codes = np.maximum(self.free[:, column], 0)
        if self.parts.any and is_divided(self.resources[column]):
            for row in np.flatnonzero(self.parts.rows).tolist():
                free[row] = self.parts.free_milli(row)
        return free

    def clashing(self, shapes: Sequence[PodShape], groups: Sequence[tuple[Codes, Codes]]) -> list[int]:
        """Rows of a layout whose pods find their GPUs each by itself, but not all together."""
        rows = self.devices.clashing(shapes, groups)
        if self.sides.any and len({shape.by_claim for shape in shapes}) > 1:
            rows += [row for row in self.sides.clashing(shapes, groups) if row not in rows]
        if not self.parts.any or len(shapes) < 2 or not any(map(in_parts, shapes)):
            return rows
        there: dict[int, list[tuple[PodShape, int]]] = {}
        for shape, (used, counts) in zip(shapes, groups, strict=True):
            for row, count in zip(used.tolist(), counts.tolist(), strict=True):
                if self.parts.rows[row]:
                    there.setdefault(row, []).append((shape, count))
        several = [row for row, pods in there.items() if len(pods) > 1]
        limits = self.gpus(several)
        gpus = [0] * len(several) if limits is None else limits.tolist()
        return rows + [
            row
            for row, limit in zip(several, gpus, strict=True)
            if row not in rows and self.parts.clash(row, limit, there[row])
        ]

    def _divide(self, row: int, shape: PodShape, count: int, *, for_others: bool = False) -> None:
        """Give pods of a shape their parts and slices of a node that makes these on demand."""
        if self.parts.rows[row]:
            gpus = self.gpus([row])
            limit = 0 if gpus is None else int(gpus[0])
            opened = self.parts.take(row, limit, shape, count, for_others=for_others)
            column = self.column(GPU)
            if opened and column is not None:
                self.free[row, column] -= len(opened)
                self.devices.take(row, opened)


class View:
    """How many pods of one shape fit on each node. `mask`: the nodes that suit it whatever their load."""

    def __init__(self, room: Room, shape: PodShape) -> None:
        self.shape = shape
        self.mask: Mask = room.own.narrow(shape, static_mask(room.fleet, shape) & room.open_to(shape))
        self.demand = room.demand(shape.requests)
        self._room = room
        self._seen = len(room.log)
        self._by_parts = room.by_parts(shape)
        self._when_empty: Codes | None = None
        self.fits: Codes = self._fits(None)

    def catch_up(self) -> None:
        """Bring `fits` up to date with what the room gave away since."""
        log = self._room.log
        if self._seen == len(log):
            return
        rows = sorted(set(log[self._seen :]))
        self._seen = len(log)
        self.fits[rows] = self._fits(rows)

    @property
    def when_empty(self) -> Codes:
        """Pods that would fit on each node if nothing stood there."""
        if self._when_empty is None:
            fits = self._most(self._room.allocatable, self.mask)
            self._room.devices.limit(fits, None, self.shape, empty=True)
            if self._by_parts:
                divided = self._room.parts.rows
                fits[divided] = np.minimum(fits, self._room.parts.when_empty(self.shape))[divided]
            self._when_empty = fits
        return self._when_empty

    def fits_with(self, more: IntTable) -> Codes:
        """Pods that would fit on each node if `more` were free there as well."""
        fits = self._most(self._room.free + more, self.mask)
        self._room.devices.limit(fits, None, self.shape, kept=True)
        if self._by_parts:
            self._limit_parts(fits, np.arange(len(fits)), more)
        self._room.sides.limit(fits, None, self.shape)
        return fits

    def fits_beside(self, rows: Codes, used: IntTable, ports: Sequence[HostPort]) -> Codes:
        """Pods that fit on `rows` where `used[i]` of the free amounts of `rows[i]`, and `ports`, are gone as well."""
        fits = self._fits(rows.tolist())
        if self.demand is None or ports_clash(self.shape.host_ports, ports):
            return np.zeros_like(fits)
        for column, n in self.demand:
            np.minimum(fits, np.maximum(self._room.free[rows, column] - used[:, column], 0) // n, out=fits)
        return fits

    def _fits(self, rows: Sequence[int] | None) -> Codes:
        """Pods that fit on `rows`, or on every node."""
        room = self._room
        fits = self._most(room.free, self.mask) if rows is None else self._most(room.free[rows], self.mask[rows])
        if self.shape.host_ports:
            for at, row in enumerate(rows) if rows is not None else ((row, row) for row in room.port_rows):
                if ports_clash(self.shape.host_ports, room.ports(row)):
                    fits[at] = 0
        room.devices.limit(fits, None if rows is None else np.array(rows, dtype=np.int64), self.shape)
        if self._by_parts:
            self._limit_parts(fits, np.arange(len(fits)) if rows is None else np.array(rows, dtype=np.int64))
        if room.devices.sound_only:
            suspect = room.devices.suspect
            for at, row in ((r, r) for r in suspect) if rows is None else enumerate(rows):
                if row in suspect and fits[at]:
                    fits[at] = min(int(fits[at]), room.sound(row, self.shape))
        room.sides.limit(fits, None if rows is None else np.array(rows, dtype=np.int64), self.shape)
        return fits

    def _limit_parts(self, fits: Codes, rows: Codes, more: IntTable | None = None) -> None:
        """Keep `fits` of `rows` to what GPUs divided on demand give; with `more`, as if nothing were kept."""
        parts = self._room.parts
        at = np.flatnonzero((fits > 0) & parts.rows[rows])
        where = rows[at].tolist()
        found = parts.fits(self.shape, where, self._room.gpus(where, more), kept=more is not None)
        fits[at] = np.minimum(fits[at], found)

    def _most(self, amounts: IntTable, mask: Mask) -> Codes:
        """Pods that `amounts` of each node are enough for; two pods with the same host port never share a node."""
        if self.demand is None:
            return np.zeros(len(mask), dtype=np.int64)
        fits = np.full(len(mask), 1 if self.shape.host_ports else UNBOUNDED, dtype=np.int64)
        for column, n in self.demand:
            have = amounts[:, column]
            np.minimum(fits, have // n if n > 1 else have, out=fits)
        np.maximum(fits, 0, out=fits)
        fits[~mask] = 0
        return fits
