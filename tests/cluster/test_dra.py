"""Pods that claim GPUs through Bayplan's class: planned, given exactly the planned devices, bound whole, and freed."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.fleet import Group
from tests.cluster.harness.apiproxy import Trap
from tests.cluster.harness.claims import (
    CLAIMS,
    TEMPLATES,
    ClaimLab,
    asking,
    claim_lab,
    claiming,
    devices_of,
    reserved_for,
    template,
)
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import queue

pytestmark = pytest.mark.cluster

GUARD_UID = "bayplan.dev/plan"


def nodes(lab: Lab, count: int) -> None:
    lab.nodes(Group(name="dra", count=count, machine="hgx_h100", dra=True))


@pytest.fixture
def dra(lab: Lab) -> Iterator[ClaimLab]:
    nodes(lab, 2)
    yield from claim_lab(lab)


def gang(dra: ClaimLab, name: str, *, pods: int, gpus: int) -> None:
    """A gang whose members claim so many GPUs each."""
    dra.api.create(TEMPLATES, template(f"{gpus}-for-{name}", asking(gpus)))
    dra.lab.create(*(claiming(f"{name}-{i}", f"{gpus}-for-{name}", gang=name, size=pods) for i in range(pods)))


def nodes_of(dra: ClaimLab, pod: str) -> set[str]:
    return {device.partition("/")[0] for device in devices_of(dra.claim_of(pod))}


def settled(dra: ClaimLab) -> None:
    """No claim carries a guard any more, no device went twice, and what is believed is true."""
    dra.lab.eventually("no guard stands", lambda: not [c for c in dra.claims() if GUARD_UID in reserved_for(c)])
    assert dra.twice() == []
    dra.lab.check()


def test_a_gang_gets_its_devices_before_it_starts_and_they_are_free_when_it_is_gone(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    gang(dra, "g", pods=2, gpus=4)
    bound = lab.bound_whole("g-", 2)
    for pod, node in bound.items():
        assert nodes_of(dra, pod) == {node}
        assert len(devices_of(dra.claim_of(pod))) == 4
    settled(dra)
    assert [len(reserved_for(c)) for c in dra.claims()] == [1, 1]
    # What is left is enough for one more of that size, and not for two more.
    gang(dra, "h", pods=2, gpus=8)
    lab.eventually("h waits", lambda: lab.told("h-0"))
    assert lab.bound("h-") == {}
    for pod in bound:
        lab.delete_pod(pod)
    assert set(lab.bound_whole("h-", 2).values()) == {"dra-0", "dra-1"}
    settled(dra)
    assert sorted(len(devices) for devices in dra.held().values()) == [8, 8]


def test_pods_that_come_at_once_never_share_a_device(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    dra.api.create(TEMPLATES, template("three", asking(3)))
    lab.create(*(claiming(f"p{i}", "three") for i in range(5)))
    lab.bound_whole("p", 4)
    lab.settle()
    assert sorted(len(devices) for devices in dra.held().values()) == [3, 3, 3, 3]
    settled(dra)
    lab.delete_pod(next(iter(lab.bound("p"))))
    lab.bound_whole("p", 4)
    settled(dra)


@pytest.mark.parametrize("index", range(1, 7))
def test_killed_between_the_writes_of_a_plan_the_next_one_goes_on(dra: ClaimLab, index: int) -> None:
    lab = dra.lab
    replica, proxy = lab.start_behind_proxy(nominate="never")
    dra.api.create(TEMPLATES, template("four", asking(4)))
    proxy.set_trap(Trap(index=index, spring=replica.kill, cuts=True, kinds=frozenset({"claim", "ungate"})))
    lab.create(*(claiming(f"g-{i}", "four", gang="g", size=2) for i in range(2)))
    lab.eventually(f"write {index} took place", lambda: proxy.sprung)
    lab.eventually("the service is dead", lambda: not replica.alive)
    proxy.set_trap(None)
    lab.start(replica)
    for pod, node in lab.bound_whole("g-", 2).items():
        assert nodes_of(dra, pod) == {node}
    settled(dra)
    assert sorted(len(devices) for devices in dra.held().values()) == [4, 4]


def test_a_node_that_is_lost_before_the_pods_start_gives_the_devices_back(dra: ClaimLab) -> None:
    lab = dra.lab
    nodes(lab, 3)
    _, front = lab.start_behind_front()
    front.hold("bind", "g-0")
    gang(dra, "g", pods=2, gpus=8)
    lab.eventually("g-0 is held", lambda: front.held("bind", "g-0"))
    first = {pod: nodes_of(dra, pod) for pod in ("g-0", "g-1")}
    (lost,) = first["g-1"]
    lab.cordon(lost)
    lab.eventually("another node was taken", lambda: lost not in nodes_of(dra, "g-0") | nodes_of(dra, "g-1"))
    front.let_go("bind", "g-0")
    assert lost not in lab.bound_whole("g-", 2).values()
    for pod, node in lab.bound("g-").items():
        assert nodes_of(dra, pod) == {node}
    lab.cordon(lost, on=False)
    settled(dra)


def test_a_pod_that_is_deleted_while_it_waits_leaves_nothing_behind(dra: ClaimLab) -> None:
    lab = dra.lab
    _, front = lab.start_behind_front()
    front.hold("bind", "p-0")
    dra.api.create(TEMPLATES, template("all", asking(8)))
    lab.create(claiming("p-0", "all"))
    lab.eventually("p-0 is held", lambda: front.held("bind", "p-0"))
    assert len(dra.held()) == 1
    lab.delete_pod("p-0")
    front.let_go("bind", "p-0")
    lab.eventually("its claim is gone", lambda: dra.claims() == [])
    lab.create(claiming("q-0", "all"), claiming("q-1", "all"))
    lab.bound_whole("q-", 2)
    settled(dra)


def test_devices_that_somebody_else_has_are_left_to_them(dra: ClaimLab) -> None:
    lab = dra.lab
    made = {"name": "theirs"}
    devices = {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu.nvidia.com", "count": 1}}]}
    dra.api.create(
        CLAIMS,
        {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": made, "spec": {"devices": devices}},
    )
    result = {"request": "r", "driver": "gpu.nvidia.com", "pool": "dra-0", "device": "gpu-3"}
    dra.api.merge(f"{CLAIMS}/theirs/status", {"status": {"allocation": {"devices": {"results": [result]}}}})
    lab.start_service()
    dra.api.create(TEMPLATES, template("all", asking(8)))
    dra.api.create(TEMPLATES, template("seven", asking(7)))
    lab.create(claiming("a", "all"), claiming("b", "all"), claiming("c", "seven"))
    lab.eventually("c is bound", lambda: lab.bound("c") == {"c": "dra-0"})
    assert "dra-0/gpu-3" not in devices_of(dra.claim_of("c"))
    lab.settle()
    assert len(lab.bound()) == 2
    settled(dra)


def test_a_pod_with_claims_of_others_is_left_to_kube_scheduler(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    anything = {"selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]}
    dra.add_class(
        {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "any.test"}, "spec": anything}
    )
    dra.api.create(TEMPLATES, template("any", asking(1, device_class="any.test")))
    lab.create(claiming("p", "any"))
    lab.bound_whole("p", 1)
    assert len(dra.held()) == 1
    settled(dra)


def test_devices_that_are_taken_back_for_their_owner_go_from_claim_to_claim(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.api.delete(f"{QUEUES}/plenty")
    lab.start_service(nominate="always")
    lab.create(queue("owner", nominal=16), queue("guest", nominal=0, borrowing=None))
    dra.api.create(TEMPLATES, template("all", asking(8)))
    guests = [claiming(f"guest-{i}", "all", gang="guest", size=2, queue="guest") for i in range(2)]
    lab.create(*guests)
    lab.bound_whole("guest-", 2)
    settled(dra)
    lab.create(*(claiming(f"owner-{i}", "all", gang="owner", size=2, queue="owner") for i in range(2)))
    lab.bound_whole("owner-", 2)
    assert lab.bound("guest-") == {}
    for pod, node in lab.bound("owner-").items():
        assert nodes_of(dra, pod) == {node}
    settled(dra)
    assert sorted(len(devices) for devices in dra.held().values()) == [8, 8]


def test_devices_that_an_admin_takes_from_a_plan_end_it_and_it_is_made_anew(dra: ClaimLab) -> None:
    """As kube-scheduler would without the guard; here by the one user whom the policy lets."""
    lab = dra.lab
    _, front = lab.start_behind_front()
    front.hold("bind", "g-0")
    gang(dra, "g", pods=2, gpus=8)
    lab.eventually("g-0 is held", lambda: front.held("bind", "g-0"))
    made = dra.claim_of("g-0")
    dra.deallocate(made)
    lab.eventually("the plan was made anew", lambda: devices_of(dra.claim_of("g-0")))
    front.let_go("bind", "g-0")
    for pod, node in lab.bound_whole("g-", 2).items():
        assert nodes_of(dra, pod) == {node}
    settled(dra)
