"""What pods ask for by claims, what claims have, and that no GPU is counted twice or not at all."""

import pytest
from msgspec.structs import replace

from scheduler.model.claims import ClaimRequest
from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import Allocator
from scheduler.model.resources import GPU
from scheduler.model.snapshot import Closed, Snapshot
from scheduler.model.workload import Pod, Problem
from scheduler.state.audit import compare, inconsistencies
from scheduler.state.events import ClaimGone, DeviceClassGone, DeviceClassSeen, PodGone, PodSeen, Released, SliceGone
from tests.state.build import (
    N1,
    allocatable,
    claim,
    claiming,
    event_of,
    foreign,
    gpu_name,
    mig,
    node,
    offer,
    pod,
    report,
    reserved,
    shape,
    slice_claim,
    slice_name,
    sliceable,
    state_of,
    used,
)


def member(snapshot: Snapshot, name: str) -> Pod:
    return next(p for w in snapshot.workloads.values() for p in w.members if p.name == name)


def gpus_of(snapshot: Snapshot, name: str) -> int:
    return member(snapshot, name).shape.requests.gpus


def test_what_a_claim_asks_for_counts_into_the_shape_of_its_pod() -> None:
    snap = state_of(node(), claiming("p", "c"), claim("c", gpus=3)).snapshot()
    shown = member(snap, "p")
    assert (shown.shape.requests.gpus, shown.shape.by_claim, shown.shape.milli_gpu) == (3, True, 3000)
    (known,) = shown.claims
    assert (known.uid, known.waits, known.requests) == (
        "claim-c",
        "",
        (ClaimRequest(name="gpus", resource=GPU, count=3),),
    )


def test_the_order_of_pod_and_claim_does_not_matter_and_the_end_of_a_claim_takes_it_back() -> None:
    state = state_of(claim("c", gpus=2), node(), claiming("p", "c"))
    assert gpus_of(state.snapshot(), "p") == 2
    assert state.apply(claim("c", gpus=4))
    assert gpus_of(state.snapshot(), "p") == 4
    assert not state.apply(claim("c", gpus=4))
    assert state.apply(ClaimGone(uid="claim-c"))
    assert not state.apply(ClaimGone(uid="claim-c"))
    assert gpus_of(state.snapshot(), "p") == 0
    assert [c.waits for c in member(state.snapshot(), "p").claims] == ["missing"]
    assert inconsistencies(state) == []


@pytest.mark.parametrize("named", ["", "c"])
def test_a_pod_waits_for_claims_that_are_not_there(named: str) -> None:
    (missing,) = member(state_of(node(), claiming("p", named)).snapshot(), "p").claims
    assert (missing.claim, missing.uid, missing.waits) == (named, "", "missing")


def test_a_pod_that_nothing_else_makes_ours_to_plan_is_planned_for_its_claim() -> None:
    state = state_of(node(), claiming("p", "c", managed=False))
    assert state.workload_of(PodUid("p")) is None
    state.apply(claim("c"))
    assert state.workload_of(PodUid("p")) == WorkloadKey("pod:a/p")


def test_claims_of_other_classes_are_left_to_kube_scheduler() -> None:
    rules = shape(1, scheduler_rules=("resource claims", "volumes"))
    snap = state_of(node(), claiming("p", "net", shape=rules), claim("net", ours=False)).snapshot()
    shown = member(snap, "p")
    assert (shown.claims, shown.shape) == ((), rules)


def test_claims_of_ours_are_no_rule_that_only_kube_scheduler_can_judge() -> None:
    rules = shape(0, scheduler_rules=("resource claims", "volumes"))
    known = (claim("c"), claim("net", ours=False))
    alone = member(state_of(claiming("p", "c", shape=rules), *known).snapshot(), "p")
    beside = member(state_of(claiming("p", "c", "net", shape=rules), *known).snapshot(), "p")
    assert alone.shape.scheduler_rules == ("volumes",)
    assert beside.shape.scheduler_rules == ("resource claims", "volumes")


