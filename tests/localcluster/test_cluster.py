import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.localcluster import ClusterOptions, InputError, LocalCluster, PartFailedError
from scheduler.localcluster import fleet as fleets
from scheduler.localcluster.api import Api
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.options import BARE
from scheduler.localcluster.waiting import until
from tests.localcluster.proc import commands_with

pytestmark = pytest.mark.cluster

BAYPLAN = [sys.executable, "-m", "scheduler"]
SMALL = Fleet(groups=[Group(name="n", count=2, machine="hgx_h100")])
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A bare control plane with two nodes."""
    with LocalCluster.running(tmp_path_factory.mktemp("bare"), BARE) as cluster:
        cluster.add_nodes(SMALL, with_reports=False)
        yield cluster


@pytest.fixture
def api(cluster: LocalCluster) -> Iterator[Api]:
    api = cluster.api()
    yield api
    api.close()


def job(name: str, **annotations: str) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": "8"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"annotations": {f"bayplan.dev/{key}": value for key, value in annotations.items()}},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": "none", "resources": {"limits": limits}}],
                },
            }
        },
    }


def pods_of(api: Api, name: str) -> list[dict[str, Any]]:
    return api.get(f"{PODS}?labelSelector=job-name={name}")["items"]


def in_phase(api: Api, name: str, phase: str) -> bool:
    return [pod["status"]["phase"] for pod in pods_of(api, name)] == [phase]


def test_the_api_server_is_of_the_version_that_was_built(api: Api) -> None:
    assert api.get("/version")["gitVersion"] == "v1.36.3"


def test_every_part_is_ready(cluster: LocalCluster) -> None:
    names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"]
    assert [(part.name, part.state) for part in cluster.status()] == [(name, "ready") for name in names]
    cluster.check()


def test_nodes_are_ready_and_take_pods(api: Api) -> None:
    for node in api.get("/api/v1/nodes")["items"]:
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert "taints" not in node["spec"]
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"


def test_a_node_that_says_nothing_of_itself_is_made_ready(api: Api) -> None:
    annotations = {"kwok.x-k8s.io/node": "fake"}
    api.create("/api/v1/nodes", {"kind": "Node", "metadata": {"name": "by-hand", "annotations": annotations}})

    def ready() -> bool:
        conditions = api.get("/api/v1/nodes/by-hand")["status"].get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    until(ready, timeout_s=30, what="the node")
    api.delete("/api/v1/nodes/by-hand")


def test_a_job_runs_on_a_node_for_as_long_as_its_annotation_says(api: Api) -> None:
    api.create("/apis/batch/v1/namespaces/default/jobs", job("short", **{"simulated-runtime": "1s"}))
    until(lambda: in_phase(api, "short", "Succeeded"), timeout_s=30, what="the job's pod")
    (pod,) = pods_of(api, "short")
    assert pod["spec"]["nodeName"] in {"n-0", "n-1"}
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["finishedAt"] > state["startedAt"]
    conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert conditions["PodScheduled"] == "True"
    assert conditions["Ready"] == "False"
    path = "/apis/batch/v1/namespaces/default/jobs/short"
    until(lambda: api.get(path)["status"].get("succeeded") == 1, timeout_s=30, what="the job's end")


@pytest.mark.parametrize(("name", "annotations"), [("endless", {}), ("unread", {"simulated-runtime": "a while"})])
def test_a_job_without_a_time_runs_until_it_is_deleted(api: Api, name: str, annotations: dict[str, str]) -> None:
    api.create("/apis/batch/v1/namespaces/default/jobs", job(name, **annotations))
    until(lambda: in_phase(api, name, "Running"), timeout_s=30, what="the job's pod")
    api.delete(f"/apis/batch/v1/namespaces/default/jobs/{name}?propagationPolicy=Background")
    until(lambda: pods_of(api, name) == [], timeout_s=30, what="the pod leaving")


def test_a_pod_takes_the_time_to_leave_that_its_annotation_says(api: Api) -> None:
    api.create("/apis/batch/v1/namespaces/default/jobs", job("slow", **{"simulated-shutdown": "1h"}))
    until(lambda: in_phase(api, "slow", "Running"), timeout_s=30, what="the job's pod")
    api.delete("/apis/batch/v1/namespaces/default/jobs/slow?propagationPolicy=Background")
    until(lambda: "deletionTimestamp" in pods_of(api, "slow")[0]["metadata"], timeout_s=30, what="the deletion")
    api.delete(f"{PODS}/{pods_of(api, 'slow')[0]['metadata']['name']}?gracePeriodSeconds=0")
    until(lambda: pods_of(api, "slow") == [], timeout_s=30, what="the pod leaving")


def test_a_namespace_that_was_added_takes_pods(cluster: LocalCluster, api: Api) -> None:
    cluster.add_namespace("team")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    assert api.create("/api/v1/namespaces/team/pods", pod)["metadata"]["name"] == "p"


def test_the_parts_of_the_control_plane_are_no_administrators(cluster: LocalCluster) -> None:
    scheduler = cluster.api("kube-scheduler")
    with pytest.raises(ApiError, match="403"):
        scheduler.get("/api/v1/secrets")
    scheduler.close()


def test_two_clusters_live_side_by_side(cluster: LocalCluster, tmp_path: Path) -> None:
    with LocalCluster.running(tmp_path, BARE) as other:
        assert other.server != cluster.server
        api = other.api()
        assert api.get("/api/v1/nodes")["items"] == []
        api.close()
        other.check()
    cluster.check()


def test_a_second_start_in_the_same_folder_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(InputError, match=r"runs in .* already"):
        LocalCluster(cluster.state_dir).start(BARE)
    cluster.check()


def test_a_killed_api_server_is_named_and_comes_back_with_all_it_knew(cluster: LocalCluster, api: Api) -> None:
    cluster.kill("kube-apiserver")
    with pytest.raises(
        PartFailedError, match=r"^kube-apiserver was ended by SIGKILL; the end of .*kube-apiserver\.log"
    ):
        cluster.check()
    states = {part.name: part.state for part in LocalCluster(cluster.state_dir).status()}
    assert states["kube-apiserver"] == "dead"
    assert states["etcd"] == "ready"

    cluster.restart("kube-apiserver")
    cluster.wait_ready("kube-apiserver")
    assert {"n-0", "n-1"} <= {node["metadata"]["name"] for node in api.get("/api/v1/nodes")["items"]}


def test_a_part_that_dies_at_its_start_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "own"
    broken.mkdir()
    (broken / "kube-apiserver").write_text("#!/bin/sh\necho no luck today\nexit 7\n", encoding="utf-8")
    (broken / "kube-apiserver").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(broken))
    with pytest.raises(PartFailedError, match=r"(?s)kube-apiserver ended with status 7.*no luck today"):
        LocalCluster(tmp_path / "state").start(BARE)
    assert commands_with(str(tmp_path / "state")) == []
    assert LocalCluster(tmp_path / "state").status() == []


def test_nothing_is_left_when_the_cluster_is_stopped(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.start(BARE)
    assert len(commands_with(str(tmp_path))) >= 5
    LocalCluster(tmp_path).stop()
    assert commands_with(str(tmp_path)) == []
    assert (tmp_path / "logs" / "etcd.log").is_file()
    assert not (tmp_path / "etcd").exists()
    cluster.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_a_start_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    command = [*BAYPLAN, "cluster", "start", "--without-service", "--state-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as starting:
        assert starting.stderr is not None
        until(
            lambda: any("kube-apiserver" in line for line in commands_with(str(tmp_path))[1:]),
            timeout_s=60,
            what="the API server's start",
        )
        starting.send_signal(number)
        starting.wait(timeout=60)
    until(lambda: commands_with(str(tmp_path)) == [], timeout_s=60, what="the end of all processes")


def test_the_command_starts_shows_and_stops_a_cluster_that_outlives_it(tmp_path: Path) -> None:
    def bayplan(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = [*BAYPLAN, "cluster", *arguments, "--state-dir", str(tmp_path / "c"), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("groups: [{name: one, count: 1, machine: l40s_x4}]", encoding="utf-8")
    code, started = bayplan("start", "--without-service", "--fleet", str(fleet))
    assert code == 0
    try:
        parts = {part["name"]: part["state"] for part in started["parts"]}
        assert parts["bayplan-kube-scheduler"] == "ready"
        assert Path(started["kubeconfig"]).is_file()
        api = LocalCluster(tmp_path / "c").api()
        (node,) = api.get("/api/v1/nodes")["items"]
        (report,) = api.get("/apis/bayplan.dev/v1alpha1/gpunodes")["items"]
        assert report["status"]["deviceCount"] == 4
        assert report["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
        api.close()
        assert bayplan("status")[0] == 0
        LocalCluster(tmp_path / "c").kill("kwok")
        code, shown = bayplan("status")
        assert code == 1
        assert [part["name"] for part in shown["parts"] if part["state"] == "dead"] == ["kwok"]
    finally:
        code, stopped = bayplan("stop")
    assert code == 0
    assert "etcd" in stopped["stopped"]
    assert bayplan("status") == (1, {"stateDir": str(tmp_path / "c"), "parts": []})
    assert commands_with(str(tmp_path)) == []


def test_the_service_and_its_scheduler_have_the_rights_of_their_accounts_only(tmp_path: Path) -> None:
    options = ClusterOptions(with_service=False, fleet=fleets.plain(1))
    with LocalCluster.running(tmp_path, options) as cluster:
        for user in ("bayplan", "bayplan-kube-scheduler"):
            api = cluster.api(user)
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            told = api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
            assert told["status"]["userInfo"]["username"] == f"system:serviceaccount:bayplan-system:{user}"
            with pytest.raises(ApiError, match="403"):
                api.get("/api/v1/secrets")
            api.close()
        with pytest.raises(InputError, match='no kubeconfig for "mallory"'):
            cluster.kubeconfig("mallory")
        with pytest.raises(InputError, match='no part "mallory"'):
            cluster.kill("mallory")
