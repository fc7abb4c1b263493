"""All running work in columns: of each workload what decides whether it may have to leave, and what would be lost."""

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
import numpy as np

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, PodShape, Workload
from scheduler.scoring.fleet import Codes, Fleet, Mask

Row = tuple[int, ...]
"""The columns of `Table`, in their order."""


class Table(msgspec.Struct, frozen=True, eq=False):
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
        self._rows: dict[WorkloadKey, tuple[Workload, Row]] = {}
        self._queues: dict[QueueName, int] = {}
        self._milli: dict[int, tuple[PodShape, int]] = {}

    def of(self, snapshot: Snapshot, fleet: Fleet, keys: tuple[WorkloadKey, ...]) -> Table:
        """The table of these workloads of the snapshot."""
        if self._fleet is not fleet or len(self._rows) > 2 * len(keys) + 1024:
            self._fleet, self._rows, self._queues, self._milli = fleet, {}, {}, {}
        known, workloads = self._rows, snapshot.workloads
        rows: list[Row] = []
        for key in keys:
            workload, entry = workloads[key], known.get(key)
            if entry is None or entry[0] is not workload:
                entry = known[key] = (workload, self._row(snapshot, workload))
            rows.append(entry[1])
        width = 10
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=width * len(rows))
        columns = flat.reshape(len(rows), width).T
        return Table(
            keys,
            tuple(self._queues),
            columns[0],
            columns[1],
            columns[2] > 0,
            columns[3],
            columns[4],
            columns[5],
            columns[6],
            columns[7],
            columns[8] > 0,
            columns[9] > 0,
        )

    def _row(self, snapshot: Snapshot, workload: Workload) -> Row:
        placed = workload.placed
        core = placed[: workload.min_member]
        leaves = can_leave(snapshot, workload, placed)
        starts = [start_s(pod) for pod in core]
        millis = [self._milli_of(pod.shape) for pod in core]
        return (
            -1 if workload.queue is None else self._queues.setdefault(workload.queue, len(self._queues)),
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