def test_what_cannot_be_kept_of_a_claim_is_a_problem_of_its_pod() -> None:
    wrong = Problem(where="count", value="0", allowed="1")
    assert member(state_of(claiming("p", "c"), claim("c", problems=(wrong,))).snapshot(), "p").problems == (wrong,)
    twice = member(state_of(claiming("p", "c", shape=shape(2)), claim("c")).snapshot(), "p")
    assert [p.value for p in twice.problems] == [GPU]
    models = (claim("c", models=("=A",)), claim("d", models=("=B",)))
    unlike = member(state_of(claiming("p", "c", "d"), *models).snapshot(), "p")
    assert [str(p) for p in unlike.problems] == [
        "GPU models of its claims is '=A; =B'; allowed: the same wherever any are named"
    ]
    assert member(state_of(claiming("p", "c"), models[0]).snapshot(), "p").shape.models == ("=A",)


def test_nodes_have_the_gpus_of_slices_where_nothing_else_gives_them_out() -> None:
    snap = state_of(node(gpus=0), offer(gpus=4, sick=[1])).snapshot()
    shown = snap.nodes[N1]
    assert [(d.index, d.uuid, d.healthy, d.claimed_as) for d in shown.devices] == [
        (i, f"GPU-{i}", i != 1, gpu_name("n1", i)) for i in range(4)
    ]
    assert (shown.claims_only, shown.allocator, shown.allocatable.gpus) == (True, Allocator.DRA, 4)
    assert allocatable(snap, "n1") == 3


def test_links_that_nobody_tells_are_taken_to_be_as_in_such_machines() -> None:
    alone = replace(node(gpus=0), product="NVIDIA-H100-80GB-HBM3")
    shown = state_of(alone, offer()).snapshot().nodes[N1]
    assert (shown.machine, shown.links_assumed, shown.links is not None) == ("hgx_h100", True, True)
    for there in ((offer(gpus=7),), (offer(), report())):
        bare = state_of(alone, *there).snapshot().nodes[N1]
        assert (bare.links_assumed, bare.links) == (False, None)


def test_slices_and_a_report_are_matched_by_uuid_else_by_address() -> None:
    told = report(gpus=4, sick=[2])
    devices = tuple(replace(d, uuid=f"GPU-{3 - d.index}" if d.index < 2 else "") for d in told.devices)
    addresses = ("0000:03:00.0", "0000:02:00.0", "0000:01:00.0", "0000:00:00.0")
    state = state_of(node(gpus=0), replace(told, devices=devices, addresses=addresses), offer(gpus=3))
    named = {d.index: d.claimed_as for d in state.snapshot().nodes[N1].devices}
    # GPU-2 is index 1 by uuid; gpu-1 and gpu-0 are 2 and 3 by address; GPU-3 is not offered.
    assert named == {0: None, 1: gpu_name("n1", 2), 2: gpu_name("n1", 1), 3: gpu_name("n1", 0)}
    assert [d.healthy for d in state.snapshot().nodes[N1].devices] == [True, True, False, True]
    assert allocatable(state.snapshot(), "n1") == 2


def test_without_addresses_gpus_go_by_the_numbers_in_their_names() -> None:
    seen = offer(gpus=12)
    bare = replace(seen, devices=tuple(replace(d, address="") for d in seen.devices))
    shown = state_of(node(gpus=0), bare).snapshot().nodes[N1]
    assert [d.claimed_as for d in shown.devices] == [gpu_name("n1", i) for i in range(12)]


def test_only_complete_pools_of_the_newest_generation_count() -> None:
    state = state_of(node(gpus=0), offer(gpus=[0, 1], slices=2))
    assert state.snapshot().nodes[N1].devices == ()
    second = offer(gpus=[2, 3], slices=2)
    state.apply(second)
    assert len(state.snapshot().nodes[N1].devices) == 4
    state.apply(offer(gpus=[5], generation=2))
    assert [d.uuid for d in state.snapshot().nodes[N1].devices] == ["GPU-5"]
    state.apply(SliceGone(uid=offer(gpus=[5], generation=2).uid))
    assert len(state.snapshot().nodes[N1].devices) == 4
    state.apply(SliceGone(uid=second.uid))
    assert state.snapshot().nodes[N1].devices == ()
    assert state.snapshot().nodes[N1].claims_only is False
    assert inconsistencies(state) == []


