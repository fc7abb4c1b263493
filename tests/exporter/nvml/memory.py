# ruff: noqa: ANN401, SLF001 - C functions by their own names, whose arguments ctypes leaves without types
# pyright: reportPrivateUsage=false
"""Writing where the C library would write: `ref` is what `ctypes.byref` made, a buffer, or a pointer."""

import ctypes
from typing import Any


class Code(Exception):  # noqa: N818 - a return code, raised to leave a function
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def put(ref: Any, number: int) -> None:
    ref._obj.value = number


def fill(ref: Any, **members: object) -> None:
    for name, value in members.items():
        setattr(ref._obj, name, value)


def point(ref: Any, where: int, at: int = 0) -> None:
    """Store a pointer at position `at` of what `ref` points to."""
    ctypes.cast(ref, ctypes.POINTER(ctypes.c_void_p))[at] = where


def write(buffer: Any, text: str, size: Any) -> None:
    raw = text.encode()
    assert len(raw) < size.value
    buffer.value = raw
