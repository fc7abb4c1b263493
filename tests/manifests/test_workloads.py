"""The Deployments: locked down, spread out, and reachable by those who should and no others."""

import pytest

from tests.manifests.files import Document, base, one

DEPLOYMENTS = base("Deployment")
each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["metadata"]["name"])


def pod_spec(deployment: Document) -> Document:
    return deployment["spec"]["template"]["spec"]


def matches(selector: Document, labels: Document) -> bool:
    return selector.items() <= labels.items()


def test_there_are_the_service_and_its_kube_scheduler() -> None:
    assert [d["metadata"]["name"] for d in DEPLOYMENTS] == ["bayplan", "bayplan-kube-scheduler"]


@each_deployment
def test_labels_meet_selectors(deployment: Document) -> None:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert matches(deployment["spec"]["selector"]["matchLabels"], labels)
    for spread in pod_spec(deployment)["topologySpreadConstraints"]:
        assert matches(spread["labelSelector"]["matchLabels"], labels)


@each_deployment
def test_two_replicas_under_an_account_of_their_own_and_not_scheduled_by_themselves(deployment: Document) -> None:
    spec = pod_spec(deployment)
    assert deployment["spec"]["replicas"] == 2
    assert spec["serviceAccountName"] == deployment["metadata"]["name"]
    assert spec["schedulerName"] == "default-scheduler"


@each_deployment
def test_containers_ask_for_room_and_are_probed(deployment: Document) -> None:
    for container in pod_spec(deployment)["containers"]:
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"memory"}
        ports = {p["name"] for p in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def test_only_readiness_asks_who_leads() -> None:
    (container,) = pod_spec(one("Deployment", "bayplan"))["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"


def test_an_update_of_the_service_does_not_wait_for_a_standby_to_become_ready() -> None:
    spec = one("Deployment", "bayplan")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == spec["replicas"]
    budgets = [b["spec"]["selector"]["matchLabels"] for b in base("PodDisruptionBudget")]
    assert [b for b in budgets if matches(b, spec["template"]["metadata"]["labels"])] == []


def test_the_grace_period_outlasts_the_pause_and_a_waiting_bind() -> None:
    spec = pod_spec(one("Deployment", "bayplan"))
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= pause + 30


def test_the_service_leads_to_the_service_pods_and_their_ports() -> None:
    service = one("Service", "bayplan")["spec"]
    deployment = one("Deployment", "bayplan")
    assert matches(service["selector"], deployment["spec"]["template"]["metadata"]["labels"])
    (container,) = pod_spec(deployment)["containers"]
    listening = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert {p["targetPort"]: p["port"] for p in service["ports"]} == listening
    assert f"--listen=0.0.0.0:{listening['http']}" in container["args"]
    assert f"--grpc-listen=0.0.0.0:{listening['grpc']}" in container["args"]


def test_pods_reach_the_extender_only_from_the_kube_scheduler() -> None:
    policy = one("NetworkPolicy", "bayplan")["spec"]
    assert matches(
        policy["podSelector"]["matchLabels"], one("Deployment", "bayplan")["spec"]["template"]["metadata"]["labels"]
    )
    peers = [peer for rule in policy["ingress"] for peer in rule["from"]]
    (pods,) = [p for p in peers if "podSelector" in p]
    scheduler = one("Deployment", "bayplan-kube-scheduler")["spec"]["template"]["metadata"]["labels"]
    assert matches(pods["podSelector"]["matchLabels"], scheduler)
    # Anything else needs a label on the namespace, which only admins can put there.
    assert all(set(p) == {"namespaceSelector"} for p in peers if p is not pods)
    assert all(rule["ports"] and rule["from"] for rule in policy["ingress"])


def test_priority_classes_preempt_nobody_and_leave_others_alone() -> None:
    classes = {c["metadata"]["name"]: c for c in base("PriorityClass")}
    assert list(classes) == ["bayplan-low", "bayplan-normal", "bayplan-high"]
    values = [c["value"] for c in classes.values()]
    assert values == sorted(values)
    assert values[0] > 0
    assert values[-1] < 1_000_000_000
    for priority_class in classes.values():
        assert priority_class["preemptionPolicy"] == "Never"
        assert priority_class["globalDefault"] is False
