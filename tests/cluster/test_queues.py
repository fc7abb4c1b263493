"""Quota on a real cluster: kept whatever comes, and followed when an admin changes it."""

import pytest

from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import QUEUE, gang_job, gang_pods, job, noted, pod, queue, template

pytestmark = pytest.mark.cluster


@pytest.fixture
def quotas(lab: Lab) -> Lab:
    """A cluster with room for more than its queues may use."""
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(4)
    lab.start_service()
    return lab


def reason(lab: Lab, name: str) -> str:
    return (lab.told(name) or ("", ""))[0]


def test_a_gang_over_quota_waits_whole_though_there_is_room_and_starts_when_quota_grows(quotas: Lab) -> None:
    lab = quotas
    lab.create(queue("small", nominal=8, namespaces=["default"]), *gang_pods("gang", pods=2))
    lab.eventually("it is told", lambda: reason(lab, "gang-0") == "QuotaExhausted")
    lab.create(pod("fits", gpus=8))
    lab.bound_whole("fits", 1)
    lab.check()
    assert lab.bound("gang-") == {}
    lab.api.merge(f"{QUEUES}/small", {"spec": {"nominal": 24}})
    lab.bound_whole("gang-", 2)
    lab.check()


def test_many_pods_that_come_at_once_never_use_more_than_the_quota(quotas: Lab) -> None:
    lab = quotas
    lab.create(queue("small", nominal=6, borrowing=2, namespaces=["default"]))
    lab.create(*(pod(f"p-{i:02}", gpus=1) for i in range(20)))
    lab.bound_whole("p-", 8)
    lab.check()
    assert len(lab.bound("p-")) == 8
    most = 0
    held: set[str] = set()
    for sighting in lab.watch.history():
        if sighting.node and sighting.kind != "DELETED":
            held.add(sighting.name)
        else:
            held.discard(sighting.name)
        most = max(most, len(held))
    assert most == 8


def test_each_team_has_its_own_quota_by_label_and_by_the_job_above(quotas: Lab) -> None:
    lab = quotas
    lab.create(queue("red", nominal=8), queue("blue", nominal=16))
    lab.create(gang_job("red", pods=2, gpus=8, queue="red"))
    lab.create(noted(job("blue", template(gpus=8), pods=2), labels={QUEUE: "blue"}))
    lab.bound_whole("blue-", 2)
    lab.check()
    assert lab.bound("red-") == {}
    lab.eventually("the queues' status is written", lambda: _used(lab) == {"red": 0, "blue": 16000})


def _used(lab: Lab) -> dict[str, int]:
    return {q["metadata"]["name"]: q.get("status", {}).get("usedMilliGpu", -1) for q in lab.api.get(QUEUES)["items"]}


def test_a_queue_that_comes_later_lets_its_pods_start(quotas: Lab) -> None:
    lab = quotas
    lab.create(pod("early", gpus=1, queue="late"))
    lab.eventually("it is told", lambda: reason(lab, "early") == "QueueMissing")
    lab.create(queue("late", nominal=8))
    lab.bound_whole("early", 1)
    lab.check()
