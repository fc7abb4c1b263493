"""GPUs divided anew on a real cluster, on request and by policy: what the GPU operator's MIG manager would find."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml

from scheduler.cli.main import main
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.fleet import Group
from tests.cluster.harness.lab import NODES, Lab
from tests.cluster.harness.objects import pod
from tests.manifests.files import MANIFESTS, objects
from tests.manifests.people import SERVICE, Somebody

pytestmark = pytest.mark.cluster

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NODE = f"{NODES}/mig-0"
THEIRS = {"all-disabled": [{"devices": "all", "mig-enabled": False}]}
ASKED = ["mig", "plan", "--apply", "--yes", "--config-map", "default/mig-parted", "--settle", "0"]


@pytest.fixture
def divided(lab: Lab) -> Iterator[Lab]:
    """A node with one GPU in small slices, seven whole GPUs that a pod holds, and a pod that wants a large slice."""
    lab.nodes(Group(name="mig", count=1, machine="hgx_h100", mig={"1g.10gb": 7}))
    lab.start_service()
    text = yaml.safe_dump({"version": "v1", "mig-configs": THEIRS})
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mig-parted"},
        "data": {"config.yaml": text},
    }
    lab.api.create(CONFIG_MAPS, document)
    lab.create(pod("holder", gpus=7))
    lab.bound_whole("holder", 1)
    large = pod("large")
    large["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/mig-3g.40gb"] = "1"
    large["spec"]["containers"][0]["resources"].setdefault("limits", {})["nvidia.com/mig-3g.40gb"] = "1"
    lab.create(large)
    lab.eventually("it is told", lambda: lab.told("large"))
    yield lab
    lab.api.delete(f"{CONFIG_MAPS}/mig-parted")
    lab.delete_node("mig-0")


def asked(lab: Lab) -> int:
    return main([*ASKED, "--kubeconfig", str(lab.cluster.kubeconfig())])


def node(lab: Lab) -> Any:  # noqa: ANN401  what the API has
    return lab.api.get(NODE)


def test_a_node_is_told_which_configuration_to_take(divided: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab = divided
    assert asked(lab) == 0
    assert "1 node is cordoned and labelled" in capsys.readouterr().out
    assert node(lab)["spec"]["unschedulable"] is True
    name = node(lab)["metadata"]["labels"]["nvidia.com/mig.config"]
    told = yaml.safe_load(lab.api.get(f"{CONFIG_MAPS}/mig-parted")["data"]["config.yaml"])
    assert told["mig-configs"].keys() == {"all-disabled", name}
    whole, anew = told["mig-configs"][name]
    assert whole == {"devices": [0, 1, 2, 3, 4, 5, 6], "mig-enabled": False}
    assert (anew["devices"], anew["mig-enabled"], anew["mig-devices"]["3g.40gb"] >= 1) == ([7], True, True)
    lab.check()


def test_without_its_config_map_nothing_is_changed(divided: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["mig", "plan", "--apply", "--yes", "--config-map", "default/absent"]
    assert main([*typed, "--kubeconfig", str(divided.cluster.kubeconfig())]) == 1
    assert "there is no ConfigMap default/absent. Nothing was changed" in capsys.readouterr().err
    assert not node(divided)["spec"].get("unschedulable")


def test_a_node_that_is_being_divided_is_left_alone_and_takes_no_pods(
    divided: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = divided
    lab.api.merge(NODE, {"metadata": {"labels": {"nvidia.com/mig.config.state": "pending"}}})
    assert asked(lab) == 0
    assert "Left out mig-0: its GPUs are being divided anew right now" in capsys.readouterr().out
    assert "nvidia.com/mig.config" not in node(lab)["metadata"]["labels"]
    small = pod("small")
    for kind in ("requests", "limits"):
        small["spec"]["containers"][0]["resources"].setdefault(kind, {})["nvidia.com/mig-1g.10gb"] = "1"
    lab.create(small)
    lab.eventually("it is told", lambda: lab.told("small"))
    lab.api.merge(NODE, {"metadata": {"labels": {"nvidia.com/mig.config.state": "success"}}})
    lab.bound_whole("small", 1)
    lab.check()


NAMESPACES = "/api/v1/namespaces"
THEIR_MAPS = f"{NAMESPACES}/gpu-operator/configmaps"
RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
PLACES = {
    "ClusterRole": f"{RIGHTS}/clusterroles",
    "ClusterRoleBinding": f"{RIGHTS}/clusterrolebindings",
    "Role": f"{RIGHTS}/namespaces/gpu-operator/roles",
    "RoleBinding": f"{RIGHTS}/namespaces/gpu-operator/rolebindings",
    "ValidatingAdmissionPolicy": f"{POLICIES}/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"{POLICIES}/validatingadmissionpolicybindings",
}
BY_POLICY = {
    "migRepartition": "idle",
    "migConfigMap": "gpu-operator/bayplan-mig-parted",
    "migRepartitionPeriodS": 0.5,
    "migSettleS": 1,
}


@pytest.fixture
def by_policy(lab: Lab) -> Iterator[Lab]:
    """The service may divide idle nodes anew; a node has one GPU in small slices."""
    lab.nodes(Group(name="mig", count=1, machine="hgx_h100", mig={"1g.10gb": 7}))
    with suppress(ApiError):  # A namespace takes long to go, so it stays once it is there.
        lab.api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-operator"}})
    text = yaml.safe_dump({"version": "v1", "mig-configs": THEIRS})
    meta = {"name": "bayplan-mig-parted"}
    lab.api.create(
        THEIR_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"config.yaml": text}}
    )
    for made in objects(MANIFESTS / "mig"):
        lab.api.create(PLACES[made["kind"]], made)
    lab.start_service(**BY_POLICY)
    yield lab
    lab.end_services()
    for made in objects(MANIFESTS / "mig"):
        lab.api.delete(f"{PLACES[made['kind']]}/{made['metadata']['name']}")
    lab.api.delete(f"{THEIR_MAPS}/bayplan-mig-parted")
    lab.delete_node("mig-0")


def test_an_idle_node_is_closed_divided_and_opened(by_policy: Lab) -> None:
    lab = by_policy
    large = pod("large")
    for kind in ("requests", "limits"):
        large["spec"]["containers"][0]["resources"].setdefault(kind, {})["nvidia.com/mig-3g.40gb"] = "1"
    lab.create(large)
    lab.eventually("the MIG manager is told", lambda: node(lab)["metadata"]["labels"].get("nvidia.com/mig.config"))
    found = node(lab)
    name = found["metadata"]["labels"]["nvidia.com/mig.config"]
    assert (found["spec"]["unschedulable"], found["metadata"]["labels"]["bayplan.dev/mig-config"]) == (True, name)
    told = yaml.safe_load(lab.api.get(f"{THEIR_MAPS}/bayplan-mig-parted")["data"]["config.yaml"])
    assert told["mig-configs"].keys() == {"all-disabled", name}
    slices = [entry.get("mig-devices", {}) for entry in told["mig-configs"][name]]
    assert sum(each.get("3g.40gb", 0) for each in slices) >= 1
    # The part of the MIG manager and of the device plugin.
    amounts = {"nvidia.com/mig-3g.40gb": "2", "nvidia.com/gpu": "6"}
    lab.api.merge(f"{NODE}/status", {"status": {"capacity": amounts, "allocatable": amounts}})
    lab.api.merge(NODE, {"metadata": {"labels": {"nvidia.com/mig.config.state": "success"}}})
    assert lab.bound_whole("large", 1) == {"large": "mig-0"}
    assert "bayplan.dev/mig-config" not in node(lab)["metadata"]["labels"]
    lab.check()


def test_the_service_changes_nothing_else_of_a_node(by_policy: Lab) -> None:
    lab = by_policy
    service = Somebody(lab.cluster.kubeconfig(), SERVICE)

    def refused(patch: dict[str, Any]) -> str:
        try:
            service.merge(f"{NODE}?dryRun=All", patch)
        except ApiError as refusal:
            return str(refusal)
        return ""

    for patch, words in (
        ({"metadata": {"labels": {"zone": "b"}}}, "changes no labels"),
        ({"metadata": {"annotations": {"a": "b"}}}, "no annotations"),
        ({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}, "whether it is cordoned"),
    ):
        # A policy holds a moment after it was made.
        lab.eventually(words, lambda patch=patch, words=words: words in refused(patch))
    assert not refused({"metadata": {"labels": {"bayplan.dev/mig-config": "x"}}, "spec": {"unschedulable": True}})