def test_pools_that_offer_nothing_are_told() -> None:
    away = replace(offer("n3", gpus=[2], slices=2), node=NodeName("n2"))
    nics = replace(offer("n4", slices=2), driver="nic.example.com", devices=())
    state = state_of(offer(gpus=[0], slices=3), offer("n2"), offer("n3", gpus=[0], slices=2), away, nics)
    assert state.unclear() == [
        "pool n1 of driver gpu.nvidia.com in generation 1 has 1 of 3 ResourceSlices; its devices are not given out",
        "pool n3 of driver gpu.nvidia.com in generation 1 has devices of 2 nodes; only pools of one node are given out",
    ]


def test_a_pool_of_devices_on_several_nodes_is_local_to_none() -> None:
    away = replace(offer(gpus=[2], slices=2), node=NodeName("n2"))
    state = state_of(node("n1", gpus=0), node("n2", gpus=0), offer(gpus=[0], slices=2), away)
    assert [n.devices for n in state.snapshot().nodes.values()] == [(), ()]


def test_a_running_pod_has_the_gpus_of_its_claim_and_they_count_once() -> None:
    taken = claim("c", gpu_name("n1", 3), gpu_name("n1", 5), gpus=2)
    state = state_of(node(gpus=0), offer(), claiming("p", "c", node=N1), taken)
    snap = state.snapshot()
    assert member(snap, "p").devices == (3, 5)
    assert snap.devices_used == {N1: frozenset({3, 5})}
    assert used(snap, "n1") == 2
    state.apply(PodGone(uid=PodUid("p")))
    # The claim is still allocated: until that is taken back the GPUs are not free.
    assert state.snapshot().devices_used == {N1: frozenset({3, 5})}
    assert used(state.snapshot(), "n1") == 2
    state.apply(replace(taken, allocated=()))
    assert state.snapshot().devices_used == {}
    assert used(state.snapshot(), "n1") == 0
    assert inconsistencies(state) == []


@pytest.mark.parametrize("ours", [True, False])
def test_what_claims_of_nobody_known_have_is_taken(ours: bool) -> None:
    state = state_of(node(gpus=0), claim("c", gpu_name("n1", 7), ours=ours), offer())
    assert state.snapshot().devices_used == {N1: frozenset({7})}
    assert used(state.snapshot(), "n1") == 1


def test_a_plan_in_flight_and_the_claim_that_is_allocated_for_it_count_once() -> None:
    plan = reserved("pod:a/p", ("p", "n1", (2,)), milli_gpu=1000)
    state = state_of(node(gpus=0), offer(), claiming("p", "c"), claim("c"), plan)
    assert (used(state.snapshot(), "n1"), state.snapshot().devices_used) == (1, {N1: frozenset({2})})
    state.apply(claim("c", gpu_name("n1", 2)))
    assert (used(state.snapshot(), "n1"), state.snapshot().devices_used) == (1, {N1: frozenset({2})})
    state.apply(Released(workload=WorkloadKey("pod:a/p")))
    assert (used(state.snapshot(), "n1"), state.snapshot().devices_used) == (1, {N1: frozenset({2})})
    assert [c.waits for c in member(state.snapshot(), "p").claims] == ["left over"]
    assert inconsistencies(state) == []


def test_of_several_pods_that_name_a_claim_one_is_charged() -> None:
    first, second = (claiming(name, "c", shared=True, created_s=at) for name, at in (("p", 1), ("q", 2)))
    state = state_of(node(gpus=0), offer(), second, claim("c"), first)
    assert (gpus_of(state.snapshot(), "p"), gpus_of(state.snapshot(), "q")) == (1, 0)
    assert [c.waits for c in member(state.snapshot(), "q").claims] == ["in use"]
    state.apply(claim("c", gpu_name("n1", 4)))
    state.apply(PodSeen(pod=replace(first, node=N1)))
    shown = member(state.snapshot(), "q")
    assert [c.waits for c in shown.claims] == [""]
    assert [r.values for (r,) in shown.shape.affinity] == [("n1",)]
    assert used(state.snapshot(), "n1") == 1
    state.apply(PodGone(uid=PodUid("p")))
    assert [c.waits for c in member(state.snapshot(), "q").claims] == ["left over"]
    assert inconsistencies(state) == []


