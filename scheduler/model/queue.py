"""Queues of teams and what each may use."""

from typing import Literal

import msgspec

from scheduler.model.names import QueueName

QueueOrder = Literal["Fair", "StrictFIFO"]


class Quota(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a queue owns and may borrow or lend, in milli-GPU. A limit of None is no limit."""

    nominal_milli_gpu: int = 0
    borrowing_limit_milli_gpu: int | None = None
    lending_limit_milli_gpu: int | None = None

    @property
    def ceiling_milli_gpu(self) -> int | None:
        """The most that may ever be used: nominal and what may be borrowed; None where borrowing has no limit."""
        if self.borrowing_limit_milli_gpu is None:
            return None
        return self.nominal_milli_gpu + self.borrowing_limit_milli_gpu


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A team's queue: its quota over all GPUs, and per flavor (a GPU model or MIG profile) where the admin set one."""

    name: QueueName
    parent: QueueName | None = None
    namespaces: tuple[str, ...] = ()
    total: Quota = Quota()
    flavors: tuple[tuple[str, Quota], ...] = ()
    weight: int = 1
    priority: int = 0
    min_runtime_s: int = 0
    order: QueueOrder = "Fair"
    generation: int = 0
