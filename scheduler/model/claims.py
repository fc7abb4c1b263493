"""Devices that pods claim through dynamic resource allocation (resource.k8s.io/v1)."""

import msgspec


class DeviceName(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device as ResourceSlices and allocations name it."""

    driver: str
    pool: str
    device: str


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request of a claim: `count` devices of what `resource` stands for.

    `resource` is the extended resource of the same meaning: nvidia.com/gpu for whole GPUs, nvidia.com/mig-<profile> for
    slices, nvidia.com/gpu.shared for parts.
    """

    name: str
    resource: str
    count: int


class PodClaim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A ResourceClaim of a pod, in the pod's namespace, that Bayplan allocates.

    `uid` is "" until the claim exists, which a controller makes of the pod's template. `allocated`: the devices that it
    has, whoever allocated them. `shared`: it was not made of a template for this pod, so that others may use it too.
    """

    claim: str
    uid: str
    requests: tuple[ClaimRequest, ...]
    allocated: tuple[DeviceName, ...] = ()
    shared: bool = False


class Grant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device, or a part of one, that a request of a claim gets.

    `request`: as an allocation names it, `REQUEST` or `REQUEST/SUBREQUEST`. `consumed`: how much of which capacity of
    the device it takes, as quantities; empty where it gets the device whole.
    """

    request: str
    device: DeviceName
    consumed: tuple[tuple[str, str], ...] = ()
