"""Whole manifests for other schedulers, read without a cluster."""

import re

import pytest
import yaml
from msgspec.structs import asdict

from scheduler.kube.dialects.understood import UnderstoodDocument, understood
from tests.kube.dialects.test_keys import HONOURED
from tests.manifests.files import one

PLAIN = asdict(UnderstoodDocument(kind="", namespace="", name=""))

POD = "{schedulerName: other, containers: [{name: main, resources: {limits: {nvidia.com/gpu: 8}}}]}"
TEMPLATE = f"{{metadata: {{labels: {{app: x}}}}, spec: {POD}}}"


def read(text: str) -> UnderstoodDocument:
    found = understood(yaml.safe_load(text))
    assert found is not None
    return found


def fields(found: UnderstoodDocument) -> dict[str, object]:
    """Those that differ from what an object says that says nothing, its name aside."""
    return {name: value for name, value in asdict(found).items() if value != PLAIN[name] and name != "namespace"}


CASES = [
    pytest.param(
        f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: web}}
        spec: {{replicas: 4, template: {TEMPLATE}}}
        """,
        {},
        id="pods of a Deployment stand alone",
    ),
    pytest.param(
        """
        apiVersion: argoproj.io/v1alpha1
        kind: Workflow
        metadata: {generateName: web}
        spec:
          entrypoint: all
          schedulerName: other
          podPriorityClassName: low
          podMetadata: {labels: {kai.scheduler/queue: red}}
          templates:
            - {name: all, steps: [[{name: a, template: one}]]}
            - {name: one, container: {image: x, resources: {limits: {nvidia.com/gpu: 1}}}}
            - {name: two, script: {image: x}, metadata: {annotations: {x: y}}}
        """,
        {
            "queue": "red",
            "priority_class": "PriorityClass low",
            "dialects": ("KAI",),
            "heard": ("label kai.scheduler/queue",),
        },
        id="steps of a Workflow stand alone",
    ),
    pytest.param(
        """
        apiVersion: argoproj.io/v1alpha1
        kind: CronWorkflow
        metadata: {name: web}
        spec:
          workflowSpec:
            templates:
              - name: pair
                schedulerName: other
                metadata:
                  labels: {kueue.x-k8s.io/pod-group-name: g}
                  annotations: {kueue.x-k8s.io/pod-group-total-count: "2"}
                containerSet: {containers: [{name: main, image: x}]}
        """,
        {
            "gang": "kueue/g",
            "size": 2,
            "dialects": ("Kueue",),
            "heard": ("annotation kueue.x-k8s.io/pod-group-total-count", "label kueue.x-k8s.io/pod-group-name"),
        },
        id="steps that ask for a gang are one",
    ),
    pytest.param(
        f"""
        apiVersion: v1
        kind: Pod
        metadata:
          name: web
          labels: {{kai.scheduler/queue: red, kai.scheduler/node-pool: a}}
          annotations: {{pod-group-name: g, kai.scheduler/topology-required-placement: rack}}
        spec: {POD}
        """,
        {
            "gang": "kai/g",
            "queue": "red",
            "topology_required": "rack",
            "dialects": ("KAI",),
            "heard": (
                "annotation kai.scheduler/topology-required-placement",
                "annotation pod-group-name",
                "label kai.scheduler/queue",
            ),
            "ignored": (
                "label kai.scheduler/node-pool ('a') is not honoured: a node selector keeps pods on some nodes",
            ),
        },
        id="a pod for KAI",
    ),
    pytest.param(
        f"""
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: web, labels: {{kueue.x-k8s.io/queue-name: red}}}}
        spec: {{completionMode: Indexed, completions: 4, parallelism: 4, template: {TEMPLATE}}}
        """,
        {
            "gang": "job/web",
            "size": 4,
            "queue": "red",
            "dialects": ("Kueue",),
            "heard": ("label kueue.x-k8s.io/queue-name",),
        },
        id="an Indexed Job for Kueue is a gang",
    ),
    pytest.param(
        f"""
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: web, labels: {{kueue.x-k8s.io/queue-name: red}}}}
        spec: {{completions: 40, parallelism: 4, template: {TEMPLATE}}}
        """,
        {"queue": "red", "dialects": ("Kueue",), "heard": ("label kueue.x-k8s.io/queue-name",)},
        id="pods of another Job for Kueue stand alone",
    ),
    pytest.param(
        f"""
        apiVersion: jobset.x-k8s.io/v1alpha2
        kind: JobSet
        metadata: {{name: web}}
        spec:
          replicatedJobs:
            - {{name: workers, replicas: 2, template: {{spec: {{parallelism: 4, template: {TEMPLATE}}}}}}}
        """,
        {"gang": "jobset/web", "size": 8, "roles": (("workers", ""),)},
        id="a JobSet",
    ),
    pytest.param(
        f"""
        apiVersion: kubeflow.org/v1
        kind: PyTorchJob
        metadata: {{name: web}}
        spec:
          runPolicy: {{schedulingPolicy: {{queue: red, minAvailable: 2}}}}
          pytorchReplicaSpecs: {{Master: {{template: {TEMPLATE}}}, Worker: {{replicas: 3, template: {TEMPLATE}}}}}
        """,
        {
            "gang": "pytorchjob/web",
            "size": 4,
            "least": 2,
            "queue": "red",
            "roles": (("master", ""), ("worker", "")),
        },
        id="a PyTorchJob",
    ),
    pytest.param(
        f"""
        apiVersion: ray.io/v1
        kind: RayCluster
        metadata: {{name: web}}
        spec:
          headGroupSpec: {{template: {TEMPLATE}}}
          workerGroupSpecs: [{{groupName: big, replicas: 3, template: {TEMPLATE}}}]
        """,
        {"gang": "raycluster/web", "size": 4, "roles": (("big", ""), ("headgroup", ""))},
        id="a RayCluster",
    ),
    pytest.param(
        f"""
        apiVersion: leaderworkerset.x-k8s.io/v1
        kind: LeaderWorkerSet
        metadata: {{name: web}}
        spec: {{replicas: 3, leaderWorkerTemplate: {{size: 4, leaderTemplate: {TEMPLATE}, workerTemplate: {TEMPLATE}}}}}
        """,
        {"gang": "lws/web-0", "size": 4, "roles": (("leader", ""), ("worker", ""))},
        id="a LeaderWorkerSet",
    ),
    pytest.param(
        f"""
        apiVersion: batch.volcano.sh/v1alpha1
        kind: Job
        metadata: {{name: web}}
        spec:
          minAvailable: 3
          queue: red
          tasks: [{{name: ps, replicas: 1, template: {TEMPLATE}}}, {{name: worker, replicas: 2, template: {TEMPLATE}}}]
        """,
        {"gang": "volcano/web", "least": 3, "queue": "red", "roles": (("ps", ""), ("worker", ""))},
        id="a Volcano Job",
    ),
    pytest.param(
        """
        apiVersion: scheduling.run.ai/v2alpha2
        kind: PodGroup
        metadata: {name: web}
        spec: {minMember: 4, queue: red, preemptibility: non-preemptible}
        """,
        {"pods": False, "gang": "kai/web", "least": 4, "queue": "red", "preemptible": False},
        id="a PodGroup",
    ),
]


@pytest.mark.parametrize(("text", "want"), CASES)
def test_what_is_understood_of_a_manifest(text: str, want: dict[str, object]) -> None:
    found = fields(read(text))
    assert found.pop("kind") == yaml.safe_load(text)["kind"]
    assert found.pop("name") == "web"
    assert found.pop("scheduler_names", ("other",)) == ("other",)
    assert found == want


def test_what_would_be_refused() -> None:
    found = read(
        f"{{apiVersion: v1, kind: Pod, metadata: {{name: web, annotations: {{gpu-fraction: '0.5'}}}}, spec: {POD}}}"
    )
    assert found.problems == (
        (
            "annotation gpu-fraction is '0.5'; "
            "allowed: a limit of nvidia.com/gpu.shared with bayplan.dev/gpu-share, or a MIG slice"
        ),
    )


def test_what_the_api_would_refuse() -> None:
    bad = f"{{apiVersion: v1, kind: Pod, metadata: {{name: web, annotations: {{x: 4}}}}, spec: {POD}}}"
    (problem,) = read(bad).problems
    assert problem.startswith("a pod of it cannot be read: Expected `str`, got `int`")
    bad = "{apiVersion: scheduling.x-k8s.io/v1alpha1, kind: PodGroup, metadata: {name: x}, spec: {minMember: many}}"
    assert understood(yaml.safe_load(bad)) is None or read(bad).problems


@pytest.mark.parametrize("text", ["{}", "{kind: ConfigMap, data: {a: b}}", "{spec: [1, 2]}", "{metadata: 3, spec: x}"])
def test_what_has_nothing_to_do_with_scheduling(text: str) -> None:
    assert understood(yaml.safe_load(text)) is None


def test_every_pod_that_names_a_gang_gets_the_gate() -> None:
    """The gate's policy names the keys itself: CEL knows no table of ours."""
    conditions = one("MutatingAdmissionPolicy", "gate-pods.bayplan.dev")["spec"]["matchConditions"]
    gated = set(re.findall(r"'([^']+)'", next(c["expression"] for c in conditions if c["name"].startswith("asks"))))
    for case in HONOURED:
        text, want = case.values
        assert isinstance(want, dict)
        meta = yaml.safe_load(str(text))
        if "gang" in want:
            assert gated & {*meta.get("labels", {}), *meta.get("annotations", {})}, case.id
