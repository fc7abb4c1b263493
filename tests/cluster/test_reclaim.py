"""Lent GPUs come back on a real cluster: whole gangs make way, and nobody leaves for nothing."""

import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import condition, gang_job, queue

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster-2")]

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
