"""An exporter writes its own node's GPUNode: asked of a real API server, with tokens as pods on two nodes have them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.waiting import until
from tests.cluster.harness.lab import Lab

pytestmark = pytest.mark.cluster

NAMESPACE = ACCOUNT = "bayplan-exporter"
GPU_NODES = "/apis/bayplan.dev/v1alpha1/gpunodes"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
TOKENS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
OWN, OTHER = "h100-0", "h100-1"

As = Callable[[str], Api]


def made(name: str, **metadata: object) -> Json:
    return {"apiVersion": "bayplan.dev/v1alpha1", "kind": "GPUNode", "metadata": {"name": name, **metadata}}


@pytest.fixture
def exporters(lab: Lab, tmp_path: Path) -> Iterator[As]:
    """The API server as the exporter on a node sees it; "" for a token that no pod has."""
    lab.h100(2)
    for name in (OWN, OTHER):
        if any(each["metadata"]["name"] == name for each in lab.api.get(GPU_NODES)["items"]):
            lab.api.delete(f"{GPU_NODES}/{name}")
    apis: list[Api] = []

    def as_node(node: str) -> Api:
        bound = {"boundObjectRef": pod_on(lab.api, node)} if node else {}
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": bound}
        token = lab.api.create(TOKENS, asked)["status"]["token"]
        config = yaml.safe_load(lab.cluster.kubeconfig().read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / f"kubeconfig-{node}"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        apis.append(Api(path))
        return apis[-1]

    yield as_node
    for api in apis:
        api.close()
    lab.api.delete(f"{PODS}?gracePeriodSeconds=0")
    lab.delete_node(OWN)


def pod_on(api: Api, node: str) -> Json:
    """A pod of the exporter's account on a node, as a token names it."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"exporter-{node}"},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "nodeName": node,
            "containers": [{"name": "exporter", "image": "bayplan:test"}],
        },
    }
    pod = api.create(PODS, body)
    return {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ApiError) as err:
        act()
    assert err.value.status == 403
    return str(err.value)


def test_each_writes_its_own_and_no_other(lab: Lab, exporters: As) -> None:
    own, other = exporters(OWN), exporters(OTHER)
    uid = lab.api.get(f"/api/v1/nodes/{OWN}")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": OWN, "uid": uid}
    status = {"status": {"driverVersion": "1"}}

    said = "may write the GPUNode h100-1 and no other, not h100-0"
    # The policy is in force some time after it was written.
    until(lambda: _refused(other, made(OWN)), timeout_s=30, what="the policy for reports")
    assert said in refusal(lambda: other.create(GPU_NODES, made(OWN)))

    assert own.create(GPU_NODES, made(OWN, ownerReferences=[owner]))["metadata"]["name"] == OWN
    assert own.merge(f"{GPU_NODES}/{OWN}/status", status)["status"]["driverVersion"] == "1"
    assert said in refusal(lambda: other.merge(f"{GPU_NODES}/{OWN}/status", {"status": {"driverVersion": "2"}}))
    assert lab.api.get(f"{GPU_NODES}/{OWN}")["status"] == status["status"]
    assert own.get(f"{GPU_NODES}/{OWN}")["status"] == status["status"]

    nobody = exporters("")
    for act in (
        lambda: nobody.create(GPU_NODES, made(OTHER)),
        lambda: nobody.merge(f"{GPU_NODES}/{OWN}/status", status),
    ):
        assert "the token of this exporter names no node" in refusal(act)


def _refused(api: Api, body: Json) -> bool:
    try:
        api.create(f"{GPU_NODES}?dryRun=All", body)
    except ApiError as err:
        return err.status == 403
    return False


def test_no_tricks_with_metadata(lab: Lab, exporters: As) -> None:
    own = exporters(OWN)
    other_uid = lab.api.get(f"/api/v1/nodes/{OTHER}")["metadata"]["uid"]
    foreign = {"apiVersion": "v1", "kind": "Node", "name": OTHER, "uid": other_uid}
    until(lambda: _refused(own, made(OTHER)), timeout_s=30, what="the policy for reports")
    assert "may belong to the node of its name" in refusal(
        lambda: own.create(GPU_NODES, made(OWN, ownerReferences=[foreign]))
    )
    kept = made(OWN, finalizers=["example.com/kept"])
    assert "no finalizers and no annotations" in refusal(lambda: own.create(GPU_NODES, kept))
    own.create(GPU_NODES, made(OWN))
    for act in (
        lambda: own.merge(f"{GPU_NODES}/{OWN}", {"metadata": {"labels": {"a": "b"}}}),
        lambda: own.delete(f"{GPU_NODES}/{OWN}"),
        lambda: own.get(GPU_NODES),
        lambda: own.merge(f"/api/v1/nodes/{OWN}", {"spec": {"unschedulable": True}}),
        lambda: own.get("/api/v1/pods"),
    ):
        assert "forbidden" in refusal(act)


def test_others_write_as_their_rights_allow(lab: Lab, exporters: As) -> None:
    del exporters
    assert lab.api.create(f"{GPU_NODES}?dryRun=All", made("somewhere"))["metadata"]["name"] == "somewhere"
