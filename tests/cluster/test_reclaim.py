"""Lent GPUs come back on a real cluster: whole gangs make way, and nobody leaves for nothing."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.lab import PODS as PODS_PATH
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import GANG, condition, gang_job, queue

pytestmark = pytest.mark.cluster

PODS = 2
MAKES_WAY = "bayplan.dev/MakesWay"


@pytest.fixture
def lent(lab: Lab) -> Lab:
    """Two nodes, which one team owns and another team's gang stands on."""
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(PODS)
    lab.start_service()
    lab.create(queue("owner", nominal=8 * PODS), queue("guest", nominal=0, borrowing=None))
    lab.create(gang_job("guest", pods=PODS, gpus=8, queue="guest"))
    lab.bound_whole("guest-", PODS)
    lab.check()
    return lab


def uids(pods: list[Json]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def reasons(lab: Lab, prefix: str) -> set[str]:
    """What the pods are told that they wait for."""
    return {(lab.told(pod["metadata"]["name"]) or ("", ""))[0] for pod in lab.pods(prefix)}


def marks(lab: Lab) -> dict[str, tuple[str, str]]:
    """Reason and message of the condition on each pod that was to make way, by uid, whenever it was seen."""
    found: dict[str, tuple[str, str]] = {}
    for sighting in lab.watch.history():
        mark = condition(sighting.pod, MAKES_WAY)
        if mark is not None and mark["status"] == "True":
            found[sighting.pod["metadata"]["uid"]] = mark["reason"], mark["message"]
    return found


def test_a_gang_that_borrows_makes_way_whole_and_comes_back_when_the_owner_is_done(lent: Lab) -> None:
    lab = lent
    victims = uids(lab.bound_pods("guest-"))
    lab.create(gang_job("owner", pods=PODS, gpus=8, queue="owner"))
    lab.bound_whole("owner-", PODS)
    lab.seen("guest-", PODS)
    lab.eventually("those that come back are told", lambda: reasons(lab, "guest-") == {"InsufficientResources"})
    lab.check()
    assert lab.bound("guest-") == {}
    told = marks(lab)
    assert told.keys() == victims
    assert {reason for reason, _ in told.values()} == {"Reclaimed"}
    assert all("2 pods evicted for default/owner of queue owner, which had lent" in text for _, text in told.values())
    lab.delete_job("owner")
    lab.bound_whole("guest-", PODS)
    lab.check()


BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


@pytest.fixture
def budget(lent: Lab) -> Iterator[Lab]:
    """One pod of the guest's gang may go at a time."""
    lab = lent
    spec = {"minAvailable": 1, "selector": {"matchLabels": {GANG: "guest"}}}
    lab.api.create(
        BUDGETS,
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "gentle"},
            "spec": spec,
        },
    )
    lab.eventually(
        "the budget is counted", lambda: lab.api.get(f"{BUDGETS}/gentle")["status"].get("disruptionsAllowed") == 1
    )
    yield lab
    lab.api.delete(BUDGETS)


def test_a_budget_that_lets_only_part_of_the_gang_go_keeps_all_of_it(budget: Lab) -> None:
    lab = budget
    victims = uids(lab.bound_pods("guest-"))
    lab.create(gang_job("owner", pods=PODS, gpus=8, queue="owner"))
    why = ("DisruptionBudget", "PodDisruptionBudget default/gentle keeps work from making way for it")
    lab.eventually("the owner is told", lambda: {lab.told(p["metadata"]["name"]) for p in lab.pods("owner-")} == {why})
    lab.check()
    assert uids(lab.bound_pods("guest-")) == victims
    assert marks(lab) == {}
    lab.api.delete(f"{BUDGETS}/gentle")
    lab.bound_whole("owner-", PODS)
    lab.check()
    assert marks(lab).keys() == victims


CHECKPOINTED = "bayplan.dev/checkpointed-at"
REQUESTED = "bayplan.dev/checkpoint-requested"


def asked(lab: Lab, prefix: str) -> list[str]:
    """When these pods were asked to save their work, those that were."""
    notes = (pod["metadata"].get("annotations", {}) for pod in lab.pods(prefix))
    return [note[REQUESTED] for note in notes if REQUESTED in note]


def test_pods_have_time_to_save_their_work_and_leave_as_soon_as_they_have(lent: Lab) -> None:
    lab = lent
    replica = lab.start_service(evictionGraceS=600)
    lab.create(gang_job("owner", pods=PODS, gpus=8, queue="owner"))
    lab.eventually("the guests are asked", lambda: len(asked(lab, "guest-")) == PODS)
    # The time that they have stands on them: another leader goes on with it.
    replica.kill()
    lab.eventually("the service is dead", lambda: not replica.alive)
    lab.start(replica)
    before = asked(lab, "guest-")
    first, second = lab.bound_pods("guest-")
    lab.api.merge(f"{PODS_PATH}/{first['metadata']['name']}", {"metadata": {"annotations": {CHECKPOINTED: before[0]}}})
    lab.eventually("the owner is told", lambda: reasons(lab, "owner-") == {"MakingRoom"})
    assert asked(lab, "guest-") == before
    assert len(lab.bound("guest-")) == PODS
    lab.api.merge(f"{PODS_PATH}/{second['metadata']['name']}", {"metadata": {"annotations": {CHECKPOINTED: before[1]}}})
    lab.bound_whole("owner-", PODS)
    lab.check()


def test_who_need_not_leave_any_more_is_told_so(lab: Lab) -> None:
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(2 * PODS)
    lab.start_service(evictionGraceS=600)
    lab.create(queue("owner", nominal=16 * PODS), queue("guest", nominal=0, borrowing=None))
    lab.create(gang_job("mine", pods=PODS, gpus=8, queue="owner"))
    lab.bound_whole("mine-", PODS)
    lab.create(gang_job("guest", pods=PODS, gpus=8, queue="guest"))
    guests = set(lab.bound_whole("guest-", PODS))
    lab.create(gang_job("owner", pods=PODS, gpus=8, queue="owner"))
    lab.eventually("the guests are asked", lambda: len(asked(lab, "guest-")) == PODS)
    lab.delete_job("mine")
    lab.bound_whole("owner-", PODS)
    lab.eventually(
        "the guests are told that they stay",
        lambda: [m["status"] for m in map(mark, lab.pods("guest-")) if m] == ["False"] * PODS,
    )
    lab.check()
    assert set(lab.bound("guest-")) == guests


def mark(pod: Json) -> Json | None:
    return condition(pod, MAKES_WAY)
