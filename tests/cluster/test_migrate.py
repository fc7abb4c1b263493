"""`bayplan migrate --from-cluster` on a real API server with queues of two other schedulers."""

import json
from collections.abc import Iterator

import pytest
import yaml

from scheduler.cli.main import main
from scheduler.localcluster.api import ApiError, Json
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import noted, pod
from tests.migrate.samples import KUEUE, VOLCANO

pytestmark = pytest.mark.cluster

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = (
    ("scheduling.volcano.sh", "v1beta1", "Queue", "queues", "Cluster"),
    ("kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues", "Cluster"),
    ("kueue.x-k8s.io", "v1beta2", "Cohort", "cohorts", "Cluster"),
    ("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors", "Cluster"),
    ("kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues", "Namespaced"),
)


def definition(group: str, version: str, kind: str, plural: str, scope: str) -> Json:
    """A kind of objects in which anything may stand."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, of a test"},
        },
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}],
        },
    }


@pytest.fixture
def foreign(lab: Lab) -> Iterator[Lab]:
    """A cluster with the queues of Volcano and Kueue that the samples have."""
    for kind in KINDS:
        lab.api.create(DEFINITIONS, definition(*kind))
    for group, _, _, plural, _ in KINDS:
        served = f"{DEFINITIONS}/{plural}.{group}"
        lab.eventually(f"{plural} are served", lambda at=served: "Established" in str(lab.api.get(at).get("status")))
    for document in [*yaml.safe_load(VOLCANO)["items"], *yaml.safe_load_all(KUEUE)]:
        group, version, _, plural, scope = next(
            kind
            for kind in KINDS
            if kind[0] == document["apiVersion"].partition("/")[0] and kind[2] == document["kind"]
        )
        inside = "namespaces/default/" if scope == "Namespaced" else ""
        meta = {"name": document["metadata"]["name"]}
        made = {**document, "apiVersion": f"{group}/{version}", "metadata": meta}
        path = f"/apis/{group}/{version}/{inside}{plural}"
        lab.eventually(f"a {plural} is made", lambda at=path, one=made: _made(lab, at, one))
    yield lab
    for group, _, _, plural, _ in KINDS:
        lab.api.delete(f"{DEFINITIONS}/{plural}.{group}")


def _made(lab: Lab, path: str, document: Json) -> bool:
    """Whether the object is there; its kind is served a moment after it says so."""
    try:
        lab.api.create(path, document)
    except ApiError:
        return False
    return True


def test_queues_of_a_cluster_become_queues_that_the_cluster_takes(
    foreign: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = foreign
    lab.create(noted(pod("trains", gpus=1), labels={"kueue.x-k8s.io/queue-name": "lq"}))
    capsys.readouterr()
    assert main(["migrate", "--from-cluster", "--kubeconfig", str(lab.cluster.kubeconfig()), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    made = {queue["metadata"]["name"]: queue for queue in said["queues"]}
    assert set(made) == {"org", "vision", "alone", "lq", "vision-kueue"}
    assert made["vision"]["spec"]["cpu"] == {"nominal": 64, "lendingLimit": 48}
    assert {found["becomes"] for found in said["found"] if found["kind"] == "Pod"} == {
        "pods that stand alone, in queue lq"
    }
    for queue in made.values():
        lab.api.create(QUEUES, queue)
    assert {item["metadata"]["name"] for item in lab.api.get(QUEUES)["items"]} >= set(made)
