"""kill -9 of the service after each single write of a gang's plan: whoever comes next finishes it."""

import pytest

from tests.cluster.harness.apiproxy import ApiProxy, Trap
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import foreign_pod, gang_job, gang_pods
from tests.cluster.harness.replica import Replica

pytestmark = pytest.mark.cluster

PODS = 4
CASES = [
    # nominate and ungate and bind each pod
    *(pytest.param("always", index, id=f"nominating, write {index} of {3 * PODS}") for index in range(1, 3 * PODS + 1)),
    # ungate and bind each pod
    *(pytest.param("never", index, id=f"write {index} of {2 * PODS}") for index in range(1, 2 * PODS + 1)),
]


def killed_after(lab: Lab, replica: Replica, proxy: ApiProxy, index: int) -> None:
    """Give the service a gang, and kill it once the API server has taken write number `index`."""
    proxy.set_trap(Trap(index=index, spring=replica.kill, cuts=True))
    lab.create(gang_job("gang", pods=PODS, gpus=8))
    lab.eventually(f"write {index} of the plan took place", lambda: proxy.sprung)
    lab.eventually("the service is dead", lambda: not replica.alive)


@pytest.mark.parametrize(("nominate", "index"), CASES)
def test_the_gang_ends_whole_and_no_gpu_is_leaked(lab: Lab, nominate: str, index: int) -> None:
    lab.h100(PODS)
    replica, proxy = lab.start_behind_proxy(nominate=nominate)
    killed_after(lab, replica, proxy, index)
    proxy.set_trap(None)
    lab.start(replica)
    lab.bound_whole("gang-", PODS)
    lab.check()
    # All GPUs are held by the gang; once it is gone all are free again, for kube-scheduler as well as for us.
    lab.delete_job("gang")
    lab.create(gang_job("next", pods=PODS, gpus=8))
    lab.bound_whole("next-", PODS)
    lab.check()


def test_a_half_bound_gang_that_finds_no_room_any_more_goes_back_whole(lab: Lab) -> None:
    nodes = lab.h100(PODS)
    replica, proxy = lab.start_behind_proxy(nominate="never")
    killed_after(lab, replica, proxy, PODS + 2)
    lab.eventually("two pods are bound", lambda: len(lab.bound("gang-")) == 2)
    taken = next(node for node in nodes if node not in lab.bound("gang-").values())
    lab.create(foreign_pod("filler", node=taken))
    lab.bound_whole("filler", 1)
    proxy.set_trap(None)
    lab.start(replica)
    lab.eventually("the bound pods are evicted", lambda: lab.bound("gang-") == {})
    lab.check()
    lab.delete_pod("filler")
    lab.bound_whole("gang-", PODS)
    lab.check()


def test_asked_to_leave_while_members_wait_at_the_barrier_it_binds_nobody_and_the_next_one_finishes(lab: Lab) -> None:
    lab.h100(PODS)
    replica, front = lab.start_behind_front()
    front.hold("bind", "gang-0")
    lab.create(*gang_pods("gang", pods=PODS))
    lab.eventually("gang-0 is held", lambda: front.held("bind", "gang-0"))
    replica.end()
    assert lab.bound() == {}
    front.let_go("bind", "gang-0")
    lab.start(replica)
    lab.bound_whole("gang-", PODS)
    lab.check()
