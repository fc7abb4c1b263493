"""Allocations from outside on a real control plane: what kube-scheduler and the controllers make of them.

The pods go by the default kube-scheduler, and the service does not run: what is judged is what the writer writes. The
traps are provoked with a class of the test's own, since a policy keeps others from allocating claims of ours.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from scheduler.kube.api import ApiClient
from scheduler.kube.effects import Effects, PodRef
from scheduler.kube.effects_claims import Allocation, ClaimEffects, ClaimRef
from scheduler.kube.outcomes import Done, Gone, Outcome, Refused
from scheduler.localcluster.api import Json
from scheduler.localcluster.errors import ApiError
from scheduler.model.claims import DeviceName, Grant
from scheduler.model.names import NodeName, PodUid
from tests.cluster.harness.claims import (
    CLAIMS,
    DRIVER,
    GUARD_UID,
    OURS,
    TEMPLATES,
    ClaimLab,
    asking,
    claim,
    claim_lab,
    claiming,
    device_class,
    devices_of,
    opaque,
    reserved_for,
    template,
)
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import condition
from tests.manifests.people import Somebody

pytestmark = pytest.mark.cluster

PROBE = "probe.test"
FINALIZER = "resource.kubernetes.io/delete-protection"
PATIENCE = 20
BY_DEFAULT = {"schedulerName": "default-scheduler"}


@pytest.fixture
def dra(lab: Lab) -> Iterator[ClaimLab]:
    lab.end_services()
    lab.h100(2)
    for made in claim_lab(lab):
        made.add_class(device_class(PROBE, opaque(level="class")))
        made.publish(["h100-0", "h100-1"])
        yield made


def write(lab: Lab, work: Callable[[ClaimEffects], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Write as the service does, with its rights."""

    async def play() -> Outcome:
        async with await ApiClient.connect(lab.cluster.kubeconfig("bayplan")) as api:
            effects = Effects(api, may_write=lambda: True, concurrency=4, instance="test")
            writer = ClaimEffects(effects, api)
            outcome = await work(writer)
            # Controllers write too, and whoever writes repeats what met another write.
            for _ in range(PATIENCE):
                if not (isinstance(outcome, Refused) and outcome.passing):
                    break
                outcome = await work(writer)
            return outcome

    return asyncio.run(play())


def ref_of(made: Json) -> ClaimRef:
    meta = made["metadata"]
    return ClaimRef(uid=meta["uid"], namespace="default", name=meta["name"])


def pod_ref(lab: Lab, name: str) -> PodRef:
    lab.seen(name, 1)
    return PodRef(uid=PodUid(lab.pod(name)["metadata"]["uid"]), namespace="default", name=name)


def grants(node: str, *indexes: int) -> tuple[Grant, ...]:
    return tuple(Grant(request="gpus", device=DeviceName(driver=DRIVER, pool=node, device=f"gpu-{i}")) for i in indexes)


def wanted(dra: ClaimLab, pod: str, node: str, *indexes: int) -> Allocation:
    return Allocation(
        claim=ref_of(dra.claim_of(pod)),
        pods=(pod_ref(dra.lab, pod),),
        node=NodeName(node),
        grants=grants(node, *indexes),
    )


def gated_pod(dra: ClaimLab, name: str, devices: Json, **spec: object) -> None:
    """A pod with a claim, which kube-scheduler leaves alone."""
    dra.api.create(TEMPLATES, template(f"for-{name}", devices))
    gates = [{"name": "test/hold"}]
    dra.lab.create(claiming(name, f"for-{name}", schedulingGates=gates, **BY_DEFAULT, **spec))
    dra.claim_of(name)


def ungate(lab: Lab, name: str) -> None:
    lab.api.merge(f"/api/v1/namespaces/default/pods/{name}", {"spec": {"schedulingGates": None}})


def write_raw(dra: ClaimLab, name: str, reserved: list[Json], **allocation: object) -> None:
    """Allocate h100-0/gpu-0 to the claim of a pod by hand, as an admin."""
    made = dra.claim_of(name)
    path = f"{CLAIMS}/{made['metadata']['name']}"
    dra.api.merge(path, {"metadata": {"finalizers": [FINALIZER]}})
    result = {"request": "gpus", "driver": DRIVER, "pool": "h100-0", "device": "gpu-0"}
    only = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["h100-0"]}]}]}
    devices = {"devices": {"results": [result]}, "nodeSelector": only, **allocation}
    dra.api.merge(f"{path}/status", {"status": {"allocation": devices, "reservedFor": reserved}})


def scheduled_message(lab: Lab, name: str) -> str:
    found = condition(lab.pod(name), "PodScheduled")
    return "" if found is None else f"{found.get('reason')}: {found.get('message')}"


