"""What happens between plan and bind: the window is held open on kube-scheduler's way to the extender."""

from collections.abc import Callable, Mapping

import pytest

from tests.cluster.harness.front import Front
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import foreign_pod, gang_pods, pod

pytestmark = pytest.mark.cluster

SOON_S = 12.0
"""Well below the 20 s after which a barrier gives up by itself."""


def occupy(lab: Lab, node: str) -> None:
    """The default scheduler, which knows nothing of plans, fills the node."""
    lab.create(foreign_pod("stranger", node=node))
    lab.bound_whole("stranger", 1)


def bind_by_hand(lab: Lab, node: str) -> None:
    """An admin binds a pod past all schedulers."""
    lab.create(pod("stranger", gpus=8, schedulerName="by-hand"))
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "stranger"}}
    lab.api.create(
        "/api/v1/namespaces/default/pods/stranger/binding", {**body, "target": {"kind": "Node", "name": node}}
    )
    lab.bound_whole("stranger", 1)


def lose_readiness(lab: Lab, node: str) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "KubeletNotReady"}
    patch = {"status": {"conditions": [condition]}}
    path = f"/api/v1/nodes/{node}/status"
    lab.api.call("PATCH", path, patch, content="application/strategic-merge-patch+json")


MISHAPS: Mapping[str, Callable[[Lab, str], None]] = {
    "is deleted": Lab.delete_node,
    "is cordoned": Lab.cordon,
    "is filled by the default scheduler": occupy,
    "is filled by hand": bind_by_hand,
    "is not ready any more": lose_readiness,
}


def at_the_barrier(lab: Lab, front: Front, *, pods: int) -> None:
    """A gang of which every pod but the first is at the barrier, and the first is held on its way there."""
    front.hold("bind", "gang-0")
    lab.create(*gang_pods("gang", pods=pods))
    for i in range(1, pods):
        lab.eventually(f"gang-{i} is at the barrier", lambda i=i: front.asks("bind", f"gang-{i}"))
    lab.eventually("gang-0 is held", lambda: front.held("bind", "gang-0"))


@pytest.mark.parametrize("mishap", MISHAPS)
def test_when_a_planned_node_goes_nobody_is_bound_and_a_new_plan_follows(lab: Lab, mishap: str) -> None:
    lab.h100(3)
    _, front = lab.start_behind_front()
    at_the_barrier(lab, front, pods=2)
    node = (front.held("bind", "gang-0") or {})["Node"]
    MISHAPS[mishap](lab, node)
    lab.eventually("gang-1 is sent back", lambda: front.answered("bind", "gang-1"), SOON_S)
    assert lab.bound("gang-") == {}
    front.let_go("bind", "gang-0")
    nodes = lab.bound_whole("gang-", 2)
    assert node not in nodes.values()
    lab.check()


def nominated(lab: Lab) -> dict[str, str | None]:
    """Which node each pod of the gang is nominated to."""
    return {p["metadata"]["name"]: p["status"].get("nominatedNodeName") for p in lab.pods("gang-")}


@pytest.mark.parametrize("mishap", MISHAPS)
def test_when_a_planned_node_goes_before_kube_scheduler_asks_a_new_plan_follows(lab: Lab, mishap: str) -> None:
    lab.h100(3)
    _, front = lab.start_behind_front(nominate="always")
    # kube-scheduler tries one pod at a time, so it waits here with all.
    front.hold("filter", "gang-0")
    lab.create(*gang_pods("gang", pods=2))
    lab.eventually("gang-0 is held", lambda: front.held("filter", "gang-0"))
    node = nominated(lab)["gang-0"] or ""
    MISHAPS[mishap](lab, node)
    lab.eventually("the plan is another", lambda: node not in nominated(lab).values(), SOON_S)
    front.let_go("filter", "gang-0")
    nodes = lab.bound_whole("gang-", 2)
    assert node not in nodes.values()
    lab.check()


def test_when_a_member_is_deleted_at_the_barrier_nobody_is_bound_and_the_others_go_back(lab: Lab) -> None:
    lab.h100(4)
    _, front = lab.start_behind_front()
    at_the_barrier(lab, front, pods=4)
    lab.delete_pod("gang-0")
    for i in range(1, 4):
        lab.eventually(f"gang-{i} is sent back", lambda i=i: front.answered("bind", f"gang-{i}"), SOON_S)
    front.let_go("bind", "gang-0")
    lab.eventually("gang-1 is told", lambda: (lab.told("gang-1") or ("",))[0] == "GangIncomplete")
    lab.check()
    assert [s.name for s in lab.watch.history() if s.node] == []
    lab.create(gang_pods("gang", pods=4)[0])
    lab.bound_whole("gang-", 4)
    lab.check()


def test_a_member_that_never_comes_to_be_bound_holds_nobody_for_long(lab: Lab) -> None:
    lab.h100(5)
    _, front = lab.start_behind_front(arrivalTimeoutS=3.0)
    at_the_barrier(lab, front, pods=4)
    lab.eventually("gang-1 is sent back", lambda: front.answered("bind", "gang-1"), SOON_S)
    assert lab.bound() == {}
    front.let_go("bind", "gang-0")
    lab.bound_whole("gang-", 4)
    lab.check()
