"""What is read of a node's GPUs. Every single thing may be missing, with the reason why."""

from enum import Enum
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Why(Enum):
    """Why something could not be read, as it is told to people."""

    NOT_SUPPORTED = "the GPU does not support it"
    OLD_DRIVER = "the driver does not know it"
    NO_PERMISSION = "the driver does not permit it"
    NO_DATA = "the driver has no data"
    LOST = "the GPU is lost"
    TIMED_OUT = "the driver did not answer in time"
    FAILED = "the driver failed"


class Unread(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that could not be read: why, of which call, and what the driver said where `why` leaves that open."""

    why: Why
    call: str = ""
    said: str = ""


Told = T | Unread
"""A value, or why there is none."""


class DriverFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The driver. `cuda` is the highest CUDA version that it serves, as in "12.8"."""

    version: Told[str]
    cuda: Told[str]
    nvml: Told[str]


class Slot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A place at which the driver counts a GPU: by its index, which may change, and its UUID, which stays with it."""

    index: int
    uuid: Told[str]


class MigProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A MIG profile that a GPU offers. An instance begins at one of `starts` and takes `size` memory units.

    `id` is the driver's number of the profile (19 for 1g of a GPU with seven slices), which calls and placements go by.
    `most`: how many of it the GPU takes. `slices`: compute slices; `sm`: multiprocessors. `starts` needs privileges.
    """

    id: int
    name: Told[str]
    most: int
    slices: int
    memory_mib: int
    sm: int
    decoders: int
    encoders: int
    jpeg: int
    ofa: int
    copy_engines: int
    size: Told[int]
    starts: Told[tuple[int, ...]]


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What does not change of a GPU until it is reset.

    `model` is the product as the driver names it ("NVIDIA H100 80GB HBM3"). `pci_bus_id` has four digits of domain and
    is lower case, as sysfs has it ("0000:18:00.0"). `numa_node`: of the CPUs nearest to it. `mig_profiles` is empty
    on a GPU that cannot be divided.
    """

    index: int
    uuid: str
    model: Told[str]
    memory_mib: Told[int]
    pci_bus_id: Told[str]
    minor: Told[int]
    serial: Told[str]
    numa_node: Told[int]
    architecture: Told[str]
    compute_capability: Told[tuple[int, int]]
    mig_profiles: Told[tuple[MigProfile, ...]]


class MigMode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether a GPU is divided now, and whether it will be after the next reset."""

    current: bool
    pending: bool


class MigInstance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A GPU instance. `uuid` is that of the MIG device on it, if it has a compute instance that takes all of it."""

    gpu_instance: int
    profile_id: int
    profile: Told[str]
    start: int
    size: int
    uuid: Told[str]


class FarEnd(Enum):
    """What an NVLink leads to."""

    GPU = "GPU"
    SWITCH = "switch"
    OTHER = "other"


class NvLink(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One NVLink of a GPU. `generation` as in "4.0"; `mbps`: megabytes (10^6) a second in one direction.

    `peer_bus_id` is set where the far end is a GPU: its PCI address, normalised as that of `DeviceFacts`.
    """

    link: int
    active: bool
    far_end: Told[FarEnd]
    peer_bus_id: str = ""
    generation: Told[str]
    mbps: Told[int]


class FabricState(Enum):
    """How far a GPU has joined the NVLink fabric that spans nodes, by the names of the GPUNode."""

    NOT_SUPPORTED = "NotSupported"
    NOT_STARTED = "NotStarted"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"


class Fabric(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Membership in the fabric. `healthy`: the driver's status is success and nothing of its health mask is set.

    HGX machines report a completed fabric with an all-zero `cluster_uuid`, which is none.
    """

    state: FabricState
    cluster_uuid: str
    clique: int
    healthy: bool


class RemappedRows(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Rows of memory that were replaced; `pending` waits for a reset, `failure`: no spare rows are left."""

    correctable: int
    uncorrectable: int
    pending: bool
    failure: bool


class Ecc(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Memory errors since the driver was loaded."""

    corrected: int
    uncorrected: int


class Utilisation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How busy a GPU is, in percent of the last sample period."""

    gpu_percent: int
    memory_percent: int


class DeviceState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What changes of a GPU while it runs.

    `recovery_action` is the driver's number: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset, 5 recover the
    IMEX domain, 6 reset the bus, 7 reboot the system (field 230; nvml.h, NVML_GPU_RECOVERY_ACTION_*).
    `nvlinks` is empty on a GPU without any. `instances` is empty where the GPU is not divided.
    """

    uuid: str
    mig_mode: Told[MigMode]
    instances: Told[tuple[MigInstance, ...]]
    nvlinks: Told[tuple[NvLink, ...]]
    fabric: Told[Fabric]
    ecc: Told[Ecc]
    remapped: Told[RemappedRows]
    recovery_action: Told[int]
    memory_used_mib: Told[int]
    utilisation: Told[Utilisation]
    exclusive_process: Told[bool]


class PcieLevel(Enum):
    """What lies between two GPUs on PCIe (`nvidia-smi topo -m`)."""

    INTERNAL = "INTERNAL"
    """Both are on one board."""

    PIX = "PIX"
    PXB = "PXB"
    PHB = "PHB"
    NODE = "NODE"
    SYS = "SYS"


class Pair(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What connects two GPUs. `p2p`: they may read each other's memory; `p2p_nvlink`: over NVLink."""

    a: str
    b: str
    level: Told[PcieLevel]
    p2p: Told[bool]
    p2p_nvlink: Told[bool]


class Xid(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An error that the driver reported for a GPU, or for one of its instances where `gpu_instance` is set."""

    uuid: str
    number: int
    gpu_instance: int | None = None
