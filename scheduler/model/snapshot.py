"""The cluster at one moment, as the planner gets it. A snapshot never changes."""

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from scheduler.model.demand import Kind
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import MigInstance, Node, TopologyLevel
from scheduler.model.plan import Assignment
from scheduler.model.queue import Queue
from scheduler.model.resources import Resources
from scheduler.model.workload import HostPort, Workload

IntTable = npt.NDArray[np.int64]

BASE_RESOURCES = ("milli_cpu", "memory_bytes", "ephemeral_bytes", "pods")
"""The first columns of every table, in this order; extended resources by name follow."""


def amount_of(requests: Resources, resource: str) -> int:
    """How much of a table's column `resource` is requested, in the column's unit."""
    match resource:
        case "milli_cpu":
            return requests.milli_cpu
        case "memory_bytes":
            return requests.memory_bytes
        case "ephemeral_bytes":
            return requests.ephemeral_bytes
        case "pods":
            return requests.pods
        case _:
            return requests.count(resource)


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Per-node amounts as read-only tables: row `row_of[name]` is the node `names[row]`, rows are sorted by name.

    `allocatable` and `used` have shape (nodes, resources). `used` counts bound pods until they are gone (terminating
    ones too),
    pods of other schedulers that are nominated to the node, and the assignments of plans in flight.
    Unhealthy GPUs are already taken off `allocatable`.
    `usable` (shape nodes): ready and not cordoned.
    """

    names: tuple[NodeName, ...]
    row_of: Mapping[NodeName, int]
    resources: tuple[str, ...]
    allocatable: IntTable
    used: IntTable
    usable: npt.NDArray[np.bool_]

    @property
    def free(self) -> IntTable:
        """`allocatable - used`; negative where a node is over-committed."""
        return self.allocatable - self.used


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is being carried out: its assignments already count as used.

    `leaving`: pods that have to leave before it starts. Until then a node counts as used what the pods that leave hold,
    or what the plans that wait for them take there, whichever is more.
    """

    workload: WorkloadKey
    queue: QueueName
    assignments: tuple[Assignment, ...]
    milli_gpu: int
    priority: int = 0
    since_s: int = 0
    leaving: tuple[PodUid, ...] = ()


class Unsure(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs of a node that pods are expected to hold, since nobody told which: the expected ones, and how many each has.

    `sizes` are largest first. Only told where the device plugin chooses and links are known.
    """

    devices: frozenset[int]
    sizes: tuple[int, ...]


class Ailing(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs of a node, by index, that are reported unhealthy or of unknown health, and those that are suspect."""

    unhealthy: frozenset[int] = frozenset()
    suspect: frozenset[int] = frozenset()


class Closed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who gets no GPUs of a node now, so that none is given twice: what hands them out to others knows of no claims.

    `to_claims`: it is not known which GPUs others hold. `to_others`: claims hold some.
    """

    to_claims: bool = False
    to_others: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes, their use, workloads, queues and topology, all of the same moment.

    `nodes` holds a record for each row of `columns`. `ports_used` and `devices_used` have entries only for nodes
    where any are.
    `devices_used` maps a node to the GPU indexes taken there (held, or expected to be held), in whole or in part.
    Of these, `devices_unsure` tells which are no more than expected; `shares_used` lists the GPUs given out in parts
    and how much of each is, by index, in milli-GPU, or where claims share it in units of its capacities
    (`scheduler.scoring.sharing.portions`); `slices` the MIG instances of nodes that make them on demand: those
    in use, and those that exist and are free. `ailing`: nodes with GPUs that are not healthy, or suspect. `closed` has
    entries only for nodes that pods can claim devices of.
    `topology` is ordered outermost first and does not name the node level, which always follows; `topology_found`: its
    levels were found in well-known node labels, since nobody named any.
    """

    generation: int
    static_generation: int
    """Grows when labels, taints, NVLink connections or the set of nodes change, and only then."""
    nodes: Mapping[NodeName, Node]
    columns: Columns
    workloads: Mapping[WorkloadKey, Workload] = {}
    queues: Mapping[QueueName, Queue] = {}
    in_flight: Mapping[WorkloadKey, InFlight] = {}
    topology: tuple[TopologyLevel, ...] = ()
    topology_found: bool = False
    ports_used: Mapping[NodeName, tuple[HostPort, ...]] = {}
    devices_used: Mapping[NodeName, frozenset[int]] = {}
    devices_unsure: Mapping[NodeName, Unsure] = {}
    shares_used: Mapping[NodeName, tuple[tuple[int, int], ...]] = {}
    slices: Mapping[NodeName, tuple[MigInstance, ...]] = {}
    ailing: Mapping[NodeName, Ailing] = {}
    closed: Mapping[NodeName, Closed] = {}
    pod_nodes: Mapping[PodUid, NodeName] = {}
    """Where the members of managed workloads stand, in-flight assignments included."""
    demand: tuple[Kind, ...] = ()
    """What has been asked for of late, the heaviest kinds of requests for GPUs first."""