def test_a_pod_starts_with_exactly_the_devices_that_were_written_and_they_are_free_after_it(dra: ClaimLab) -> None:
    lab = dra.lab
    tolerations = [{"key": "test/fading", "operator": "Exists"}]
    config = [{"requests": ["gpus"], **opaque(level="claim")}]
    gated_pod(dra, "p", asking(3, tolerations=tolerations) | {"config": config})
    plan = wanted(dra, "p", "h100-1", 6, 1, 4)
    assert write(lab, lambda w: w.allocate(plan)) == Done()
    written = dra.claim_of("p")
    assert FINALIZER in written["metadata"]["finalizers"]
    allocation = written["status"]["allocation"]
    assert devices_of(written) == ["h100-1/gpu-6", "h100-1/gpu-1", "h100-1/gpu-4"]
    assert [(c["source"], c["requests"]) for c in allocation["devices"]["config"]] == [("FromClaim", ["gpus"])]
    assert all(r["tolerations"] == tolerations for r in allocation["devices"]["results"])
    assert allocation["allocationTimestamp"]
    assert reserved_for(written) == [plan.pods[0].uid, GUARD_UID]
    # Once more, as after a crash, changes nothing.
    assert write(lab, lambda w: w.allocate(plan)) == Done()
    assert dra.claim_of("p")["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]
    ungate(lab, "p")
    assert lab.bound_whole("p", 1) == {"p": "h100-1"}
    assert dra.claim_of("p")["status"]["allocation"] == allocation
    assert write(lab, lambda w: w.let_go(plan.claim)) == Done()
    assert reserved_for(dra.claim_of("p")) == [plan.pods[0].uid]
    assert devices_of(dra.claim_of("p")) == devices_of(written)
    lab.delete_pod("p")
    lab.eventually("the claim is gone", lambda: dra.claims() == [])


def test_configuration_of_the_class_comes_before_that_of_the_claim(dra: ClaimLab) -> None:
    spec = asking(1, device_class=PROBE) | {"config": [opaque(level="claim")]}
    gated_pod(dra, "p", spec)
    assert write(dra.lab, lambda w: w.allocate(wanted(dra, "p", "h100-0", 0))) == Done()
    config = dra.claim_of("p")["status"]["allocation"]["devices"]["config"]
    found = [(c["source"], c.get("requests"), c["opaque"]["parameters"]["level"]) for c in config]
    assert found == [("FromClass", ["gpus"], "class"), ("FromClaim", None, "claim")]


def test_what_a_failed_plan_wrote_is_taken_back_and_may_be_written_anew_elsewhere(dra: ClaimLab) -> None:
    lab = dra.lab
    gated_pod(dra, "p", asking(2))
    plan = wanted(dra, "p", "h100-0", 0, 1)
    assert write(lab, lambda w: w.allocate(plan)) == Done()
    for _ in range(2):
        assert write(lab, lambda w: w.let_go(plan.claim, plan.pods)) == Done()
        assert dra.held() == {}
        assert reserved_for(dra.claim_of("p")) == []
    assert write(lab, lambda w: w.allocate(plan)) == Done()
    # The next plan need not know what the last one left.
    moved = wanted(dra, "p", "h100-1", 2, 3)
    assert write(lab, lambda w: w.allocate(moved)) == Done()
    assert devices_of(dra.claim_of("p")) == ["h100-1/gpu-2", "h100-1/gpu-3"]
    lab.delete_pod("p")
    lab.eventually("the pod is gone", lambda: lab.pods("p") == [])
    assert write(lab, lambda w: w.let_go(moved.claim, moved.pods)) in (Done(), Gone())
    lab.eventually("the claim is gone", lambda: dra.claims() == [])


def test_an_allocation_by_somebody_else_is_left_alone(dra: ClaimLab) -> None:
    gated_pod(dra, "p", asking(1, device_class=PROBE))
    write_raw(dra, "p", [])
    before = dra.claim_of("p")
    answer = write(dra.lab, lambda w: w.allocate(wanted(dra, "p", "h100-1", 0)))
    assert isinstance(answer, Refused)
    assert not answer.passing
    assert "allocated by others" in answer.message
    assert write(dra.lab, lambda w: w.let_go(ref_of(before), (pod_ref(dra.lab, "p"),))) == Done()
    assert dra.claim_of("p")["status"] == before["status"]


def test_a_namesake_is_not_touched(dra: ClaimLab) -> None:
    dra.api.create(CLAIMS, claim("alone", asking(1)))
    other = ClaimRef(uid="00000000-0000-4000-8000-000000000000", namespace="default", name="alone")
    plan = Allocation(claim=other, pods=(), node=NodeName("h100-0"), grants=grants("h100-0", 0))
    assert write(dra.lab, lambda w: w.allocate(plan)) == Gone()
    assert write(dra.lab, lambda w: w.let_go(other)) == Gone()
    assert "finalizers" not in dra.claims()[0]["metadata"]


def test_a_claim_that_pods_share_is_freed_when_the_last_of_them_is_gone(dra: ClaimLab) -> None:
    lab = dra.lab
    dra.api.create(CLAIMS, claim("shared", asking(1)))
    for name in ("a", "b"):
        made = claiming(name, "", schedulingGates=[{"name": "test/hold"}], **BY_DEFAULT)
        made["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimName": "shared"}]
        lab.create(made)
    pods = tuple(pod_ref(lab, name) for name in ("a", "b"))
    ref = ref_of(dra.claims()[0])
    plan = Allocation(claim=ref, pods=pods, node=NodeName("h100-0"), grants=grants("h100-0", 5))
    assert write(lab, lambda w: w.allocate(plan)) == Done()
    ungate(lab, "a")
    lab.bound_whole("a", 1)
    # The plan of the other one ends without it: the first keeps the device.
    assert write(lab, lambda w: w.let_go(ref, pods[1:])) == Done()
    assert dra.held() == {"shared": ["h100-0/gpu-5"]}
    lab.delete_pod("a")
    lab.eventually("the device is free", lambda: dra.held() == {})
    assert write(lab, lambda w: w.let_go(ref, pods)) == Done()


