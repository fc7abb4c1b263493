"""Errors that the driver reports by itself (Xid)."""

import ctypes
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from scheduler.exporter.backend import DriverError
from scheduler.exporter.nvml.calls import TIMEOUT, CallError, Calls, text
from scheduler.exporter.reading import Told, Unread, Xid

_XID = 0x8
"""nvml.h, nvmlEventTypeXidCriticalError."""

_WHOLE_GPU = 0xFFFFFFFF
"""The instance of an error that concerns the whole GPU."""


class Events:
    """The GPUs that are watched for errors. Waiting, watching and closing wait for each other."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._set: Any = None
        self._uuids: dict[int, str] = {}

    def watch(self, handles: Mapping[str, Told[object]]) -> list[str]:
        """Watch these GPUs from now on instead of those before; answers the UUIDs of which that is not possible.

        Raises:
            DriverError: the driver is gone, or can report no errors at all.
        """
        calls, refused = self._calls, list[str]()
        with self._lock:
            uuids = dict[int, str]()
            new = None
            for uuid, handle in handles.items():
                if isinstance(handle, Unread) or isinstance(calls.ask(_has_xid, _TYPES, handle), Unread):
                    refused.append(uuid)
                    continue
                try:
                    new = calls.call("nvmlEventSetCreate") if new is None else new
                    calls.call("nvmlDeviceRegisterEvents", handle, _XID, new)
                except CallError:
                    refused.append(uuid)
                else:
                    uuids[_address(handle)] = uuid
            self._free()
            self._set, self._uuids = new, uuids
            return refused

    def wait(self, timeout_ms: int) -> Xid | None:
        """The next error, None where there was none in time.

        Raises:
            DriverError: the driver is gone, or errors cannot be waited for any more.
        """
        with self._lock:
            if not self._uuids:
                self._closed.wait(timeout_ms / 1000)
                return None
            try:
                event = self._calls.call("nvmlEventSetWait_v2", self._set, timeout_ms)
            except CallError as err:
                if err.code == TIMEOUT:
                    return None
                raise DriverError(f"errors of GPUs cannot be waited for: {err.said}") from err
            uuid = self._uuids.get(_address(event.device)) or self._calls.ask(text, "nvmlDeviceGetUUID", event.device)
            if isinstance(uuid, Unread) or not event.eventType & _XID:
                return None
            instance = int(event.gpuInstanceId)
            return Xid(
                uuid=uuid, number=int(event.eventData), gpu_instance=None if instance == _WHOLE_GPU else instance
            )

    def close(self) -> None:
        """Watch nothing any more. Never raises."""
        self._closed.set()
        with self._lock:
            self._free()

    def _free(self) -> None:
        if self._set is not None:
            with suppress(CallError, DriverError):  # It may have gone with the driver.
                self._calls.call("nvmlEventSetFree", self._set)
        self._set, self._uuids = None, {}


_TYPES = "nvmlDeviceGetSupportedEventTypes"


def _has_xid(types: Any) -> bool:  # noqa: ANN401 - a number of pynvml
    if not types & _XID:
        raise ValueError("it reports no errors")
    return True


def _address(handle: Any) -> int:  # noqa: ANN401 - a pointer of ctypes
    """Where a handle points, by which the driver's answers are told apart."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
