"""ResourceClaims, what of them is kept, and what is refused in which words."""

import json
from typing import Any

import pytest

from scheduler.kube.translate_claim import SELECTORS, by_class, pod_claims, read_claim
from scheduler.kube.wire import Meta, PodResourceClaim, PodSpec, PodStatus, WirePod
from scheduler.model.claims import ClaimRequest, DeviceName, Part, PodClaim
from scheduler.model.resources import GPU, Resources
from scheduler.state.events import ClaimSeen

CLASS = {"deviceClassName": "gpu.bayplan.dev"}
PRODUCT = "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA H100 80GB HBM3'"


def document(*requests: dict[str, Any], status: object = None, **devices: Any) -> bytes:  # noqa: ANN401  JSON
    spec = {"devices": {"requests": [*requests], **devices}}
    meta = {"name": "c", "namespace": "a", "uid": "u", "resourceVersion": "9"}
    return json.dumps({"metadata": meta, "spec": spec, **({} if status is None else {"status": status})}).encode()


def request(name: str = "gpus", **exactly: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {"name": name, "exactly": {**CLASS, **exactly}}


def seen(*requests: dict[str, Any], status: object = None, **devices: Any) -> ClaimSeen:  # noqa: ANN401  JSON
    return read_claim(document(*requests, status=status, **devices))[1]


def cel(expression: str) -> list[dict[str, Any]]:
    return [{"cel": {"expression": expression}}]


def test_whole_gpus_of_our_class() -> None:
    event = seen(request(allocationMode="ExactCount", count=4), request("one"))
    assert event == ClaimSeen(
        uid="u",
        namespace="a",
        name="c",
        ours=True,
        requests=(
            ClaimRequest(name="gpus", resource=GPU, count=4),
            ClaimRequest(name="one", resource=GPU, count=1),
        ),
    )


def test_claims_of_other_classes_are_not_ours_and_keep_what_they_have() -> None:
    results = [
        {"request": "r", "driver": "gpu.nvidia.com", "pool": "n1", "device": "gpu-0"},
        {"request": "w", "driver": "gpu.nvidia.com", "pool": "n1", "device": "gpu-1", "adminAccess": True},
    ]
    status = {"allocation": {"devices": {"results": results}}}
    event = seen({"name": "r", "exactly": {"deviceClassName": "gpu.nvidia.com", "count": 0}}, status=status)
    assert (event.ours, event.requests, event.problems) == (False, (), ())
    assert event.allocated == (DeviceName(driver="gpu.nvidia.com", pool="n1", device="gpu-0"),)
    assert seen(request(), status={}).allocated == ()
    assert seen().ours is False


def test_claims_for_imex_channels_are_recognised() -> None:
    event = seen({"name": "channel", "exactly": {"deviceClassName": "compute-domain-default-channel.nvidia.com"}})
    assert (event.channel, event.ours, event.problems) == (True, False, ())


def test_a_product_is_asked_for_by_name() -> None:
    event = seen(request(selectors=cel(f" {PRODUCT}\n")), request("more", selectors=cel(PRODUCT.replace("'", '"'))))
    assert (event.models, event.problems) == (("=NVIDIA-H100-80GB-HBM3",), ())


@pytest.mark.parametrize(("quantity", "mib"), [("40Gi", 40960), ("1", 1), ("80e9", 76294), ("1.5Mi", 2)])
def test_memory_is_asked_for_at_least(quantity: str, mib: int) -> None:
    memory = f"device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('{quantity}')) >= 0"
    event = seen(request(selectors=[*cel(memory), *cel(PRODUCT)]))
    assert (event.memory_mib, event.problems) == (mib, ())
    profile = "device.attributes['gpu.nvidia.com'].profile == '1g.10gb'"
    (problem,) = seen(request(selectors=[*cel(memory), *cel(profile)])).problems
    assert problem.allowed == "no memory beside a profile, which says it"


@pytest.mark.parametrize("wrong", ["quantity('much')) >= 0", "quantity('40Gi')) > 0", "quantity('40Gi')) >= 0 || true"])
def test_memory_is_asked_for_in_one_form(wrong: str) -> None:
    event = seen(request(selectors=cel(f"device.capacity['gpu.nvidia.com'].memory.compareTo({wrong}")))
    assert [p.allowed for p in event.problems] == [SELECTORS]


def test_slices_are_asked_for_by_profile() -> None:
    profile = "device.attributes['gpu.nvidia.com'].profile == '1g.10gb+me'"
    event = seen(request(count=2, selectors=[*cel(profile), *cel(PRODUCT)]), request("whole"))
    assert [(r.resource, r.count) for r in event.requests] == [("nvidia.com/mig-1g.10gb.me", 2), (GPU, 1)]
    assert event.models == ("=NVIDIA-H100-80GB-HBM3",)
    twice = seen(request(selectors=[*cel(profile), *cel(profile.replace("1g", "2g"))]))
    assert [(p.value, p.allowed) for p in twice.problems] == [("1g.10gb+me and 2g.10gb+me", "one profile")]


def test_a_claim_with_the_guard_was_given_its_devices_for_a_plan() -> None:
    pod = {"resource": "pods", "name": "p", "uid": "x"}
    guard = {"apiGroup": "bayplan.dev", "resource": "plans", "name": "plan", "uid": "bayplan.dev/plan"}
    assert not seen(request(), status={"reservedFor": [pod]}).guarded
    assert seen(request(), status={"reservedFor": [pod, guard]}).guarded


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param(
            {"name": "r", "firstAvailable": [{"name": "x", **CLASS}, {"name": "y", "deviceClassName": "z"}]},
            "firstAvailable of request r of ResourceClaim c is 'gpu.bayplan.dev, z'; "
            "allowed: exactly, since nothing else is chosen among",
            id="one of several",
        ),
        pytest.param(
            request(allocationMode="All"),
            "allocationMode of request gpus of ResourceClaim c is 'All'; allowed: ExactCount",
            id="all devices",
        ),
        pytest.param(
            request(count=0),
            "count of request gpus of ResourceClaim c is '0'; allowed: a whole number from 1 to 32",
            id="none",
        ),
        pytest.param(
            request(adminAccess=True),
            "adminAccess of request gpus of ResourceClaim c is 'true'; allowed: false in the class gpu.bayplan.dev",
            id="as an admin",
        ),
        pytest.param(
            request(tolerations=[{"operator": "Exists"}]),
            'tolerations of request gpus of ResourceClaim c is \'{"operator": "Exists"}\'; '
            "allowed: none: devices with a taint are not given out",
            id="with a taint",
        ),
        pytest.param(
            request(capacity={"requests": {"memory": "0", "cores": "20"}}),
            "capacity.requests of request gpus of ResourceClaim c is 'cores: 20, memory: 0'; "
            "allowed: quantities above 0",
            id="a part of nothing",
        ),
        pytest.param(
            request(capacity={"requests": {"memory": "much"}}),
            "capacity.requests of request gpus of ResourceClaim c is 'memory: much'; allowed: quantities above 0",
            id="a part that is no quantity",
        ),
        pytest.param(
            request(
                capacity={"requests": {"memory": "10Gi"}},
                selectors=cel("device.attributes['gpu.nvidia.com'].profile == '1g.10gb'"),
            ),
            "capacity.requests of request gpus of ResourceClaim c is 'memory'; "
            "allowed: none beside a profile, which says it",
            id="a part of a slice",
        ),
        pytest.param(
            request(selectors=cel("device.driver == 'x' || true")),
            f"selectors of request gpus of ResourceClaim c is \"device.driver == 'x' || true\"; allowed: {SELECTORS}",
            id="any expression",
        ),
        pytest.param(
            request(selectors=cel(f"{PRODUCT} || true")),
            f'selectors of request gpus of ResourceClaim c is "{PRODUCT} || true"; allowed: {SELECTORS}',
            id="more than a product",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(asked: dict[str, Any], told: str) -> None:
    event = seen(asked)
    assert (event.ours, event.requests, [str(p) for p in event.problems]) == (True, (), [told])


def test_a_claim_of_ours_has_no_requests_of_other_classes() -> None:
    event = seen(request(), {"name": "nic", "exactly": {"deviceClassName": "rdma"}})
    (problem,) = event.problems
    assert str(problem) == (
        "deviceClassName of request nic of ResourceClaim c is 'rdma'; "
        "allowed: only gpu.bayplan.dev in a claim that has it"
    )


def test_two_products_are_one_too_many() -> None:
    event = seen(request(selectors=cel(PRODUCT)), request("b", selectors=cel(PRODUCT.replace("H100", "A100"))))
    assert [p.allowed for p in event.problems] == ["the same productName wherever one is named"]


def test_more_devices_than_one_claim_may_have_are_refused_over_all_requests() -> None:
    assert seen(request(count=16), request("b", count=16)).problems == ()
    (problem,) = seen(request(count=16), request("b", count=17)).problems
    assert str(problem) == "count of all requests of ResourceClaim c is '33'; allowed: 32 at most in one claim"


def test_memory_and_a_profile_do_not_go_together_in_whichever_order() -> None:
    large = "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0"
    profile = "device.attributes['gpu.nvidia.com'].profile == '1g.10gb'"
    whole, slices = request("a", selectors=cel(large)), request("b", selectors=cel(profile))
    for asked in ((whole, slices), (slices, whole)):
        (problem,) = seen(*asked).problems
        assert str(problem) == (
            "selectors of request b of ResourceClaim c is '40960 MiB'; allowed: no memory beside a profile, which says "
            "it"
        )


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("matchAttribute", "none: say with bayplan.dev/linked on the pod which GPUs belong together"),
        ("distinctAttribute", "none: a claim gets different devices, and nothing else of them is told apart"),
    ],
)
def test_constraints_hold_of_one_device_and_are_refused_for_more(kind: str, allowed: str) -> None:
    about = {kind: "resource.kubernetes.io/pcieRoot"}
    assert seen(request(), constraints=[about]).problems == ()
    assert seen(request(), request("b"), constraints=[{**about, "requests": ["b"]}]).problems == ()
    (problem,) = seen(request(count=2), constraints=[about]).problems
    assert str(problem) == (f"{kind} of ResourceClaim c is 'resource.kubernetes.io/pcieRoot'; allowed: {allowed}")


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"metadata": {}, "spec": {"devices": {"requests": 3}}}'])
def test_what_is_no_claim_cannot_be_read(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_claim(text)


def test_the_claims_that_a_pod_names() -> None:
    named = [
        PodResourceClaim(name="own"),
        PodResourceClaim(name="waiting"),
        PodResourceClaim(name="none"),
        PodResourceClaim(name="all", resource_claim_name="everybodys"),
    ]
    made = [PodResourceClaim(name="own", resource_claim_name="p-own-x"), PodResourceClaim(name="none")]
    pod = WirePod(metadata=Meta(), spec=PodSpec(resource_claims=named), status=PodStatus(resource_claim_statuses=made))
    assert pod_claims(pod) == (
        PodClaim(name="own", claim="p-own-x", uid="", requests=()),
        PodClaim(name="waiting", claim="", uid="", requests=()),
        PodClaim(name="all", claim="everybodys", uid="", requests=(), shared=True),
    )


def test_amounts_of_a_class_by_its_name_are_refused() -> None:
    name = "deviceclass.resource.kubernetes.io/gpu.nvidia.com"
    asked = Resources(extended=((name, 2), (GPU, 1)))
    (problem,) = by_class(asked)
    assert str(problem) == (
        f"resource {name} of its containers is '2'; allowed: nvidia.com/gpu, or a claim of the DeviceClass "
        "gpu.bayplan.dev, in pods that wait for a plan"
    )


def test_parts_of_gpus_are_asked_for_by_their_capacities() -> None:
    (asked,) = seen(request(count=2, capacity={"requests": {"memory": "10Gi", "cores": "20.5"}})).requests
    assert asked == ClaimRequest(
        name="gpus", resource="nvidia.com/gpu.shared", count=2, capacity=(("cores", 21), ("memory", 10 << 30))
    )
    (whole,) = seen(request(capacity={"requests": {}})).requests
    assert whole == ClaimRequest(name="gpus", resource=GPU, count=1)


def test_what_a_claim_has_of_shared_devices() -> None:
    share = {"request": "gpus", "driver": "d", "pool": "n", "device": "gpu-0", "shareID": "s"}
    results = [
        {**share, "consumedCapacity": {"memory": "10240Mi"}},
        {"request": "gpus", "driver": "d", "pool": "n", "device": "gpu-1"},
        {**share, "device": "gpu-2", "consumedCapacity": {"memory": "1"}, "adminAccess": True},
    ]
    event = seen(request(), status={"allocation": {"devices": {"results": results}}})
    first, second = (DeviceName(driver="d", pool="n", device=f"gpu-{i}") for i in range(2))
    assert event.allocated == (first, second)
    assert event.parts == (Part(device=first, amounts=(("memory", 10 << 30),)),)
