"""The two kube-scheduler configurations: what they must say, and that they say the same."""

from typing import Any

import pytest
import yaml

from tests.manifests.files import MANIFESTS, Document, documents, one

OWN: Document = yaml.safe_load(one("ConfigMap", "bayplan-kube-scheduler")["data"]["config.yaml"])
(SHARED,) = documents(MANIFESTS / "scheduler-profile" / "kube-scheduler.yaml")
both = pytest.mark.parametrize("config", [OWN, SHARED], ids=["own", "shared"])


def extender(config: Document) -> Document:
    (found,) = config["extenders"]
    return found


@both
def test_nodes_are_neither_skipped_nor_sent_whole(config: Document) -> None:
    (profile,) = [p for p in config["profiles"] if p["schedulerName"] == "bayplan"]
    assert profile["percentageOfNodesToScore"] == 100
    assert extender(config)["nodeCacheCapable"] is True


@both
def test_no_pod_is_placed_without_bayplan(config: Document) -> None:
    assert extender(config)["ignorable"] is False
    assert {v: extender(config)[v] for v in ("filterVerb", "prioritizeVerb", "preemptVerb", "bindVerb")} == {
        "filterVerb": "filter",
        "prioritizeVerb": "prioritize",
        "preemptVerb": "preempt",
        "bindVerb": "bind",
    }


@both
def test_requests_are_not_throttled(config: Document) -> None:
    assert config["clientConnection"]["qps"] == 5000
    assert config["clientConnection"]["burst"] == 5000


def test_the_second_scheduler_has_a_lease_of_its_own_that_it_may_hold() -> None:
    election = OWN["leaderElection"]
    assert election["leaderElect"] is True
    lease = (election["resourceNamespace"], election["resourceName"])
    assert lease == ("bayplan-system", "bayplan-kube-scheduler")
    assert "update" in verbs_on("bayplan-kube-scheduler", lease[1])


def verbs_on(role: str, lease: str) -> list[str]:
    found: list[Any] = one_role(role)["rules"]
    return [v for rule in found if lease in rule.get("resourceNames", []) for v in rule["verbs"]]


def one_role(name: str) -> Document:
    (found,) = [
        d
        for path in (MANIFESTS / "rbac").glob("*.yaml")
        for d in documents(path)
        if d["kind"] == "Role" and d["metadata"]["name"] == name and d["metadata"]["namespace"] == "bayplan-system"
    ]
    return found


def test_the_url_is_the_service() -> None:
    service = one("Service", "bayplan")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    (port,) = [p["port"] for p in service["spec"]["ports"] if p["name"] == "http"]
    assert extender(OWN)["urlPrefix"] == f"http://{name}.{namespace}.svc:{port}"


def test_a_shared_scheduler_asks_only_about_marked_pods() -> None:
    assert "managedResources" not in extender(OWN)
    assert extender(SHARED)["managedResources"] == [{"name": "bayplan.dev/member", "ignoredByScheduler": False}]
    same = {k: v for k, v in extender(OWN).items() if k != "urlPrefix"}
    assert {k: v for k, v in extender(SHARED).items() if k not in ("urlPrefix", "managedResources")} == same


def test_marked_and_gated_pods_are_the_same_pods() -> None:
    gate = one("MutatingAdmissionPolicy", "gate-pods.bayplan.dev")
    mark, _ = documents(MANIFESTS / "components" / "shared-scheduler" / "marker.yaml")
    assert mark["spec"]["matchConditions"] == gate["spec"]["matchConditions"]
    assert mark["spec"]["matchConstraints"] == gate["spec"]["matchConstraints"]
