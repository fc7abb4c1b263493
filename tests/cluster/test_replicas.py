"""Two replicas: one leads, the other stands by and takes over."""

import signal
import time

import pytest

from tests.cluster.harness.apiproxy import ApiProxy, Trap
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import gang_job
from tests.cluster.harness.replica import Replica

pytestmark = pytest.mark.cluster

TAKEOVER_S = 15.0
DEFAULT_LEASE = {"leaseDurationS": 10.0, "renewDeadlineS": 7.0, "renewPeriodS": 2.0}


def pair(lab: Lab, **settings: object) -> tuple[tuple[Replica, ApiProxy], tuple[Replica, ApiProxy]]:
    """A leader and a standby, each behind a proxy of its own, and a front that finds the ready one."""
    lab.end_services()
    made: list[tuple[Replica, ApiProxy]] = []
    for _ in range(2):
        proxy = lab.add_proxy()
        made.append((lab.make_replica(lab.proxy_kubeconfig(proxy), settings), proxy))
    lab.add_front(*(replica for replica, _ in made))
    (leader, _), (standby, _) = made
    lab.start(leader)
    lab.start(standby, wait=False)
    lab.eventually("the standby stands by", lambda: "another replica leads" in standby.not_ready())
    return made[0], made[1]


def test_the_standby_takes_over_within_fifteen_seconds_and_finishes_the_plan(lab: Lab) -> None:
    lab.h100(4)
    (leader, proxy), (standby, _) = pair(lab, **DEFAULT_LEASE)
    proxy.set_trap(Trap(index=6, spring=leader.kill, cuts=True))
    lab.create(gang_job("gang", pods=4, gpus=8))
    lab.eventually("the leader is dead", lambda: proxy.sprung and not leader.alive)
    killed_s = time.monotonic()
    lab.eventually("the standby leads", standby.is_ready, TAKEOVER_S)
    assert time.monotonic() - killed_s < TAKEOVER_S
    lab.bound_whole("gang-", 4)
    lab.check()


def test_a_leader_that_leaves_in_order_hands_over_at_once(lab: Lab) -> None:
    lab.h100(2)
    (leader, _), (standby, _) = pair(lab, **DEFAULT_LEASE)
    leader.signal(signal.SIGTERM)
    # Sooner than it would by the lease.
    lab.eventually("the standby leads", standby.is_ready, 9.0)
    lab.create(gang_job("gang", pods=2, gpus=8))
    lab.bound_whole("gang-", 2)
    leader.end()
    lab.check()


def test_a_leader_that_slept_through_its_lease_writes_nothing_more(lab: Lab) -> None:
    lab.h100(6)
    # One write at a time, so that the others of the plan are still to come when the leader falls asleep.
    (leader, slept), (standby, woke) = pair(lab, writeConcurrency=1, nominate="always")
    slept.set_trap(Trap(index=1, spring=lambda: leader.signal(signal.SIGSTOP), cuts=False))
    lab.create(gang_job("gang", pods=4, gpus=8))
    lab.eventually("the leader sleeps", lambda: slept.sprung)
    lab.eventually("the standby leads", standby.is_ready)
    before = slept.plan_writes
    assert before == 1
    leader.signal(signal.SIGCONT)
    lab.create(gang_job("next", pods=2, gpus=8))
    lab.bound_whole("gang-", 4)
    lab.bound_whole("next-", 2)
    lab.eventually("the old leader knows that it does not lead", lambda: "another replica leads" in leader.not_ready())
    lab.check()
    assert slept.plan_writes == before
    assert woke.plan_writes > 0
    assert standby.metric("bayplan_leader") == 1
    assert leader.metric("bayplan_leader") == 0
