"""Gangs by other schedulers' objects, which come to the cluster while the service runs."""

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus

import pytest

from scheduler.localcluster.api import Json
from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.options import ClusterOptions
from scheduler.localcluster.waiting import until
from tests.cluster.harness.lab import PODS, QUEUES, Lab
from tests.cluster.harness.objects import gates, noted, pod, queue

pytestmark = pytest.mark.cluster

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLAIN = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/default/podgroups"
NATIVE = "/apis/scheduling.k8s.io/v1alpha2/namespaces/default/podgroups"
NOTICED_S = 120.0
"""Kinds that come are looked for twice a minute."""

DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "podgroups.scheduling.x-k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, of a test"},
    },
    "spec": {
        "group": "scheduling.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "PodGroup", "plural": "podgroups", "singular": "podgroup", "listKind": "PodGroupList"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"minMember": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def plain(lab: Lab) -> Iterator[Lab]:
    """A cluster to which a test may bring PodGroups of scheduler-plugins."""
    yield lab
    with suppress(ApiError):
        lab.api.delete(f"{DEFINITIONS}/podgroups.scheduling.x-k8s.io")


def member(name: str) -> Json:
    return noted(pod(name, gpus=8), labels={"scheduling.x-k8s.io/pod-group": "train"})


def group(name: str, least: int) -> Json:
    return {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": name},
        "spec": {"minMember": least},
    }


def test_a_gang_of_a_pod_group_whose_kind_comes_later(plain: Lab) -> None:
    lab = plain
    lab.h100(2)
    lab.start_service()
    lab.create(member("train-0"))
    lab.eventually("it is told that its group is not known", lambda: "pod-group/train" in str(lab.told("train-0")))
    lab.api.create(DEFINITIONS, DEFINITION)
    served = f"{DEFINITIONS}/podgroups.scheduling.x-k8s.io"
    lab.eventually("the kind is served", lambda: "Established" in str(lab.api.get(served).get("status")))
    lab.api.create(PLAIN, group("train", 2))
    lab.eventually("it waits for another", lambda: "GangIncomplete" in str(lab.told("train-0")), timeout_s=NOTICED_S)
    assert lab.bound() == {}
    lab.create(member("train-1"))
    assert len(lab.bound_whole("train-", 2)) == 2
    lab.create(noted(pod("more", gpus=8), labels={"scheduling.x-k8s.io/pod-group": "train"}))
    lab.eventually("there is no room for one more", lambda: lab.told("more"))
    lab.check()
    lab.api.delete(served)
    lab.eventually("the kind is gone", lambda: is_gone(lab))
    # The service takes up to half a minute to notice, in which nothing else may suffer.
    lab.check()
    assert len(lab.bound("train-")) == 2


def is_gone(lab: Lab) -> bool:
    try:
        lab.api.get(PLAIN)
    except ApiError as err:
        return err.status == HTTPStatus.NOT_FOUND
    return False


def test_a_gang_of_kubernetes_own_pod_group(tmp_path_factory: pytest.TempPathFactory) -> None:
    options = ClusterOptions(
        apiserver_arguments=(
            "--feature-gates=GenericWorkload=true",
            "--runtime-config=scheduling.k8s.io/v1alpha2=true",
        ),
        fleet=Fleet(groups=[Group(name="h100", count=2, machine="hgx_h100")]),
    )
    with LocalCluster.running(tmp_path_factory.mktemp("native") / "cluster", options) as cluster:
        api = cluster.api()
        api.create(QUEUES, queue("plenty", nominal=1000, namespaces=["default"]))
        gang = {"schedulingPolicy": {"gang": {"minCount": 2}}}
        made = {
            "apiVersion": "scheduling.k8s.io/v1alpha2",
            "kind": "PodGroup",
            "metadata": {"name": "train"},
            "spec": gang,
        }
        api.create(NATIVE, made)
        launcher = pod("train-0", schedulingGroup={"podGroupName": "train"})
        first = api.create(PODS, launcher)
        assert first["spec"]["schedulingGroup"] == {"podGroupName": "train"}
        assert gates(first) == ["bayplan.dev/plan"]

        def told() -> str:
            return str(api.get(f"{PODS}/train-0")["status"].get("conditions"))

        until(
            lambda: "GangIncomplete" in told(),
            timeout_s=NOTICED_S,
            what="the first being told that it waits for another",
        )
        api.create(PODS, pod("train-1", gpus=8, schedulingGroup={"podGroupName": "train"}))
        until(
            lambda: all(p["spec"].get("nodeName") for p in api.get(PODS)["items"]),
            timeout_s=NOTICED_S,
            what="both being bound",
        )
