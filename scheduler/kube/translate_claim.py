"""ResourceClaims as events: what they ask for through Bayplan's DeviceClass, and which devices they have."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from scheduler.kube import keys
from scheduler.kube.quantities import nanos, whole
from scheduler.kube.wire import Meta, WirePod
from scheduler.kube.wire_dra import WireClaim, WireClaimDevices, WireExactly, WireRequest, WireResult
from scheduler.model.claims import Amounts, ClaimRequest, DeviceName, Part, PodClaim
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX, Resources
from scheduler.model.workload import Problem
from scheduler.state.events import ClaimSeen

MIB = 1 << 20

MOST_DEVICES = 32
"""Devices of one allocation (resource.k8s.io/v1, `AllocationResultsMaxSize`)."""

SELECTORS = (
    f"device.attributes['{keys.GPU_DRIVER}'].productName == 'NAME', the same with profile for a MIG profile as in "
    f"'1g.10gb', or device.capacity['{keys.GPU_DRIVER}'].memory.compareTo(quantity('40Gi')) >= 0 for whole GPUs; each "
    "in a selector of its own"
)

_MEMORY = re.compile(
    r"device\.capacity\[(['\"])gpu\.nvidia\.com\1\]\.memory\.compareTo\(quantity\((['\"])([0-9A-Za-z.+-]+)\2\)\)\s*>=\s*0\Z"
)

_EQUALS = re.compile(
    r"device\.attributes\[(['\"])gpu\.nvidia\.com\1\]\.(productName|profile)\s*==\s*"
    r"(['\"])([A-Za-z0-9][A-Za-z0-9 ._/+-]*)\3\Z"
)

BY_CLASS = "deviceclass.resource.kubernetes.io/"
BY_CLASS_ALLOWED = f"{GPU}, or a claim of the DeviceClass {keys.DEVICE_CLASS}, in pods that wait for a plan"

_claim_decoder = msgspec.json.Decoder(WireClaim)


def read_claim(raw: bytes | msgspec.Raw) -> tuple[Meta, ClaimSeen]:
    """A ResourceClaim's metadata, and what it asks for and has.

    Raises:
        ValueError: the text is no ResourceClaim.
    """
    wire = _claim_decoder.decode(raw)
    meta, devices = wire.metadata, wire.spec.devices
    results = () if wire.status.allocation is None else wire.status.allocation.devices.results
    has = [(_name(r), r.consumed_capacity) for r in results if not r.admin_access]
    allocated = tuple(name for name, _ in has)
    parts = tuple(Part(device=name, amounts=_amounts(consumed)) for name, consumed in has if consumed)
    guarded = any(each.uid == keys.GUARD["uid"] for each in wire.status.reserved_for)
    namespace = sys.intern(meta.namespace)
    plain = ClaimSeen(
        uid=meta.uid, namespace=namespace, name=meta.name, allocated=allocated, parts=parts, guarded=guarded
    )
    classes = {one.device_class_name for r in devices.requests for one in _choices(r)}
    if keys.CHANNEL_CLASS in classes:
        plain = msgspec.structs.replace(plain, channel=True)
    if keys.DEVICE_CLASS not in classes:
        return meta, plain
    draft = _Draft(meta.name)
    requests = [found for request in devices.requests if (found := draft.request(request)) is not None]
    draft.together(requests)
    draft.constraints(devices, requests)
    return meta, msgspec.structs.replace(
        plain,
        ours=True,
        requests=tuple(requests),
        models=tuple(sorted(draft.models)),
        memory_mib=draft.memory_mib,
        problems=tuple(draft.problems),
    )


def pod_claims(wire: WirePod) -> tuple[PodClaim, ...]:
    """The claims that a pod names; what they ask for and have stands on the claims themselves."""
    extended = wire.status.extended_resource_claim_status
    if not wire.spec.resource_claims and extended is None:
        return ()
    made = {status.name: status.resource_claim_name for status in wire.status.resource_claim_statuses}
    named = [
        PodClaim(
            claim=each.resource_claim_name or made.get(each.name) or "",
            uid="",
            requests=(),
            shared=each.resource_claim_name is not None,
            name=each.name,
        )
        for each in wire.spec.resource_claims
        # Of a template that was found to need no claim, none is made (core/v1, `PodResourceClaimStatus`).
        if each.resource_claim_name is not None or made.get(each.name, "") is not None
    ]
    if extended is not None:
        named.append(PodClaim(claim=extended.resource_claim_name, uid="", requests=(), served=True))
    return tuple(named)


def by_class(requests: Resources) -> list[Problem]:
    """Amounts of a DeviceClass by its own name (KEP-5004), which only kube-scheduler can place."""
    return [
        Problem(where=f"resource {name} of its containers", value=str(count), allowed=BY_CLASS_ALLOWED)
        for name, count in requests.extended
        if name.startswith(BY_CLASS)
    ]


def _name(result: WireResult) -> DeviceName:
    return DeviceName(driver=sys.intern(result.driver), pool=sys.intern(result.pool), device=sys.intern(result.device))


def _amounts(quantities: Mapping[str, str]) -> Amounts:
    return tuple((sys.intern(name), whole(nanos(amount))) for name, amount in sorted(quantities.items()))


def _choices(request: WireRequest) -> Iterator[WireExactly]:
    if request.exactly is not None:
        yield request.exactly
    yield from request.first_available


class _Draft:
    """What is understood of a claim, and what is refused."""

    def __init__(self, claim: str) -> None:
        self._claim = claim
        self.models: set[str] = set()
        self.memory_mib = 0
        self.problems: list[Problem] = []

    def request(self, wire: WireRequest) -> ClaimRequest | None:
        """One request; None where it cannot be kept."""
        before = len(self.problems)
        exactly = wire.exactly
        if exactly is None:
            classes = ", ".join(choice.device_class_name for choice in wire.first_available)
            self._refuse(wire, "firstAvailable", classes, "exactly, since nothing else is chosen among")
            return None
        if exactly.device_class_name != keys.DEVICE_CLASS:
            name = exactly.device_class_name
            self._refuse(wire, "deviceClassName", name, f"only {keys.DEVICE_CLASS} in a claim that has it")
        if exactly.allocation_mode != "ExactCount":
            self._refuse(wire, "allocationMode", exactly.allocation_mode, "ExactCount")
        if not 1 <= exactly.count <= MOST_DEVICES:
            self._refuse(wire, "count", exactly.count, f"a whole number from 1 to {MOST_DEVICES}")
        if exactly.admin_access:
            self._refuse(wire, "adminAccess", "true", f"false in the class {keys.DEVICE_CLASS}")
        if exactly.tolerations:
            text = bytes(exactly.tolerations[0]).decode(errors="replace")
            self._refuse(wire, "tolerations", text, "none: devices with a taint are not given out")
        capacity = self._capacity(wire, {} if exactly.capacity is None else exactly.capacity.requests)
        profile = self._profile(wire, exactly, capacity)
        if len(self.problems) > before:
            return None
        gpus = GPU_SHARED if capacity else GPU
        resource = gpus if profile is None else MIG_PREFIX + profile.replace("+", ".")
        return ClaimRequest(name=wire.name, resource=resource, count=exactly.count, capacity=capacity)

    def together(self, requests: Sequence[ClaimRequest]) -> None:
        """What cannot be kept of requests that could be kept each by itself."""
        count = sum(request.count for request in requests)
        if count > MOST_DEVICES:
            self._refuse_all("count of all requests", str(count), f"{MOST_DEVICES} at most in one claim")
        sliced = [request for request in requests if request.resource.startswith(MIG_PREFIX)]
        if sliced and self.memory_mib:
            where = f"selectors of request {sliced[0].name}"
            self._refuse_all(where, f"{self.memory_mib} MiB", "no memory beside a profile, which says it")

    def constraints(self, wire: WireClaimDevices, requests: Sequence[ClaimRequest]) -> None:
        """Constraints between devices: those that hold of themselves, as there is one device at most."""
        for constraint in wire.constraints:
            about = [r for r in requests if not constraint.requests or r.name in constraint.requests]
            if sum(request.count for request in about) > 1:
                if constraint.match_attribute:
                    linked = "none: say with bayplan.dev/linked on the pod which GPUs belong together"
                    self._refuse_all("matchAttribute", constraint.match_attribute, linked)
                else:
                    apart = "none: a claim gets different devices, and nothing else of them is told apart"
                    self._refuse_all("distinctAttribute", constraint.distinct_attribute, apart)

    def _selector(self, wire: WireRequest, expression: str) -> str | None:
        """The MIG profile that an expression asks for; None where it asks for something else, which is noted."""
        memory = _MEMORY.match(expression.strip())
        if memory is not None:
            self._memory(wire, expression, memory[3])
            return None
        read = _EQUALS.match(expression.strip())
        if read is None:
            self._refuse(wire, "selectors", expression, SELECTORS)
            return None
        if read[2] == "profile":
            return read[4]
        # As GPU feature discovery writes it on the node.
        model = "=" + read[4].replace(" ", "-")
        if self.models and self.models != {model}:
            self._refuse(wire, "selectors", expression, "the same productName wherever one is named")
        self.models.add(model)
        return None

    def _profile(self, wire: WireRequest, exactly: WireExactly, capacity: Amounts) -> str | None:
        """The MIG profile that the selectors ask for; None for GPUs."""
        profiles = {p for s in exactly.selectors if (p := self._selector(wire, s.cel.expression)) is not None}
        if len(profiles) > 1:
            self._refuse(wire, "selectors", " and ".join(sorted(profiles)), "one profile")
        if profiles and self.memory_mib:
            self._refuse(wire, "selectors", f"{self.memory_mib} MiB", "no memory beside a profile, which says it")
        if profiles and capacity:
            told = ", ".join(name for name, _ in capacity)
            self._refuse(wire, "capacity.requests", told, "none beside a profile, which says it")
        return min(profiles, default=None)

    def _capacity(self, wire: WireRequest, asked: Mapping[str, str]) -> Amounts:
        """What is asked of each GPU's capacities."""
        try:
            amounts = _amounts(asked)
        except ValueError:
            amounts = tuple((name, 0) for name in asked)
        if any(amount <= 0 for _, amount in amounts):
            told = ", ".join(f"{name}: {amount}" for name, amount in sorted(asked.items()))
            self._refuse(wire, "capacity.requests", told, "quantities above 0")
        return amounts

    def _memory(self, wire: WireRequest, expression: str, quantity: str) -> None:
        try:
            # A GPU of fewer MiB than asked for is too small, be it by a part of one.
            self.memory_mib = max(self.memory_mib, -(-whole(nanos(quantity)) // MIB))
        except ValueError:
            self._refuse(wire, "selectors", expression, SELECTORS)

    def _refuse(self, wire: WireRequest, field: str, value: object, allowed: str) -> None:
        self._refuse_all(f"{field} of request {wire.name}", str(value), allowed)

    def _refuse_all(self, where: str, value: str, allowed: str) -> None:
        self.problems.append(
            Problem(where=f"{where} of ResourceClaim {self._claim}", value=value[:200], allowed=allowed)
        )
