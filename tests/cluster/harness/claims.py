"""Devices by claim: a driver that publishes GPUs as the real one does, claims, and the pods that name them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.waiting import until
from tests.cluster.harness.lab import WAIT_S, Lab
from tests.cluster.harness.objects import pod
from tests.manifests.people import SERVICE, Somebody

RESOURCE = "/apis/resource.k8s.io/v1"
CLAIMS = f"{RESOURCE}/namespaces/default/resourceclaims"
TEMPLATES = f"{RESOURCE}/namespaces/default/resourceclaimtemplates"
SLICES = f"{RESOURCE}/resourceslices"
CLASSES = f"{RESOURCE}/deviceclasses"
DRIVER = "gpu.nvidia.com"
OURS = "gpu.bayplan.dev"
GUARD_UID = "bayplan.dev/plan"


def gpu(node: str, index: int) -> Json:
    """A GPU as the driver offers it."""
    return {
        "name": f"gpu-{index}",
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": f"GPU-{node}-{index}"},
            "productName": {"string": "NVIDIA H100 80GB HBM3"},
            "brand": {"string": "Nvidia"},
            "architecture": {"string": "Hopper"},
            "resource.kubernetes.io/pciBusID": {"string": f"0000:{16 + index:02x}:00.0"},
        },
        "capacity": {"memory": {"value": "80Gi"}},
    }


def shared_gpu(node: str, index: int) -> Json:
    """A GPU of which several claims may have a part each: steps of 5 GiB, 10 GiB for who names no amount."""
    policy = {"default": "10Gi", "validRange": {"min": "5Gi", "max": "80Gi", "step": "5Gi"}}
    memory = {"value": "80Gi", "requestPolicy": policy}
    return {**gpu(node, index), "allowMultipleAllocations": True, "capacity": {"memory": memory}}


def slice_of(node: str, devices: Sequence[Json], *, name: str = "", **spec: object) -> Json:
    """The ResourceSlice of a node."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": name or f"{node}-{DRIVER}"},
        "spec": {
            "driver": DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": list(devices),
            **spec,
        },
    }


PROFILES: Mapping[str, tuple[Sequence[int], int]] = {
    "1g.10gb": (range(7), 1),
    "2g.20gb": ((0, 2, 4), 2),
    "3g.40gb": ((0, 4), 4),
    "7g.80gb": ((0,), 8),
}
"""Some MIG profiles of an H100: where an instance may begin, and how many of eight memory slices it takes."""


def divisible(node: str, gpus: int) -> list[Json]:
    """The slices of a node whose GPUs are divided as they are claimed: counters, then GPUs and what they become."""
    counters = {f"memory-slice-{i}": {"value": "1"} for i in range(8)}
    sets = [{"name": f"gpu-{i}-counter-set", "counters": counters} for i in range(gpus)]
    devices: list[Json] = []
    for index in range(gpus):
        whole = gpu(node, index)
        devices.append({**whole, "consumesCounters": [_taken(index, range(8))]})
        devices += [
            {
                "name": f"gpu-{index}-mig-{profile.replace('.', '')}-{number}-{start}",
                "attributes": {
                    "type": {"string": "mig"},
                    "profile": {"string": profile},
                    "parentUUID": whole["attributes"]["uuid"],
                    "productName": whole["attributes"]["productName"],
                },
                "consumesCounters": [_taken(index, range(start, start + size))],
            }
            for number, (profile, (starts, size)) in enumerate(PROFILES.items())
            for start in starts
        ]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 2}
    shared = slice_of(node, (), name=f"{node}-counters", sharedCounters=sets, pool=pool)
    del shared["spec"]["devices"]
    return [shared, slice_of(node, devices, pool=pool)]


def _taken(index: int, places: Iterable[int]) -> Json:
    return {"counterSet": f"gpu-{index}-counter-set", "counters": {f"memory-slice-{i}": {"value": "1"} for i in places}}


def device_class(name: str, *configs: Json) -> Json:
    """A class that suits no device, as ours, so that kube-scheduler never allocates its claims."""
    selectors = [{"cel": {"expression": "false"}}]
    spec: Json = {"selectors": selectors, **({"config": list(configs)} if configs else {})}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def asking(count: int, *, name: str = "gpus", device_class: str = OURS, **exactly: object) -> Json:
    """spec.devices of a claim with one request."""
    return {"requests": [{"name": name, "exactly": {"deviceClassName": device_class, "count": count, **exactly}}]}


