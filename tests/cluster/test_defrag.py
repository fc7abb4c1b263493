"""`bayplan defrag --apply` on a real cluster: it moves what it showed, or nothing."""

from collections.abc import Iterator

import pytest

from scheduler.cli.main import main
from tests.cluster.harness.lab import NODES, PODS, Lab
from tests.cluster.harness.objects import GANG, gang_job, gang_pods

pytestmark = pytest.mark.cluster

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


@pytest.fixture
def halves(lab: Lab) -> Iterator[Lab]:
    """Two nodes, each half taken: by a gang called left, and by one called right."""
    lab.h100(2)
    lab.start_service()
    for name, other in (("left", "h100-1"), ("right", "h100-0")):
        lab.cordon(other)
        lab.create(gang_job(name, pods=2, gpus=2))
        lab.bound_whole(f"{name}-", 2)
        lab.cordon(other, on=False)
    lab.check()
    yield lab
    lab.api.delete(BUDGETS)


def defrag(lab: Lab, *arguments: str) -> int:
    return main(["defrag", *arguments, "--apply", "--yes", "--kubeconfig", str(lab.cluster.kubeconfig())])


def closed(lab: Lab) -> list[str]:
    return [n["metadata"]["name"] for n in lab.api.get(NODES)["items"] if n["spec"].get("unschedulable")]


def uids(lab: Lab) -> set[str]:
    return {pod["metadata"]["uid"] for pod in lab.api.get(PODS)["items"]}


def test_a_node_is_opened_and_stays_so(halves: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab = halves
    assert defrag(lab, "--open", "node=h100-1") == 0
    assert "2 pods evicted, and gone. The opened nodes are cordoned" in capsys.readouterr().out
    assert closed(lab) == ["h100-1"]
    assert set(lab.bound_whole("right-", 2).values()) == {"h100-0"}
    lab.check()


def test_a_waiting_gang_gets_its_room(halves: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab = halves
    lab.create(*gang_pods("whole", pods=1, gpus=8))
    lab.eventually("it is told", lambda: lab.told("whole-0"))
    assert defrag(lab, "--for", "default/whole") == 0
    assert "There is room for default/whole now" in capsys.readouterr().out
    (node,) = lab.bound_whole("whole-", 1).values()
    other = ({"h100-0", "h100-1"} - {node}).pop()
    lab.bound_whole("left-", 2)
    assert set(lab.bound_whole("right-", 2).values()) == {other}
    assert closed(lab) == []
    lab.check()


def test_a_disruption_budget_stops_everything_before_anything_moved(
    halves: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = halves
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "right"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {GANG: "right"}}},
    }
    lab.api.create(BUDGETS, budget)
    lab.eventually("the budget is counted", lambda: "disruptionsAllowed" in lab.api.get(f"{BUDGETS}/right")["status"])
    before = uids(lab)
    assert defrag(lab, "--open", "node=h100-1") == 1
    said = capsys.readouterr().err
    assert "default/right-" in said
    assert "disruption budget" in said
    assert "Nothing was moved" in said
    assert (uids(lab), closed(lab)) == (before, [])
