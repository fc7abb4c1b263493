"""The examples people copy: taken by a real API server, and gated where they should be."""

from pathlib import Path

import pytest

from scheduler.localcluster.api import Api, Json
from tests.manifests.files import MANIFESTS, documents
from tests.manifests.people import gates

pytestmark = pytest.mark.cluster

EXAMPLES = sorted((MANIFESTS / "examples").glob("*.yaml"))
FOUND: list[tuple[str, Json]] = [(p.name, d) for p in EXAMPLES for d in documents(p)]
WITH_PODS = [(name, d) for name, d in FOUND if "template" in d["spec"]]


COLLECTIONS = {
    "Queue": "/apis/bayplan.dev/v1alpha1/queues",
    "Topology": "/apis/bayplan.dev/v1alpha1/topologies",
    "Job": "/apis/batch/v1/namespaces/red/jobs",
    "Service": "/api/v1/namespaces/red/services",
    "StatefulSet": "/apis/apps/v1/namespaces/red/statefulsets",
    "Deployment": "/apis/apps/v1/namespaces/red/deployments",
    "ResourceClaimTemplate": "/apis/resource.k8s.io/v1/namespaces/red/resourceclaimtemplates",
}


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("example", [d for _, d in FOUND], ids=[f"{name} {d['kind']}" for name, d in FOUND])
def test_an_example_is_taken_word_for_word(admin: Api, example: Json) -> None:
    made = admin.create(f"{COLLECTIONS[example['kind']]}?dryRun=All&fieldValidation=Strict", example)
    assert made["metadata"]["name"] == example["metadata"]["name"]


@pytest.mark.parametrize("example", [d for _, d in WITH_PODS], ids=[f"{name} {d['kind']}" for name, d in WITH_PODS])
def test_every_pod_of_an_example_is_planned(admin: Api, team: str, example: Json) -> None:
    template = example["spec"]["template"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "x"},
        "spec": template["spec"],
    }
    made = admin.create(f"/api/v1/namespaces/{team}/pods?dryRun=All&fieldValidation=Strict", body)
    assert gates(made) == ["bayplan.dev/plan"]


def test_examples_ask_queues_and_levels_that_are_there() -> None:
    queues = {d["metadata"]["name"] for d in documents(example("queues"))}
    (topology,) = documents(example("topology"))
    levels = {level["name"] for level in topology["spec"]["levels"]}
    for _, asked in WITH_PODS:
        metadata: Json = asked["spec"]["template"]["metadata"]
        assert metadata["labels"]["bayplan.dev/queue"] in queues
        assert metadata.get("annotations", {}).get("bayplan.dev/topology-required", "rack") in levels


def example(name: str) -> Path:
    return MANIFESTS / "examples" / f"{name}.yaml"