def template(name: str, devices: Json) -> Json:
    """A template of claims."""
    meta = {"name": name}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": meta,
        "spec": {"spec": {"devices": devices}},
    }


def claim(name: str, devices: Json) -> Json:
    """A claim of its own."""
    kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
    return {**kind, "metadata": {"name": name}, "spec": {"devices": devices}}


def claiming(name: str, template_name: str, **others: object) -> Json:
    """A pod whose GPUs come by a claim made of the template; `others` as for `pod`."""
    made = pod(name, **others)  # type: ignore[arg-type]
    made["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimTemplateName": template_name}]
    made["spec"]["containers"][0]["resources"]["claims"] = [{"name": "gpus"}]
    return made


def opaque(**parameters: object) -> Json:
    """Configuration for the driver."""
    return {"opaque": {"driver": DRIVER, "parameters": {"apiVersion": "test/v1", "kind": "Config", **parameters}}}


class ClaimLab:
    """Slices, claims and classes of one test; `clear` takes them away."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.api: Api = lab.api
        self._service = Somebody(lab.cluster.kubeconfig(), SERVICE)
        self._made: list[str] = []

    def create_slices(self, *made: Json) -> None:
        for each in made:
            self.api.create(SLICES, each)
            self._made.append(f"{SLICES}/{each['metadata']['name']}")

    def publish(self, nodes: Sequence[str], gpus: int = 8) -> None:
        """Offer so many GPUs of each node."""
        self.create_slices(*(slice_of(node, [gpu(node, i) for i in range(gpus)]) for node in nodes))

    def add_class(self, made: Json) -> None:
        self.api.create(CLASSES, made)
        self._made.append(f"{CLASSES}/{made['metadata']['name']}")

    def claims(self) -> list[Json]:
        return list(self.api.get(CLAIMS)["items"])

    def claim_of(self, pod_name: str) -> Json:
        """The claim that was made for a pod, as soon as it is there."""

        def found() -> list[Json]:
            return [
                c for c in self.claims() if any(o["name"] == pod_name for o in c["metadata"].get("ownerReferences", ()))
            ]

        self.lab.eventually(f"the claim of {pod_name} exists", found)
        return found()[0]

    def held(self) -> dict[str, list[str]]:
        """Which claim has which devices, as POOL/DEVICE; claims without any left out."""
        return {c["metadata"]["name"]: devices for c in self.claims() if (devices := devices_of(c))}

    def twice(self) -> list[str]:
        """Devices that two claims have whole."""
        all_held = [d for devices in self.held().values() for d in devices]
        return sorted({d for d in all_held if all_held.count(d) > 1})

    def deallocate(self, made: Json) -> None:
        """Take a claim's devices, as nobody but the service may."""
        status = {"reservedFor": None, "allocation": None}
        self._service.merge(f"{CLAIMS}/{made['metadata']['name']}/status", {"status": status})

    def clear(self) -> None:
        self.lab.end_services()
        self.api.delete("/api/v1/namespaces/default/pods?gracePeriodSeconds=0")
        for each in self.claims():
            with suppress(ApiError):
                self._service.merge(
                    f"{CLAIMS}/{each['metadata']['name']}/status", {"status": {"reservedFor": None, "allocation": None}}
                )
        for path in (CLAIMS, TEMPLATES, *self._made):
            self.api.delete(path)
        until(self._empty, timeout_s=WAIT_S, what="the claims being gone")
        self._service.close()

    def _empty(self) -> bool:
        return not self.claims()


def devices_of(made: Json) -> list[str]:
    """The devices that a claim has, as POOL/DEVICE."""
    return [f"{r['pool']}/{r['device']}" for r in results_of(made)]


def results_of(made: Json) -> list[Json]:
    """The results of a claim's allocation."""
    allocation: Mapping[str, Json] = made.get("status", {}).get("allocation") or {}
    return list(allocation.get("devices", {}).get("results", ()))


def reserved_for(made: Json) -> list[str]:
    """The uids that a claim is reserved for."""
    return [each["uid"] for each in made.get("status", {}).get("reservedFor", ())]


def claim_lab(lab: Lab) -> Iterator[ClaimLab]:
    """For a fixture: a driver's world that is cleared away afterwards."""
    made = ClaimLab(lab)
    try:
        yield made
    finally:
        made.clear()
