"""What can happen to the cluster, as far as planning is concerned.

Each event is applied once, in the order of its watch.
"""

from typing import Literal

import msgspec

from scheduler.model.claims import ClaimRequest, DeviceName, Offered, Part
from scheduler.model.demand import Request
from scheduler.model.links import LinkGraph
from scheduler.model.mig import MigModel
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Allocator, Device, MigInstance, Node, TopologyLevel
from scheduler.model.plan import Assignment
from scheduler.model.queue import Queue
from scheduler.model.workload import QUEUE_KEY, GangClaim, Pod, Problem, RoleMinimums, Slices
from scheduler.state.lengths import Run


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it is now. Its `devices` are empty or assumed; `DevicesSeen` brings what is known."""

    node: Node


class NodeGone(msgspec.Struct, frozen=True, kw_only=True):
    """A node was deleted."""

    name: NodeName


class DevicesSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the exporter on a node reported of its GPUs.

    `links` are of these devices, None where they are not known. `held` maps a pod's `namespace/name` to the device
    indexes it holds, in whole or in part. `assumed`: what had to be assumed where the report was not clear, in
    sentences. `uid`: of the report itself. `mig_on_demand`, `shares_on_demand`, `mig_instances`, `mig_models` and
    `clique`: as in `Node`; `slices_held` maps a pod to the instances it holds. `addresses`: of the devices on the PCI
    bus, where told.
    """

    node: NodeName
    machine: str
    devices: tuple[Device, ...]
    links: LinkGraph | None = None
    allocator: Allocator = Allocator.DEVICE_PLUGIN
    held: tuple[tuple[str, tuple[int, ...]], ...] = ()
    assumed: tuple[str, ...] = ()
    uid: str = ""
    mig_on_demand: bool = False
    shares_on_demand: bool = False
    mig_instances: tuple[MigInstance, ...] = ()
    mig_models: tuple[MigModel, ...] = ()
    slices_held: tuple[tuple[str, tuple[MigInstance, ...]], ...] = ()
    addresses: tuple[str, ...] = ()
    clique: str = ""


