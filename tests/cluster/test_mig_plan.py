"""`bayplan mig plan --apply` on a real cluster: what the GPU operator's MIG manager would find."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scheduler.cli.main import main
from scheduler.localcluster.fleet import Group
from tests.cluster.harness.lab import NODES, Lab
from tests.cluster.harness.objects import pod

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster-2")]

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
    assert "1 nodes are cordoned and labelled" in capsys.readouterr().out
    assert node(lab)["spec"]["unschedulable"] is True
    name = node(lab)["metadata"]["labels"]["nvidia.com/mig.config"]
    told = yaml.safe_load(lab.api.get(f"{CONFIG_MAPS}/mig-parted")["data"]["config.yaml"])
    assert told["mig-configs"].keys() == {"all-disabled", name}
    whole, anew = told["mig-configs"][name]
    assert whole == {"devices": [0, 1, 2, 3, 4, 5, 6], "mig-enabled": False}
    assert (anew["devices"], anew["mig-enabled"], anew["mig-devices"]["3g.40gb"] >= 1) == ([7], True, True)
    lab.check()


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
