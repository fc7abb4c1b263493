"""What the accounts may do and may not, asked of a real API server."""

import pytest

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.waiting import until
from tests.manifests.files import base
from tests.manifests.people import OWN_SCHEDULER, SERVICE
from tests.manifests.test_cluster_guards import As

pytestmark = pytest.mark.cluster

OWN, ANY, SYSTEM = "bayplan-system", "red", "kube-system"
COLLECTIONS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    "Service": ("/api/v1", "services"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
}


def may(
    admin: Api, user: str, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = ""
) -> bool:
    kind, _, part = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": kind, "subresource": part, "namespace": namespace, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": asked},
    }
    return admin.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


@pytest.mark.parametrize(
    ("verb", "resource", "group", "namespace", "name"),
    [
        ("watch", "pods", "", "", ""),
        ("get", "pods", "", ANY, "p"),
        ("patch", "pods", "", ANY, "p"),
        ("patch", "pods/status", "", ANY, "p"),
        ("create", "pods/binding", "", ANY, "p"),
        ("create", "pods/eviction", "", ANY, "p"),
        ("watch", "nodes", "", "", ""),
        ("watch", "jobs", "batch", "", ""),
        ("watch", "queues", "bayplan.dev", "", ""),
        ("watch", "gpunodes", "bayplan.dev", "", ""),
        ("watch", "topologies", "bayplan.dev", "", ""),
        ("patch", "queues", "bayplan.dev", "", "q"),
        ("patch", "queues/status", "bayplan.dev", "", "q"),
        ("create", "events", "events.k8s.io", ANY, ""),
        ("create", "leases", "coordination.k8s.io", OWN, ""),
        ("update", "leases", "coordination.k8s.io", OWN, "bayplan"),
    ],
)
def test_the_service_may(admin: Api, verb: str, resource: str, group: str, namespace: str, name: str) -> None:
    assert may(admin, SERVICE, verb, resource, group=group, namespace=namespace, name=name)


@pytest.mark.parametrize(
    ("verb", "resource", "group", "namespace", "name"),
    [
        ("create", "pods", "", ANY, ""),
        ("delete", "pods", "", ANY, "p"),
        ("update", "pods", "", ANY, "p"),
        ("get", "secrets", "", OWN, "s"),
        ("list", "configmaps", "", "", ""),
        ("patch", "nodes", "", "", "n"),
        ("update", "queues", "bayplan.dev", "", "q"),
        ("delete", "queues", "bayplan.dev", "", "q"),
        ("patch", "gpunodes/status", "bayplan.dev", "", "n"),
        ("create", "leases", "coordination.k8s.io", SYSTEM, ""),
        ("update", "leases", "coordination.k8s.io", OWN, "another"),
        ("update", "leases", "coordination.k8s.io", SYSTEM, "kube-scheduler"),
        ("patch", "topologies/status", "bayplan.dev", "", "t"),
        ("delete", "jobs", "batch", ANY, "j"),
        ("impersonate", "users", "", "", "admin"),
    ],
)
def test_the_service_may_not(admin: Api, verb: str, resource: str, group: str, namespace: str, name: str) -> None:
    assert not may(admin, SERVICE, verb, resource, group=group, namespace=namespace, name=name)


def test_the_own_kube_scheduler_may_what_the_clusters_may(admin: Api) -> None:
    lease = {"group": "coordination.k8s.io", "namespace": OWN, "name": "bayplan-kube-scheduler"}
    assert may(admin, OWN_SCHEDULER, "update", "leases", **lease)
    assert may(admin, OWN_SCHEDULER, "create", "pods/binding", namespace=ANY, name="p")
    assert may(admin, OWN_SCHEDULER, "patch", "persistentvolumeclaims", namespace=ANY, name="v")
    assert may(admin, OWN_SCHEDULER, "list", "poddisruptionbudgets", group="policy")
    assert not may(admin, OWN_SCHEDULER, "patch", "pods", namespace=ANY, name="p")


def test_the_service_holds_its_lease_and_no_other(admin: Api, as_user: As) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "bayplan"}}
    service = as_user(SERVICE)
    made = service.create(leases, {**body, "spec": {"holderIdentity": "a"}})
    try:
        made["spec"]["holderIdentity"] = "b"
        assert service.call("PUT", f"{leases}/bayplan", made)["spec"]["holderIdentity"] == "b"
        with pytest.raises(ApiError) as refusal:
            service.get(f"{leases}/bayplan-kube-scheduler")
        assert refusal.value.status == 403
    finally:
        admin.delete(f"{leases}/bayplan")


def test_viewers_of_the_cluster_see_the_objects(admin: Api) -> None:
    def aggregated() -> bool:
        rules: list[Json] = admin.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/view").get("rules") or []
        return any("gpunodes" in r.get("resources", []) for r in rules)

    until(aggregated, timeout_s=30, what="aggregation of bayplan-viewer into view")


@pytest.mark.parametrize("deployment", base("Deployment"), ids=lambda d: d["metadata"]["name"])
def test_the_pods_pass_the_restricted_standard_and_the_quota(admin: Api, deployment: Json) -> None:
    template = deployment["spec"]["template"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "x"},
        "spec": template["spec"],
    }
    made = admin.create(f"/api/v1/namespaces/{OWN}/pods?dryRun=All&fieldValidation=Strict", body)
    assert made["spec"]["priority"] == 2_000_000_000


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_what_needs_kubelets_is_taken_as_it_stands(admin: Api, kind: str) -> None:
    for body in base(kind):
        group, plural = COLLECTIONS[kind]
        path = f"{group}/namespaces/{body['metadata']['namespace']}/{plural}"
        made = admin.create(f"{path}?dryRun=All&fieldValidation=Strict", body)
        assert made["metadata"]["name"] == body["metadata"]["name"]


def test_a_pod_with_more_rights_does_not_get_in(admin: Api) -> None:
    spec = {"hostNetwork": True, "containers": [{"name": "c", "image": "x:1"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    with pytest.raises(ApiError, match="restricted"):
        admin.create(f"/api/v1/namespaces/{OWN}/pods?dryRun=All", body)
