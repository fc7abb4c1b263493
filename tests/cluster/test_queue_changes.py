"""What admins do to queues while work runs: nothing is lost, nothing fails, and everybody is told."""

import pytest

from scheduler.localcluster.api import Json
from scheduler.localcluster.errors import ApiError
from tests.cluster.harness.cli import bayplan
from tests.cluster.harness.lab import DELETE_IN_USE, QUEUES, Lab
from tests.cluster.harness.objects import condition, gang_pods, pod, queue

pytestmark = pytest.mark.cluster

IN_USE = "bayplan.dev/in-use"


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Two nodes with 8 GPUs each, and the service."""
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(2)
    lab.start_service()
    return lab


def found(lab: Lab, name: str) -> Json | None:
    """The queue, where it is there."""
    return next((q for q in lab.api.get(QUEUES)["items"] if q["metadata"]["name"] == name), None)


def says(lab: Lab, name: str, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a queue's condition."""
    told = condition(found(lab, name) or {}, kind) or {"status": "", "reason": "", "message": ""}
    return told["status"], told["reason"], told["message"]


def state(lab: Lab, name: str) -> str:
    return says(lab, name, "Serving")[1]


def events(lab: Lab, name: str) -> dict[str, str]:
    """Reason and type of the Events about a queue, which `kubectl describe` finds by its uid."""
    listed: list[Json] = lab.api.get("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
    about = (found(lab, name) or {"metadata": {"uid": ""}})["metadata"]["uid"]
    return {e["reason"]: e["type"] for e in listed if e["regarding"].get("uid") == about}


def reason(lab: Lab, name: str) -> str:
    return (lab.told(name) or ("", ""))[0]


def test_a_quota_that_is_lowered_below_what_runs_drains_by_reclaim_when_its_owner_comes(two: Lab) -> None:
    lab = two
    lab.create(queue("owner", nominal=8), queue("guest", nominal=16))
    for name in ("one", "two"):
        lab.create(*gang_pods(name, pods=1, queue="guest"))
        lab.bound_whole(f"{name}-", 1)
    lab.eventually("its state is told", lambda: state(lab, "guest") == "Running")
    lab.api.merge(f"{QUEUES}/guest", {"spec": {"nominal": 8}})
    lab.eventually("it is over-committed", lambda: state(lab, "guest") == "OverCommitted")
    status, _, message = says(lab, "guest", "Serving")
    assert (status, "uses 16 GPUs and may use 8 GPUs" in message) == ("False", True)
    lab.eventually("an event says so", lambda: events(lab, "guest").get("OverCommitted") == "Warning")
    lab.create(pod("more", gpus=1, queue="guest"))
    lab.eventually("nothing more starts", lambda: reason(lab, "more") == "QuotaExhausted")
    assert len(lab.bound()) == 2
    lab.create(*gang_pods("owner", pods=1, queue="owner"))
    lab.bound_whole("owner-", 1)
    lab.check()
    assert len(lab.bound()) == 2
    lab.eventually("it is within its quota", lambda: says(lab, "guest", "Serving")[0] == "True")
    assert lab.replicas[0].alive


def test_a_queue_with_work_in_it_is_not_deleted_and_drains_where_an_admin_insists(two: Lab) -> None:
    lab = two
    (replica,) = lab.replicas
    lab.create(queue("org", nominal=16), queue("team", nominal=16))
    lab.api.merge(f"{QUEUES}/team", {"spec": {"parent": "org"}})
    lab.create(pod("runs", gpus=8, queue="team"))
    lab.bound_whole("runs", 1)
    lab.eventually("it is held", lambda: IN_USE in (found(lab, "team") or {})["metadata"].get("finalizers", ()))
    for name in ("team", "org"):
        lab.eventually("it says that work runs", lambda n=name: state(lab, n) == "Running")
        with pytest.raises(ApiError, match="has 1 running workloads; let them end or delete them first"):
            lab.api.delete(f"{QUEUES}/{name}")
    lab.api.merge(f"{QUEUES}/team", {"metadata": {"annotations": DELETE_IN_USE}})
    lab.api.delete(f"{QUEUES}/team")
    lab.eventually("it is told", lambda: state(lab, "team") == "Draining")
    lab.eventually("an event says so", lambda: events(lab, "team").get("Draining") == "Warning")
    lab.create(pod("late", gpus=1, queue="team"))
    lab.eventually("nothing new starts", lambda: reason(lab, "late") == "QueueMissing")
    # Whoever leads next knows it by what stands on the queue.
    replica.kill()
    lab.eventually("the service is dead", lambda: not replica.alive)
    lab.start(replica)
    lab.create(pod("later", gpus=1, queue="team"))
    lab.eventually("nothing new starts", lambda: reason(lab, "later") == "QueueMissing")
    assert (found(lab, "team") or {})["status"]["usedMilliGpu"] == 8000
    assert (found(lab, "org") or {})["status"]["usedMilliGpu"] == 8000
    lab.check()
    assert set(lab.bound()) == {"runs"}
    lab.delete_pod("runs")
    lab.eventually("the queue is gone", lambda: found(lab, "team") is None)
    lab.eventually("nothing is charged any more", lambda: (found(lab, "org") or {})["status"]["usedMilliGpu"] == 0)
    lab.eventually("the other may go", lambda: not (found(lab, "org") or {})["metadata"].get("finalizers"))
    lab.check()


def test_work_whose_queue_was_torn_away_is_told_and_counted_again_with_the_queue(two: Lab) -> None:
    lab = two
    (replica,) = lab.replicas
    lab.create(queue("team", nominal=16))
    lab.create(pod("runs", gpus=8, queue="team"))
    lab.bound_whole("runs", 1)
    lab.eventually("it is held", lambda: IN_USE in (found(lab, "team") or {})["metadata"].get("finalizers", ()))
    replica.kill()
    lab.eventually("the service is dead", lambda: not replica.alive)
    lab.api.merge(f"{QUEUES}/team", {"metadata": {"annotations": DELETE_IN_USE, "finalizers": None}})
    lab.api.delete(f"{QUEUES}/team")
    lab.start(replica)
    lab.eventually("it is told", lambda: [e for e in lab.events("runs") if e["reason"] == "QueueMissing"])
    text = bayplan("explain", "runs", "-n", "default", "--server", replica.grpc_address)
    assert "'team'" in text
    lab.check()
    lab.create(queue("team", nominal=8))
    lab.eventually("it is charged", lambda: (found(lab, "team") or {}).get("status", {}).get("usedMilliGpu") == 8000)
    lab.check()


def test_a_parent_that_cannot_be_is_quoted_and_the_last_one_stays_in_force(two: Lab) -> None:
    lab = two
    lab.create(queue("org", nominal=8), queue("team", nominal=16))
    lab.api.merge(f"{QUEUES}/team", {"spec": {"parent": "org"}})
    lab.eventually("it is in force", lambda: says(lab, "team", "Accepted")[1] == "InForce")
    lab.api.merge(f"{QUEUES}/team", {"spec": {"parent": "nowhere"}})
    lab.eventually("it is refused", lambda: says(lab, "team", "Accepted")[1] == "ParentRefused")
    status, _, message = says(lab, "team", "Accepted")
    assert status == "False"
    assert "spec.parent is 'nowhere'" in message
    assert message.endswith("Meanwhile the queue stands below org, as before")
    lab.eventually("an event says so", lambda: events(lab, "team").get("ParentRefused") == "Warning")
    (replica,) = lab.replicas
    replica.kill()
    lab.eventually("the service is dead", lambda: not replica.alive)
    lab.start(replica)
    lab.create(*(pod(f"p-{i}", gpus=8, queue="team") for i in range(2)))
    lab.bound_whole("p-", 1)
    lab.eventually("the other is told", lambda: max(reason(lab, f"p-{i}") for i in range(2)) == "QuotaExhausted")
    lab.api.merge(f"{QUEUES}/team", {"spec": {"parent": "org"}})
    lab.eventually("it is in force", lambda: says(lab, "team", "Accepted")[1] == "InForce")
    lab.eventually("an event says so", lambda: events(lab, "team").get("InForce") == "Normal")
    assert says(lab, "team", "Accepted")[0] == "True"
    lab.api.merge(f"{QUEUES}/org", {"spec": {"parent": "team"}})
    lab.eventually(
        "the circle is refused", lambda: "ParentRefused" in {says(lab, n, "Accepted")[1] for n in ("org", "team")}
    )
    assert any("org > team > org" in says(lab, n, "Accepted")[2] for n in ("org", "team"))
    lab.check()
    assert len(lab.bound("p-")) == 1
