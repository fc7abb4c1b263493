"""Running work taken off its nodes, to see what fits then, and put back exactly as it was."""

from collections.abc import Iterable

import msgspec

from scheduler.model.names import NodeName, WorkloadKey
from scheduler.model.workload import PodShape
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim.rights import Loser, without
from scheduler.planning.reclaim.softer import softer
from scheduler.planning.reclaim.units import Unit
from scheduler.quota.tree import Bill, Ledger
from scheduler.scoring.fleet import Codes


class Lifted(msgspec.Struct, frozen=True):
    """What was taken off: rows and shapes of pods, the GPUs that became free, and what was before."""

    pods: list[tuple[int, PodShape]]
    devices: dict[int, tuple[int, ...]]
    ledger: Ledger
    stood: list[tuple[WorkloadKey, Codes]]


class Lifter:
    """Takes units off a desk's room and ledger."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[NodeName, set[int]] | None = None

    def lift(self, units: Iterable[Unit]) -> Lifted:
        """The room and the ledger as if these had left."""
        desk = self._desk
        units = list(units)
        pods: list[tuple[int, PodShape]] = []
        named: dict[int, set[int]] = {}
        unnamed: dict[int, int] = {}
        gone: dict[WorkloadKey, set[str]] = {}
        for unit in units:
            for pod in unit.pods:
                if pod.node is None:
                    continue
                row = desk.fleet.row_of[pod.node]
                pods.append((row, pod.shape))
                named.setdefault(row, set()).update(pod.devices)
                unnamed[row] = unnamed.get(row, 0) + max(0, pod.shape.requests.gpus - len(pod.devices))
                gone.setdefault(unit.key, set()).add(pod.uid)
        devices = {row: self._freed(row, some, unnamed[row]) for row, some in named.items()}
        for row, shape in pods:
            desk.room.leave(row, shape)
        for row, some in devices.items():
            desk.room.devices.put_back(row, some)
        stood = [
            (key, desk.apart.moved(key, self._rows_left(key, uids)))
            for key, uids in gone.items()
            if desk.apart.knows(key)
        ]
        before = desk.ledger
        desk.ledger = without(before, losers(units))
        return Lifted(pods, devices, before, stood)

    def put_back(self, lifted: Lifted) -> None:
        """As it was before `lift`; nothing else may have been taken since."""
        desk = self._desk
        for row, shape in lifted.pods:
            desk.room.take(row, shape)
        for row, some in lifted.devices.items():
            desk.room.devices.take(row, some)
        for key, rows in lifted.stood:
            desk.apart.moved(key, rows)
        desk.ledger = lifted.ledger

    def keep(self, lifted: Lifted) -> None:
        """These have left for the rest of the plan."""
        for row, some in lifted.devices.items():
            self._desk.freed.setdefault(row, set()).update(some)

    def _rows_left(self, key: WorkloadKey, uids: set[str]) -> list[int]:
        workload = self._desk.snapshot.workloads[key]
        names = {p.node for p in workload.members if p.node is not None and p.uid not in uids}
        return self._desk.fleet.rows(names)

    def _freed(self, row: int, named: set[int], unnamed: int) -> tuple[int, ...]:
        """The GPUs that become free. Of pods whose GPUs are not known, the last that nobody is known to hold."""
        name = self._desk.fleet.names[row]
        healthy = {d.index for d in self._desk.snapshot.nodes[name].devices if d.healthy and not d.mig_enabled}
        found = set(named)
        if unnamed:
            there = self._desk.snapshot.devices_used.get(name, frozenset())
            pool = there - self._held().get(name, set()) - self._desk.freed.get(row, set())
            order = sorted(pool, key=lambda index: (index not in healthy, index))
            found.update(order[len(order) - min(unnamed, len(order)) :])
        return tuple(sorted(found & healthy))

    def _held(self) -> dict[NodeName, set[int]]:
        """The GPUs that members are known to hold."""
        if self._known is None:
            self._known = {}
            for workload in self._desk.snapshot.workloads.values():
                for pod in workload.members:
                    if pod.node is not None and pod.devices:
                        self._known.setdefault(pod.node, set()).update(pod.devices)
        return self._known


def losers(units: Iterable[Unit], desk: Desk | None = None) -> list[Loser]:
    """What each workload gives up, by key; with a desk, what could make way for it too."""
    sums: dict[WorkloadKey, tuple[Unit, Bill]] = {}
    for unit in units:
        bill = sums[unit.key][1] if unit.key in sums else Bill()
        sums[unit.key] = unit, bill.plus(unit.bill)
    return [
        Loser(
            key,
            unit.queue,
            unit.workload.priority,
            bill,
            Bill() if desk is None else softer(desk, unit.queue, unit.workload.priority),
        )
        for key, (unit, bill) in sorted(sums.items())
    ]
