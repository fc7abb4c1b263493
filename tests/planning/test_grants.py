"""Which device each request of a pod's claims gets by a plan."""

import pytest
from msgspec.structs import replace

from scheduler.model.claims import ClaimRequest, DeviceName, Grant, PodClaim, SliceName
from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Device, MigInstance, Node
from scheduler.model.plan import Assignment
from scheduler.model.workload import Pod
from scheduler.planning.grants import grants

GPU = "nvidia.com/gpu"
NODE = Node(
    name=NodeName("n"),
    devices=(
        *(Device(index=i, claimed_as=DeviceName(driver="d", pool="n", device=f"gpu-{i}")) for i in range(8)),
        Device(index=8),
    ),
)


def claim(uid: str, **requests: int) -> PodClaim:
    asked = tuple(ClaimRequest(name=name, resource=GPU, count=count) for name, count in requests.items())
    return PodClaim(claim=uid, uid=uid, requests=asked)


def given(claims: tuple[PodClaim, ...], *devices: int) -> dict[str, list[str]] | str:
    pod = Pod(uid=PodUid("u"), namespace="ns", name="p", claims=claims)
    found = grants(pod, Assignment(pod=pod.uid, node=NODE.name, devices=devices), NODE)
    if isinstance(found, str):
        return found
    return {uid: [f"{grant.request}={grant.device.device}" for grant in some] for uid, some in found.items()}


def test_devices_go_to_requests_in_the_order_of_the_plan() -> None:
    assert given((claim("a", x=2, y=1), claim("b", x=1)), 5, 1, 7, 0) == {
        "a": ["x=gpu-5", "x=gpu-1", "y=gpu-7"],
        "b": ["x=gpu-0"],
    }


def test_a_claim_that_another_pod_is_charged_for_gets_nothing() -> None:
    assert given((claim("a"), claim("b", x=1)), 3) == {"b": ["x=gpu-3"]}


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        pytest.param((0, 8), "GPU 8 of n cannot be claimed any more", id="served by claims no more"),
        pytest.param((0, 9), "GPU 9 of n cannot be claimed any more", id="not there any more"),
        pytest.param((0,), "the plan has too few GPUs of n for claim a", id="too few"),
        pytest.param((0, 1, 2), "the plan has more GPUs of n than p claims", id="too many"),
    ],
)
def test_what_does_not_come_out_even_is_refused(devices: tuple[int, ...], why: str) -> None:
    assert given((claim("a", x=2),), *devices) == why


def test_the_grant_names_driver_and_pool() -> None:
    pod = Pod(uid=PodUid("u"), namespace="ns", name="p", claims=(claim("a", x=1),))
    found = grants(pod, Assignment(pod=pod.uid, node=NODE.name, devices=(4,)), NODE)
    assert found == {"a": (Grant(request="x", device=DeviceName(driver="d", pool="n", device="gpu-4")),)}


def slices(*places: tuple[int, str, int]) -> dict[str, list[str]] | str:
    names = tuple(
        SliceName(name=f"gpu-{i}-{profile}-{start}", gpu=f"gpu-{i}", profile=profile, start=start)
        for i in range(2)
        for profile, start in (("1g.10gb", 0), ("1g.10gb", 6), ("3g.40gb+me", 4))
    )
    requests = (
        ClaimRequest(name="small", resource="nvidia.com/mig-1g.10gb", count=1),
        ClaimRequest(name="large", resource="nvidia.com/mig-3g.40gb.me", count=1),
        ClaimRequest(name="more", resource="nvidia.com/mig-1g.10gb", count=1),
    )
    pod = Pod(uid=PodUid("u"), namespace="ns", name="p", claims=(PodClaim(claim="a", uid="a", requests=requests),))
    made = tuple(MigInstance(device=i, profile=profile, start=start) for i, profile, start in places)
    plan = Assignment(pod=pod.uid, node=NODE.name, slices=made)
    found = grants(pod, plan, replace(NODE, slice_names=names))
    return (
        found
        if isinstance(found, str)
        else {u: [f"{g.request}={g.device.device}" for g in f] for u, f in found.items()}
    )


def test_slices_go_to_requests_of_their_profile() -> None:
    assert slices((0, "1g.10gb", 6), (1, "1g.10gb", 0), (1, "3g.40gb+me", 4)) == {
        "a": ["small=gpu-0-1g.10gb-6", "large=gpu-1-3g.40gb+me-4", "more=gpu-1-1g.10gb-0"]
    }


def test_slices_that_do_not_come_out_even_are_refused() -> None:
    assert slices((0, "1g.10gb", 5)) == "slice 1g.10gb at 5 of GPU 0 of n cannot be claimed any more"
    assert slices((8, "1g.10gb", 0)) == "slice 1g.10gb at 0 of GPU 8 of n cannot be claimed any more"
    assert slices((0, "1g.10gb", 0), (1, "1g.10gb", 0)) == (
        "the plan has too few nvidia.com/mig-3g.40gb.me of n for claim a"
    )
