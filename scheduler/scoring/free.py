"""What is free on every node and on every device: one table for pods with whole GPUs and with shares of one."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes, Mask


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one pod asks of a node, as far as packing goes by it; equal requests are priced together.

    `share_milli` of each of `devices` GPUs: 1000 is a whole one. Memory is in the unit of the table. `models` are the
    names of the products that are accepted; empty accepts any.
    """

    milli_cpu: int = 0
    memory: int = 0
    devices: int = 0
    share_milli: int = MILLI_GPU
    models: tuple[str, ...] = ()

    @property
    def milli_gpu(self) -> int:
        """All of its devices' shares together."""
        return self.devices * self.share_milli


class FreeTable:
    """Free CPU (milli), memory and milli-GPU of every device, one row a node; changes as pods are placed.

    `devices` has a column for each device index up to the largest node's; a device that is not there has nothing free.
    `product` is a code into `products`, -1 on a node without GPUs. The capacities (milli-CPU, milli-GPU) are what is
    free on each node when nothing stands there; absent, that is now. `log` names the rows changed, in order.
    """

    def __init__(
        self,
        *,
        milli_cpu: Codes,
        memory: Codes,
        devices: IntTable,
        product: Codes,
        products: Sequence[str] = (),
        cpu_capacity: Codes | None = None,
        gpu_capacity: Codes | None = None,
    ) -> None:
        self.milli_cpu = milli_cpu
        self.memory = memory
        self.devices = devices
        self.product = product
        self.products = tuple(products)
        self.cpu_capacity = milli_cpu.copy() if cpu_capacity is None else cpu_capacity
        self.gpu_capacity = devices.sum(axis=1) if gpu_capacity is None else gpu_capacity
        self.log: list[int] = []

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.milli_cpu)

    def accepts(self, request: Request) -> Mask:
        """For each product, and at last for nodes without one, whether the request may go there."""
        wanted = frozenset(request.models)
        return np.array([not wanted or name in wanted for name in (*self.products, "")], dtype=np.bool_)

    def fits(self, request: Request, rows: Codes | None = None) -> Mask:
        """Which of `rows` (of all nodes) have room for one such pod."""
        at = slice(None) if rows is None else rows
        fits = (self.milli_cpu[at] >= request.milli_cpu) & (self.memory[at] >= request.memory)
        if request.devices:
            if request.models:
                fits &= self.accepts(request)[self.product[at]]
            fits &= (self.devices[at] >= request.share_milli).sum(axis=1) >= request.devices
        return fits

    def tightest(self, row: int, request: Request) -> tuple[int, ...]:
        """The devices of a node with the least free that is enough, the lowest index first among equals."""
        free = self.devices[row]
        enough = np.flatnonzero(free >= request.share_milli)
        return tuple(sorted(enough[np.argsort(free[enough], kind="stable")][: request.devices].tolist()))

    def emptiest(self, row: int, request: Request) -> tuple[int, ...]:
        """The devices of a node with the most free, the lowest index first among equals."""
        free = self.devices[row]
        return tuple(sorted(np.argsort(-free, kind="stable")[: request.devices].tolist()))

    def packed_by(self, request: Request) -> tuple[Codes, Codes]:
        """Free amount and capacity on every node of what packing goes by: GPUs, or CPU where none are asked for."""
        if request.devices:
            return self.devices.sum(axis=1), self.gpu_capacity
        return self.milli_cpu, self.cpu_capacity

    def take(self, row: int, request: Request, devices: Sequence[int]) -> None:
        """Use up what one pod asks, on these devices of a node."""
        self.milli_cpu[row] -= request.milli_cpu
        self.memory[row] -= request.memory
        if devices:
            self.devices[row, list(devices)] -= request.share_milli
        self.log.append(row)
