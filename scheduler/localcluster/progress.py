"""Telling a person how far a long step has come, on a terminal or in a log file."""

import sys
import time
from typing import Protocol, TextIO

_PLAIN_EVERY_S = 15.0
"""How often a passing line is written where it cannot be overwritten, so that a log stays short and shows life."""

_TTY_EVERY_S = 0.1
_CLEAR_LINE = "\r\x1b[K"


class Progress(Protocol):
    """Somebody who wants to know."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def passing(self, text: str) -> None:
        """A line that the next one replaces."""
        ...


class Quiet:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Drop it."""

    def passing(self, text: str) -> None:
        """Drop it."""


class Console:
    """Writes to a stream: passing lines in place on a terminal, every 15 seconds elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._last_s = time.monotonic()
        self._open_line = False

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(f"{_CLEAR_LINE if self._open_line else ''}{text}\n")
        self._stream.flush()
        self._open_line = False

    def passing(self, text: str) -> None:
        """A line that the next one replaces."""
        now_s = time.monotonic()
        if now_s - self._last_s < (_TTY_EVERY_S if self._tty else _PLAIN_EVERY_S):
            return
        self._last_s = now_s
        self._stream.write(f"{_CLEAR_LINE}{text}" if self._tty else f"{text}\n")
        self._stream.flush()
        self._open_line = self._tty
