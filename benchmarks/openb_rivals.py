"""Published policies for single pods with GPUs and parts of them, from their papers, for comparison.

All of them are compared in "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent" (Weng et al., USENIX ATC 2023). Section 3 defines FGD, section 6.1 the others: best fit and dot product
(Grandl et al., "Multi-Resource Packing for Cluster Schedulers", SIGCOMM 2014), GPU packing (Weng et al., "MLaaS in the
Wild", NSDI 2022), GPU clustering (Xiao et al., "Gandiva", OSDI 2018). Scores are whole numbers from 0 to 100 and the
first node by name wins among equals, as in the setup that the paper's figures come from; what is random is drawn from
the run's seed.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import numpy.typing as npt

from scheduler.model.demand import Request
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.policies.free import FreeTable

MOST_CPU, MOST_GPU = 128_000, 8000
"""Milli-CPU and milli-GPU of the largest node: what best fit and dot product measure by."""

POPULAR = 0.95
"""FGD's target workload: the most frequent requests that together are this part of all."""

Place = tuple[int, tuple[int, ...]]


class Rival(ABC):
    """Gives each pod the node with the highest score; what it gets is taken from the table."""

    def __init__(self, table: FreeTable) -> None:
        self.table = table

    def place(self, request: Request) -> Place | None:
        """The node and devices; None where no node has room."""
        rows = np.flatnonzero(self.table.fits(request))
        if not len(rows):
            return None
        row = int(rows[np.argmax(self.scores(request, rows))])
        devices = self.devices(row, request)
        self.table.take(row, request, devices)
        return row, devices

    @abstractmethod
    def scores(self, request: Request, rows: Codes) -> Codes:
        """Of each of `rows`, all of which have room."""

    def devices(self, row: int, request: Request) -> tuple[int, ...]:
        """The fullest device that still takes a part; the first free ones for whole GPUs."""
        return self.table.tightest(row, request)

    def _milli_gpu(self, rows: Codes) -> Codes:
        return self.table.devices[rows].sum(axis=1)


class BestFit(Rival):
    """The node with the least left afterwards, CPU and GPU each counting half."""

    def scores(self, request: Request, rows: Codes) -> Codes:
        """100 where nothing is left."""
        cpu = (self.table.milli_cpu[rows] - request.milli_cpu) / MOST_CPU
        gpu = (self._milli_gpu(rows) - request.milli_gpu) / MOST_GPU
        return ((1.0 - (cpu * 0.5 + gpu * 0.5)) * 100).astype(np.int64)


class DotProduct(Rival):
    """The node whose free amounts have the smallest dot product with the request."""

    def scores(self, request: Request, rows: Codes) -> Codes:
        """100 where the product is 0."""
        cpu = self.table.milli_cpu[rows] / MOST_CPU * (request.milli_cpu / MOST_CPU)
        gpu = self._milli_gpu(rows) / MOST_GPU * (request.milli_gpu / MOST_GPU)
        return ((1.0 - (cpu + gpu) / 2) * 100).astype(np.int64)


