"""Devices that pods claim through dynamic resource allocation (resource.k8s.io/v1)."""

from typing import Literal

import msgspec


class DeviceName(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device as ResourceSlices and allocations name it."""

    driver: str
    pool: str
    device: str


class Capacity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A capacity of a GPU that several claims may have a part of each (KEP-5075), in whole units, memory in bytes.

    `total`: how much there is. What a claim takes is its request policy's: `default` where it names no amount, all
    where there is none (None); else the next of `values` (ascending), or at least `least`, and beyond that in whole
    steps (0: any amount); nothing above `most` (None: no such limit).
    """

    name: str
    total: int
    default: int | None = None
    values: tuple[int, ...] = ()
    least: int | None = None
    most: int | None = None
    step: int = 0


Amounts = tuple[tuple[str, int], ...]
"""How much of which capacity, by name, in whole units."""


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a claim has of a GPU that it shares with others."""

    device: DeviceName
    amounts: Amounts


class Offered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A GPU of a ResourceSlice, or a MIG slice of one. `address`: on the PCI bus.

    `usable`: no taint keeps pods off it. `shared`: several claims may have a part of it each, of its `capacities`.

    Of a MIG slice: `parent` is the name of its GPU, or the GPU's uuid, `start` its first memory unit, -1 where that is
    not told, and `size` how many it has. `made`: it was made beforehand; else it is made as it is claimed, and
    `engines` are those of `scheduler.model.mig`.
    """

    name: str
    kind: Literal["gpu", "mig"] = "gpu"
    uuid: str = ""
    model: str = ""
    memory_mib: int = 0
    address: str = ""
    usable: bool = True
    shared: bool = False
    capacities: tuple[Capacity, ...] = ()
    parent: str = ""
    profile: str = ""
    start: int = -1
    size: int = 0
    engines: tuple[int, ...] = ()
    made: bool = False


class SliceName(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a MIG slice is claimed that is made as it is claimed: its name, and which it is of which GPU of the pool."""

    name: str
    gpu: str
    profile: str
    start: int


class MadeSlice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A MIG slice that was made before anybody claims it: its name, and which it is of which GPU of the node."""

    name: DeviceName
    device: int
    profile: str
    start: int


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request of a claim: `count` devices of what `resource` stands for.

    `resource` is the extended resource of the same meaning: nvidia.com/gpu for whole GPUs, nvidia.com/mig-<profile> for
    slices, nvidia.com/gpu.shared for parts. `capacity`: how much of each GPU's capacities is asked for.
    """

    name: str
    resource: str
    count: int
    capacity: Amounts = ()


ClaimWait = Literal["", "missing", "in use", "left over"]
"""Why no plan can be made for a pod's claim: it is not there yet; another pod that names it gets its devices first; it
has devices that no plan counts on."""


class PodClaim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A ResourceClaim of a pod, in the pod's namespace, that Bayplan allocates.

    `name`: of the entry in the pod's spec. `claim` is "" until a controller has made it of the pod's template, and
    `uid` until the claim exists. `allocated`: the devices that it has, whoever allocated them. `shared`: it was not
    made of a template for this pod, so that others may use it too; `requests` are those that this pod is charged for,
    and empty where another pod is. `waits`: why it cannot be planned; "" where it can. `served`: it is not ours, but
    made by kube-scheduler for GPUs that the pod's containers ask for as an extended resource.
    """

    claim: str
    uid: str
    requests: tuple[ClaimRequest, ...]
    allocated: tuple[DeviceName, ...] = ()
    shared: bool = False
    name: str = ""
    waits: ClaimWait = ""
    served: bool = False


class ClaimKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which ResourceClaim is meant."""

    uid: str
    namespace: str
    name: str


class Grant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device, or a part of one, that a request of a claim gets.

    `request`: as an allocation names it, `REQUEST` or `REQUEST/SUBREQUEST`. `consumed`: how much of which capacity of
    the device it takes; empty where the device is not shared.
    """

    request: str
    device: DeviceName
    consumed: Amounts = ()
