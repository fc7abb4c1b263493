"""kill -9 of kube-scheduler at moments of a plan, and of the API server for ten seconds."""

import pytest

from tests.cluster.harness.apiproxy import Trap
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import foreign_pod, gang_job, gang_pods

pytestmark = pytest.mark.cluster

PODS = 4
OWN_SCHEDULER = "bayplan-kube-scheduler"
APISERVER = "kube-apiserver"
OUTAGE_S = 10.0
RECOVERY_S = 60.0
OUTAGE_RECOVERY_S = 150.0
"""kube-scheduler's watches may come back a minute after the API server: client-go waits up to 30 s, twice that with
jitter, between attempts (reflector backoff of 0.8 s to 30 s, factor 2, jitter 1)."""

MOMENTS = {
    "when one pod is nominated": 1,
    "when all are nominated and gated": PODS,
    "when half are ungated": PODS + PODS // 2,
    "when all are ungated": 2 * PODS,
    "when half are bound": 2 * PODS + PODS // 2,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_gang_ends_whole_though_kube_scheduler_is_killed(lab: Lab, moment: str) -> None:
    lab.h100(PODS)
    _, proxy = lab.start_behind_proxy(nominate="always")
    proxy.set_trap(Trap(index=MOMENTS[moment], spring=lambda: lab.cluster.kill(OWN_SCHEDULER), cuts=False))
    lab.create(gang_job("gang", pods=PODS, gpus=8))
    lab.eventually("kube-scheduler was killed", lambda: proxy.sprung)
    lab.cluster.restart(OWN_SCHEDULER)
    lab.bound_whole("gang-", PODS, RECOVERY_S)
    lab.check()
    lab.delete_job("gang")
    lab.create(gang_job("next", pods=PODS, gpus=8))
    lab.bound_whole("next-", PODS)
    lab.check()


def test_a_gang_ends_whole_though_kube_scheduler_is_killed_while_members_wait_at_the_barrier(lab: Lab) -> None:
    lab.h100(PODS)
    _, front = lab.start_behind_front()
    front.hold("bind", "gang-0")
    lab.create(*gang_pods("gang", pods=PODS))
    lab.eventually("gang-0 is held", lambda: front.held("bind", "gang-0"))
    lab.cluster.kill(OWN_SCHEDULER)
    front.let_go("bind", "gang-0")
    assert lab.bound() == {}
    lab.cluster.restart(OWN_SCHEDULER)
    lab.bound_whole("gang-", PODS, RECOVERY_S)
    lab.check()


def test_a_plan_is_left_alone_while_kube_scheduler_is_away_and_made_anew_where_its_room_is_taken(lab: Lab) -> None:
    lab.h100(3)
    lab.start_service(nominate="always")
    lab.cluster.kill(OWN_SCHEDULER)
    lab.create(*gang_pods("gang", pods=2))
    lab.eventually(
        "the gang is planned", lambda: all("nominatedNodeName" in p["status"] for p in lab.pods("gang-")) and lab.pods()
    )
    taken = lab.pod("gang-0")["status"]["nominatedNodeName"]
    lab.create(foreign_pod("stranger", node=taken))
    lab.bound_whole("stranger", 1)
    lab.cluster.restart(OWN_SCHEDULER)
    assert taken not in lab.bound_whole("gang-", 2, RECOVERY_S).values()
    lab.check()


@pytest.mark.parametrize("index", [2, PODS + 1, 2 * PODS + 2])
def test_a_gang_ends_whole_though_the_api_server_is_away_for_ten_seconds(lab: Lab, index: int) -> None:
    lab.h100(PODS)
    replica, proxy = lab.start_behind_proxy(nominate="always")
    proxy.set_trap(Trap(index=index, spring=lambda: lab.cluster.kill(APISERVER), cuts=False))
    lab.create(*gang_pods("gang", pods=PODS))
    lab.eventually("the API server was killed", lambda: proxy.sprung)
    lab.measure(OUTAGE_S)
    assert replica.alive
    lab.revive()
    lab.bound_whole("gang-", PODS, OUTAGE_RECOVERY_S)
    lab.eventually("the service leads again", replica.is_ready, OUTAGE_RECOVERY_S)
    lab.check()
    lab.create(*gang_pods("late", pods=1))
    for i in range(PODS):
        lab.delete_pod(f"gang-{i}")
    # The gang may have been bound without kube-scheduler, whose watches can still be waiting to ask the API server.
    lab.bound_whole("late-", 1, OUTAGE_RECOVERY_S)
    lab.check()