class DevicesGone(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a node was deleted."""

    node: NodeName


class PodSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A pod as it is now; terminal ones (Succeeded, Failed) are `PodGone`. `DevicesSeen` brings devices and slices.

    Its `claims` only name all claims of its spec; `ClaimSeen` brings what they ask for, and then its shape counts it.
    """

    pod: Pod


class SliceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A ResourceSlice: some GPUs of one node that pods can claim.

    A pool counts when all `slices` of its newest `generation` were seen, and then its older ones count no more.
    """

    uid: str
    name: str
    driver: str
    pool: str
    generation: int = 0
    slices: int = 1
    node: NodeName | None = None
    devices: tuple[Offered, ...] = ()


class SliceGone(msgspec.Struct, frozen=True, kw_only=True):
    """A ResourceSlice was deleted."""

    uid: str


class DeviceClassSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A DeviceClass. `resource`: the extended resource that its devices are given out as, where there is one."""

    uid: str
    name: str
    resource: str = ""


class DeviceClassGone(msgspec.Struct, frozen=True, kw_only=True):
    """A DeviceClass was deleted."""

    uid: str


class ClaimSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A ResourceClaim. `requests`: what it asks for through Bayplan's DeviceClass; `ours`: there is any such.

    `models`: accepted GPU models; empty accepts any. `memory_mib`: what each GPU has to have. `allocated`: the devices
    that it has, whoever allocated them, but those that it only watches over as an admin. `parts`: what it has of those
    among them that are shared. `guarded`: these were given for a plan whose pods may not all stand. `channel`: it asks
    for an IMEX channel. `problems`: what could not be read of a claim that is ours.
    """

    uid: str
    namespace: str
    name: str
    ours: bool = False
    requests: tuple[ClaimRequest, ...] = ()
    models: tuple[str, ...] = ()
    memory_mib: int = 0
    allocated: tuple[DeviceName, ...] = ()
    parts: tuple[Part, ...] = ()
    guarded: bool = False
    channel: bool = False
    problems: tuple[Problem, ...] = ()


class ClaimGone(msgspec.Struct, frozen=True, kw_only=True):
    """A ResourceClaim was deleted."""

    uid: str


class PodGone(msgspec.Struct, frozen=True, kw_only=True):
    """A pod was deleted or reached a terminal phase: it holds nothing any more."""

    uid: PodUid


class JobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A Job that may say something of its pods' gang.

    `completions` is set for Indexed Jobs with completions = parallelism > 1 only: there the gang's size may be left
    out.
    `succeeded` is how many of its pods did their work and are not waited for again. `deadline_s`: its pods are ended
    once it is so old, which counts from before they have nodes.
    `gang`, `queue` and `priority_class` are what stands on the Job itself, `problems` what could not be read there,
    `notes` sentences on what is not honoured.
    """

    uid: str
    namespace: str
    name: str
    completions: int | None = None
    succeeded: int = 0
    deadline_s: int | None = None
    gang: GangClaim | None = None
    queue: QueueName | None = None
    queue_key: str = QUEUE_KEY
    priority_class: str = ""
    priority_key: str = ""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class JobGone(msgspec.Struct, frozen=True, kw_only=True):
    """A Job was deleted."""

    uid: str


class GroupSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An object that describes a gang of which pods carry the name: a PodGroup, or the owner of its pods.

    `key` is that of the gang; of several objects with one key the first by `kind` counts. `form`: the pods are one
    gang, or those of each role are one, or each stands alone; in `parts` every gang that pods name is one of itself,
    all of one role. `claim` says how many pods there are and are enough; `role_sizes` how many of a role there are, in
    `parts` how many are enough, and 0 that such pods stand alone. What pods say themselves goes first, but
    `preemptible` False holds in any case. `priority` None leaves it to
    the class that is named here, or to the pods. `problems`, `notes`: as of a Pod.
    """

    uid: str
    key: WorkloadKey
    kind: str
    form: Literal["gang", "roles", "parts", "alone"] = "gang"
    claim: GangClaim = GangClaim(name="")
    role_sizes: RoleMinimums = ()
    queue: QueueName | None = None
    queue_key: str = QUEUE_KEY
    priority: int | None = None
    priority_class: str = ""
    priority_key: str = ""
    preemptible: bool | None = None
    topology_required: str | None = None
    topology_preferred: str | None = None
    topology_slices: Slices = ()
    role_levels: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class PriorityClassSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A class of priorities that pods, Jobs and objects above them may name; `name` has its kind in front."""

    uid: str
    name: str
    value: int


class PriorityClassGone(msgspec.Struct, frozen=True, kw_only=True):
    """A class of priorities was deleted."""

    uid: str


class GroupGone(msgspec.Struct, frozen=True, kw_only=True):
    """An object that described a gang was deleted."""

    uid: str


class QueueSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it is now."""

    queue: Queue


class QueueGone(msgspec.Struct, frozen=True, kw_only=True):
    """A queue was deleted."""

    name: QueueName


class NamespaceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace and its labels, sorted by key: queues may select namespaces by them."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


class NamespaceGone(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace was deleted."""

    name: str


class TopologySeen(msgspec.Struct, frozen=True, kw_only=True):
    """The levels of the Topology object `name`, outermost first. Of several, the first by name is used."""

    name: str
    levels: tuple[TopologyLevel, ...]


class TopologyGone(msgspec.Struct, frozen=True, kw_only=True):
    """A Topology was deleted."""

    name: str


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """A plan is about to be carried out: its assignments count as used from here on.

    Each assignment ends by itself when its pod is seen bound (the pod's own use takes over) or is gone.
    `leaving`: pods that stand where it goes and have to leave first. As long as the reservation lasts they count as
    leaving, and what they hold and what it takes are not counted twice.
    """

    workload: WorkloadKey
    queue: QueueName
    assignments: tuple[Assignment, ...]
    milli_gpu: int
    priority: int
    now_s: int
    leaving: tuple[PodUid, ...] = ()


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """A plan was given up: what is left of its reservation is free again."""

    workload: WorkloadKey


class NodeRefused(msgspec.Struct, frozen=True, kw_only=True):
    """kube-scheduler would not take `node` for a member of `workload`.

    The node is avoided for that workload until the node's record changes, a pod leaves the node, or `until_s` has
    passed.
    """

    workload: WorkloadKey
    node: NodeName
    until_s: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Pods of `workload` could not be evicted: until `until_s` nobody is planned in their place."""

    workload: WorkloadKey
    until_s: int


class RequestsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """So many pods that are gone asked for this; `period` is the time of their creation, in `demand.PERIOD_S`."""

    request: Request
    period: int
    count: int


class RunSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A pod did its work and ended; that it is gone is told apart. It may be told more than once.

    `run` is None where it cannot be told how long that took; then it says nothing.
    """

    run: Run | None = None


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """Time passed: what was to be remembered until `now_s` is forgotten."""

    now_s: int


ClaimEvent = SliceSeen | SliceGone | DeviceClassSeen | DeviceClassGone | ClaimSeen | ClaimGone
"""What can be claimed, and what is."""

GroupEvent = (
    JobSeen
    | JobGone
    | GroupSeen
    | GroupGone
    | PriorityClassSeen
    | PriorityClassGone
    | QueueSeen
    | QueueGone
    | NamespaceSeen
    | NamespaceGone
    | NodeRefused
    | Kept
    | RunSeen
    | Ticked
)
"""What pods are grouped and ordered by."""

Event = (
    GroupEvent
    | NodeSeen
    | NodeGone
    | DevicesSeen
    | DevicesGone
    | SliceSeen
    | SliceGone
    | DeviceClassSeen
    | DeviceClassGone
    | ClaimSeen
    | ClaimGone
    | PodSeen
    | PodGone
    | TopologySeen
    | TopologyGone
    | Reserved
    | Released
    | RequestsSeen
)
