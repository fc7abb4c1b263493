"""The driver of a simulated node."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence

from scheduler.exporter.backend import DriverError
from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Slot, Unread, Why, Xid
from scheduler.exporter.simulated import records
from scheduler.exporter.simulated.faults import Fault, Kind
from scheduler.exporter.simulated.machines import Machine
from scheduler.exporter.simulated.machines import machine as machine_of
from scheduler.exporter.simulated.node import Placed, SimulatedNode

DRIVER = DriverFacts(version="580.95.05", cuda="13.0", nvml="13.580.95.05")

_NO_HANDLE = Unread(why=Why.LOST, call="nvmlDeviceGetHandleByIndex")


class FixtureBackend:
    """The driver of a node named `node` of a machine type, or of one that is much like it, behind `NvmlBackend`.

    `instances` divide its GPUs, `faults` are there from the start. Both change while it runs, from any thread: `apply`,
    `heal`, `divide`, `reindex`. UUIDs and serial numbers are the same each time for the same node name.

    Raises:
        UnknownMachineError: there is no such machine type.
        LayoutError: a GPU cannot be divided so.
        BadFaultError: the machine has no part that a fault names.
    """

    def __init__(
        self,
        machine: str | Machine,
        *,
        node: str = "node",
        instances: Iterable[Placed] = (),
        faults: Iterable[Fault] = (),
    ) -> None:
        made = machine_of(machine) if isinstance(machine, str) else machine
        self._node = SimulatedNode(made, node, instances=instances, faults=faults)
        self._changed = threading.Condition()
        self._open = False
        self._watched: set[int] = set()
        self._told_xids: set[Fault] = set()
        self._xids: deque[Xid] = deque()

    @property
    def faults(self) -> frozenset[Fault]:
        """What is wrong now."""
        with self._changed:
            return frozenset(self._node.faults)

    def apply(self, fault: Fault) -> None:
        """Let something break.

        Raises:
            BadFaultError: the machine has no part that the fault names.
        """
        with self._changed:
            self._node.add(fault)
            if fault.kind is Kind.DRIVER:
                self._open = False
            self._told_xids.discard(fault)
            self._report()
            self._changed.notify_all()

    def heal(self, fault: Fault | None = None) -> None:
        """Mend it, or everything; what is not broken stays whole."""
        with self._changed:
            healed = set(self._node.faults) if fault is None else {fault}
            self._node.faults -= healed
            self._told_xids -= healed
            self._changed.notify_all()

    def divide(self, gpu: int, wanted: Sequence[Placed] | None) -> None:
        """Divide GPU number `gpu` so, keeping instances that stay; None ends MIG on it.

        Raises:
            LayoutError: it cannot be divided so.
        """
        with self._changed:
            self._node.divide(gpu, wanted)

    def reindex(self, order: Sequence[int]) -> None:
        """Count the GPUs in another order from now on: `order[gpu]` is the index of GPU number `gpu`.

        Raises:
            LayoutError: it is no permutation.
        """
        with self._changed:
            self._node.reindex(order)

    def open(self) -> DriverFacts:
        """Reach the driver."""
        with self._changed:
            self._pass(None)
            if self._node.has(Kind.DRIVER, None):
                raise DriverError("the driver is not loaded")
            self._open = True
            return DRIVER

    def close(self) -> None:
        """Let go of the driver."""
        with self._changed:
            self._open = False
            self._watched.clear()
            self._xids.clear()
            self._changed.notify_all()

    def count(self) -> int:
        """How many GPUs the driver counts."""
        with self._changed:
            self._enter(None)
            return len(self._node.counted())

    def slot(self, index: int) -> Slot:
        """The GPU that the driver counts at `index`."""
        with self._changed:
            counted = self._node.counted()
            gpu = counted[index] if index < len(counted) else None
            self._enter(gpu)
            reached = gpu is not None and self._node.reachable(gpu)
            return Slot(index=index, uuid=self._node.uuids[gpu] if reached and gpu is not None else _NO_HANDLE)

    def facts(self, uuid: str) -> DeviceFacts | Unread:
        """What does not change of a GPU."""
        with self._changed:
            gpu = self._reach(uuid)
            return records.LOST if gpu is None else records.facts(self._node, gpu)

    def state(self, uuid: str) -> DeviceState | Unread:
        """What changes of a GPU."""
        with self._changed:
            gpu = self._reach(uuid)
            return records.LOST if gpu is None else records.state(self._node, gpu)

    def pair(self, a: str, b: str) -> Pair:
        """What connects two GPUs."""
        with self._changed:
            one, other = self._reach(a), self._reach(b)
            if one is None or other is None:
                return Pair(a=a, b=b, level=records.LOST, p2p=records.LOST, p2p_nvlink=records.LOST)
            return records.pair(self._node, one, other)

    def watch_anew(self) -> None:
        """Begin another list of GPUs to hear errors of."""
        with self._changed:
            self._enter(None)
            self._watched.clear()

    def watch(self, uuid: str) -> bool:
        """Put a GPU on the list; whether its errors can be heard of."""
        with self._changed:
            gpu = self._reach(uuid)
            if gpu is None or self._node.has(Kind.UNWATCHED, gpu):
                return False
            self._watched.add(gpu)
            self._report()
            return True

    def wait(self, timeout_ms: int) -> Xid | None:
        """The next error of a watched GPU; None where there was none in time."""
        until_s = time.monotonic() + timeout_ms / 1000
        with self._changed:
            while True:
                self._enter(None)
                left_s = until_s - time.monotonic()
                if self._xids or left_s <= 0:
                    return self._xids.popleft() if self._xids else None
                self._changed.wait(left_s)

    def _reach(self, uuid: str) -> int | None:
        """The GPU's number; None where the driver does not reach it."""
        gpu = self._node.uuids.index(uuid) if uuid in self._node.uuids else None
        self._enter(gpu)
        return gpu if gpu is not None and self._node.reachable(gpu) else None

    def _enter(self, gpu: int | None) -> None:
        self._pass(gpu)
        if self._node.has(Kind.DRIVER, None):
            raise DriverError("the driver is not loaded")
        if not self._open:
            raise DriverError("the driver is not open")

    def _pass(self, gpu: int | None) -> None:
        """Stay while the driver hangs, as a whole or for this GPU."""
        while any(f.kind is Kind.HANG and (f.gpu is None or f.gpu == gpu) for f in self._node.faults):
            self._changed.wait()

    def _report(self) -> None:
        """Tell each Xid once, as soon as its GPU is watched."""
        for fault in sorted(self._node.faults - self._told_xids, key=str):
            if fault.kind is Kind.XID and fault.gpu in self._watched and fault.number is not None:
                self._told_xids.add(fault)
                self._xids.append(Xid(uuid=self._node.uuids[fault.gpu], number=fault.number))
        self._changed.notify_all()
