"""The one way to a node's GPUs, whatever is behind it."""

from collections.abc import Sequence
from typing import Protocol

from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Slot, Unread, Xid


class DriverError(Exception):
    """There is no driver to ask, or it went away: close the backend and open it again later."""


class NvmlBackend(Protocol):
    """Reads GPUs. Any call may block for as long as the driver does, so none belongs on the agent's event loop.

    Calls raise `DriverError` where the driver as a whole is gone; what is wrong with one GPU is a value.
    """

    def open(self) -> DriverFacts:
        """Load the library and reach the driver. May be called again after `close`."""
        ...

    def close(self) -> None:
        """Let go of the driver. Never raises."""
        ...

    def slots(self) -> Sequence[Slot]:
        """Every GPU that the driver counts, in the order of PCI addresses.

        Of a lost one neither UUID nor address can be read; it comes after the others.
        """
        ...

    def facts(self, uuid: str) -> DeviceFacts | Unread:
        """What does not change of a GPU; `Unread` where the GPU does not answer at all."""
        ...

    def state(self, uuid: str) -> DeviceState | Unread:
        """What changes of a GPU; `Unread` where the GPU does not answer at all."""
        ...

    def pair(self, a: str, b: str) -> Pair:
        """What connects two GPUs."""
        ...

    def watch(self, uuids: Sequence[str]) -> Sequence[str]:
        """Register for errors of these GPUs; answers those that cannot be watched."""
        ...

    def wait(self, timeout_ms: int) -> Xid | None:
        """The next error of a watched GPU; None where there was none in time."""
        ...
