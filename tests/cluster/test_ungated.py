"""Pods that arrive without the gate, as on a cluster without mutating policies, end the same way."""

from collections.abc import Iterator

import pytest

from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import asking, gang_job, gates, pod, queue
from tests.cluster.harness.policy import no_gating
from tests.cluster.harness.replica import Replica

pytestmark = pytest.mark.cluster

IDLE_S = 10.0


@pytest.fixture
def ungated(lab: Lab) -> Iterator[Lab]:
    """A cluster whose policy does not put gates on pods."""
    with no_gating(lab):
        yield lab


def filter_calls(replica: Replica) -> float:
    """How often kube-scheduler asked `filter` so far."""
    return replica.metric("bayplan_extender_rulings_total", verb="filter")


@pytest.mark.parametrize("nominate", ["always", "never"])
def test_two_gangs_with_room_for_one(ungated: Lab, nominate: str) -> None:
    lab = ungated
    lab.h100(2)
    lab.start_service(nominate=nominate)
    lab.create(gang_job("first", pods=2, gpus=8))
    lab.bound_whole("first-", 2)
    lab.create(gang_job("second", pods=2, gpus=8))
    lab.eventually("the second is told why", lambda: all(lab.told(p["metadata"]["name"]) for p in lab.pods("second-")))
    lab.check()
    assert all(gates(p) == [] for p in lab.pods())
    assert [s.name for s in lab.watch.history() if s.name.startswith("second-") and s.node] == []
    lab.delete_job("first")
    lab.bound_whole("second-", 2)
    lab.check()


def test_rejected_pods_do_not_make_kube_scheduler_spin(ungated: Lab) -> None:
    lab = ungated
    pods = 12
    lab.h100(2)
    replica = lab.start_service()
    lab.create(pod("big-0", gpus=8), pod("big-1", gpus=8))
    lab.bound_whole("big-", 2)
    # Nobody ever has a plan; kube-scheduler itself would take every second pod, which asks for no GPU.
    lab.create(*(pod(f"idle-{i}", gpus=8 * (i % 2), gang=f"pair-{i // 2}", size=2) for i in range(pods)))
    lab.eventually("all are told", lambda: all(lab.told(f"idle-{i}") for i in range(pods)))
    lab.settle()
    before = filter_calls(replica)
    assert before > 0
    lab.measure(IDLE_S)
    assert filter_calls(replica) - before <= 3 * pods
    assert lab.bound("idle-") == {}
    lab.check()


@pytest.mark.parametrize("preempting", ["bayplan-high", "system-cluster-critical"])
def test_a_pod_of_higher_priority_over_quota_preempts_nobody(ungated: Lab, preempting: str) -> None:
    lab = ungated
    lab.h100(1)
    lab.api.delete("/apis/bayplan.dev/v1alpha1/queues/plenty")
    lab.create(queue("small", nominal=8, namespaces=["default"]))
    # Bayplan itself would rightly have the pod of lower priority leave; here kube-scheduler is watched.
    replica = lab.start_service(reclaim=False)
    lab.create(pod("works", gpus=8, priorityClassName="bayplan-low"))
    lab.bound_whole("works", 1)
    lab.create(pod("pushes", gpus=8, priorityClassName=preempting))
    lab.eventually("it is told why", lambda: lab.told("pushes"))
    lab.eventually("kube-scheduler gave up on it", lambda: _unschedulable(lab, "pushes"))
    lab.check()
    if preempting == "system-cluster-critical":
        assert replica.metric("bayplan_extender_rulings_total", verb="preempt", ruling="waiting") > 0
    assert lab.bound() == {"works": "h100-0"}
    assert [s for s in lab.watch.history() if s.name == "works" and s.kind == "DELETED"] == []


def _unschedulable(lab: Lab, name: str) -> bool:
    conditions = lab.pod(name)["status"].get("conditions", ())
    return any(c["type"] == "PodScheduled" and c["reason"] == "Unschedulable" for c in conditions)


def test_mig_slices_and_plain_pods(ungated: Lab) -> None:
    lab = ungated
    lab.h100(1)
    lab.start_service()
    lab.create(pod("plain"), asking(pod("sliced"), {"nvidia.com/mig-1g.10gb": "1"}))
    lab.bound_whole("plain", 1)
    lab.eventually("there is no such slice", lambda: lab.told("sliced"))
    lab.check()
    assert set(lab.bound()) == {"plain"}
