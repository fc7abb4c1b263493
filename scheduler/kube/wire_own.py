"""Bayplan's own objects as they come over the wire: the fields that are used."""

from datetime import datetime

import msgspec

from scheduler.kube.wire import Expression, NameMeta, Wire


class WireFlavor(Wire, frozen=True, kw_only=True):
    """spec.flavors[] of a Queue; whole GPUs."""

    name: str
    nominal: int | None = None
    borrowing_limit: int | None = None
    lending_limit: int | None = None


class WireAmounts(Wire, frozen=True, kw_only=True):
    """spec.cpu and spec.memory of a Queue: whole cores, GiB."""

    nominal: int | None = None
    borrowing_limit: int | None = None
    lending_limit: int | None = None


class WireSelector(Wire, frozen=True, kw_only=True):
    """A label selector (apimachinery `LabelSelector`)."""

    match_labels: dict[str, str] = {}
    match_expressions: list[Expression] = []


class QueueSpec(Wire, frozen=True, kw_only=True):
    """spec of a Queue; whole GPUs, seconds."""

    parent: str | None = None
    namespaces: list[str] = []
    namespace_selector: WireSelector | None = None
    user_limit: int | None = None
    cpu: WireAmounts | None = None
    memory: WireAmounts | None = None
    nominal: int | None = None
    borrowing_limit: int | None = None
    lending_limit: int | None = None
    flavors: list[WireFlavor] = []
    weight: int = 1
    priority: int = 0
    min_runtime_seconds: int = 0
    eviction_grace_seconds: int | None = None
    order: str = "Fair"
    policy: str | None = None


class QueueRecent(Wire, frozen=True, kw_only=True):
    """status.recent of a Queue."""

    milli_gpu: int = 0
    at: datetime | None = None


class QueueStatus(Wire, frozen=True, kw_only=True):
    """status of a Queue, of which is read back what it used of late, and below which queue it stood."""

    recent: QueueRecent = QueueRecent()
    parent: str | None = None


class QueueMeta(NameMeta, frozen=True, kw_only=True):
    """metadata of a Queue: whether it was deleted, and what keeps it."""

    deletion_timestamp: datetime | None = None
    finalizers: list[str] = []


class WireQueue(Wire, frozen=True, kw_only=True):
    """bayplan.dev/v1alpha1 Queue."""

    metadata: QueueMeta
    spec: QueueSpec = QueueSpec()
    status: QueueStatus = QueueStatus()


class QueueCondition(Wire, frozen=True, kw_only=True):
    """status.conditions[] of a Queue."""

    type: str
    status: str
    last_transition_time: str
    reason: str = ""
    message: str = ""


class QueueConditions(Wire, frozen=True, kw_only=True):
    """status of a Queue, of which what was told is read back."""

    conditions: list[QueueCondition] = []


class WireQueueStanding(Wire, frozen=True, kw_only=True):
    """A Queue of which it is read what was told of it, and what keeps it."""

    metadata: QueueMeta
    status: QueueConditions = QueueConditions()


class WireQueueMeta(Wire, frozen=True, kw_only=True):
    """A Queue of which only the metadata is read."""

    metadata: QueueMeta


class WireLevel(Wire, frozen=True, kw_only=True):
    """spec.levels[] of a Topology."""

    name: str
    node_label: str


class TopologySpec(Wire, frozen=True, kw_only=True):
    """spec of a Topology."""

    levels: list[WireLevel] = []


class WireTopology(Wire, frozen=True, kw_only=True):
    """bayplan.dev/v1alpha1 Topology."""

    metadata: NameMeta
    spec: TopologySpec = TopologySpec()


class Health(Wire, frozen=True, kw_only=True):
    """Health of a device, and a sentence for each thing that speaks against it."""

    state: str = "Unknown"
    reasons: list[str] = []


class WirePlacement(Wire, frozen=True, kw_only=True):
    """status.devices[].freePlacements[] of a GPUNode."""

    profile: str = ""
    profile_id: int = -1
    start: int = 0
    size: int = 0


class WireInstance(Wire, frozen=True, kw_only=True):
    """status.devices[].migInstances[] of a GPUNode."""

    profile: str = ""
    profile_id: int = -1
    start: int = 0
    size: int = 0
    uuid: str = ""


class WireProfile(Wire, frozen=True, kw_only=True):
    """status.devices[].migProfiles[] of a GPUNode. What the driver does not tell of engines is None."""

    profile: str = ""
    profile_id: int = -1
    starts: tuple[int, ...] = ()
    size: int = 0
    max: int = 0
    compute_slices: int = 0
    multiprocessors: int | None = None
    memory_mib: int | None = msgspec.field(default=None, name="memoryMiB")
    decoders: int | None = None
    jpeg: int | None = None
    ofa: int | None = None
    copy_engines: int | None = None


class WireDevice(Wire, frozen=True, kw_only=True):
    """status.devices[] of a GPUNode."""

    index: int
    uuid: str = ""
    model: str = ""
    pci_bus_id: str = ""
    memory_mib: int = msgspec.field(default=0, name="memoryMiB")
    numa_node: int | None = None
    mig_mode: str = "NotSupported"
    mig_profiles: tuple[WireProfile, ...] = ()
    health: Health = Health()
    mig_instances: list[WireInstance] = []
    free_placements: list[WirePlacement] = []


class Holding(Wire, frozen=True, kw_only=True):
    """status.holdings[] of a GPUNode."""

    pod_namespace: str
    pod_name: str
    device_uuids: list[str] = []


class WireLink(Wire, frozen=True, kw_only=True):
    """status.links[] of a GPUNode."""

    a: int
    b: int
    type: str = ""
    count: int = 1
    gigabytes_per_second: int = 0
    pcie_level: str = ""


class WireFabric(Wire, frozen=True, kw_only=True):
    """status.fabric of a GPUNode; exporters write null for what there is not."""

    cluster_uuid: str | None = None
    clique_id: str | None = None
    state: str = ""


class GPUNodeStatus(Wire, frozen=True, kw_only=True):
    """status of a GPUNode."""

    machine: str = ""
    devices: list[WireDevice] = []
    nvswitch: bool = False
    allocator: str = "DevicePlugin"
    mig_on_demand: bool = False
    links: list[WireLink] = []
    fabric: WireFabric | None = None
    holdings: list[Holding] = []


class WireGPUNode(Wire, frozen=True, kw_only=True):
    """bayplan.dev/v1alpha1 GPUNode."""

    metadata: NameMeta
    status: GPUNodeStatus = GPUNodeStatus()
