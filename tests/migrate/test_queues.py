"""Foreign queues as Bayplan's."""

from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube.translate_queue import read_queue
from scheduler.migrate.collect import Unreadable, manifests_of, plain
from scheduler.migrate.records import Manifest
from scheduler.migrate.report import Report, manifest_of, report
from tests.migrate.odd import ODD, places
from tests.migrate.samples import ALL, ELASTIC_QUOTA, KAI, KUEUE, VOLCANO, YUNIKORN


def reported(text: str) -> Report:
    found = manifests_of("f", text)
    assert not isinstance(found, Unreadable), found
    return report(found, scheduler_name="bayplan")


def specs(text: str) -> dict[str, Any]:
    return {queue.name: dict(queue.spec) for queue in reported(text).queues}


def notes(text: str) -> dict[tuple[str, str], str]:
    """Path and value of every note, and its kind."""
    return {(note.path, note.value): note.kind for found in reported(text).found for note in found.notes}


def kai(**gpu: object) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "scheduling.run.ai/v2",
            "kind": "Queue",
            "metadata": {"name": "a"},
            "spec": {"resources": {"gpu": gpu}},
        }
    )


def test_kai() -> None:
    assert specs(KAI) == {
        "research": {"nominal": 16, "weight": 2, "priority": 100},
        "vision": {
            "parent": "research",
            "nominal": 8,
            "borrowingLimit": 0,
            "priority": 200,
            "minRuntimeSeconds": 5400,
            "cpu": {"nominal": 4, "borrowingLimit": 0},
        },
    }
    assert notes(KAI) == {
        ("spec.resources.gpu.limit", "0"): "differs",
        ("spec.preemptMinRuntime", '"1h"'): "no equivalent",
    }


@pytest.mark.parametrize(
    ("gpu", "spec"),
    [
        ({}, {"nominal": 0, "borrowingLimit": 0}),
        ({"quota": 4}, {"nominal": 4, "borrowingLimit": 0}),
        ({"quota": 4, "limit": 6}, {"nominal": 4, "borrowingLimit": 2}),
        ({"quota": 4, "limit": 2}, {"nominal": 2, "borrowingLimit": 0}),
        ({"quota": 4, "limit": -1}, {"nominal": 4}),
        ({"quota": -1, "limit": -1}, {"nominal": 0}),
        ({"quota": 2.5, "limit": -1}, {"nominal": 2}),
    ],
)
def test_zero_is_not_no_limit(gpu: dict[str, object], spec: dict[str, int]) -> None:
    assert specs(kai(**gpu)) == {"a": {**spec, "priority": 100}}


def test_volcano() -> None:
    assert specs(VOLCANO) == {
        "vision": {
            "nominal": 16,
            "borrowingLimit": 8,
            "lendingLimit": 12,
            "weight": 4,
            "order": "StrictFIFO",
            "cpu": {"nominal": 64, "lendingLimit": 48},
            "memory": {"nominal": 64, "lendingLimit": 0},
        }
    }
    assert notes(VOLCANO) == {("spec.reclaimable", "false"): "no equivalent"}


def test_volcano_without_deserved_owns_nothing_and_says_so() -> None:
    text = VOLCANO.replace("deserved: {nvidia.com/gpu: 16, cpu: 64}", "x: 1").replace("guarantee:", "y:")
    assert specs(text)["vision"]["nominal"] == 0
    assert notes(text)["spec.weight", "4"] == "differs"


