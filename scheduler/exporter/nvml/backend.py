"""The real driver behind the protocol `NvmlBackend`."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from scheduler.exporter.backend import DriverError
from scheduler.exporter.nvml.calls import CallError, Calls, bus_id, text
from scheduler.exporter.nvml.events import Events
from scheduler.exporter.nvml.fabric import fabric_of
from scheduler.exporter.nvml.health import ecc_of, exclusive_process_of, recovery_of, remapped_of, utilisation_of
from scheduler.exporter.nvml.identity import driver_of, facts_of, memory_mib
from scheduler.exporter.nvml.instances import instances_of, mode_of
from scheduler.exporter.nvml.links import links_of, pair_of
from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Slot, Told, Unread, Why, Xid

_Record = TypeVar("_Record", DeviceFacts, DeviceState)

_BY_INDEX = "nvmlDeviceGetHandleByIndex"
_BY_UUID = "nvmlDeviceGetHandleByUUID"


class PynvmlBackend:
    """Reads GPUs through NVIDIA's library. One process has one library, so there should be one open backend at a time.

    GPUs are known by UUID. A handle is asked for its UUID before it is used, so that one that went stale is not taken
    for another GPU. `sysfs` is where the kernel's /sys is.
    """

    def __init__(self, *, sysfs: Path = Path("/sys")) -> None:
        self._sysfs = sysfs
        self._lock = threading.Lock()
        self._opened: tuple[Calls, Events] | None = None
        self._handles: dict[str, object] = {}
        self._addresses: dict[str, str] = {}

    def open(self) -> DriverFacts:
        """Load the library and reach the driver."""
        self.close()
        calls = Calls()
        try:
            calls.call("nvmlInitWithFlags", 0)
        except CallError as err:
            raise DriverError(f"the driver cannot be opened: {err.said}") from err
        self._opened = calls, Events(calls)
        return driver_of(calls)

    def close(self) -> None:
        """Let go of the driver."""
        opened, self._opened = self._opened, None
        with self._lock:
            self._handles, self._addresses = {}, {}
        if opened is None:
            return
        calls, events = opened
        events.close()
        with suppress(CallError, DriverError):
            calls.call("nvmlShutdown")

    def count(self) -> int:
        """How many GPUs the driver counts."""
        calls, _ = self._driver()
        try:
            return int(calls.call("nvmlDeviceGetCount"))
        except CallError as err:
            raise DriverError(f"the driver cannot count its GPUs: {err.said}") from err

    def slot(self, index: int) -> Slot:
        """The GPU that the driver counts at `index`. The first call for its handle is what initialises a GPU."""
        calls, _ = self._driver()
        handle: Told[object] = calls.ask(_same, _BY_INDEX, index)
        uuid = handle if isinstance(handle, Unread) else calls.ask(text, "nvmlDeviceGetUUID", handle)
        if not isinstance(uuid, Unread):
            address = calls.ask(bus_id, "nvmlDeviceGetPciInfo_v3", handle)
            with self._lock:
                self._handles[uuid] = handle
                if not isinstance(address, Unread):
                    self._addresses[uuid] = address
        return Slot(index=index, uuid=uuid)

    def facts(self, uuid: str) -> DeviceFacts | Unread:
        """What does not change of a GPU."""
        calls, _ = self._driver()
        handle = self._handle(calls, uuid)
        if isinstance(handle, Unread):
            return handle
        return _unless_lost(facts_of(calls, handle, uuid, self._sysfs))

    def state(self, uuid: str) -> DeviceState | Unread:
        """What changes of a GPU."""
        calls, _ = self._driver()
        handle = self._handle(calls, uuid)
        if isinstance(handle, Unread):
            return handle
        with self._lock:
            local = set(self._addresses.values())
        mode = mode_of(calls, handle)
        return _unless_lost(
            DeviceState(
                uuid=uuid,
                mig_mode=mode,
                instances=instances_of(calls, handle, mode),
                nvlinks=links_of(calls, handle, local),
                fabric=fabric_of(calls, handle),
                ecc=ecc_of(calls, handle),
                remapped=remapped_of(calls, handle),
                recovery_action=recovery_of(calls, handle),
                memory_used_mib=memory_mib(calls, handle, "used"),
                utilisation=utilisation_of(calls, handle),
                exclusive_process=exclusive_process_of(calls, handle),
            )
        )

    def pair(self, a: str, b: str) -> Pair:
        """What connects two GPUs."""
        calls, _ = self._driver()
        return pair_of(calls, (a, self._handle(calls, a)), (b, self._handle(calls, b)))

    def watch_anew(self) -> None:
        """Begin another list of GPUs to hear errors of."""
        _, events = self._driver()
        events.renew()

    def watch(self, uuid: str) -> bool:
        """Put a GPU on the list; whether its errors can be heard of."""
        calls, events = self._driver()
        return events.watch(uuid, self._handle(calls, uuid))

    def wait(self, timeout_ms: int) -> Xid | None:
        """The next error of a watched GPU; None where there was none in time."""
        _, events = self._driver()
        return events.wait(timeout_ms)

    def _driver(self) -> tuple[Calls, Events]:
        if self._opened is None:
            raise DriverError("the driver is not open")
        return self._opened

    def _handle(self, calls: Calls, uuid: str) -> Told[object]:
        with self._lock:
            known = self._handles.get(uuid)
        if known is not None and calls.ask(text, "nvmlDeviceGetUUID", known) == uuid:
            return known
        try:
            handle: object = calls.call(_BY_UUID, uuid.encode())
        except CallError as err:
            # A GPU that the driver finds under no UUID is as lost as one that it says is.
            unread = err.unread()
            return Unread(why=Why.LOST, call=_BY_UUID) if unread.why is Why.NO_DATA else unread
        with self._lock:
            self._handles[uuid] = handle
        return handle


def _same(handle: object) -> object:
    return handle


def _unless_lost(record: _Record | Unread) -> _Record | Unread:
    """A GPU that any call found lost is lost as a whole."""
    if isinstance(record, Unread):
        return record
    fields = (getattr(record, name) for name in record.__struct_fields__)
    return next((told for told in fields if isinstance(told, Unread) and told.why is Why.LOST), record)