def test_a_pod_on_a_node_is_charged_for_its_claim_whoever_came_first() -> None:
    first, second = (claiming(name, "c", shared=True, created_s=at) for name, at in (("p", 1), ("q", 2)))
    stands = replace(second, node=N1)
    state = state_of(node(gpus=0), offer(), first, stands, claim("c", gpu_name("n1", 4)))
    assert (gpus_of(state.snapshot(), "p"), gpus_of(state.snapshot(), "q")) == (0, 1)
    assert member(state.snapshot(), "q").devices == (4,)


def test_a_pod_that_is_on_its_way_with_devices_is_charged_though_an_older_one_is_seen_later() -> None:
    first, second = (claiming(name, "c", shared=True, created_s=at) for name, at in (("p", 1), ("q", 2)))
    state = state_of(node(gpus=0), offer(), claim("c"), second)
    plan = reserved("pod:a/q", ("q", "n1", (2,)), milli_gpu=1000)
    for late in (first, plan), (plan, first):
        for event in late:
            state.apply(event_of(event))
        shown = state.snapshot()
        assert (gpus_of(shown, "p"), gpus_of(shown, "q"), used(shown, "n1")) == (0, 1, 1)
        assert [c.waits for c in member(shown, "p").claims] == ["in use"]
        assert inconsistencies(state) == []
        state.apply(Released(workload=WorkloadKey("pod:a/q")))
        assert (gpus_of(state.snapshot(), "p"), gpus_of(state.snapshot(), "q")) == (1, 0)
        assert inconsistencies(state) == []
        state.apply(PodGone(uid=PodUid("p")))


def test_where_a_plugin_serves_too_claims_and_others_keep_off_each_other() -> None:
    state = state_of(node(gpus=8), report(), offer())
    assert (state.snapshot().closed, state.snapshot().nodes[N1].claims_only) == ({}, False)
    state.apply(claim("c", gpu_name("n1", 1)))
    assert state.snapshot().closed == {N1: Closed(to_others=True)}
    state.apply(ClaimGone(uid="claim-c"))
    for thing in (foreign("f", shape=shape(1), node=N1), reserved("pod:a/p", ("p", "n1", ()))):
        mixed = state_of(node(gpus=8), report(), offer(), pod("p"), thing)
        assert mixed.snapshot().closed == {N1: Closed(to_claims=True)}
    told = state_of(node(gpus=8), report(f=(0,)), offer(), foreign("f", shape=shape(1), node=N1))
    assert told.snapshot().closed == {}
    unknown = state_of(node(gpus=0), offer(), foreign("f", claims=claiming("f", "c").claims, node=N1))
    assert unknown.snapshot().closed == {N1: Closed(to_claims=True)}
    partly = state_of(node(gpus=8), report(), offer(gpus=4))
    assert partly.snapshot().closed == {N1: Closed(to_claims=True)}


def test_what_is_believed_of_claims_and_slices_is_compared_by_name() -> None:
    state = state_of(node(gpus=0), offer(gpus=2), claim("c"))
    fresh = [*state_of(node(gpus=0), offer(gpus=1), claim("d")).facts()]
    told = compare(state, fresh)
    assert told.missed == (
        "claim a/d exists, and the state does not know it",
        "slice n1-slice-1-0 exists, and the state does not know it",
    )
    assert told.redundant == (
        "claim a/c is believed in, and does not exist",
        "slice n1-slice-1-0-1 is believed in, and does not exist",
    )


