"""Objects of resource.k8s.io/v1 as they come over the wire: the fields that are used."""

import msgspec

from scheduler.kube.wire import Meta, Quantities, Wire


class WireAttribute(Wire, frozen=True, kw_only=True):
    """An attribute of a device: one of these is set."""

    string: str | None = None
    version: str | None = None
    int_: int | None = msgspec.field(default=None, name="int")
    bool_: bool | None = msgspec.field(default=None, name="bool")


class WireRange(Wire, frozen=True, kw_only=True):
    """requestPolicy.validRange of a capacity."""

    min: str | None = None
    max: str | None = None
    step: str | None = None


class WirePolicy(Wire, frozen=True, kw_only=True):
    """requestPolicy of a capacity (KEP-5075)."""

    default: str | None = None
    valid_values: list[str] = []
    valid_range: WireRange | None = None


class WireCapacity(Wire, frozen=True, kw_only=True):
    """A capacity of a device."""

    value: str = "0"
    request_policy: WirePolicy | None = None


class WireCounters(Wire, frozen=True, kw_only=True):
    """What a device takes of a counter set (KEP-4815)."""

    counter_set: str = ""
    counters: dict[str, WireCapacity] = {}


class WireDeviceTaint(Wire, frozen=True, kw_only=True):
    """A taint of a device (KEP-5055)."""

    key: str = ""
    effect: str = ""


class WireSliceDevice(Wire, frozen=True, kw_only=True):
    """spec.devices[] of a ResourceSlice."""

    name: str = ""
    attributes: dict[str, WireAttribute] = {}
    capacity: dict[str, WireCapacity] = {}
    consumes_counters: list[WireCounters] = []
    taints: list[WireDeviceTaint] = []
    allow_multiple_allocations: bool = False


class WirePool(Wire, frozen=True, kw_only=True):
    """spec.pool of a ResourceSlice."""

    name: str = ""
    generation: int = 0
    resource_slice_count: int = 1


class SliceSpec(Wire, frozen=True, kw_only=True):
    """spec of a ResourceSlice."""

    driver: str = ""
    pool: WirePool = WirePool()
    node_name: str = ""
    devices: list[WireSliceDevice] = []


class WireSlice(Wire, frozen=True, kw_only=True):
    """ResourceSlice."""

    metadata: Meta
    spec: SliceSpec = SliceSpec()


class WireCel(Wire, frozen=True, kw_only=True):
    """A selector's expression."""

    expression: str = ""


class WireDeviceSelector(Wire, frozen=True, kw_only=True):
    """A selector of devices."""

    cel: WireCel = WireCel()


class WireCapacityRequests(Wire, frozen=True, kw_only=True):
    """capacity of a request (KEP-5075)."""

    requests: Quantities = {}


class WireExactly(Wire, frozen=True, kw_only=True):
    """spec.devices.requests[].exactly of a ResourceClaim."""

    device_class_name: str = ""
    selectors: list[WireDeviceSelector] = []
    allocation_mode: str = "ExactCount"
    count: int = 1
    admin_access: bool = False
    tolerations: list[msgspec.Raw] = []
    capacity: WireCapacityRequests | None = None


class WireRequest(Wire, frozen=True, kw_only=True):
    """spec.devices.requests[] of a ResourceClaim."""

    name: str = ""
    exactly: WireExactly | None = None
    first_available: list[WireExactly] = []


class WireConstraint(Wire, frozen=True, kw_only=True):
    """spec.devices.constraints[] of a ResourceClaim."""

    requests: list[str] = []
    match_attribute: str = ""
    distinct_attribute: str = ""


class WireClaimDevices(Wire, frozen=True, kw_only=True):
    """spec.devices of a ResourceClaim."""

    requests: list[WireRequest] = []
    constraints: list[WireConstraint] = []


class ClaimSpec(Wire, frozen=True, kw_only=True):
    """spec of a ResourceClaim."""

    devices: WireClaimDevices = WireClaimDevices()


class WireResult(Wire, frozen=True, kw_only=True):
    """status.allocation.devices.results[] of a ResourceClaim."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool | None = None
    consumed_capacity: Quantities = {}


class WireResults(Wire, frozen=True, kw_only=True):
    """status.allocation.devices of a ResourceClaim."""

    results: list[WireResult] = []


class WireAllocation(Wire, frozen=True, kw_only=True):
    """status.allocation of a ResourceClaim."""

    devices: WireResults = WireResults()


class WireConsumer(Wire, frozen=True, kw_only=True):
    """status.reservedFor[] of a ResourceClaim."""

    uid: str = ""


class ClaimStatus(Wire, frozen=True, kw_only=True):
    """status of a ResourceClaim."""

    allocation: WireAllocation | None = None
    reserved_for: list[WireConsumer] = []


class WireClaim(Wire, frozen=True, kw_only=True):
    """ResourceClaim."""

    metadata: Meta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class ClassSpec(Wire, frozen=True, kw_only=True):
    """spec of a DeviceClass."""

    extended_resource_name: str = ""


class WireDeviceClass(Wire, frozen=True, kw_only=True):
    """DeviceClass."""

    metadata: Meta
    spec: ClassSpec = ClassSpec()
