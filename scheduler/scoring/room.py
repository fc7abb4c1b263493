"""The free capacity that one plan works with: taken from a snapshot, and used up as the plan decides."""

from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.model.names import NodeName
from scheduler.model.resources import GPU, Resources
from scheduler.model.snapshot import BASE_RESOURCES, IntTable, Snapshot
from scheduler.model.workload import HostPort, PodShape
from scheduler.scoring.filters import ports_clash, static_mask, tolerates_cordon
from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.own_rules import NO_RULES, Panel
from scheduler.scoring.room_devices import FreeDevices, Wants, linked_size

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
        # Column-major: every use reads whole columns.
        self.free: IntTable = np.asfortranarray(columns.allocatable - columns.used)
        self._column_of = {name: i for i, name in enumerate(columns.resources)}
        self._ports: dict[int, tuple[HostPort, ...]] = {
            columns.row_of[name]: ports for name, ports in snapshot.ports_used.items() if name in columns.row_of
        }
        self.devices = FreeDevices(snapshot, fleet)
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
                self._ready_cordoned[row] = self.snapshot.nodes[self.fleet.names[row]].ready
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
        for column, n in self.demand(shape.requests) or ():
            self.free[row, column] -= n * count
        if shape.host_ports:
            self._ports[row] = (*self.ports(row), *shape.host_ports)
        self.log.append(row)

    def take_rows(self, rows: Codes, counts: Codes, shape: PodShape) -> None:
        """Use the capacity of `counts[i]` pods of `shape` on node `rows[i]`; no row is listed twice."""
        for column, n in self.demand(shape.requests) or ():
            self.free[rows, column] -= n * counts
        if shape.host_ports:
            for row in rows.tolist():
                self._ports[row] = (*self.ports(row), *shape.host_ports)
        self.log.extend(rows.tolist())

    def put_back(self, rows: Codes, counts: Codes, shape: PodShape) -> None:
        """Undo `take_rows` for a shape without host ports; devices are put back by `devices`."""
        for column, n in self.demand(shape.requests) or ():
            self.free[rows, column] += n * counts
        self.log.extend(rows.tolist())

    def narrow(self, rows: Sequence[int], gpus: int) -> None:
        """Take `gpus` off what is free on each of `rows`, once for each time that it is listed."""
        column = self.column(GPU)
        if column is not None:
            np.subtract.at(self.free[:, column], list(rows), gpus)
            self.log.extend(rows)

    def hand_out(self, row: int, wants: Wants) -> list[list[tuple[int, ...]]]:
        """The GPUs that pods which share a node are expected to get, chosen together; they count as taken from now on.

        For each shape of `wants` one set a pod; () where the node's devices are not known.
        """
        self.log.append(row)
        return self.devices.hand_out(row, wants)

    def hold_rows(self, rows: Codes, counts: Codes, shape: PodShape) -> None:
        """`take_rows` for pods that do not come yet."""
        self.take_rows(rows, counts, shape)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            self.devices.keep(row, shape, count)

    def name(self, row: int) -> NodeName:
        """The node of a row."""
        return self.fleet.names[row]


class View:
    """How many pods of one shape fit on each node. `mask`: the nodes that suit it whatever their load."""

    def __init__(self, room: Room, shape: PodShape) -> None:
        self.shape = shape
        self.mask: Mask = room.own.narrow(shape, static_mask(room.fleet, shape) & room.open_to(shape))
        self.demand = room.demand(shape.requests)
        self._room = room
        self._seen = len(room.log)
        self._linked = linked_size(shape)
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
            fits = self._most(self._room.snapshot.columns.allocatable, self.mask)
            if self._linked:
                rows = np.flatnonzero(fits)
                fits[rows] = np.minimum(fits[rows], self._room.devices.fits_empty(rows.tolist(), self._linked))
            self._when_empty = fits
        return self._when_empty

    def fits_with(self, more: IntTable) -> Codes:
        """Pods that would fit on each node if `more` were free there as well."""
        fits = self._most(self._room.free + more, self.mask)
        if self._linked:
            rows = np.flatnonzero(fits)
            fits[rows] = np.minimum(fits[rows], self._room.devices.fits(rows.tolist(), self._linked, kept=True))
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
        if self._linked:
            at = np.flatnonzero(fits)
            where = at if rows is None else np.array(rows, dtype=np.int64)[at]
            fits[at] = np.minimum(fits[at], room.devices.fits(where.tolist(), self._linked))
        return fits

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