def test_a_share_of_a_device_says_how_much_it_takes(dra: ClaimLab) -> None:
    gated_pod(dra, "p", asking(1))
    share = Grant(
        request="gpus",
        device=DeviceName(driver=DRIVER, pool="h100-0", device="gpu-0"),
        consumed=(("memory", 10 << 30),),
    )
    plan = Allocation(
        claim=ref_of(dra.claim_of("p")), pods=(pod_ref(dra.lab, "p"),), node=NodeName("h100-0"), grants=(share,)
    )
    assert write(dra.lab, lambda w: w.allocate(plan)) == Done()
    (result,) = dra.claim_of("p")["status"]["allocation"]["devices"]["results"]
    assert result["consumedCapacity"] == {"memory": "10Gi"}
    assert result["shareID"]
    version = dra.claim_of("p")["metadata"]["resourceVersion"]
    assert write(dra.lab, lambda w: w.allocate(plan)) == Done()
    assert dra.claim_of("p")["metadata"]["resourceVersion"] == version


def test_trap_without_timestamp_and_reservation_the_pod_never_starts(dra: ClaimLab) -> None:
    lab = dra.lab
    for name in ("trapped", "spared"):
        gated_pod(dra, name, asking(1, device_class=PROBE))
    write_raw(dra, "trapped", [])
    assert write(lab, lambda w: w.allocate(wanted(dra, "spared", "h100-1", 0))) == Done()
    ungate(lab, "trapped")
    ungate(lab, "spared")
    lab.bound_whole("spared", 1)
    lab.eventually("kube-scheduler is refused", lambda: "immutable" in scheduled_message(lab, "trapped"))
    assert lab.bound("trapped") == {}


def test_trap_kube_scheduler_takes_devices_back_where_no_guard_stands(dra: ClaimLab) -> None:
    lab = dra.lab
    elsewhere = {"nodeSelector": {"kubernetes.io/hostname": "h100-1"}}
    for name in ("trapped", "spared"):
        gated_pod(dra, name, asking(1, device_class=PROBE), **elsewhere)
    pod = pod_ref(lab, "trapped")
    now = "2026-01-01T00:00:00Z"
    reserved = [{"resource": "pods", "name": pod.name, "uid": pod.uid}]
    write_raw(dra, "trapped", reserved, allocationTimestamp=now)
    assert write(lab, lambda w: w.allocate(wanted(dra, "spared", "h100-0", 1))) == Done()
    for name in ("spared", "trapped"):
        ungate(lab, name)
    lab.eventually("kube-scheduler took the device", lambda: devices_of(dra.claim_of("trapped")) == [])
    lab.eventually("kube-scheduler tried the other", lambda: "available" in scheduled_message(lab, "spared"))
    assert devices_of(dra.claim_of("spared")) == ["h100-0/gpu-1"]


def test_trap_the_right_to_bind_claims_is_asked_for_in_the_whole_cluster(dra: ClaimLab) -> None:
    user = "almost"
    rules = [
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims", "resourceclaims/status"], "verbs": ["patch"]}
    ]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    named = {"metadata": {"name": "almost"}}
    dra.api.create(f"{rbac}/clusterroles", {**named, "rules": rules})
    binding = {
        **named,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "almost"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    dra.api.create(f"{rbac}/clusterrolebindings", binding)
    gated_pod(dra, "p", asking(1, device_class=PROBE))
    path = f"{CLAIMS}/{dra.claim_of('p')['metadata']['name']}/status"
    result = {"request": "gpus", "driver": DRIVER, "pool": "h100-0", "device": "gpu-0"}
    somebody = Somebody(dra.lab.cluster.kubeconfig(), user)
    try:
        with pytest.raises(ApiError, match="resourceclaims/binding"):
            somebody.merge(path, {"status": {"allocation": {"devices": {"results": [result]}}}})
    finally:
        somebody.close()
        dra.api.delete(f"{rbac}/clusterrolebindings/almost")
        dra.api.delete(f"{rbac}/clusterroles/almost")


def test_nobody_else_allocates_claims_of_our_class(dra: ClaimLab) -> None:
    gated_pod(dra, "p", asking(1, device_class=OURS))
    with pytest.raises(ApiError, match="allocated by Bayplan alone"):
        write_raw(dra, "p", [])
    assert dra.held() == {}