def test_kueue() -> None:
    model = "NVIDIA-H100-80GB-HBM3"
    assert specs(KUEUE) == {
        "org": {
            "nominal": 32,
            "borrowingLimit": 0,
            "lendingLimit": 0,
            "weight": 2,
            "cpu": {"borrowingLimit": 0, "lendingLimit": 0},
        },
        "vision": {
            "parent": "org",
            "nominal": 24,
            "namespaceSelector": {"matchLabels": {"team": "vision"}},
            "flavors": [{"name": model, "nominal": 16, "borrowingLimit": 8, "lendingLimit": 4}],
            "order": "StrictFIFO",
            "cpu": {"nominal": 100},
        },
        "alone": {"nominal": 4, "borrowingLimit": 0, "lendingLimit": 0, "weight": 2},
        "lq": {"parent": "vision", "namespaces": ["vision-dev"], "nominal": 24},
    }
    told = notes(KUEUE)
    assert told["spec.nodeLabels[lifecycle]", '"spot"'] == "no equivalent"
    assert told["spec.namespaceSelector", '{"matchLabels": {"team": "vision"}}'] == "differs"
    assert told["spec.stopPolicy", '"Hold"'] == "no equivalent"
    assert told["spec.preemption.withinClusterQueue", '"Never"'] == "differs"
    assert [path for path, _ in told if path == "spec.resourceGroups"] == ["spec.resourceGroups"]


def local(name: str, namespace: str, cluster_queue: str) -> str:
    meta = f"{{name: {name}, namespace: {namespace}}}"
    spec = f"{{clusterQueue: {cluster_queue}}}"
    return f"---\n{{apiVersion: kueue.x-k8s.io/v1beta1, kind: LocalQueue, metadata: {meta}, spec: {spec}}}\n"


def test_local_queues_of_one_name_and_one_cluster_queue_are_one() -> None:
    text = KUEUE + local("lq", "b", "vision") + local("alone", "c", "alone")
    assert specs(text)["lq"]["namespaces"] == ["b", "vision-dev"]
    assert specs(text)["alone"]["namespaces"] == ["c"]
    assert not [path for path, _ in notes(text) if path == "metadata.name"]


@pytest.mark.parametrize(("name", "cluster_queue"), [("lq", "alone"), ("vision", "alone"), ("org", "alone")])
def test_a_local_queue_whose_name_means_another_queue_is_told(name: str, cluster_queue: str) -> None:
    text = KUEUE + local(name, "b", cluster_queue)
    assert notes(text)["metadata.name", f'"{name}"'] == "differs"
    assert specs(text)[cluster_queue]["namespaces"] == ["b"]


def test_a_local_queue_of_no_cluster_queue() -> None:
    text = KUEUE + local("x", "b", "nowhere")
    assert notes(text)["spec.clusterQueue", '"nowhere"'] == "no equivalent"
    assert "x" not in specs(text)


def test_a_cohort_that_only_its_members_name_is_a_queue_too() -> None:
    text = "\n---\n".join(part for part in KUEUE.split("\n---\n") if "kind: Cohort" not in part)
    assert specs(text)["org"] == {
        "borrowingLimit": 0,
        "lendingLimit": 0,
        "cpu": {"borrowingLimit": 0, "lendingLimit": 0},
    }
    assert specs(text)["vision"]["parent"] == "org"


def test_a_cohort_and_a_cluster_queue_of_one_name() -> None:
    text = KUEUE.replace("metadata: {name: org}", "metadata: {name: vision}").replace(
        "cohortName: org", "cohortName: vision"
    )
    assert specs(text)["vision"]["parent"] == "vision-cohort"
    assert notes(text)["metadata.name", '"vision"'] == "differs"


def test_mig_quota_counts_whole_gpus_for_its_profile() -> None:
    slices = "- {name: nvidia.com/mig-3g.40gb, nominalQuota: 7}"
    text = KUEUE.replace("- {name: nvidia.com/gpu, nominalQuota: 8}", slices)
    vision = specs(text)["vision"]
    assert vision["nominal"] == 19
    assert {"name": "3g.40gb", "nominal": 3} in vision["flavors"]


def test_elastic_quotas() -> None:
    assert specs(ELASTIC_QUOTA) == {
        "a-quota": {"namespaces": ["a"], "nominal": 4, "borrowingLimit": 4, "cpu": {"nominal": 4}},
        "b-quota": {"namespaces": ["b"], "nominal": 1},
        "team": {"namespaces": ["x", "y"], "nominal": 4, "borrowingLimit": 4, "lendingLimit": 0, "weight": 7},
    }
    assert notes(ELASTIC_QUOTA) == {}


