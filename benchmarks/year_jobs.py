"""Jobs of the year and the nodes that they run on."""

from collections.abc import Mapping
from typing import NamedTuple

NODES = 72
GPUS = 8
"""Of each node."""

Waits = Mapping[int, int]
"""Seconds from a job's coming to its start, by number."""


class Job(NamedTuple):
    """A job comes at a second, asks for GPUs and runs so long; `says_s`: how long its user says that it will."""

    number: int
    comes_s: int
    gpus: int
    runs_s: int
    says_s: int

    @property
    def nodes(self) -> int:
        """Whole nodes that it needs; 0 where it shares one."""
        return self.gpus // GPUS
