"""How much a placement takes from what the usual requests could still be given.

A mix of requests is learned from what was asked for, old requests counting less and less. A node is worth what the mix
could be given of it: of each kind of request as many whole pods as fit there, by devices, CPU and memory, times their
GPUs, weighted by the kind's part of the mix. The price of a placement is how much of that worth it destroys. This is
the idea of "Beware of Fragmentation" (USENIX ATC 2023, section 3), with two differences: whole pods are counted
instead of GPUs that are free enough, and the mix is learned instead of given.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes
from scheduler.scoring.free import FreeTable, Request

Amounts = npt.NDArray[np.float64]
"""Whole numbers below 2^53 in floating point, so that sums are exact in any order."""

HALF_LIFE = 8192
"""Requests after which an older one counts half."""

KINDS = 256
"""The mix prices by this many kinds, the heaviest ones."""

WEIGHT = 1 << 20
"""Weights of the kinds add up to about this; then worth stays far below 2^53."""


class Mix:
    """A decayed histogram of requests: what is usually asked for."""

    def __init__(self, half_life: int = HALF_LIFE) -> None:
        self._weights: dict[Request, float] = {}
        self._grow = 2.0 ** (1.0 / half_life)
        self._next = 1.0

    def add(self, request: Request, weight: float = 1.0) -> None:
        """Count one request, as the latest one."""
        self._weights[request] = self._weights.get(request, 0.0) + weight * self._next
        self._next *= self._grow
        if self._next > WEIGHT:
            self._weights = {kind: weight / self._next for kind, weight in self._weights.items()}
            self._next = 1.0

    def kinds(self) -> list[tuple[Request, int]]:
        """The heaviest kinds that ask for GPUs, and their weight in parts of `WEIGHT`, none zero."""
        heavy = sorted(
            ((kind, weight) for kind, weight in self._weights.items() if kind.devices),
            key=lambda entry: -entry[1],
        )[:KINDS]
        total = sum(weight for _, weight in heavy)
        return [(kind, part) for kind, weight in heavy if (part := round(WEIGHT * weight / total))]


class States(NamedTuple):
    """Nodes as they are or would be: free amounts, device by device, and the product's code."""

    milli_cpu: Codes
    memory: Codes
    devices: IntTable
    product: Codes


class Worth:
    """What nodes are worth to a mix, in milli-GPU times `WEIGHT`."""

    def __init__(self, table: FreeTable, kinds: Sequence[tuple[Request, int]]) -> None:
        requests = [kind for kind, _ in kinds]
        shares = sorted({kind.share_milli for kind in requests})
        free = np.arange(MILLI_GPU + 1)
        self._slots = np.stack([free // share for share in shares], axis=1).astype(np.int16)
        self._share = np.array([shares.index(kind.share_milli) for kind in requests], dtype=np.int64)
        self._devices = np.array([kind.devices for kind in requests], dtype=np.float64)
        self._several = np.flatnonzero(self._devices > 1)
        self._milli_cpu = np.array([max(kind.milli_cpu, 1) for kind in requests], dtype=np.float64)
        self._memory = np.array([max(kind.memory, 1) for kind in requests], dtype=np.float64)
        self._gain = np.array([weight * kind.milli_gpu for kind, weight in kinds], dtype=np.float64)
        self._picky = any(kind.models for kind in requests)
        self._accepts = np.stack([table.accepts(kind) for kind in requests], axis=1) if self._picky else None

    def of(self, states: States) -> Amounts:
        """The worth of each of `states`."""
        slots = self._slots[states.devices].sum(axis=1, dtype=np.int32)
        pods = slots.astype(np.float64)[:, self._share]
        if len(self._several):
            pods[:, self._several] = np.floor(pods[:, self._several] / self._devices[self._several])
        by = np.empty_like(pods)
        for have, ask in ((states.milli_cpu, self._milli_cpu), (states.memory, self._memory)):
            np.divide(have[:, None], ask[None, :], out=by)
            np.floor(by, out=by)
            np.minimum(pods, by, out=pods)
        if self._accepts is not None:
            pods[~self._accepts[states.product]] = 0.0
        return pods @ self._gain
