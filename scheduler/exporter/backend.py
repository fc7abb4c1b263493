"""The one way to a node's GPUs, whatever is behind it."""

from typing import Protocol

from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Slot, Unread, Xid


class DriverError(Exception):
    """There is no driver to ask, or it went away: close the backend and open it again later."""


class NvmlBackend(Protocol):
    """Reads GPUs. Any call may block for as long as the driver does, so none belongs on the agent's event loop.

    A call touches no GPU but those that it is given, so one that hangs holds up only what was asked of it.

    Calls raise `DriverError` where the driver as a whole is gone; what is wrong with one GPU is a value.
    """

    def open(self) -> DriverFacts:
        """Load the library and reach the driver. May be called again after `close`."""
        ...

    def close(self) -> None:
        """Let go of the driver. Never raises."""
        ...

    def count(self) -> int:
        """How many GPUs the driver counts, lost ones included."""
        ...

    def slot(self, index: int) -> Slot:
        """The GPU that the driver counts at `index`. Of a lost one its UUID cannot be read."""
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

    def watch_anew(self) -> None:
        """Begin another list of GPUs to hear errors of; it holds from the next `wait`."""
        ...

    def watch(self, uuid: str) -> bool:
        """Put a GPU on the list; whether its errors can be heard of."""
        ...

    def wait(self, timeout_ms: int) -> Xid | None:
        """The next error of a watched GPU; None where there was none in time.

        Raises:
            Exception: nothing is heard any more until another list is begun.
        """
        ...
