"""What is told of GPUs on a real cluster: a gang on one that breaks, which by policy goes elsewhere; assumed links."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.fleet import Group
from tests.cluster.harness.cli import bayplan
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import condition, gang_job, noted, pod

pytestmark = pytest.mark.cluster

GPUNODES = "/apis/bayplan.dev/v1alpha1/gpunodes"
ON_FAILING = "bayplan.dev/OnFailingDevice"
WHY = "Xid 79: the GPU has fallen off the bus"


def set_health(lab: Lab, node: str, index: int, state: str) -> None:
    """Have the node's report say that of one GPU."""
    status = lab.api.get(f"{GPUNODES}/{node}")["status"]
    for device in status["devices"]:
        if device["index"] == index:
            device["health"] = {"state": state, "reasons": [] if state == "Healthy" else [WHY]}
    status["healthyDeviceCount"] = sum(d["health"]["state"] == "Healthy" for d in status["devices"])
    changed = {"devices": status["devices"], "healthyDeviceCount": status["healthyDeviceCount"]}
    lab.api.merge(f"{GPUNODES}/{node}/status", {"status": changed})


@pytest.fixture
def sound(lab: Lab) -> Iterator[Lab]:
    """Three nodes, whose GPUs are healthy again afterwards."""
    nodes = lab.h100(3)
    yield lab
    for node in nodes:
        set_health(lab, node, 3, "Healthy")


def condition_on(lab: Lab, pod: str) -> tuple[str, str]:
    found = condition(lab.pod(pod), ON_FAILING)
    return ("", "") if found is None else (found["status"], found["reason"])


def test_a_gang_on_a_gpu_that_breaks_is_told_which_and_stays(sound: Lab) -> None:
    lab = sound
    lab.start_service()
    lab.create(gang_job("train", pods=2, gpus=8))
    placed = lab.bound_whole("train-", 2)
    pod, node = sorted(placed.items())[1]
    set_health(lab, node, 3, "Unhealthy")
    lab.eventually("the pod is told", lambda: condition_on(lab, pod) == ("True", "DeviceUnhealthy"))
    (event,) = [e for e in lab.events(pod) if e["reason"] == "DeviceUnhealthy"]
    assert f"of {node} is not healthy ({WHY})" in event["note"]
    assert "GPU 3 " in event["note"]
    said = bayplan("explain", "train", "--kubeconfig", str(lab.cluster.kubeconfig()))
    assert f"of {node} is not healthy ({WHY})" in " ".join(said.split())
    lab.check()
    assert lab.bound("train-") == placed
    set_health(lab, node, 3, "Healthy")
    lab.eventually("that is taken back", lambda: condition_on(lab, pod) == ("False", "Recovered"))


def test_by_policy_the_gang_goes_elsewhere_whole(sound: Lab) -> None:
    lab = sound
    lab.start_service(onFailingDevices="replan")
    lab.create(gang_job("train", pods=2, gpus=8))
    placed = lab.bound_whole("train-", 2)
    before = {pod["metadata"]["uid"] for pod in lab.bound_pods("train-")}
    broken = min(placed.values())
    set_health(lab, broken, 3, "Unhealthy")

    def moved() -> bool:
        now = lab.bound_pods("train-")
        return len(now) == 2 and not before.intersection(pod["metadata"]["uid"] for pod in now)

    lab.eventually("other pods stand in place of those", moved)
    lab.check()
    assert broken not in lab.bound("train-").values()
    told = [condition(seen.pod, "bayplan.dev/MakesWay") for seen in lab.watch.history()]
    assert {mark["reason"] for mark in told if mark is not None and mark["status"] == "True"} == {"OnFailingDevice"}


def test_linked_gpus_are_planned_where_nobody_reports_and_that_is_said(lab: Lab) -> None:
    lab.nodes(Group(name="plain", count=1, machine="hgx_h100", reports=False))
    lab.start_service()
    lab.create(noted(pod("linked", gpus=4), {"bayplan.dev/linked": "required"}))
    lab.bound_whole("linked", 1)
    lab.eventually("it is told", lambda: [e for e in lab.events("linked") if e["reason"] == "LinksAssumed"])
    (event,) = [e for e in lab.events("linked") if e["reason"] == "LinksAssumed"]
    assert event["note"] == (
        "How the GPUs of plain-0 are connected is not reported; they are taken to be as in machines of type hgx_h100"
    )
    said = bayplan("explain", "linked", "--kubeconfig", str(lab.cluster.kubeconfig()))
    assert "are taken to be as in machines of type hgx_h100" in " ".join(said.split())
    lab.check()