@pytest.mark.parametrize("config_map", [False, True])
def test_yunikorn(config_map: bool) -> None:
    text = YUNIKORN
    if config_map:
        text = yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "yunikorn-configs"},
                "data": {"queues.yaml": text},
            }
        )
    assert specs(text) == {
        "root.org-a": {
            "nominal": 16,
            "borrowingLimit": 16,
            "priority": 100,
            "order": "StrictFIFO",
            "cpu": {"nominal": 10},
        },
        "root.org-a.vision": {"parent": "root.org-a", "nominal": 8, "userLimit": 2},
    }
    assert notes(text) == {
        ("partitions[0].placementrules", '[{"name": "tag", "value": "namespace"}]'): "no equivalent",
        ("root.Org_A: name", '"root.Org_A"'): "differs",
        ("root.Org_A: properties[preemption.delay]", '"30s"'): "no equivalent",
        ("root.Org_A.vision: name", '"root.Org_A.vision"'): "differs",
        ("root.Org_A.vision: maxapplications", "4"): "no equivalent",
        ("root.Org_A.vision: limits[0].maxresources[memory]", '"8Gi"'): "no equivalent",
        ("root.Org_A.vision: limits[1]", '{"users": ["ann"], "groups": ["staff"]}'): "no equivalent",
    }


def test_queues_of_one_name_are_told_apart() -> None:
    assert set(specs(f"{KAI}\n---\n{VOLCANO}")) == {"research", "vision", "vision-volcano"}
    assert notes(f"{KAI}\n---\n{VOLCANO}")["metadata.name", '"vision"'] == "differs"


def test_a_parent_that_is_not_there_is_dropped_and_quoted() -> None:
    text = KAI.replace("parentQueue: research", "parentQueue: nowhere")
    assert "parent" not in specs(text)["vision"]
    assert notes(text)["parent", '"nowhere"'] == "no equivalent"


@pytest.mark.parametrize("name", ALL)
def test_what_is_made_is_read_as_a_queue_by_the_service(name: str) -> None:
    for queue in reported(ALL[name]).queues:
        read_queue(msgspec.json.encode(manifest_of(queue)))


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_whatever_stands_in_a_manifest_nothing_crashes(name: str, data: st.DataObject) -> None:
    documents: list[Any] = [plain(document) for document in yaml.safe_load_all(ALL[name])]
    at = data.draw(st.integers(0, len(documents) - 1))
    ways = [
        way
        for way in places(documents[at])
        if way[0] not in ("apiVersion", "kind", "partitions", "items") or len(way) > 3
    ]
    *way, last = data.draw(st.sampled_from(ways))
    inside: Any = documents[at]
    for key in way:
        inside = inside[key]
    inside[last] = data.draw(ODD)
    manifests = [Manifest(where="f", body=document) for document in documents]
    made = report(manifests, scheduler_name="bayplan")
    for queue in made.queues:
        read_queue(msgspec.json.encode(manifest_of(queue)))


def test_cpu_and_memory_are_whole_cores_and_gib() -> None:
    text = """
    apiVersion: scheduling.volcano.sh/v1beta1
    kind: Queue
    metadata: {name: a}
    spec: {deserved: {cpu: 1500m, memory: 64Gi, pods: 9}, capability: {cpu: 4, memory: 100G}}
    """
    assert specs(text)["a"] == {
        "nominal": 0,
        "cpu": {"nominal": 2, "borrowingLimit": 2},
        "memory": {"nominal": 64, "borrowingLimit": 30},
    }
    assert notes(text) == {
        ("spec.deserved[cpu]", '"1500m"'): "differs",
        ("spec.capability[memory]", '"100G"'): "differs",
        ("spec.deserved[pods]", "9"): "no equivalent",
    }