def test_slices_are_made_where_they_are_claimed() -> None:
    held = slice_claim("c", "3g.40gb", slice_name("n1", 1, "3g.40gb", 4))
    state = state_of(node(gpus=0), sliceable(), claiming("p", "c", node=N1), held)
    snap = state.snapshot()
    shown = snap.nodes[N1]
    assert (shown.mig_on_demand, shown.product) == (True, "NVIDIA-A100-SXM4-80GB")
    assert [(p.name, p.starts, p.size) for p in shown.mig_models[0].profiles] == [
        ("7g.80gb", (0,), 8),
        ("3g.40gb", (0, 4), 4),
        ("1g.10gb", (0, 1, 2, 3, 4, 5, 6), 1),
    ]
    assert member(snap, "p").slices == (mig(1, "3g.40gb", 4),)
    assert snap.slices == {N1: (mig(1, "3g.40gb", 4),)}
    assert (snap.devices_used, used(snap, "n1")) == ({N1: frozenset({1})}, 1)
    assert shown.claimed_as(mig(0, "1g.10gb", 6)) == slice_name("n1", 0, "1g.10gb", 6)
    assert shown.claimed_as(mig(0, "1g.10gb", 7)) is None
    assert shown.claimed_as(mig(7, "1g.10gb", 6)) is None
    assert inconsistencies(state) == []


@pytest.mark.parametrize("whole", [True, False])
def test_slices_and_gpus_that_claims_of_nobody_known_have_are_taken(whole: bool) -> None:
    device = gpu_name("n1", 1) if whole else slice_name("n1", 1, "1g.10gb", 2)
    snap = state_of(node(gpus=0), sliceable(), claim("c", device, ours=False)).snapshot()
    assert snap.slices == ({} if whole else {N1: (mig(1, "1g.10gb", 2),)})
    assert (snap.devices_used, used(snap, "n1")) == ({N1: frozenset({1})}, 1)


def test_where_a_plugin_serves_too_a_slice_takes_its_whole_gpu() -> None:
    held = slice_claim("c", "1g.10gb", slice_name("n1", 1, "1g.10gb", 2))
    snap = state_of(node(gpus=2), sliceable(), held).snapshot()
    assert (snap.nodes[N1].mig_on_demand, snap.devices_used) == (False, {N1: frozenset({1})})


def test_gpus_that_are_divided_in_different_ways_are_given_out_whole() -> None:
    seen = sliceable()
    fewer = replace(seen, devices=tuple(d for d in seen.devices if d.name != "gpu-1-mig-1g.10gb-0-6"))
    assert state_of(node(gpus=0), fewer).snapshot().nodes[N1].mig_on_demand is False


def test_a_gpu_is_sick_if_a_slice_of_it_is() -> None:
    seen = sliceable()
    off = tuple(replace(d, usable=d.name != "gpu-1-mig-1g.10gb-0-6") for d in seen.devices)
    shown = state_of(node(gpus=0), replace(seen, devices=off)).snapshot().nodes[N1]
    assert ([d.healthy for d in shown.devices], shown.mig_on_demand) == ([True, False], True)


def test_gpus_that_kube_scheduler_serves_as_a_resource_count_and_are_not_predicted() -> None:
    serving = DeviceClassSeen(uid="k", name="gpu.nvidia.com", resource=GPU)
    state = state_of(node(gpus=0), offer(), serving)
    shown = state.snapshot().nodes[N1]
    assert (shown.claims_only, shown.allocator, allocatable(state.snapshot(), "n1")) == (False, Allocator.SCHEDULER, 8)
    made = tuple(replace(each, served=True) for each in claiming("p", "x").claims)
    state.apply(PodSeen(pod=pod("p", gpus=2, node=N1, claims=made)))
    assert state.snapshot().closed == {N1: Closed(to_claims=True)}
    state.apply(claim("x", gpu_name("n1", 3), gpu_name("n1", 6), ours=False))
    snap = state.snapshot()
    assert (member(snap, "p").devices, used(snap, "n1"), snap.devices_used) == ((3, 6), 2, {N1: frozenset({3, 6})})
    assert snap.closed == {}
    state.apply(DeviceClassGone(uid="k"))
    assert not state.apply(DeviceClassGone(uid="k"))
    assert (state.snapshot().nodes[N1].claims_only, inconsistencies(state)) == (True, [])
