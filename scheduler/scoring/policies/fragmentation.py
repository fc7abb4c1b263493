"""How much a placement takes from what the usual requests could still be given.

A mix of requests is learned from what was asked for, old requests counting less and less. A node is worth what the mix
could be given of it: of each kind of request as many whole pods as fit there, by devices, CPU and memory. The first
GPUs count most: the worth for a kind goes with the square root of the GPUs that its pods would get, weighted by the
kind's part of the mix. To that comes how much of what is free of its devices the requests to come are expected to
fill. The price of a placement is how much of that worth it destroys.

This is the idea of "Beware of Fragmentation" (USENIX ATC 2023, section 3), with four differences: whole pods are
counted instead of GPUs that are free enough, the last pod of a kind that fits on a node is dearer than others, parts
that fill a device together count together, and the mix is learned instead of given.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scheduler.model.demand import Kind, Request
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes
from scheduler.scoring.policies.free import FreeTable

Amounts = npt.NDArray[np.float64]
"""Whole numbers below 2^53 in floating point, so that sums are exact in any order."""

HALF_LIFE = 64
"""Periods after which a request counts half."""

FORGOTTEN = 16 * HALF_LIFE
"""Periods after which a request counts nothing."""

KINDS = 256
"""The mix prices by this many kinds, the heaviest ones."""

WEIGHT = 1 << 20
"""Weights of the kinds add up to about this; then worth stays far below 2^53."""

TRIES = 12
"""A free part of a device is expected to be there for so many requests, each of which fills some of it if it fits."""

FILL = 6
"""The expected filling of a device counts so many times; measured on the openb trace, as `TRIES` is."""

MOST_PODS = 1 << 12
"""More pods than this on one node count as this many."""

_DECAY = tuple(round(WEIGHT * 0.5 ** (age / HALF_LIFE)) for age in range(FORGOTTEN))


class Mix:
    """A decayed histogram of requests: what is usually asked for. The order of adding is of no matter.

    Time is counted in periods, by whoever adds: a request counts by how many periods it is older than the latest one.
    """

    def __init__(self) -> None:
        self._periods: dict[int, Counter[Request]] = {}
        self._latest = 0
        self.version = 0
        """Grows whenever the kinds of closed periods may have changed."""

    def add(self, request: Request, period: int, count: int = 1) -> None:
        """Count `count` requests of a period; with a count below 0, as many of them no more."""
        if not self._periods or period > self._latest:
            self._latest = period
            for old in [each for each in self._periods if period - each >= FORGOTTEN]:
                del self._periods[old]
            self.version += 1
        elif self._latest - period >= FORGOTTEN:
            return
        if period < self._latest or len(self._periods) < 2:
            self.version += 1
        counts = self._periods.setdefault(period, Counter())
        counts[request] += count
        if not counts[request]:
            del counts[request]
            if not counts:
                del self._periods[period]
                self._latest = max(self._periods, default=0)

    def kinds(self, *, closed: bool = False) -> tuple[Kind, ...]:
        """The heaviest kinds that ask for GPUs, by weight in parts of `WEIGHT`, none zero.

        `closed`: without the latest period, as long as there is an earlier one; so kinds change once a period.
        """
        total: Counter[Request] = Counter()
        whole = closed and len(self._periods) > 1
        for period, counts in self._periods.items():
            if not (whole and period == self._latest):
                for request, count in counts.items():
                    total[request] += count * _DECAY[self._latest - period]
        heavy = sorted((-weight, request) for request, weight in total.items() if request.devices)[:KINDS]
        every = -sum(weight for weight, _ in heavy)
        return tuple(
            Kind(request, part) for weight, request in heavy if (part := (-weight * WEIGHT + every // 2) // every)
        )

    def counts(self) -> Iterable[tuple[Request, int, int]]:
        """All requests that still count, with their period and number."""
        for period, counts in self._periods.items():
            for request, count in counts.items():
                yield request, period, count


class States(NamedTuple):
    """Nodes as they are or would be: free amounts, device by device, and the product's code."""

    milli_cpu: Codes
    memory: Codes
    devices: IntTable
    product: Codes


