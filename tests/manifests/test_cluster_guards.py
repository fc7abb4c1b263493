"""Who may take the gate off and who may nominate, on a real API server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.waiting import until
from tests.manifests.people import CLUSTER_SCHEDULER, OWN_SCHEDULER, SERVICE, STRATEGIC, Somebody, gates, pod

pytestmark = pytest.mark.cluster

UNGATE: Json = {"spec": {"schedulingGates": [{"$patch": "delete", "name": "bayplan.dev/plan"}]}}

NOMINATORS = [SERVICE, OWN_SCHEDULER, CLUSTER_SCHEDULER]
OTHERS = [
    OWN_SCHEDULER,
    CLUSTER_SCHEDULER,
    "system:serviceaccount:bayplan-system:default",
    "system:serviceaccount:red:bayplan",
    "system:kube-controller-manager",
]

As = Callable[[str], Api]


class Subject:
    """A pod on the API server and where it is found."""

    def __init__(self, admin: Api, team: str, asked: Json) -> None:
        self._collection = f"/api/v1/namespaces/{team}/pods"
        self.path = f"{self._collection}/{asked['metadata']['name']}"
        self.uid: str = admin.create(self._collection, asked)["metadata"]["uid"]

    def ungate(self, by: Api, *, uid: str | None = None) -> list[str]:
        """The gates left."""
        patch = {**UNGATE, "metadata": {"uid": uid or self.uid}}
        return gates(by.call("PATCH", self.path, patch, content=STRATEGIC))

    def nominate(self, by: Api, node: str | None) -> str | None:
        """The nomination that stands then."""
        status: Json = by.merge(f"{self.path}/status", {"status": {"nominatedNodeName": node}})["status"]
        return status.get("nominatedNodeName")


@pytest.fixture
def subject(admin: Api, team: str) -> Iterator[Subject]:
    made = Subject(admin, team, pod("guarded", gpus=1, schedulingGates=[{"name": "team.example/ready"}]))
    yield made
    admin.delete(f"{made.path}?gracePeriodSeconds=0")


@pytest.fixture
def foreign(admin: Api, team: str) -> Iterator[Subject]:
    gate = [{"name": "bayplan.dev/plan"}]
    made = Subject(admin, team, pod("foreign", scheduler="default-scheduler", gpus=1, schedulingGates=gate))
    yield made
    admin.delete(f"{made.path}?gracePeriodSeconds=0")


def test_an_admin_who_takes_the_gate_off_is_refused_and_told_what_to_do(admin: Api, subject: Subject) -> None:
    with pytest.raises(ApiError) as refusal:
        subject.ungate(admin)
    assert refusal.value.status == 403
    text = str(refusal.value)
    assert "taken off by Bayplan alone" in text
    assert "bayplan.dev/Planned" in text
    assert "delete the ValidatingAdmissionPolicyBinding guard-gates.bayplan.dev" in text
    assert gates(admin.get(subject.path)) == ["team.example/ready", "bayplan.dev/plan"]


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"spec": {"schedulingGates": None}}, id="all gates at once"),
        pytest.param({"spec": {"schedulingGates": [{"name": "team.example/ready"}]}}, id="all but the own"),
    ],
)
def test_there_is_no_other_way_round(admin: Api, subject: Subject, patch: Json) -> None:
    with pytest.raises(ApiError, match="taken off by Bayplan alone"):
        admin.merge(subject.path, patch)


@pytest.mark.parametrize("user", OTHERS)
def test_every_right_there_is_does_not_help(kubeconfig: Path, subject: Subject, user: str) -> None:
    mighty = Somebody(kubeconfig, user, "system:masters")
    with pytest.raises(ApiError, match="taken off by Bayplan alone"):
        subject.ungate(mighty)
    if user not in NOMINATORS:
        with pytest.raises(ApiError, match="written by Bayplan and kube-scheduler alone"):
            subject.nominate(mighty, "n1")


def test_the_service_takes_its_gate_off_and_leaves_the_users(as_user: As, subject: Subject) -> None:
    assert subject.ungate(as_user(SERVICE)) == ["team.example/ready"]


def test_the_service_does_not_hit_a_namesake(as_user: As, subject: Subject) -> None:
    with pytest.raises(ApiError, match=r"metadata\.uid"):
        subject.ungate(as_user(SERVICE), uid="5f0c6a52-0000-4000-8000-000000000000")


def test_people_go_on_editing_their_pods(admin: Api, subject: Subject) -> None:
    edited = admin.merge(subject.path, {"metadata": {"labels": {"app": "x"}, "annotations": {"note": "y"}}})
    assert edited["metadata"]["labels"] == {"app": "x"}
    own = {"spec": {"schedulingGates": [{"$patch": "delete", "name": "team.example/ready"}]}}
    assert gates(admin.call("PATCH", subject.path, own, content=STRATEGIC)) == ["bayplan.dev/plan"]


def test_pods_of_other_schedulers_are_nobodys_business(admin: Api, foreign: Subject) -> None:
    assert foreign.nominate(admin, "n1") == "n1"
    assert foreign.ungate(admin) == []


def test_an_admin_who_nominates_is_refused_and_told_what_to_do(admin: Api, subject: Subject) -> None:
    with pytest.raises(ApiError) as refusal:
        subject.nominate(admin, "n1")
    assert refusal.value.status == 403
    assert "written by Bayplan and kube-scheduler alone" in str(refusal.value)
    assert "delete the ValidatingAdmissionPolicyBinding guard-nominations.bayplan.dev" in str(refusal.value)


@pytest.mark.parametrize("user", NOMINATORS)
def test_the_service_and_kube_schedulers_nominate(as_user: As, subject: Subject, user: str) -> None:
    assert subject.nominate(as_user(user), "n1") == "n1"
    assert subject.nominate(as_user(user), None) is None


def test_others_write_the_rest_of_the_status(admin: Api, as_user: As, subject: Subject) -> None:
    subject.nominate(as_user(SERVICE), "n1")
    condition = {"type": "team.example/Seen", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = {"status": {"conditions": [condition]}}
    status = admin.call("PATCH", f"{subject.path}/status", patch, content=STRATEGIC)["status"]
    assert status["nominatedNodeName"] == "n1"
    assert "team.example/Seen" in [c["type"] for c in status["conditions"]]
    with pytest.raises(ApiError, match="alone"):
        subject.nominate(admin, None)


def test_the_service_binds_and_a_kubelet_reports(admin: Api, as_user: As, team: str) -> None:
    bound = Subject(admin, team, pod("bound", gpus=1))
    service = as_user(SERVICE)
    try:
        bound.nominate(service, "n1")
        bound.ungate(service)
        target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
        meta = {"name": "bound", "namespace": team, "uid": bound.uid}
        service.create(
            f"{bound.path}/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}
        )
        now = admin.get(bound.path)
        assert now["spec"]["nodeName"] == "n1"
        assert "nominatedNodeName" not in now["status"]
        assert admin.merge(f"{bound.path}/status", {"status": {"phase": "Running"}})["status"]["phase"] == "Running"
    finally:
        admin.delete(f"{bound.path}?gracePeriodSeconds=0")


def test_a_queue_with_running_work_is_not_deleted(admin: Api) -> None:
    queues = "/apis/bayplan.dev/v1alpha1/queues"
    admin.create(
        queues, {"apiVersion": "bayplan.dev/v1alpha1", "kind": "Queue", "metadata": {"name": "busy"}, "spec": {}}
    )
    admin.merge(f"{queues}/busy/status", {"status": {"runningWorkloads": 2}})

    def refused() -> bool:
        try:
            admin.delete(f"{queues}/busy?dryRun=All")
        except ApiError as err:
            return "queue busy has 2 running workloads; let them end" in str(err)
        return False

    until(refused, timeout_s=60, what="the guard of queues")
    admin.merge(f"{queues}/busy", {"metadata": {"annotations": {"bayplan.dev/delete-in-use": "true"}}})
    admin.delete(f"{queues}/busy")
    idle = {"apiVersion": "bayplan.dev/v1alpha1", "kind": "Queue", "metadata": {"name": "idle"}, "spec": {}}
    admin.create(queues, idle)
    admin.delete(f"{queues}/idle")


def test_the_service_keeps_queues_by_its_finalizer_and_changes_nothing_else_of_them(admin: Api, as_user: As) -> None:
    queues = "/apis/bayplan.dev/v1alpha1/queues"
    made: Json = {"apiVersion": "bayplan.dev/v1alpha1", "kind": "Queue", "metadata": {"name": "kept"}, "spec": {}}
    admin.create(queues, made)
    service = as_user(SERVICE)

    def refused(change: Json) -> bool:
        try:
            service.merge(f"{queues}/kept?dryRun=All", change)
        except ApiError as err:
            return "may change the finalizers of a Queue and nothing else" in str(err)
        return False

    until(lambda: refused({"spec": {"nominal": 8}}), timeout_s=60, what="the guard of queues")
    assert refused({"metadata": {"annotations": {"bayplan.dev/delete-in-use": "true"}}})
    assert refused({"metadata": {"labels": {"team": "red"}}})
    held = service.merge(f"{queues}/kept", {"metadata": {"finalizers": ["bayplan.dev/in-use"]}})
    assert held["metadata"]["finalizers"] == ["bayplan.dev/in-use"]
    admin.merge(f"{queues}/kept", {"spec": {"nominal": 8}})
    admin.delete(f"{queues}/kept")
    assert admin.get(f"{queues}/kept")["metadata"]["deletionTimestamp"]
    service.merge(f"{queues}/kept", {"metadata": {"finalizers": []}})
    with pytest.raises(ApiError) as gone:
        admin.get(f"{queues}/kept")
    assert gone.value.status == 404
