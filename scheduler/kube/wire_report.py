"""status of a GPUNode as the exporter writes it: every field of it, what is not known left out."""

import msgspec
from msgspec import UNSET, UnsetType

from scheduler.kube.wire import NameMeta, Wire


class ReportHealth(Wire, frozen=True, kw_only=True):
    """status.devices[].health: its state, a sentence for each thing that speaks against it, and errors."""

    state: str
    reasons: tuple[str, ...] | UnsetType = UNSET
    xids: tuple[int, ...] | UnsetType = UNSET


class ReportUnread(Wire, frozen=True, kw_only=True):
    """status.unread[] and status.devices[].unread[]: what could not be read, and why."""

    field: str
    reason: str


class ReportProfile(Wire, frozen=True, kw_only=True):
    """status.devices[].migProfiles[]: a profile that the GPU offers, and where an instance of it may begin."""

    profile: str | UnsetType = UNSET
    profile_id: int
    starts: tuple[int, ...]
    size: int
    max: int
    compute_slices: int
    multiprocessors: int
    memory_mib: int = msgspec.field(name="memoryMiB")
    decoders: int
    encoders: int
    jpeg: int
    ofa: int
    copy_engines: int


class ReportInstance(Wire, frozen=True, kw_only=True):
    """status.devices[].migInstances[]."""

    profile: str
    profile_id: int
    start: int
    size: int
    uuid: str | UnsetType = UNSET


class ReportPlacement(Wire, frozen=True, kw_only=True):
    """status.devices[].freePlacements[]."""

    profile: str
    profile_id: int
    start: int
    size: int


class ReportDevice(Wire, frozen=True, kw_only=True):
    """status.devices[]."""

    index: int
    uuid: str
    model: str
    memory_mib: int | UnsetType = msgspec.field(default=UNSET, name="memoryMiB")
    pci_bus_id: str | UnsetType = UNSET
    numa_node: int | UnsetType = UNSET
    minor_number: int | UnsetType = UNSET
    architecture: str | UnsetType = UNSET
    compute_capability: str | UnsetType = UNSET
    mig_mode: str = "NotSupported"
    pending_mig_mode: str | UnsetType = UNSET
    health: ReportHealth
    offered: bool | UnsetType = UNSET
    nvlinks: int | UnsetType = UNSET
    active_nvlinks: int | UnsetType = UNSET
    nvlink_version: str | UnsetType = UNSET
    mig_profiles: tuple[ReportProfile, ...] | UnsetType = UNSET
    mig_instances: tuple[ReportInstance, ...] | UnsetType = UNSET
    free_placements: tuple[ReportPlacement, ...] | UnsetType = UNSET
    unread: tuple[ReportUnread, ...] | UnsetType = UNSET


class ReportLink(Wire, frozen=True, kw_only=True):
    """status.links[]: one entry a pair and type, a less than b."""

    a: int
    b: int
    type: str
    count: int | UnsetType = UNSET
    gigabytes_per_second: int | UnsetType = UNSET
    pcie_level: str | UnsetType = UNSET
    p2p: bool | UnsetType = UNSET


class ReportFabric(Wire, frozen=True, kw_only=True):
    """status.fabric. Name and clique are null where the GPUs are in no clique, or not all in one."""

    state: str
    cluster_uuid: str | None = None
    clique_id: str | None = None


class ReportSharing(Wire, frozen=True, kw_only=True):
    """status.sharing: how the device plugin lets pods share GPUs, and how many there are of each."""

    strategy: str
    replicas: int | None = None


class ReportClaimed(Wire, frozen=True, kw_only=True):
    """status.holdings[].claimedDevices[]: a device that was allocated to a ResourceClaim."""

    claim: str
    driver: str
    pool: str
    device: str
    share_id: str | UnsetType = msgspec.field(default=UNSET, name="shareID")


class ReportHolding(Wire, frozen=True, kw_only=True):
    """status.holdings[]."""

    pod_namespace: str
    pod_name: str
    container: str
    resource: str
    device_uuids: tuple[str, ...]
    claimed_devices: tuple[ReportClaimed, ...] | UnsetType = UNSET


class Report(Wire, frozen=True, kw_only=True):
    """status of a GPUNode, but when it was looked at and the number of the report.

    None is written as null, which takes the field away from an earlier report (RFC 7386). What is not the exporter's
    to say (`allocator`, `migOnDemand`, `machine`, `conditions`) is no field here, and so is left as it stands.
    """

    device_count: int
    healthy_device_count: int
    devices: tuple[ReportDevice, ...]
    links: tuple[ReportLink, ...] = ()
    nvswitch: bool = False
    fabric: ReportFabric | None = None
    holdings: tuple[ReportHolding, ...] = ()
    sharing: ReportSharing | None = None
    mig_strategy: str | None = None
    allocation_policy: str | None = None
    driver_version: str | None = None
    cuda_version: str | None = None
    source: str | None = None
    unread: tuple[ReportUnread, ...] = ()


class ReportStanding(Report, frozen=True, kw_only=True):
    """The whole status: a report, its number, when it was made and on which boot of the node."""

    observed_time: str
    generation: int
    boot_id: str | None = None


class WireStanding(Wire, frozen=True, kw_only=True):
    """A GPUNode whose report is read back by the one that wrote it; no status where none was written yet."""

    metadata: NameMeta
    status: ReportStanding | None = None
