"""`bayplan explain` against a real API server: what people typed wrong, what they wait for, where it runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.cli.main import main
from scheduler.cli.queue_told import TOLD
from scheduler.localcluster import fleet
from scheduler.localcluster.api import Api
from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.options import ClusterOptions
from scheduler.localcluster.waiting import until
from tests.cluster.harness.objects import gang_job, gang_pods, job, noted, pod, queue, template

pytestmark = pytest.mark.cluster

NAMESPACE = "vision"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
Explain = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two nodes with 8 GPUs each; nobody schedules, so that what waits keeps waiting."""
    options = ClusterOptions(with_scheduler=False, with_service=False, fleet=fleet.plain(2))
    with LocalCluster.running(tmp_path_factory.mktemp("explain"), options) as running:
        running.add_namespace(NAMESPACE)
        api = running.api()
        fill(api)
        api.close()
        yield running


def fill(api: Api) -> None:
    """Everything that the tests ask about."""
    api.create("/apis/bayplan.dev/v1alpha1/queues", queue("team", nominal=12, namespaces=[NAMESPACE]))
    wrong = noted(pod("mistyped", gpus=1), {"bayplan.dev/duration": "soon"})
    lost = pod("lost", gpus=1, queue="reserch")
    standing = pod("standing", gpus=8, nodeName="node-0")
    for made in [*gang_pods("torn", pods=4)[:2], *gang_pods("big", pods=2), wrong, lost, standing]:
        api.create(PODS, made)
    api.create(JOBS, gang_job("train", pods=2))
    api.create(JOBS, job("sweep", template(gpus=1), pods=6))
    until(lambda: len(api.get(PODS)["items"]) == 15, timeout_s=30, what="the Jobs' pods")


@pytest.fixture
def explain(cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Runs the command with `--json` and gives its answer, or its one line on stderr as `error`."""

    def run(name: str, *more: str) -> dict[str, Any]:
        where = ["--kubeconfig", str(cluster.kubeconfig()), *(more or ("-n", NAMESPACE))]
        code = main(["explain", name, "--json", *where])
        out, err = capsys.readouterr()
        if code:
            assert err.count("\n") == 1
            return {"code": code, "error": err}
        return json.loads(out)

    return run


def test_a_gang_over_its_quota(explain: Explain) -> None:
    (found,) = explain("big")["workloads"]
    assert (found["kind"], found["state"], found["queue"], found["reason"]) == (
        "gang",
        "waiting",
        "team",
        "QuotaExhausted",
    )
    assert found["unblock"]


def test_a_job_that_is_a_gang_is_found_by_its_own_name_and_its_pods(explain: Explain) -> None:
    (found,) = explain("train")["workloads"]
    assert (found["kind"], found["size"], found["pods"]) == ("gang", 2, 2)


def test_a_gang_size_that_never_arrives(explain: Explain) -> None:
    (found,) = explain("torn-1")["workloads"]
    assert found["reason"] == "GangIncomplete"
    assert "2 of 4" in found["detail"]


def test_a_bad_annotation_is_quoted(explain: Explain) -> None:
    (found,) = explain("mistyped")["workloads"]
    assert found["reason"] == "InvalidRequest"
    assert "'soon'" in found["message"]


def test_a_queue_that_does_not_exist_is_quoted(explain: Explain) -> None:
    (found,) = explain("lost")["workloads"]
    assert found["reason"] == "QueueMissing"
    assert "'reserch'" in found["message"]


def test_a_pod_that_stands_says_where(explain: Explain) -> None:
    (found,) = explain("standing")["workloads"]
    assert (found["state"], found["nodes"]) == ("running", {"node-0": ["standing"]})


def test_a_job_whose_pods_stand_alone_has_each_of_them_explained(explain: Explain) -> None:
    assert len(explain("sweep")["workloads"]) == 6


def test_a_name_that_is_not_there(explain: Explain) -> None:
    said = explain("trian")
    assert said["code"] == 2
    assert "'trian'" in said["error"]
    assert "names like it: train" in said["error"]


def test_a_name_in_another_namespace(explain: Explain) -> None:
    assert "but in vision" in explain("train", "-n", "default")["error"]


def test_the_namespace_is_that_of_the_current_context_or_default(explain: Explain) -> None:
    assert "in the namespace 'default'" in explain("train", "--scheduler-name", "bayplan")["error"]


def test_people_read_text(cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "sweep", "-n", NAMESPACE, "--kubeconfig", str(cluster.kubeconfig())]) == 0
    text = capsys.readouterr().out
    assert f"{NAMESPACE}/sweep-0" in text
    assert "queue:" in text


def test_a_cluster_that_does_not_answer_is_one_line(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "config"
    text = cluster.kubeconfig().read_text(encoding="utf-8")
    elsewhere.write_text(text.replace(f":{cluster.server.rpartition(':')[2]}", ":1"), encoding="utf-8")
    assert main(["explain", "x", "--kubeconfig", str(elsewhere)]) == 1
    assert "the API server does not answer" in capsys.readouterr().err


QUEUES = "/apis/bayplan.dev/v1alpha1/queues"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def viewer(cluster: LocalCluster, tmp_path: Path) -> Path:
    """The kubeconfig of somebody who may list queues, and nothing else; a status is written into one."""
    api = cluster.api()
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    api.create(account, {"metadata": {"name": "viewer"}})
    rule = {"apiGroups": ["bayplan.dev"], "resources": ["queues"], "verbs": ["list"]}
    api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "viewer"}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"}
    subjects = [{"kind": "ServiceAccount", "name": "viewer", "namespace": NAMESPACE}]
    api.create(f"{RBAC}/clusterrolebindings", {"metadata": {"name": "viewer"}, "roleRef": role, "subjects": subjects})
    told = {"usedMilliGpu": 14_000, "borrowedMilliGpu": 2_000, "pendingMilliGpu": 8_000, "pendingWorkloads": 3}
    api.merge(f"{QUEUES}/team/status", {"status": told})
    token = api.call("POST", f"{account}/viewer/token", {"spec": {}})["status"]["token"]
    api.close()
    config = yaml.safe_load(cluster.kubeconfig().read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "viewer").write_text(yaml.safe_dump(config), encoding="utf-8")
    return tmp_path / "viewer"


def test_who_may_see_queues_alone_is_told_what_their_status_says(
    viewer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queues", "--kubeconfig", str(viewer), "--json"]) == 0
    said = capsys.readouterr()
    (team,) = [queue for queue in json.loads(said.out)["queues"] if queue["name"] == "team"]
    assert (team["total"]["used_milli_gpu"], team["total"]["nominal_milli_gpu"]) == (14_000, 12_000)
    assert team["pending_workloads"] == 3
    assert said.err == f"bayplan: {TOLD}\n"
    assert main(["queue", "team", "--kubeconfig", str(viewer)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("team uses 14 GPUs: the 12 that it owns, and 2 that it borrows; 8 GPUs of 3 workloads ")
    assert said.err == f"bayplan: {TOLD}; what runs and waits in it is left out\n"
    assert main(["queue", "taem", "--kubeconfig", str(viewer)]) == 2
    assert "there is team" in capsys.readouterr().err
