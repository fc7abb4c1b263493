"""All running work in columns: of each workload what decides whether it may have to leave, and what would be lost."""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_

import msgspec
import numpy as np

from scheduler.model.names import NodeName, QueueName, WorkloadKey
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.model.workload import Pod, PodShape, Workload
from scheduler.scoring.fleet import Codes, Fleet, Mask

Row = tuple[int, ...]
"""The columns of `Table`, in their order."""

_WIDTH = 10

MOST_SHAPES = 4096
"""Shapes that are known at once; only speed depends on it."""


class Table(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Entry i is the workload `keys[i]`. Times are in seconds since 1970.

    `queue`: at which place of `queues` its queue stands. `first_s`, `core_s`: when the first of its pods, and the last
    of those that it does not stand without, got a node. `milli`, `weighted`: the milli-GPU of the latter, in sum and
    each times its start; `latest_s`: the last of these starts, which are as `start_s` says. `leaves`: it could leave as
    it stands. `elastic`: some of its pods could leave without the others.
    """

    keys: tuple[WorkloadKey, ...]
    queues: tuple[QueueName, ...]
    queue: Codes
    priority: Codes
    preemptible: Mask
    first_s: Codes
    core_s: Codes
    milli: Codes
    weighted: Codes
    latest_s: Codes
    leaves: Mask
    elastic: Mask


class KnownTable:
    """The table's rows, valid while a workload is the very same record and the fleet the same; changes nothing."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._keys: tuple[WorkloadKey, ...] = ()
        self._records: list[Workload] = []
        self._columns: IntTable = np.zeros((_WIDTH, 0), dtype=np.int64)
        self._queues: dict[QueueName, int] = {}
        self._milli: dict[int, tuple[PodShape, int]] = {}
        self._fixed: frozenset[NodeName] = frozenset()

    def of(self, snapshot: Snapshot, fleet: Fleet, keys: tuple[WorkloadKey, ...]) -> Table:
        """The table of these workloads of the snapshot, which are sorted and all have pods that stand."""
        if len(self._milli) > MOST_SHAPES:
            self._milli = {}
        if self._fleet is not fleet:
            self._fleet, self._keys, self._records = fleet, (), []
            self._columns = np.zeros((_WIDTH, 0), dtype=np.int64)
            self._fixed = frozenset(name for name, node in snapshot.nodes.items() if node.on_demand)
        records = list(map(snapshot.workloads.__getitem__, keys))
        if keys == self._keys:
            before = range(len(keys))
            same = list(map(is_, records, self._records))
        else:
            number_of = dict(zip(self._keys, range(len(self._keys)), strict=True))
            before = [number_of.get(key, -1) for key in keys]
            same = [at >= 0 and record is self._records[at] for record, at in zip(records, before, strict=True)]
        kept = np.array(same, dtype=np.bool_)
        columns = np.empty((_WIDTH, len(keys)), dtype=np.int64)
        columns[:, kept] = self._columns[:, np.array(before, dtype=np.int64)[kept]]
        fresh = np.flatnonzero(~kept)
        if len(fresh):
            rows = [self._row(snapshot, records[at]) for at in fresh.tolist()]
            flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=_WIDTH * len(rows))
            columns[:, fresh] = flat.reshape(len(rows), _WIDTH).T
        self._keys, self._records, self._columns = keys, records, columns
        queue, priority, preemptible, first_s, core_s, milli, weighted, latest_s, leaves, elastic = columns
        return Table(
            keys=keys,
            queues=tuple(self._queues),
            queue=queue,
            priority=priority,
            preemptible=preemptible > 0,
            first_s=first_s,
            core_s=core_s,
            milli=milli,
            weighted=weighted,
            latest_s=latest_s,
            leaves=leaves > 0,
            elastic=elastic > 0,
        )

    def _row(self, snapshot: Snapshot, workload: Workload) -> Row:
        queue = -1 if workload.queue is None else self._queues.setdefault(workload.queue, len(self._queues))
        if len(workload.members) == 1 and workload.min_member == 1:
            # The same for a pod alone, of which there are most, with less ado.
            (pod,) = workload.members
            since, start, milli = since_s(pod), start_s(pod), self._milli_of(pod.shape)
            leaves = pod.node in snapshot.nodes and pod.node not in self._fixed
            alone = since, since, milli, milli * start, start, leaves, False
            return (queue, workload.priority, workload.preemptible, *alone)
        placed = workload.placed
        core = placed[: workload.min_member]
        leaves = can_leave(snapshot, workload, placed)
        starts = [start_s(pod) for pod in core]
        millis = [self._milli_of(pod.shape) for pod in core]
        return (
            queue,
            workload.priority,
            workload.preemptible and not workload.kept,
            min((since_s(pod) for pod in placed), default=0),
            max((since_s(pod) for pod in core), default=0),
            sum(millis),
            sum(milli * at for milli, at in zip(millis, starts, strict=True)),
            max(starts, default=0),
            leaves,
            leaves and len(placed) > len(core),
        )

    def _milli_of(self, shape: PodShape) -> int:
        known = self._milli.get(id(shape))
        if known is None:
            # The record is kept so that no other one gets its identity.
            known = self._milli[id(shape)] = (shape, shape.milli_gpu)
        return known[1]


def since_s(pod: Pod) -> int:
    """When a pod got its node; where that is not known, when it was made."""
    return pod.created_s if pod.bound_s is None else pod.bound_s


def start_s(pod: Pod) -> int:
    """From when on a pod's work would be lost: since it got its node, or last saved its work."""
    return max(since_s(pod), pod.checkpointed_s or 0)


def lost_milli(pods: Iterable[Pod], now_s: int) -> int:
    """Milli-GPU-seconds since these pods got their nodes, or since they last saved their work."""
    return sum(pod.shape.milli_gpu * max(0, now_s - start_s(pod)) for pod in pods)


def can_leave(snapshot: Snapshot, workload: Workload, placed: Sequence[Pod]) -> bool:
    """Whether work, of which these pods stand, stands whole and on nodes of which can be told what becomes free."""
    if len(placed) < max(workload.min_member, 1):
        return False
    if any(pod.deleting for pod in workload.members):
        return False
    return all(may_be_lifted(snapshot, pod) for pod in placed)


def may_be_lifted(snapshot: Snapshot, pod: Pod) -> bool:
    """Whether a pod's room can be counted on once it is gone.

    Nodes that divide their GPUs on demand, and nodes that are not known, take no part.
    """
    node = None if pod.node is None else snapshot.nodes.get(pod.node)
    return node is not None and not node.on_demand
