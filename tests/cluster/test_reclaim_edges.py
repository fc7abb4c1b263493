"""Making way where time, budgets and restarts get in between."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.apiproxy import Trap
from tests.cluster.harness.cli import bayplan
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import GANG, condition, gang_pods, queue

pytestmark = pytest.mark.cluster

PODS = 2
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
MAKES_WAY = "bayplan.dev/MakesWay"
REQUESTED = "bayplan.dev/checkpoint-requested"
LEAST_S = 15
"""Long enough that what is told meanwhile is seen on a busy machine."""


@pytest.fixture
def full(lab: Lab) -> Lab:
    """Two nodes, which one team owns; the service is not there yet."""
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(PODS)
    return lab


def lend(lab: Lab, **guest: object) -> None:
    """Another team's gang stands on both nodes."""
    made = queue("guest", nominal=0, borrowing=None)
    lab.create(queue("owner", nominal=8 * PODS), {**made, "spec": {**made["spec"], **guest}})
    lab.create(*gang_pods("guest", pods=PODS, queue="guest"))
    lab.bound_whole("guest-", PODS)


def claim(lab: Lab) -> None:
    lab.create(*gang_pods("owner", pods=PODS, queue="owner"))


def reasons(lab: Lab, prefix: str) -> set[str]:
    """What these pods are told that they wait for."""
    return {(lab.told(pod["metadata"]["name"]) or ("", ""))[0] for pod in lab.pods(prefix)}


def marks(lab: Lab, prefix: str) -> set[str]:
    """Whether these pods are to make way, as far as they were told."""
    return {m["status"] for m in (condition(p, MAKES_WAY) for p in lab.pods(prefix)) if m is not None}


def test_a_queue_gives_its_pods_a_time_of_its_own_that_goes_on_when_the_service_is_killed(full: Lab) -> None:
    lab = full
    replica = lab.start_service(evictionGraceS=600)
    lend(lab, evictionGraceSeconds=6)
    claim(lab)
    asked = "the guests are asked"
    lab.eventually(asked, lambda: all(REQUESTED in p["metadata"].get("annotations", {}) for p in lab.pods("guest-")))
    lab.eventually("and told so", lambda: "CheckpointRequested" in {e["reason"] for e in lab.events("guest-0")})
    replica.kill()
    lab.eventually("the service is dead", lambda: not replica.alive)
    assert len(lab.bound("guest-")) == PODS
    lab.start(replica)
    lab.bound_whole("owner-", PODS)
    lab.check()
    notes = [e["note"] for e in lab.events("guest-0") if e["reason"] == "CheckpointRequested"]
    assert [note.startswith("it has 6 s to save its work") for note in notes] == [True]


def test_borrowed_work_is_safe_for_its_least_runtime_and_no_longer(full: Lab) -> None:
    lab = full
    lab.start_service()
    lend(lab, minRuntimeSeconds=LEAST_S)
    claim(lab)
    lab.eventually("the owner is told", lambda: reasons(lab, "owner-") == {"InsufficientResources"})
    assert len(lab.bound("guest-")) == PODS
    lab.bound_whole("owner-", PODS)
    lab.check()
    ran = {s.name: s.at_s for s in reversed(lab.watch.history()) if s.node and s.name.startswith("guest-")}
    left = {s.name: s.at_s for s in lab.watch.history() if s.kind == "DELETED" and s.name.startswith("guest-")}
    # The moment of binding is told in whole seconds.
    assert all(left[name] - ran[name] >= LEAST_S - 1 for name in ran), (ran, left)


@pytest.fixture
def budgets(full: Lab) -> Iterator[Lab]:
    """Budgets are deleted afterwards."""
    yield full
    full.api.delete(BUDGETS)


def budget(at_least: int) -> Json:
    spec = {"minAvailable": at_least, "selector": {"matchLabels": {GANG: "guest"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "late"}, "spec": spec}


def test_a_budget_that_comes_between_the_trial_and_the_eviction_keeps_all_and_they_are_told(budgets: Lab) -> None:
    lab = budgets
    _, proxy = lab.start_behind_proxy()
    lend(lab)
    lab.settle()
    stood = {pod["metadata"]["uid"] for pod in lab.bound_pods("guest-")}
    # All evictions were tried, and the last victim is marked: the next write is the first eviction.
    marked = Trap(
        index=PODS, spring=lambda: lab.api.create(BUDGETS, budget(PODS)), cuts=False, kinds=frozenset({"mark"})
    )
    proxy.set_trap(marked)
    claim(lab)
    lab.eventually("the budget is there", lambda: proxy.sprung)
    lab.eventually("the owner is told", lambda: reasons(lab, "owner-") == {"DisruptionBudget"})
    lab.eventually("the guests are told that they stay", lambda: marks(lab, "guest-") == {"False"})
    assert 429 in {write.status for write in proxy.writes if write.kind == "evict"}
    lab.check()
    assert {pod["metadata"]["uid"] for pod in lab.bound_pods("guest-")} == stood
    lab.api.delete(f"{BUDGETS}/late")
    lab.bound_whole("owner-", PODS)
    lab.check()


def test_a_gang_of_which_a_late_budget_kept_a_part_goes_whole_as_soon_as_it_may(budgets: Lab) -> None:
    lab = budgets
    _, proxy = lab.start_behind_proxy()
    lend(lab)
    lab.settle()
    evicted = Trap(
        index=1, spring=lambda: lab.api.create(BUDGETS, budget(PODS)), cuts=False, kinds=frozenset({"evict"})
    )
    proxy.set_trap(evicted)
    claim(lab)
    lab.eventually("the budget is there", lambda: proxy.sprung)
    lab.eventually("one is gone", lambda: len(lab.bound("guest-")) == 1)
    lab.eventually("the other is kept", lambda: 429 in {w.status for w in proxy.writes if w.kind == "evict"})
    assert lab.bound("owner-") == {}
    lab.api.delete(f"{BUDGETS}/late")
    lab.bound_whole("owner-", PODS)
    lab.check()
    assert lab.bound("guest-") == {}


def test_after_a_restart_it_is_still_told_why_work_was_evicted(full: Lab) -> None:
    lab = full
    replica = lab.start_service()
    lend(lab)
    claim(lab)
    lab.bound_whole("owner-", PODS)
    lab.eventually("events tell it", lambda: [e for e in lab.events("guest-0") if e["reason"] == "Reclaimed"])
    replica.kill()
    lab.eventually("the service is dead", lambda: not replica.alive)
    lab.start(replica)
    lab.create(*gang_pods("guest", pods=PODS, queue="guest"))
    lab.eventually("they are told", lambda: reasons(lab, "guest-") == {"InsufficientResources"})
    why = f"{PODS} pods evicted for default/owner of queue owner, which had lent"

    def explained() -> bool:
        return why in bayplan("explain", "guest", "-n", "default", "--server", replica.grpc_address)

    lab.eventually("it is explained", explained)
    assert why in bayplan("explain", "guest", "-n", "default", "--kubeconfig", str(lab.cluster.kubeconfig()))
    lab.check()
