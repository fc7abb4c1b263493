"""kill -9 of the service after each single write of a claim: whoever comes next finishes it, and nobody else leaves."""

from collections.abc import Collection

import pytest

from tests.cluster.harness.apiproxy import CLAIM_WRITES, Trap
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import condition, gang_pods, queue

pytestmark = pytest.mark.cluster

PODS = 2
GUESTS = ("one", "two")
CASES = [
    # nominate, mark, evict, ungate and bind each pod
    *(pytest.param("always", index, id=f"nominating, write {index} of {5 * PODS}") for index in range(1, 5 * PODS + 1)),
    # mark, evict, ungate and bind each pod
    *(pytest.param("never", index, id=f"write {index} of {4 * PODS}") for index in range(1, 4 * PODS + 1)),
]


def gone_since(lab: Lab, before: Collection[str]) -> set[str]:
    """Which of these pods are no more."""
    return set(before) - {pod["metadata"]["uid"] for pod in lab.pods()}


def marked(lab: Lab) -> set[str]:
    """The pods that were told to make way, whenever that was."""
    marks = ((s.pod["metadata"]["uid"], condition(s.pod, "bayplan.dev/MakesWay")) for s in lab.watch.history())
    return {uid for uid, mark in marks if mark is not None and mark["status"] == "True"}


def told(lab: Lab, prefix: str) -> set[str]:
    """What these pods are told that they wait for."""
    return {(lab.told(pod["metadata"]["name"]) or ("", ""))[0] for pod in lab.pods(prefix)}


@pytest.mark.parametrize(("nominate", "index"), CASES)
def test_one_gang_makes_way_whole_and_the_other_starts(lab: Lab, nominate: str, index: int) -> None:
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(PODS * len(GUESTS))
    replica, proxy = lab.start_behind_proxy(nominate=nominate)
    lab.create(queue("owner", nominal=8 * PODS), queue("guest", nominal=0, borrowing=None))
    stood: dict[str, set[str]] = {}
    for name in GUESTS:
        lab.create(*gang_pods(name, pods=PODS, queue="guest"))
        lab.bound_whole(f"{name}-", PODS)
        stood[name] = {pod["metadata"]["uid"] for pod in lab.bound_pods(f"{name}-")}
    lab.settle()
    proxy.set_trap(Trap(index=index, spring=replica.kill, cuts=True, kinds=CLAIM_WRITES))
    lab.create(*gang_pods("owner", pods=PODS, queue="owner"))
    lab.eventually(f"write {index} of the claim took place", lambda: proxy.sprung)
    lab.eventually("the service is dead", lambda: not replica.alive)
    proxy.set_trap(None)
    lab.start(replica)
    lab.bound_whole("owner-", PODS)
    lab.check()
    left = gone_since(lab, set[str]().union(*stood.values()))
    assert left in stood.values(), f"{left} left; these stood: {stood}"
    assert left <= marked(lab)
    (victim,) = (name for name in GUESTS if stood[name] == left)
    # A controller would make them anew; a Job's would wait for ten seconds before.
    lab.create(*gang_pods(victim, pods=PODS, queue="guest"))
    lab.eventually("those that come back are told", lambda: told(lab, f"{victim}-") == {"InsufficientResources"})
    assert lab.bound(f"{victim}-") == {}
    for rank in range(PODS):
        lab.delete_pod(f"owner-{rank}")
    lab.bound_whole(f"{victim}-", PODS)
    lab.check()
    assert {m["status"] for m in (condition(p, "bayplan.dev/MakesWay") for p in lab.pods()) if m is not None} <= {
        "False"
    }