class Worth:
    """What nodes are worth to a mix, in parts of a GPU: `MILLI_GPU` times `WEIGHT` is one."""

    def __init__(self, table: FreeTable, kinds: Sequence[Kind]) -> None:
        requests = [kind.request for kind in kinds]
        shares = sorted({request.share_milli for request in requests})
        free = np.arange(MILLI_GPU + 1)
        self._slots = np.stack([free // share for share in shares], axis=1).astype(np.int16)
        self._share = np.array([shares.index(request.share_milli) for request in requests], dtype=np.int64)
        self._devices = np.array([request.devices for request in requests], dtype=np.float64)
        self._several = np.flatnonzero(self._devices > 1)
        self._milli_cpu = np.array([request.milli_cpu or np.nan for request in requests], dtype=np.float64)
        self._memory = np.array([request.memory or np.nan for request in requests], dtype=np.float64)
        most = min(MOST_PODS, 1 + table.devices.shape[1] * MILLI_GPU // min(shares, default=MILLI_GPU))
        gpus = np.arange(most + 1)[None, :] * np.array([[request.milli_gpu / MILLI_GPU] for request in requests])
        weight = np.array([[kind.weight] for kind in kinds], dtype=np.float64)
        self._most = most
        self._gain: Amounts = np.rint(np.sqrt(gpus) * MILLI_GPU) * weight
        self._given: Amounts = gpus * MILLI_GPU * weight
        self.kinds = len(kinds)
        self._kind = np.arange(self.kinds)
        picky = any(request.models for request in requests)
        accepts = np.stack([table.accepts(request) for request in requests], axis=1)
        self._accepts = accepts if picky else None
        self._fill: Amounts = np.rint(_fillings(kinds, accepts))
        self._part: Amounts = np.array([kind.weight * kind.request.devices for kind in kinds], dtype=np.float64)

    def of(self, states: States) -> Amounts:
        """The worth of each of `states`."""
        return self._gain[self._kind, self._pods(states)].sum(axis=1) + FILL * WEIGHT * self._filling(states)

    def _filling(self, states: States) -> Amounts:
        """The milli-GPU that are expected to be filled on each of `states`: less where CPU or memory is short.

        Each GPU's worth of it has an equal part of them, and is filled as likely as some request of the next ones is
        content with that.
        """
        filled: Amounts = self._fill[states.product[:, None], states.devices].sum(axis=1)
        gpus = np.maximum(filled / MILLI_GPU, 1.0)
        content = ~(self._milli_cpu > (states.milli_cpu / gpus)[:, None])
        content &= ~(self._memory > (states.memory / gpus)[:, None])
        return np.rint(filled * (1 - np.exp(-TRIES * (content @ self._part) / self._part.sum())))

    def given(self, states: States) -> int:
        """The milli-GPU that an average request of the mix could be given of `states`, as many pods as fit."""
        return round(float(self._given[self._kind, self._pods(states)].sum()) / WEIGHT)

    def _pods(self, states: States) -> Codes:
        """How many pods of each kind fit on each of `states`, if all were of that kind."""
        slots = self._slots[states.devices].sum(axis=1, dtype=np.int32)
        pods = slots.astype(np.float64)[:, self._share]
        if len(self._several):
            pods[:, self._several] = np.floor(pods[:, self._several] / self._devices[self._several])
        np.minimum(pods, self._most, out=pods)
        by = np.empty_like(pods)
        for have, ask in ((states.milli_cpu, self._milli_cpu), (states.memory, self._memory)):
            np.divide(have[:, None], ask[None, :], out=by)
            np.floor(by, out=by)
            # What is not asked for divides by NaN, and is no limit.
            np.fmin(pods, by, out=pods)
        np.maximum(pods, 0.0, out=pods)
        if self._accepts is not None:
            pods[~self._accepts[states.product]] = 0.0
        return pods.astype(np.int64)


def _fillings(kinds: Sequence[Kind], accepts: npt.NDArray[np.bool_]) -> Amounts:
    """`expected_filling` for each product (row of `accepts`), by the kinds that accept it."""
    every = sum(kind.weight * kind.request.devices for kind in kinds)
    known: dict[bytes, Amounts] = {}
    found: list[Amounts] = []
    for row in accepts:
        key = row.tobytes()
        if key not in known:
            some = [kind for kind, accepted in zip(kinds, row.tolist(), strict=True) if accepted]
            known[key] = expected_filling(some, every)
        found.append(known[key])
    return np.stack(found)


def expected_filling(kinds: Sequence[Kind], every: int) -> Amounts:
    """For each amount of milli-GPU that may be free on a device, how much of it is expected to be filled.

    Requests come in the proportions of the mix, and the first that fits takes its share, until the device has waited
    for `TRIES` of them in vain. `every`: the devices that all requests of the mix ask for, by weight.
    """
    parts: Counter[int] = Counter()
    for kind in kinds:
        parts[kind.request.share_milli] += kind.weight * kind.request.devices
    shares = np.array(sorted(parts), dtype=np.int64)
    weights = np.array([parts[share] for share in shares.tolist()], dtype=np.float64)
    fitting = np.cumsum(weights)
    chance = 1 - np.exp(-TRIES * fitting / every)
    # What is free beyond a multiple of what divides all shares is never filled.
    step = math.gcd(*parts, MILLI_GPU)
    filled = np.zeros(MILLI_GPU // step + 1, dtype=np.float64)
    steps = shares // step
    fits = np.searchsorted(steps, np.arange(len(filled)), side="right").tolist()
    for free, fit in enumerate(fits):
        if fit:
            then = shares[:fit] + filled[free - steps[:fit]]
            filled[free] = chance[fit - 1] * (weights[:fit] @ then) / fitting[fit - 1]
    return filled[np.arange(MILLI_GPU + 1) // step]


def fragmented_milli(table: FreeTable, kinds: Sequence[Kind]) -> int:
    """Free milli-GPU that an average request of the mix could not be given."""
    free = int(table.devices.sum())
    if not kinds:
        return free
    return free - Worth(table, kinds).given(States(table.milli_cpu, table.memory, table.devices, table.product))
