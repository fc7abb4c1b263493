"""Which pods start gated, on a real API server."""

import pytest

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.waiting import until
from tests.manifests.files import one
from tests.manifests.people import gates, pod

pytestmark = pytest.mark.cluster

OURS = "bayplan.dev/plan"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def noted(made: Json, annotations: dict[str, str]) -> Json:
    return {**made, "metadata": {**made["metadata"], "annotations": annotations}}


def asks(resource: str, amount: object, *, kind: str = "limits") -> Json:
    return {"name": "main", "image": "trainer:1", "resources": {kind: {resource: amount}}}


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        pytest.param([OURS], pod("p", gpus=1), id="a GPU, and no labels or annotations at all"),
        pytest.param([OURS], pod("p", containers=[asks("nvidia.com/mig-1g.10gb", 2)]), id="MIG slices"),
        pytest.param([OURS], pod("p", containers=[asks("nvidia.com/gpu.shared", 1)]), id="a part of a GPU"),
        pytest.param([OURS], pod("p", containers=[asks("nvidia.com/mig-1g.10gb.me", "1")]), id="an amount in quotes"),
        pytest.param(
            [OURS], pod("p", initContainers=[asks("nvidia.com/gpu", 1) | {"name": "warm"}]), id="a GPU while it starts"
        ),
        pytest.param([OURS], pod("p", labels={"bayplan.dev/gang": "g"}), id="a launcher: in a gang, without GPUs"),
        pytest.param([OURS], pod("p", labels={"ray.io/cluster": "r"}), id="a head: of a RayCluster, without GPUs"),
        pytest.param([OURS], noted(pod("p"), {"scheduling.k8s.io/group-name": "g"}), id="another scheduler's gang"),
        pytest.param(
            [OURS], pod("p", resourceClaims=[{"name": "gpus", "resourceClaimName": "c"}]), id="devices by a claim alone"
        ),
        pytest.param(
            [],
            pod("p", scheduler="default-scheduler", resourceClaims=[{"name": "gpus", "resourceClaimName": "c"}]),
            id="another scheduler's, by a claim",
        ),
        pytest.param([], noted(pod("p"), {"note": "x"}), id="another annotation"),
        pytest.param([OURS], pod("p", labels={"app": "x"}, gpus=8), id="other labels"),
        pytest.param(
            ["team.example/ready", OURS],
            pod("p", gpus=1, schedulingGates=[{"name": "team.example/ready"}]),
            id="the user's gate stays",
        ),
        pytest.param([OURS], pod("p", gpus=1, schedulingGates=[{"name": OURS}]), id="gated already"),
        pytest.param([], pod("p"), id="neither GPU nor gang"),
        pytest.param([], pod("p", labels={"app": "x"}, schedulingGates=[]), id="neither, with labels"),
        pytest.param([], pod("p", containers=[asks("nvidia.com/gpu", 0)]), id="zero GPUs"),
        pytest.param([], pod("p", containers=[asks("nvidia.com/gpumem", 1000)]), id="a name that only begins alike"),
        pytest.param([], pod("p", containers=[asks("cpu", "2", kind="requests")]), id="CPU alone"),
        pytest.param([], pod("p", scheduler="default-scheduler", gpus=1), id="another scheduler's"),
        pytest.param(
            [],
            pod("p", scheduler="default-scheduler", labels={"bayplan.dev/gang": "g"}),
            id="another scheduler's, labelled",
        ),
        pytest.param([], pod("p", gpus=1, nodeName="n"), id="comes with its node"),
        pytest.param(
            [],
            pod("p", resources={"limits": {"cpu": "2", "memory": "1Gi"}}),
            id="resources of the pod as a whole, no GPU",
        ),
    ],
)
def test_gates_of_a_new_pod(admin: Api, team: str, asked: Json, wanted: list[str]) -> None:
    made = admin.create(f"/api/v1/namespaces/{team}/pods?dryRun=All", asked)
    assert gates(made) == wanted


def test_gating_leaves_everything_else_as_it_was(admin: Api, team: str) -> None:
    asked = pod("p", gpus=2, labels={"app": "x"}, nodeSelector={"zone": "a"}, priorityClassName="bayplan-high")
    asked["metadata"]["annotations"] = {"note": "kept"}
    made = admin.create(f"/api/v1/namespaces/{team}/pods?dryRun=All", asked)
    assert made["metadata"]["labels"] == {"app": "x"}
    assert made["metadata"]["annotations"] == {"note": "kept"}
    assert made["spec"]["nodeSelector"] == {"zone": "a"}
    assert made["spec"]["priority"] == 100000
    assert made["spec"]["preemptionPolicy"] == "Never"
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_a_fault_in_the_policy_stops_no_pod_of_another_scheduler(admin: Api, team: str) -> None:
    policy = one("MutatingAdmissionPolicy", "gate-pods.bayplan.dev")
    binding = one("MutatingAdmissionPolicyBinding", "gate-pods.bayplan.dev")
    conditions: list[Json] = [*policy["spec"]["matchConditions"]]
    conditions[-1] = {"name": "fault", "expression": "object.spec.noSuchField == 'x'"}
    faulty = {**policy, "metadata": {"name": "faulty"}, "spec": {**policy["spec"], "matchConditions": conditions}}
    admin.create(f"{ADMISSION}/mutatingadmissionpolicies", faulty)
    admin.create(
        f"{ADMISSION}/mutatingadmissionpolicybindings",
        {**binding, "metadata": {"name": "faulty"}, "spec": {"policyName": "faulty"}},
    )
    pods = f"/api/v1/namespaces/{team}/pods?dryRun=All"

    def refused() -> bool:
        try:
            admin.create(pods, pod("p", gpus=1))
        except ApiError as err:
            return "noSuchField" in str(err) or "no such key" in str(err)
        return False

    try:
        until(refused, timeout_s=20, what="the faulty policy's coming into force")
        assert gates(admin.create(pods, pod("p", scheduler="default-scheduler", gpus=1))) == []
    finally:
        admin.delete(f"{ADMISSION}/mutatingadmissionpolicybindings/faulty")
        admin.delete(f"{ADMISSION}/mutatingadmissionpolicies/faulty")
        until(lambda: not refused(), timeout_s=20, what="the faulty policy's going")
