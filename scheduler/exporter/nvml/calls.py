"""How calls of the driver's library are made, and what their errors mean.

`pynvml` raises for every return code but success. Codes that concern one GPU, or one thing that it does not have, are
answers here; codes that say the driver is gone are raised as `DriverError`.
"""

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from scheduler.exporter.backend import DriverError
from scheduler.exporter.reading import Told, Unread, Why

T = TypeVar("T")

SUCCESS = 0
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
TIMEOUT = 10
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
_UNKNOWN = 999

_GONE = {
    1: "the driver is not open, or went away",
    9: "the NVIDIA driver is not loaded",
    12: "the library of the NVIDIA driver, libnvidia-ml.so.1, is not there",
    18: "the library and the kernel module of the NVIDIA driver are of different versions",
}
"""Return codes (nvml.h, nvmlReturn_t) after which no call can succeed until the driver is opened again."""

_WHY = {
    INVALID_ARGUMENT: Why.NOT_SUPPORTED,
    NOT_SUPPORTED: Why.NOT_SUPPORTED,
    4: Why.NO_PERMISSION,
    NOT_FOUND: Why.NO_DATA,
    TIMEOUT: Why.TIMED_OUT,
    FUNCTION_NOT_FOUND: Why.OLD_DRIVER,
    GPU_IS_LOST: Why.LOST,
    21: Why.NO_DATA,
    25: Why.OLD_DRIVER,
    28: Why.LOST,
}
"""What return codes mean of one thing that was asked for; the other codes are failures."""


class CallError(Exception):
    """A call returned a code that does not mean that the driver is gone."""

    def __init__(self, call: str, code: int, said: str) -> None:
        super().__init__(f"{call}: {said}")
        self.call = call
        self.code = code
        self.said = said

    def unread(self) -> Unread:
        """The error as the reason why something could not be read."""
        why = _WHY.get(self.code, Why.FAILED)
        return Unread(why=why, call=self.call, said=self.said if why is Why.FAILED else "")


class Calls:
    """The functions of `pynvml`, by name. It is imported when the first of these objects is made."""

    def __init__(self) -> None:
        self.module: Any = importlib.import_module("pynvml")

    def call(self, name: str, *args: object) -> Any:  # noqa: ANN401 - pynvml has no types
        """What the function returns.

        Raises:
            DriverError: the driver is gone.
            CallError: it returned any other code than success.
        """
        try:
            return getattr(self.module, name)(*args)
        except self.module.NVMLError as err:
            code = int(err.value)
            if code in _GONE:
                raise DriverError(_GONE[code]) from err
            raise CallError(name, code, str(err)) from err
        except ValueError as err:  # Text that is no UTF-8.
            raise CallError(name, _UNKNOWN, str(err)) from err

    def ask(self, read: Callable[[Any], T], name: str, *args: object) -> Told[T]:
        """What `read` makes of the function's result, or why there is none.

        A result that `read` cannot take (text that is no UTF-8, a number without a meaning) is a failure of the driver.

        Raises:
            DriverError: the driver is gone.
        """
        try:
            return read(self.call(name, *args))
        except CallError as err:
            return err.unread()
        except ValueError as err:
            return Unread(why=Why.FAILED, call=name, said=str(err))


def text(raw: str | bytes) -> str:
    """Text that functions return as str, and fields of structures hold as bytes.

    Raises:
        ValueError: it is no UTF-8.
    """
    return raw.decode() if isinstance(raw, bytes) else raw


def bus_id(info: Any) -> str:  # noqa: ANN401 - a structure of pynvml
    """The PCI address of an `nvmlPciInfo_t` as sysfs has it: four digits of domain, lower case.

    Raises:
        ValueError: it is none.
    """
    domain, colon, rest = text(info.busId).partition(":")
    if not colon:
        raise ValueError(f"{info.busId!r} is no PCI address")
    return f"{int(domain, 16):04x}:{rest.lower()}"
