"""The writer of ResourceClaims: allocates exact devices before kube-scheduler sees the pod, and takes that back.

What an allocation from outside has to be like, so that kube-scheduler 1.36 and kube-controller-manager take it as their
own (kubernetes v1.36.3, `S` is pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go, `C` is
pkg/controller/resourceclaim/controller.go):

- The finalizer `resource.kubernetes.io/delete-protection` comes first: without it the controller does not free the
  devices after use (C:1486).
- `devices.config` holds the configuration of class and claim, since drivers read it there alone.
- `tolerations` of the request are copied, or the pod would be evicted for a taint that its claim tolerates
  (pkg/controller/devicetainteviction).
- `nodeSelector` is the one term that rights bound to a node recognise (pkg/registry/resource/utils.go:258).
- `allocationTimestamp` is set: where it is missing, kube-scheduler adds it as it reserves the claim, which the API
  server refuses as a change of an allocation, again and again (S:1627).
- `reservedFor` names the pod, so that kube-scheduler has nothing to write when it binds (S:1368), and beside it the
  guard: an entry of a kind that nobody else knows. kube-scheduler takes the devices of a claim back when no node suits
  its pod and it is reserved for nobody, or for this pod alone (S:966); a pod that finds its node busy for a moment, or
  has no plan since the service was just restarted, would lose them each time. The controller keeps entries of kinds
  that it does not know (C:1452), so the guard is taken off as soon as the pod stands: from then on only the controller
  touches the claim, and frees its devices when the pod ends. Pinning the pod to its node would keep the devices too,
  but cannot be undone where the next plan has another node.

The API server lets two claims have the same device. What keeps that from happening is the class, whose selector suits
no device, so that no other allocator serves it; that one replica leads; and that plans count what every claim has.
"""

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from scheduler.kube.api import ApiRefusedError, ApiUnreachableError, Response
from scheduler.kube.effects import Effects, PodRef
from scheduler.kube.http import Method
from scheduler.kube.keys import GUARD, RESOURCE_GROUP
from scheduler.kube.outcomes import Done, Failure, Gone, Outcome, Refused, Unreachable, failure_of
from scheduler.kube.protobuf import PROTOBUF, with_finalizer
from scheduler.kube.quantities import NANO, nanos
from scheduler.kube.wire_claims import Configuration, Consumer, ExactRequest, StandingClaim, StandingClass
from scheduler.model.claims import Grant
from scheduler.model.names import NodeName
from scheduler.scoring.sharing.portions import quantity

API = f"/apis/{RESOURCE_GROUP}/v1"
FINALIZER = "resource.kubernetes.io/delete-protection"

CLASS_AGE_S = 5.0
"""A class's configuration is read anew after so long, so that a gang reads it once."""

NAMES_OF_SHARES = uuid.UUID("0b9a1c7e-4d0f-5c55-9a51-6a8f1b0d2a11")

Json = Mapping[str, object]


class ClaimRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which ResourceClaim a write is for."""

    uid: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """The claim's path in the API."""
        return f"{API}/namespaces/{self.namespace}/resourceclaims/{self.name}"

    def __str__(self) -> str:
        """As people call it."""
        return f"{self.namespace}/{self.name}"


class Allocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a claim is to get: these devices of one node, for these pods."""

    claim: ClaimRef
    pods: tuple[PodRef, ...]
    node: NodeName
    grants: tuple[Grant, ...]


class Fetches(Protocol):
    """The one thing that is needed of an API client beside the writes: to read in another encoding."""

    async def request(self, method: Method, path: str, *, accept: str) -> Response:
        """One request; raises ApiUnreachableError or ApiRefusedError."""
        ...


class ClaimEffects:
    """Writes of ResourceClaims, through the fence and within the limits of `effects`."""

    def __init__(self, effects: Effects, api: Fetches) -> None:
        self._effects = effects
        self._api = api
        self._classes: dict[str, tuple[float, Sequence[Configuration]]] = {}

    async def allocate(self, wanted: Allocation) -> Outcome:
        """Give the claim its devices. Done where it has them already, as after a crash.

        Another allocation that carries the guard, and is for no other pods, is of an earlier plan of ours: it is taken
        back first. Any other is somebody else's: Refused, for good.
        """
        claim = await self._protected(wanted.claim)
        if not isinstance(claim, StandingClaim):
            return claim
        if claim.status.allocation is not None and not _is_as_wanted(claim, wanted):
            if not (_is_guarded(claim) and _serves_only(claim, wanted.pods)):
                return Refused(status=0, message="it was allocated by others", passing=False)
            claim = await self._write(wanted.claim, claim, {"allocation": None, "reservedFor": None}, "deallocate")
            if not isinstance(claim, StandingClaim):
                return claim
        if claim.status.allocation is None:
            devices = await self._devices(claim, wanted)
            if not isinstance(devices, dict):
                return devices
            allocation = {"devices": devices, "nodeSelector": _only(wanted.node), "allocationTimestamp": _now()}
            status = {"allocation": allocation, "reservedFor": _consumers(claim, wanted.pods)}
        elif len(reserved := _consumers(claim, wanted.pods)) > len(claim.status.reserved_for):
            status = {"reservedFor": reserved}
        else:
            return Done()
        written = await self._write(wanted.claim, claim, status, "allocate")
        return Done() if isinstance(written, StandingClaim) else written

    async def let_go(self, ref: ClaimRef, pods: Collection[PodRef] = ()) -> Outcome:
        """Take the guard off, and these pods: with them the plan ends, without any the pods stand.

        The devices of a claim that nobody is left to use are freed. A claim without our guard is left as it is: its
        allocation is none of ours, or is used by pods that stand.
        """
        claim = _claim(await self._effects.look(ref.path), ref)
        if not isinstance(claim, StandingClaim):
            return claim
        if not _is_guarded(claim):
            return Done()
        leaving = {GUARD["uid"], *(pod.uid for pod in pods)}
        staying = [each for each in claim.status.reserved_for if each.uid not in leaving]
        status: Json = {"reservedFor": staying} if staying else {"allocation": None, "reservedFor": None}
        written = await self._write(ref, claim, status, "unguard" if staying else "deallocate")
        return Done() if isinstance(written, StandingClaim) else written

    async def _protected(self, ref: ClaimRef) -> StandingClaim | Failure:
        """The claim as it stands, once it has the finalizer."""
        claim = _claim(await self._effects.look(ref.path), ref)
        if not isinstance(claim, StandingClaim) or FINALIZER in claim.metadata.finalizers:
            return claim
        meta = claim.metadata
        finalizers = [*meta.finalizers, FINALIZER]
        patch = {"metadata": {"uid": ref.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers}}
        answer = await self._effects.exchange("protect", "PATCH", ref.path, patch)
        if isinstance(answer, Refused) and answer.status == 422 and "immutable" in answer.message:
            return await self._protected_as_stored(ref)
        return _claim(answer, ref)

    async def _protected_as_stored(self, ref: ClaimRef) -> StandingClaim | Failure:
        """The same for a claim whose configuration would not survive JSON (`scheduler.kube.protobuf`)."""
        try:
            stored = await self._api.request("GET", ref.path, accept=PROTOBUF)
            body = with_finalizer(stored.body, FINALIZER)
        except (ApiUnreachableError, ApiRefusedError) as err:
            return failure_of(err)
        except ValueError as err:
            return Refused(status=422, message=f"claim {ref}: {err}", passing=False)
        # It carries uid and resourceVersion as they were read.
        return _claim(await self._effects.exchange("protect", "PUT", ref.path, body, PROTOBUF), ref)

    async def _write(self, ref: ClaimRef, claim: StandingClaim, status: Json, kind: str) -> StandingClaim | Failure:
        """Change the status of the claim as it was read; a conflict where it has changed since."""
        meta = {"uid": ref.uid, "resourceVersion": claim.metadata.resource_version}
        path = f"{ref.path}/status"
        return _claim(await self._effects.exchange(kind, "PATCH", path, {"metadata": meta, "status": status}), ref)

    async def _devices(self, claim: StandingClaim, wanted: Allocation) -> dict[str, object] | Refused | Unreachable:
        """`allocation.devices`: results as planned, configuration as kube-scheduler's allocator copies it.

        That is `structured/internal/incubating/allocator_incubating.go` of k8s.io/dynamic-resource-allocation v0.36.3,
        lines 370 to 483.
        """
        granted = list(dict.fromkeys(grant.request for grant in wanted.grants))
        asked = _requests(claim)
        if unknown := [name for name in granted if name not in asked]:
            return Refused(status=0, message=f"it has no request {unknown[0]}", passing=False)
        config: list[Json] = []
        for name in dict.fromkeys(asked[request].device_class_name for request in granted):
            configurations = await self._class(name)
            if isinstance(configurations, (Refused, Unreachable)):
                return configurations
            requests = [request for request in granted if asked[request].device_class_name == name]
            config += [{"source": "FromClass", "requests": requests, "opaque": c.opaque} for c in configurations]
        chosen = {name for request in granted for name in (request, request.partition("/")[0])}
        config += [
            {"source": "FromClaim", "requests": c.requests, "opaque": c.opaque}
            for c in claim.spec.devices.config
            if not c.requests or chosen.intersection(c.requests)
        ]
        results = [_result(grant, asked[grant.request], wanted.claim, i) for i, grant in enumerate(wanted.grants)]
        return {"results": results, **({"config": config} if config else {})}

    async def _class(self, name: str) -> Sequence[Configuration] | Refused | Unreachable:
        read_s, known = self._classes.get(name, (0.0, ()))
        if name in self._classes and time.monotonic() - read_s < CLASS_AGE_S:
            return known
        answer = await self._effects.look(f"{API}/deviceclasses/{name}")
        match answer:
            case Gone():
                return Refused(status=0, message=f"there is no DeviceClass {name}", passing=False)
            case Refused() | Unreachable():
                return answer
            case _:
                read = msgspec.json.decode(answer.body, type=StandingClass)
                self._classes[name] = (time.monotonic(), read.spec.config)
                return read.spec.config


def _claim(answer: Response | Failure, ref: ClaimRef) -> StandingClaim | Failure:
    """The claim that was answered with; Gone where it is a namesake."""
    if not isinstance(answer, Response):
        return answer
    read = msgspec.json.decode(answer.body, type=StandingClaim)
    return read if read.metadata.uid == ref.uid else Gone()


def _requests(claim: StandingClaim) -> Mapping[str, ExactRequest]:
    """What the claim asks for, by the names that results have."""
    found: dict[str, ExactRequest] = {}
    for request in claim.spec.devices.requests:
        if request.exactly is not None:
            found[request.name] = request.exactly
        found.update({f"{request.name}/{each.name}": each for each in request.first_available})
    return found


def _result(grant: Grant, asked: ExactRequest, claim: ClaimRef, place: int) -> Json:
    """A result; a share is named after claim and place, so that writing it again makes no other."""
    device = grant.device
    result: dict[str, object] = {
        "request": grant.request,
        "driver": device.driver,
        "pool": device.pool,
        "device": device.device,
    }
    if asked.tolerations:
        result["tolerations"] = asked.tolerations
    if grant.consumed:
        result["shareID"] = str(uuid.uuid5(NAMES_OF_SHARES, f"{claim.uid} {place}"))
        result["consumedCapacity"] = {name: quantity(amount) for name, amount in grant.consumed}
    return result


def _only(node: NodeName) -> Json:
    """The node selector of an allocation on one node."""
    return {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_as_wanted(claim: StandingClaim, wanted: Allocation) -> bool:
    standing = claim.status.allocation
    if standing is None:
        return False
    have = [(r.request, r.driver, r.pool, r.device, _amounts(r.consumed_capacity)) for r in standing.devices.results]
    want = [
        (g.request, g.device.driver, g.device.pool, g.device.device, [(n, a * NANO) for n, a in sorted(g.consumed)])
        for g in wanted.grants
    ]
    return sorted(have) == sorted(want) and msgspec.json.decode(standing.node_selector) == _only(wanted.node)


def _amounts(consumed: Mapping[str, str]) -> list[tuple[str, int]]:
    """Capacities as numbers: the API server writes quantities in a form of its own."""
    return sorted((name, nanos(amount)) for name, amount in consumed.items())


def _is_guarded(claim: StandingClaim) -> bool:
    return any(each.uid == GUARD["uid"] for each in claim.status.reserved_for)


def _serves_only(claim: StandingClaim, pods: Collection[PodRef]) -> bool:
    known = {GUARD["uid"], *(pod.uid for pod in pods)}
    return all(each.uid in known for each in claim.status.reserved_for)


def _consumers(claim: StandingClaim, pods: Collection[PodRef]) -> list[Json]:
    """Who has the claim reserved once these pods and the guard are among them."""
    standing = [msgspec.to_builtins(each) for each in claim.status.reserved_for]
    there = {each.uid for each in claim.status.reserved_for}
    wanted = [Consumer(resource="pods", name=pod.name, uid=pod.uid) for pod in pods]
    return [
        *standing,
        *(msgspec.to_builtins(each) for each in wanted if each.uid not in there),
        *([] if GUARD["uid"] in there else [GUARD]),
    ]
