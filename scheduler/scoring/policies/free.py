"""What is free on every node and on every device: one table for pods with whole GPUs and with shares of one."""

from collections.abc import Callable, Sequence

import numpy as np

from scheduler.model.demand import Request
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.model.workload import PodShape
from scheduler.scoring.fleet import Codes, Mask


def request_of(shape: PodShape) -> Request | None:
    """What a pod of a cluster asks for, memory in bytes; None where that are MIG slices, or whole GPUs beside parts."""
    requests = shape.requests
    whole, parts = requests.gpus, requests.shared_gpus
    if requests.mig_slices or (whole and parts):
        return None
    return Request(
        milli_cpu=requests.milli_cpu,
        memory=requests.memory_bytes,
        devices=whole or parts,
        share_milli=shape.share_milli if parts else MILLI_GPU,
        models=shape.models,
    )


class FreeTable:
    """Free CPU (milli), memory and milli-GPU of every device, one row a node; changes as pods are placed.

    `devices` has a column for each device index up to the largest node's; a device that is not there has nothing free.
    `product` is a code into `products`, -1 on a node without GPUs. `capacity` (milli-CPU, milli-GPU) is what is
    free on each node when nothing stands there; absent, that is now. `matches` tells whether a product is what a
    request names a model. `log` names the rows changed, in order.
    """

    def __init__(
        self,
        *,
        milli_cpu: Codes,
        memory: Codes,
        devices: IntTable,
        product: Codes,
        products: Sequence[str] = (),
        capacity: tuple[Codes, Codes] | None = None,
        matches: Callable[[str, str], bool] = str.__eq__,
    ) -> None:
        self.milli_cpu = milli_cpu
        self.memory = memory
        self.devices = devices
        self.product = product
        self.products = tuple(products)
        self.cpu_capacity, self.gpu_capacity = (milli_cpu.copy(), devices.sum(axis=1)) if capacity is None else capacity
        self.log: list[int] = []
        self._matches = matches

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.milli_cpu)

    def accepts(self, request: Request) -> Mask:
        """For each product, and at last for nodes without one, whether the request may go there."""
        if not request.models:
            return np.ones(len(self.products) + 1, dtype=np.bool_)
        accepts = [any(self._matches(model, name) for model in request.models) for name in self.products]
        return np.array([*accepts, False], dtype=np.bool_)

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
