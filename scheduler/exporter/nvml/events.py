"""Errors that the driver reports by itself (Xid)."""

import ctypes
import threading
from contextlib import suppress
from typing import Any

from scheduler.exporter.backend import DriverError
from scheduler.exporter.nvml.calls import GPU_IS_LOST, TIMEOUT, CallError, Calls, text
from scheduler.exporter.reading import Told, Unread, Xid

_XID = 0x8
"""nvml.h, nvmlEventTypeXidCriticalError."""

_WHOLE_GPU = 0xFFFFFFFF
"""The instance of an error that concerns the whole GPU."""


class _Watched:
    """A set of events and the GPUs registered with it, by where their handles point; `users` keep it from being freed.

    `events` is None where the driver makes no set: then nothing can be heard.
    """

    def __init__(self, events: Any) -> None:  # noqa: ANN401 - a structure of pynvml
        self.events = events
        self.uuids: dict[int, str] = {}
        self.users = 1


class Events:
    """The GPUs that are watched for errors.

    A registration that hangs holds up neither another one nor who waits; only waiting and closing wait for each other.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._waiting = threading.Lock()
        self._closed = threading.Event()
        self._now = _Watched(None)
        self._before: list[_Watched] = []

    def renew(self) -> None:
        """Begin another list. What was reported to the one before is told first.

        Raises:
            DriverError: the driver is gone.
        """
        try:
            events = self._calls.call("nvmlEventSetCreate")
        except CallError:
            events = None
        with self._lock:
            self._before.append(self._now)
            self._now = _Watched(events)

    def watch(self, uuid: str, handle: Told[object]) -> bool:
        """Put a GPU on the list; whether that is possible.

        Raises:
            DriverError: the driver is gone.
        """
        if isinstance(handle, Unread):
            return False
        with self._lock:
            own = self._now
            own.users += 1
        try:
            if own.events is None or isinstance(self._calls.ask(_has_xid, _TYPES, handle), Unread):
                return False
            self._calls.call("nvmlDeviceRegisterEvents", handle, _XID, own.events)
        except CallError:
            return False
        else:
            with self._lock:
                own.uuids[_address(handle)] = uuid
            return True
        finally:
            self._leave(own)

    def wait(self, timeout_ms: int) -> Xid | None:
        """The next error, None where there was none in time.

        Raises:
            CallError: a GPU of the list is lost; the others are heard again on another list.
            DriverError: the driver is gone, or errors cannot be waited for any more.
        """
        with self._waiting:
            while self._before:
                with suppress(CallError):
                    left = self._next(self._before[0], 0)
                    if left is not None:
                        return left
                self._leave(self._before.pop(0))
            try:
                return self._next(self._now, timeout_ms)
            except CallError as err:
                if err.code == GPU_IS_LOST:
                    raise
                raise DriverError(f"errors of GPUs cannot be waited for: {err.said}") from err

    def close(self) -> None:
        """Watch nothing any more. Never raises."""
        self._closed.set()
        with self._waiting:
            with self._lock:
                gone, self._before, self._now = [*self._before, self._now], [], _Watched(None)
            for one in gone:
                self._leave(one)

    def _next(self, own: _Watched, timeout_ms: int) -> Xid | None:
        if not own.uuids:
            self._closed.wait(timeout_ms / 1000)
            return None
        try:
            event = self._calls.call("nvmlEventSetWait_v2", own.events, timeout_ms)
        except CallError as err:
            if err.code == TIMEOUT:
                return None
            raise
        uuid = own.uuids.get(_address(event.device)) or self._calls.ask(text, "nvmlDeviceGetUUID", event.device)
        if isinstance(uuid, Unread) or not event.eventType & _XID:
            return None
        instance = int(event.gpuInstanceId)
        return Xid(uuid=uuid, number=int(event.eventData), gpu_instance=None if instance == _WHOLE_GPU else instance)

    def _leave(self, own: _Watched) -> None:
        """No longer use it; the last one frees it."""
        with self._lock:
            own.users -= 1
            last = not own.users
        if last and own.events is not None:
            with suppress(CallError, DriverError):  # It may have gone with the driver.
                self._calls.call("nvmlEventSetFree", own.events)


_TYPES = "nvmlDeviceGetSupportedEventTypes"


def _has_xid(types: Any) -> bool:  # noqa: ANN401 - a number of pynvml
    if not types & _XID:
        raise ValueError("it reports no errors")
    return True


def _address(handle: Any) -> int:  # noqa: ANN401 - a pointer of ctypes
    """Where a handle points, by which the driver's answers are told apart."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
