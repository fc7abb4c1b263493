"""What a writer of allocations reads of ResourceClaims and DeviceClasses (resource.k8s.io/v1)."""

import msgspec

from scheduler.kube.wire import Wire

ABSENT = msgspec.Raw(b"null")


class ClaimMeta(Wire, frozen=True, kw_only=True):
    """metadata of a ResourceClaim."""

    uid: str
    resource_version: str
    finalizers: list[str] = []


class ExactRequest(Wire, frozen=True, kw_only=True):
    """A request for devices of one class, or an alternative of a request."""

    name: str = ""
    device_class_name: str = ""
    tolerations: list[msgspec.Raw] = []


class DeviceRequest(Wire, frozen=True, kw_only=True):
    """An entry of spec.devices.requests."""

    name: str
    exactly: ExactRequest | None = None
    first_available: list[ExactRequest] = []


class Configuration(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Configuration for a driver, of a class (without `requests`) or of a claim."""

    requests: list[str] = []
    opaque: msgspec.Raw = ABSENT


class ClaimDevices(Wire, frozen=True, kw_only=True):
    """spec.devices of a ResourceClaim."""

    requests: list[DeviceRequest] = []
    config: list[Configuration] = []


class ClaimSpec(Wire, frozen=True, kw_only=True):
    """spec of a ResourceClaim."""

    devices: ClaimDevices = ClaimDevices()


class Result(Wire, frozen=True, kw_only=True):
    """An entry of status.allocation.devices.results."""

    request: str
    driver: str
    pool: str
    device: str
    consumed_capacity: dict[str, str] = {}


class AllocatedDevices(Wire, frozen=True, kw_only=True):
    """status.allocation.devices."""

    results: list[Result] = []


class WireAllocation(Wire, frozen=True, kw_only=True):
    """status.allocation."""

    devices: AllocatedDevices = AllocatedDevices()
    node_selector: msgspec.Raw = ABSENT


class Consumer(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of status.reservedFor."""

    api_group: str = ""
    resource: str
    name: str
    uid: str


class ClaimStatus(Wire, frozen=True, kw_only=True):
    """status of a ResourceClaim."""

    allocation: WireAllocation | None = None
    reserved_for: list[Consumer] = []


class StandingClaim(Wire, frozen=True, kw_only=True):
    """A ResourceClaim as it stands."""

    metadata: ClaimMeta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class ClassSpec(Wire, frozen=True, kw_only=True):
    """spec of a DeviceClass."""

    config: list[Configuration] = []


class StandingClass(Wire, frozen=True, kw_only=True):
    """A DeviceClass as it stands."""

    spec: ClassSpec = ClassSpec()