class GpuPacking(Rival):
    """GPUs in use first, then free GPUs of nodes in use, then free nodes."""

    def scores(self, request: Request, rows: Codes) -> Codes:
        """100 to 50 on GPUs in use, the fullest first; 50 to 33 on free GPUs beside them; less on free nodes."""
        if not request.devices:
            return np.zeros(len(rows), dtype=np.int64)
        free = np.sort(self.table.devices[rows], axis=1)
        whole = (free == MILLI_GPU).sum(axis=1)
        at = np.argmax(free >= request.share_milli, axis=1)[:, None] + np.arange(request.devices)
        chosen = np.take_along_axis(free, at, axis=1)
        opened = (chosen == MILLI_GPU).sum(axis=1)
        in_use = np.maximum(100 - (chosen * 100 // MILLI_GPU).sum(axis=1) // 10, 50)
        beside = np.maximum(50 - opened, 33)
        on_free = np.maximum(33 - whole, whole)
        return np.select([whole * MILLI_GPU == self.table.gpu_capacity[rows], opened > 0], [on_free, beside], in_use)


class GpuClustering(Rival):
    """Pods of one kind together: nodes that hold only that kind first, then also that kind, then none, then others."""

    def __init__(self, table: FreeTable) -> None:
        super().__init__(table)
        self._kinds: dict[tuple[int, bool], Mask] = {}
        self._count: Codes = np.zeros(len(table), dtype=np.int64)

    def place(self, request: Request) -> Place | None:
        """As any, and what kind it was is remembered."""
        placed = super().place(request)
        if placed is not None and request.devices:
            holds = self._holds(request)
            self._count[placed[0]] += not holds[placed[0]]
            holds[placed[0]] = True
        return placed

    def scores(self, request: Request, rows: Codes) -> Codes:
        """Up to 100, 75, 50 and 25; in each, fuller nodes first."""
        if not request.devices:
            return np.zeros(len(rows), dtype=np.int64)
        holds, count = self._holds(request)[rows], self._count[rows]
        base = np.select([holds & (count == 1), holds, count == 0], [75, 50, 25], 0)
        return base + 25 * (MOST_GPU - self._milli_gpu(rows)) // MOST_GPU

    def _holds(self, request: Request) -> Mask:
        kind = (request.devices, request.share_milli < MILLI_GPU)
        return self._kinds.setdefault(kind, np.zeros(len(self.table), dtype=np.bool_))


class RandomFit(Rival):
    """Any node with room, and any of its devices with room."""

    def __init__(self, table: FreeTable, random: Random) -> None:
        super().__init__(table)
        self._random = random

    def scores(self, request: Request, rows: Codes) -> Codes:
        """100 for one of them."""
        _ = request
        scores = np.zeros(len(rows), dtype=np.int64)
        scores[self._random.randrange(len(rows))] = 100
        return scores

    def devices(self, row: int, request: Request) -> tuple[int, ...]:
        """Any that has room."""
        enough = np.flatnonzero(self.table.devices[row] >= request.share_milli)
        return tuple(sorted(self._random.sample(enough.tolist(), request.devices)))


class Fgd(Rival):
    """Fragmentation gradient descent: the node and device where what the target workload cannot use grows least.

    The target workload is taken from the whole list beforehand, an oracle that others do without. `workload`: the
    requests of all pods.
    """

    def __init__(self, table: FreeTable, workload: Sequence[Request]) -> None:
        super().__init__(table)
        counts = Counter(workload).most_common()
        target: list[tuple[Request, int]] = []
        for request, count in counts:
            if sum(n for _, n in target) >= POPULAR * len(workload):
                break
            target.append((request, count))
        self._weight: npt.NDArray[np.float64] = np.array([n / sum(n for _, n in target) for _, n in target])
        kinds = [request for request, _ in target]
        shares = sorted({kind.share_milli for kind in kinds})
        free = np.arange(MILLI_GPU + 1)
        self._enough = np.stack([free >= share for share in shares], axis=1).astype(np.int8)
        self._short: IntTable = np.stack([np.where(free < share, free, 0) for share in shares], axis=1)
        self._share = np.array([shares.index(kind.share_milli) for kind in kinds])
        self._milli_cpu = np.array([kind.milli_cpu for kind in kinds])
        self._devices = np.array([kind.devices for kind in kinds])
        self._accepts = np.stack([table.accepts(kind) for kind in kinds], axis=1)
        self._now = self.fragments(np.arange(len(table)), table.milli_cpu, table.devices)
        self._known: dict[Request, tuple[Codes, Codes, int]] = {}

    def place(self, request: Request) -> Place | None:
        """As any, and the node's fragments are counted anew."""
        placed = super().place(request)
        if placed is not None:
            row = np.array(placed[:1])
            self._now[row] = self.fragments(row, self.table.milli_cpu[row], self.table.devices[row])
        return placed

    def scores(self, request: Request, rows: Codes) -> Codes:
        """100 times the sigmoid of how many GPUs less are fragments afterwards."""
        return self._scored(request)[0][rows]

    def devices(self, row: int, request: Request) -> tuple[int, ...]:
        """The device that the node's score is for; whole GPUs are all the same."""
        if request.milli_gpu % MILLI_GPU == 0:
            return super().devices(row, request)
        return (int(self._scored(request)[1][row]),)

    def _scored(self, request: Request) -> tuple[Codes, Codes]:
        """Score and best device of every node, 0 where there is no room; only changed nodes are scored again."""
        log = self.table.log
        known = self._known.get(request)
        if known is None:
            scores, devices = np.zeros((2, len(self.table)), dtype=np.int64)
            rows = np.arange(len(self.table))
        else:
            scores, devices, at = known
            rows = np.unique(np.array(log[at:], dtype=np.int64))
        if len(rows):
            scores[rows], devices[rows] = self._score(request, rows)
        self._known[request] = (scores, devices, len(log))
        return scores, devices

    def _score(self, request: Request, rows: Codes) -> tuple[Codes, Codes]:
        scores, devices = np.zeros((2, len(rows)), dtype=np.int64)
        at = np.flatnonzero(self.table.fits(request, rows))
        free = self.table.devices[rows[at]]
        if request.devices == 1 and request.share_milli < MILLI_GPU:
            enough = free >= request.share_milli
            for later in range(1, free.shape[1]):
                enough[:, later] &= (free[:, :later] != free[:, later, None]).all(axis=1)
            node, device = np.nonzero(enough)
            after = free[node]
            after[np.arange(len(node)), device] -= request.share_milli
        else:
            node, device = np.arange(len(at)), np.zeros(len(at), dtype=np.int64)
            after = free.copy()
            order = np.argsort(np.where(free >= request.share_milli, free, 2 * MILLI_GPU), axis=1, kind="stable")
            after[node[:, None], order[:, : request.devices]] -= request.share_milli if request.devices else 0
        stands = rows[at[node]]
        grows = self.fragments(stands, self.table.milli_cpu[stands] - request.milli_cpu, after) - self._now[stands]
        score = (100 / (1 + np.exp(grows / MILLI_GPU))).astype(np.int64)
        best = np.lexsort((device, -score, node))
        best = best[np.flatnonzero(np.diff(node[best], prepend=-1))]
        scores[at], devices[at] = score[best], device[best]
        return scores, devices

    def fragments(self, rows: Codes, milli_cpu: Codes, devices: IntTable) -> npt.NDArray[np.float64]:
        """Free milli-GPU of each state that an average request of the target workload could not use.

        All that is free, where the request has no room there or asks for no GPU; else what lies on devices that are
        too full for it.
        """
        free = devices.sum(axis=1)
        enough = self._enough[devices].sum(axis=1, dtype=np.int64)[:, self._share]
        short = self._short[devices].sum(axis=1)[:, self._share]
        room = (enough >= self._devices) & (self._devices > 0) & (milli_cpu[:, None] >= self._milli_cpu)
        room &= self._accepts[self.table.product[rows]]
        lost = np.empty(room.shape, dtype=np.float64)
        lost[:] = free[:, None]
        np.copyto(lost, short, where=room)
        return lost @ self._weight
