"""What a real API server tells and keeps of reservations: learned lengths, and the status of Queues."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.lab import PODS, QUEUES, Lab
from tests.cluster.harness.objects import condition, gang_pods, pod

pytestmark = pytest.mark.cluster

RAN = timedelta(hours=2)


def bound_at(lab: Lab, name: str) -> datetime:
    scheduled = condition(lab.pod(name), "PodScheduled")
    assert scheduled is not None
    return datetime.fromisoformat(scheduled["lastTransitionTime"])


def finish(lab: Lab, name: str, after: timedelta) -> None:
    """The kubelet's word that the pod did its work so long after it got its node."""
    end = (bound_at(lab, name) + after).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"exitCode": 0, "reason": "Completed", "finishedAt": end}
    main = {"name": "main", "image": "none", "imageID": "", "ready": False, "restartCount": 0}
    statuses = [{**main, "state": {"terminated": ended}}]
    lab.api.merge(f"{PODS}/{name}/status", {"status": {"phase": "Succeeded", "containerStatuses": statuses}})


def reservation(lab: Lab) -> Json:
    return lab.api.get(f"{QUEUES}/plenty").get("status", {}).get("reservation", {})


def test_a_start_is_learned_from_earlier_runs_and_stands_in_the_status_of_the_queue(lab: Lab) -> None:
    lab.h100(3)
    lab.start_service()
    lab.create(*(pod(f"train-{i}", gpus=8) for i in range(3)))
    lab.bound_whole("train-", 3)
    for i in range(3):
        finish(lab, f"train-{i}", RAN)
    lab.end_services()
    lab.start_service()
    lab.create(*(pod(f"train-{i}", gpus=8) for i in range(3, 6)))
    lab.eventually("the others run", lambda: {f"train-{i}" for i in range(3, 6)} <= lab.bound("train-").keys())
    lab.create(*gang_pods("big", pods=2))
    lab.eventually("room is reserved", lambda: reservation(lab).get("workload") == "default/big")
    ends = sorted(bound_at(lab, f"train-{i}") + RAN for i in range(3, 6))
    kept = reservation(lab)
    assert datetime.fromisoformat(kept["startsAt"]) == ends[1]
    assert (kept["sure"], kept["nodes"], kept["milliGpu"]) == (False, 2, 16000)
    lab.check()
    lab.delete_pod("big-0")
    lab.delete_pod("big-1")
    lab.eventually("nothing is reserved any more", lambda: reservation(lab) == {})
