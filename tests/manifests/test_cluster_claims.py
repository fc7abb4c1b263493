"""Who may allocate claims of Bayplan's class, and who may claim GPUs otherwise, on a real API server."""

from collections.abc import Callable, Iterator

import pytest

from scheduler.kube.keys import GUARD
from scheduler.localcluster import manifests
from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.waiting import until
from tests.manifests.files import MANIFESTS, objects
from tests.manifests.people import CLUSTER_SCHEDULER, OWN_SCHEDULER, SERVICE, claim

pytestmark = pytest.mark.cluster

OURS = "gpu.bayplan.dev"
CONTROLLER = "system:serviceaccount:kube-system:resource-claim-controller"
RESOURCE = "/apis/resource.k8s.io/v1/namespaces"
RESULT = {"request": "r", "driver": "gpu.nvidia.com", "pool": "n", "device": "gpu-0"}
ALLOCATION: Json = {"devices": {"results": [RESULT]}, "allocationTimestamp": "2026-01-01T00:00:00Z"}
RESERVED = [GUARD, {"resource": "pods", "name": "p", "uid": "u"}]
"""With our guard kube-controller-manager leaves the claim alone, though there is no such pod."""

As = Callable[[str], Api]


def template(made: Json) -> Json:
    return {**made, "kind": "ResourceClaimTemplate", "spec": {"spec": made["spec"]}}


@pytest.fixture
def made(admin: Api, team: str) -> Iterator[Callable[..., str]]:
    """Makes a claim, and allocates it as Bayplan does where that is asked for; its path."""
    paths: list[str] = []

    def make(device_class: str, *, allocate_as: Api | None = None) -> str:
        collection = f"{RESOURCE}/{team}/resourceclaims"
        admin.create(collection, claim(f"c{len(paths)}", device_class))
        path = f"{collection}/c{len(paths)}"
        paths.append(path)
        if allocate_as is not None:
            allocate_as.merge(f"{path}/status", {"status": {"allocation": ALLOCATION, "reservedFor": RESERVED}})
        return path

    yield make
    for path in paths:
        admin.delete(path)


def forbidden(by: Api, path: str, status: Json) -> bool:
    try:
        by.merge(f"{path}/status", {"status": status})
    except ApiError as err:
        if "is allocated by Bayplan alone" not in str(err):
            raise
        return True
    return False


@pytest.mark.parametrize("user", [OWN_SCHEDULER, CLUSTER_SCHEDULER, CONTROLLER, "kubernetes-admin"])
def test_nobody_but_bayplan_allocates_claims_of_its_class(
    as_user: As, admin: Api, made: Callable[..., str], user: str
) -> None:
    by = admin if user == "kubernetes-admin" else as_user(user)
    path = made(OURS)
    assert forbidden(by, path, {"allocation": ALLOCATION})
    assert not forbidden(as_user(SERVICE), path, {"allocation": ALLOCATION})


@pytest.mark.parametrize("user", [OWN_SCHEDULER, CLUSTER_SCHEDULER, CONTROLLER])
def test_schedulers_and_the_controller_reserve_and_free_them(as_user: As, made: Callable[..., str], user: str) -> None:
    path = made(OURS, allocate_as=as_user(SERVICE))
    other = [*RESERVED, {"resource": "pods", "name": "q", "uid": "v"}]
    assert not forbidden(as_user(user), path, {"reservedFor": other})
    assert not forbidden(as_user(user), path, {"reservedFor": None, "allocation": None})


def test_people_neither_reserve_nor_free_them_and_drivers_report_of_their_devices(
    as_user: As, admin: Api, made: Callable[..., str]
) -> None:
    path = made(OURS, allocate_as=as_user(SERVICE))
    assert forbidden(admin, path, {"reservedFor": []})
    assert forbidden(admin, path, {"reservedFor": None, "allocation": None})
    device = {"driver": "gpu.nvidia.com", "pool": "n", "device": "gpu-0", "data": {"ready": True}}
    assert not forbidden(admin, path, {"devices": [device]})


def test_claims_of_other_classes_are_none_of_our_business(admin: Api, made: Callable[..., str]) -> None:
    path = made("other.example")
    assert not forbidden(admin, path, {"allocation": ALLOCATION, "reservedFor": RESERVED})
    assert not forbidden(admin, path, {"allocation": None, "reservedFor": None})


@pytest.fixture
def closed(admin: Api, team: str) -> Iterator[str]:
    """The driver's classes are closed in the namespace."""
    alone = objects(MANIFESTS / "dra-alone")
    manifests.apply(admin, alone)
    collection = f"{RESOURCE}/{team}/resourceclaims"
    until(lambda: refused(admin, collection, claim("probe", "gpu.nvidia.com")), timeout_s=20, what="the policy")
    yield collection
    for each in alone:
        kind = {"ValidatingAdmissionPolicy": "validatingadmissionpolicies"}.get(
            each["kind"], "validatingadmissionpolicybindings"
        )
        admin.delete(f"/apis/admissionregistration.k8s.io/v1/{kind}/{each['metadata']['name']}")
    until(
        lambda: not refused(admin, collection, claim("probe", "gpu.nvidia.com")), timeout_s=20, what="the policy's end"
    )


def refused(api: Api, collection: str, asked: Json) -> bool:
    try:
        api.create(f"{collection}?dryRun=All", asked)
    except ApiError as err:
        if "through the DeviceClass gpu.bayplan.dev" not in str(err):
            raise
        return True
    return False


def test_where_bayplan_owns_the_gpus_nobody_claims_them_by_the_drivers_classes(admin: Api, closed: str) -> None:
    templates = closed.replace("resourceclaims", "resourceclaimtemplates")
    assert refused(admin, closed, claim("p", "mig.nvidia.com"))
    assert refused(admin, closed, claim("p", "gpu.nvidia.com", alternative=True))
    assert refused(admin, templates, template(claim("p", "gpu.nvidia.com")))
    assert not refused(admin, closed, claim("p", OURS))
    assert not refused(admin, templates, template(claim("p", OURS)))
    assert not refused(admin, closed, claim("p", "compute-domain-default-channel.nvidia.com"))
    path = f"/api/v1/namespaces/{closed.split('/')[5]}"
    admin.merge(path, {"metadata": {"labels": {"bayplan.dev/claims": "any"}}})
    try:
        until(lambda: not refused(admin, closed, claim("p", "gpu.nvidia.com")), timeout_s=20, what="the label")
    finally:
        admin.merge(path, {"metadata": {"labels": {"bayplan.dev/claims": None}}})
