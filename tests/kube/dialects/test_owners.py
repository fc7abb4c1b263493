"""Owners of pods that are gangs without any key of their own: what their manifests say."""

import pytest
from msgspec.structs import replace

from scheduler.state.events import GroupSeen
from tests.kube.dialects.manifests import claim, read, seen

OWNERS = [
    pytest.param(
        """
        apiVersion: jobset.x-k8s.io/v1alpha2
        kind: JobSet
        metadata: {labels: {kueue.x-k8s.io/queue-name: red}}
        spec:
          replicatedJobs:
            - {name: driver, template: {spec: {}}}
            - {name: workers, replicas: 2, template: {spec: {parallelism: 4, completions: 4}}}
        """,
        seen(
            "jobset/train",
            "JobSet",
            claim=claim(size=9),
            role_sizes=(("driver", 1), ("workers", 8)),
            queue="red",
            queue_key="label kueue.x-k8s.io/queue-name",
        ),
        id="JobSet",
    ),
    *(
        pytest.param(
            f"""
            apiVersion: jobset.x-k8s.io/v1alpha2
            kind: JobSet
            spec:
              {startup}
              replicatedJobs:
                - {{name: driver, template: {{spec: {{}}}}}}
                - {{name: workers, template: {{spec: {{parallelism: 4}}}}{depends}}}
            """,
            seen(
                "jobset/train",
                "JobSet",
                form="roles",
                claim=claim(size=5),
                role_sizes=(("driver", 1), ("workers", 4)),
            ),
            id=f"JobSet in turn: {startup or depends}",
        )
        for startup, depends in (
            ("startupPolicy: {startupPolicyOrder: InOrder}", ""),
            ("", ", dependsOn: [{name: driver, status: Ready}]"),
        )
    ),
    pytest.param(
        """
        apiVersion: kubeflow.org/v1
        kind: PyTorchJob
        spec:
          runPolicy: {schedulingPolicy: {queue: red, minAvailable: 3}}
          pytorchReplicaSpecs: {Master: {template: {}}, Worker: {replicas: 3, template: {}}}
        """,
        seen(
            "pytorchjob/train",
            "PyTorchJob",
            claim=claim(size=4, least=3),
            role_sizes=(("master", 1), ("worker", 3)),
            queue="red",
            queue_key="spec.queue of PyTorchJob train",
        ),
        id="PyTorchJob",
    ),
    pytest.param(
        """
        apiVersion: kubeflow.org/v1
        kind: PyTorchJob
        spec: {elasticPolicy: {minReplicas: 2, maxReplicas: 8}, pytorchReplicaSpecs: {Worker: {replicas: 4}}}
        """,
        seen("pytorchjob/train", "PyTorchJob", claim=claim(size=4, least=2), role_sizes=(("worker", 4),)),
        id="PyTorchJob that is elastic",
    ),
    pytest.param(
        "{apiVersion: kubeflow.org/v1, kind: TFJob, spec: {tfReplicaSpecs: {PS: {}, Worker: {replicas: 4}}}}",
        seen("tfjob/train", "TFJob", claim=claim(size=5), role_sizes=(("ps", 1), ("worker", 4))),
        id="TFJob",
    ),
    pytest.param(
        "{apiVersion: kubeflow.org/v1, kind: JAXJob, spec: {jaxReplicaSpecs: {Worker: {replicas: 4}}}}",
        seen("jaxjob/train", "JAXJob", claim=claim(size=4), role_sizes=(("worker", 4),)),
        id="JAXJob",
    ),
    *(
        pytest.param(
            f"""
            apiVersion: kubeflow.org/v2beta1
            kind: MPIJob
            spec: {{launcherCreationPolicy: {policy}, mpiReplicaSpecs: {{Launcher: {{}}, Worker: {{replicas: 2}}}}}}
            """,
            seen(
                "mpijob/train",
                "MPIJob",
                form=form,
                claim=claim(size=3),
                role_sizes=(("launcher", 1), ("worker", 2)),
            ),
            id=f"MPIJob, launcher {policy}",
        )
        for policy, form in (("AtStartup", "gang"), ("WaitForWorkersReady", "roles"))
    ),
    pytest.param(
        """
        apiVersion: ray.io/v1
        kind: RayCluster
        spec:
          workerGroupSpecs:
            - {groupName: big, replicas: 2, minReplicas: 1, numOfHosts: 2}
            - {groupName: small, replicas: 1}
        """,
        seen("raycluster/train", "RayCluster", claim=claim(size=6)),
        id="RayCluster",
    ),
    pytest.param(
        """
        apiVersion: ray.io/v1
        kind: RayCluster
        spec:
          enableInTreeAutoscaling: true
          workerGroupSpecs: [{groupName: big, replicas: 2, minReplicas: 1, numOfHosts: 2}, {groupName: small}]
        """,
        seen("raycluster/train", "RayCluster", claim=claim(role_least=(("big", 2), ("headgroup", 1)))),
        id="RayCluster that scales itself",
    ),
    *(
        pytest.param(
            f"""
            apiVersion: leaderworkerset.x-k8s.io/v1
            kind: LeaderWorkerSet
            spec: {{replicas: 2, startupPolicy: {policy}, leaderWorkerTemplate: {{size: 4, workerTemplate: {{}}}}}}
            """,
            seen(
                "lws/train",
                "LeaderWorkerSet",
                form=form,
                claim=claim(size=4),
                role_sizes=(("leader", 1), ("worker", 3)),
            ),
            id=f"LeaderWorkerSet, {policy}",
        )
        for policy, form in (("LeaderCreated", "gang"), ("LeaderReady", "roles"))
    ),
]


@pytest.mark.parametrize(("text", "want"), OWNERS)
def test_what_an_owner_says(text: str, want: GroupSeen) -> None:
    found = read(text)
    assert replace(found, notes=()) == want
