"""The marker resource for a shared kube-scheduler, on a real API server."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.waiting import until
from tests.manifests.files import MANIFESTS, documents
from tests.manifests.people import gates, pod

pytestmark = pytest.mark.cluster

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
MARKER = "bayplan.dev/member"


@pytest.fixture(scope="module")
def marking(admin: Api, team: str) -> Iterator[None]:
    policy, binding = documents(MANIFESTS / "components" / "shared-scheduler" / "marker.yaml")
    name = policy["metadata"]["name"]
    admin.create(f"{ADMISSION}/mutatingadmissionpolicies", policy)
    admin.create(f"{ADMISSION}/mutatingadmissionpolicybindings", binding)
    until(
        lambda: marks(admin, team, pod("p", gpus=1)) != [], timeout_s=20, what="the marker policy's coming into force"
    )
    yield
    admin.delete(f"{ADMISSION}/mutatingadmissionpolicybindings/{name}")
    admin.delete(f"{ADMISSION}/mutatingadmissionpolicies/{name}")
    until(lambda: marks(admin, team, pod("p", gpus=1)) == [], timeout_s=20, what="the marker policy's going")


def made(admin: Api, team: str, asked: Json) -> Json:
    return admin.create(f"/api/v1/namespaces/{team}/pods?dryRun=All", asked)


def marks(admin: Api, team: str, asked: Json) -> list[str]:
    containers = made(admin, team, asked)["spec"]["containers"]
    return [
        f"{c['name']}={c['resources']['requests'][MARKER]}"
        for c in containers
        if MARKER in c["resources"].get("requests", {})
    ]


@pytest.mark.usefixtures("marking")
def test_a_member_without_gpus_is_marked_with_a_quantity_of_zero(admin: Api, team: str) -> None:
    member = pod("p", labels={"bayplan.dev/gang": "g"})
    assert marks(admin, team, member) == ["main=0"]
    assert gates(made(admin, team, member)) == ["bayplan.dev/plan"]


@pytest.mark.usefixtures("marking")
def test_the_first_container_is_marked_and_keeps_what_it_asked_for(admin: Api, team: str) -> None:
    first = {
        "name": "a",
        "image": "x:1",
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
    }
    second = {"name": "b", "image": "x:1", "resources": {"limits": {"nvidia.com/gpu": 1}}}
    containers = made(admin, team, pod("p", containers=[first, second]))["spec"]["containers"]
    assert containers[0]["resources"] == {
        "limits": {"memory": "1Gi", MARKER: "0"},
        "requests": {"cpu": "1", "memory": "1Gi", MARKER: "0"},
    }
    assert containers[1]["resources"] == {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}}


@pytest.mark.usefixtures("marking")
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(pod("p"), id="neither GPU nor gang"),
        pytest.param(pod("p", scheduler="default-scheduler", gpus=1), id="another scheduler's"),
    ],
)
def test_pods_that_are_not_planned_are_not_marked(admin: Api, team: str, asked: Json) -> None:
    assert marks(admin, team, asked) == []
