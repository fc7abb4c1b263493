"""MIG slices that were made beforehand: each is given out by itself, by its name, and none is made."""

import pytest
from msgspec.structs import replace

from scheduler.model.names import PodUid
from scheduler.model.resources import GPU
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.planning.cycle import plan as plan_of
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.audit import inconsistencies, violations
from scheduler.state.events import DeviceClassSeen, PodGone
from tests.state.build import (
    N1,
    allocatable,
    claim,
    claiming,
    event_of,
    gpu_name,
    made_name,
    mig,
    node,
    presliced,
    report,
    reserved,
    slice_claim,
    state_of,
    used,
)

SMALL = ("1g.10gb", 0)


def member(snapshot: Snapshot, name: str) -> Pod:
    return next(p for w in snapshot.workloads.values() for p in w.members if p.name == name)


def free(snapshot: Snapshot) -> list[tuple[int, str, int]]:
    return [(one.device, one.profile, one.start) for one in snapshot.slices.get(N1, ()) if not one.in_use]


def test_slices_that_are_there_can_be_claimed_by_name() -> None:
    state = state_of(node(gpus=0), presliced(whole=[2]))
    snap = state.snapshot()
    shown = snap.nodes[N1]
    assert (shown.claims_only, shown.claimable, shown.product) == (True, True, "NVIDIA-A100-SXM4-80GB")
    assert [(d.index, d.uuid, d.mig_enabled, d.claimed_as) for d in shown.devices] == [
        (0, "GPU-0", True, None),
        (1, "GPU-1", True, None),
        (2, "GPU-2", False, gpu_name("n1", 2)),
    ]
    assert free(snap) == [(0, "1g.10gb", 0), (0, "1g.10gb", 1), (0, "3g.40gb", 4), (1, "1g.10gb", 0)]
    assert shown.claimed_as(mig(0, "3g.40gb", 4)) == made_name("n1", 0, "3g.40gb", 4)
    assert shown.claimed_as(mig(0, "3g.40gb", 0)) is None
    # One GPU counts whole, and none of it is used though two others are divided.
    assert (allocatable(snap, "n1"), used(snap, "n1")) == (1, 0)
    assert inconsistencies(state) == []


def test_a_node_of_nothing_but_slices_can_be_claimed() -> None:
    snap = state_of(node(gpus=0), presliced()).snapshot()
    assert (snap.nodes[N1].claimable, allocatable(snap, "n1"), len(free(snap))) == (True, 0, 4)


def test_a_running_pod_has_the_slice_of_its_claim_until_the_claim_gives_it_back() -> None:
    taken = slice_claim("c", "1g.10gb", made_name("n1", 0, "1g.10gb", 1))
    state = state_of(node(gpus=0), presliced(whole=[2]), claiming("p", "c", node=N1), taken)
    snap = state.snapshot()
    assert member(snap, "p").slices == (mig(0, "1g.10gb", 1),)
    assert free(snap) == [(0, "1g.10gb", 0), (0, "3g.40gb", 4), (1, "1g.10gb", 0)]
    assert (mig(0, "1g.10gb", 1) in snap.slices[N1], used(snap, "n1")) == (True, 0)
    state.apply(PodGone(uid=PodUid("p")))
    assert state.snapshot().slices == snap.slices
    state.apply(replace(taken, allocated=()))
    assert len(free(state.snapshot())) == 4
    assert inconsistencies(state) == []
    assert violations(state.snapshot()) == []


def test_what_claims_of_others_have_is_taken() -> None:
    others = claim("c", made_name("n1", 1, *SMALL), made_name("n1", 0, *SMALL), ours=False)
    snap = state_of(node(gpus=0), others, presliced()).snapshot()
    assert free(snap) == [(0, "1g.10gb", 1), (0, "3g.40gb", 4)]


def test_a_slice_with_a_taint_is_not_given_out_and_its_neighbours_are() -> None:
    sick = [(0, "1g.10gb", 0), (1, "1g.10gb", 0)]
    held = slice_claim("c", "1g.10gb", made_name("n1", 0, *SMALL))
    snap = state_of(node(gpus=0), presliced(sick=sick), held, claiming("p", "c", node=N1)).snapshot()
    assert free(snap) == [(0, "1g.10gb", 1), (0, "3g.40gb", 4)]
    assert snap.nodes[N1].claimed_as(mig(0, "1g.10gb", 0)) is None
    # Whoever has it keeps it; and a GPU of which every slice has a taint has a fault.
    assert member(snap, "p").slices == (mig(0, "1g.10gb", 0),)
    assert [d.healthy for d in snap.nodes[N1].devices] == [True, False]


def test_a_driver_that_names_the_gpu_and_not_its_uuid_is_understood() -> None:
    seen = presliced(sick=[(0, *SMALL)])
    named = replace(seen, devices=tuple(replace(d, parent=f"gpu-{d.parent[-1]}", address="") for d in seen.devices))
    snap = state_of(node(gpus=0), named).snapshot()
    assert free(snap) == [(0, "1g.10gb", 1), (0, "3g.40gb", 4), (1, "1g.10gb", 0)]
    assert [(d.uuid, d.healthy) for d in snap.nodes[N1].devices] == [("", True), ("", True)]


def test_a_report_tells_of_the_gpus_by_uuid_else_by_address() -> None:
    told = report(gpus=4, sick=[3])
    devices = tuple(
        replace(d, uuid={3: "GPU-0", 2: ""}.get(d.index, f"x{d.index}"), suspect=d.index == 2) for d in told.devices
    )
    seen = replace(told, devices=devices, addresses=("", "", "0000:01:00.0", ""), mig_instances=(mig(0, "7g.80gb", 0),))
    snap = state_of(node(gpus=0), presliced(), seen).snapshot()
    shown = snap.nodes[N1]
    assert {each.device for each in shown.slices_made} == {2, 3}
    assert [d.mig_enabled for d in shown.devices] == [False, False, True, True]
    # What the report says of other slices does not matter; who is suspect comes last.
    assert [one.device for one in shown.mig_instances] == [3, 3, 3, 2]


def test_slices_of_gpus_that_a_report_does_not_know_are_left_alone() -> None:
    shown = state_of(node(gpus=0), presliced(), replace(report(gpus=1), addresses=("",))).snapshot().nodes[N1]
    assert {each.device for each in shown.slices_made} == {0}


@pytest.mark.parametrize("slices", [2, 12])
def test_slices_whose_place_is_not_told_are_counted(slices: int) -> None:
    seen = presliced(made={0: [("1g.10gb", i) for i in range(slices)]})
    bare = replace(seen, devices=tuple(replace(d, start=-1, size=0) for d in seen.devices))
    snap = state_of(node(gpus=0), bare).snapshot()
    shown = snap.nodes[N1]
    assert len({shown.claimed_as(mig(*place)) for place in free(snap)} - {None}) == slices


def test_compute_instances_of_one_instance_go_to_one_claim_together() -> None:
    seen = presliced(made={0: [SMALL]})
    (one,) = seen.devices
    twins = replace(seen, devices=(one, replace(one, name="gpu-0-mig-twin")))
    assert len(free(state_of(node(gpus=0), twins).snapshot())) == 1
    held = claim("c", replace(made_name("n1", 0, *SMALL), device="gpu-0-mig-twin"), ours=False)
    assert free(state_of(node(gpus=0), twins, held).snapshot()) == []


def test_slices_that_several_claims_may_share_are_not_given_out() -> None:
    seen = presliced(made={0: [SMALL]})
    shared = replace(seen, devices=tuple(replace(d, shared=True) for d in seen.devices))
    assert state_of(node(gpus=0), shared).snapshot().nodes[N1].claimable is False


def test_slices_are_not_given_out_where_others_give_out_gpus() -> None:
    serving = DeviceClassSeen(uid="k", name="gpu.nvidia.com", resource=GPU)
    held = claim("c", made_name("n1", 0, *SMALL), ours=False)
    for things in ((node(gpus=7), presliced()), (node(gpus=0), presliced(), serving)):
        state = state_of(*things, held)
        snap = state.snapshot()
        assert (snap.nodes[N1].slices_made, snap.nodes[N1].mig_on_demand) == ((), False)
        # The GPU was divided before, so no whole one is taken by whoever has a slice of it.
        assert used(snap, "n1") == 0


def test_a_gpu_that_is_offered_whole_is_not_given_out_in_slices_too() -> None:
    snap = state_of(node(gpus=0), presliced(whole=[0, 1, 2])).snapshot()
    assert (snap.nodes[N1].slices_made, allocatable(snap, "n1")) == ((), 3)
    seen = presliced(whole=[0, 1, 2])
    odd = replace(
        seen, devices=tuple(replace(d, name=d.name.replace("gpu-", "gpu-9")) if d.made else d for d in seen.devices)
    )
    assert len(state_of(node(gpus=0), odd).snapshot().nodes[N1].devices) == 3
    held = claim("c", made_name("n1", 0, *SMALL), ours=False)
    assert state_of(node(gpus=0), presliced(whole=[0, 1, 2]), held).snapshot().devices_used == {N1: frozenset({0})}


def test_a_slice_that_two_pods_have_is_told() -> None:
    twice = [
        slice_claim(f"c{i}", "1g.10gb", made_name("n1", 0, *SMALL), made_name("n1", 0, "3g.40gb", 4)) for i in range(2)
    ]
    pods = [claiming(f"p{i}", f"c{i}", node=N1) for i in range(2)]
    assert violations(state_of(node(gpus=0), presliced(), *twice, *pods).snapshot()) == [
        "slice 1g.10gb at 0 of GPU 0 of node n1 is given out 2 times",
        "slice 3g.40gb at 4 of GPU 0 of node n1 is given out 2 times",
    ]


@pytest.mark.parametrize("how", ["taint", "gone"])
def test_a_gpu_that_is_divided_anew_or_fails_while_pods_have_slices_of_it_is_no_quarrel(how: str) -> None:
    held = slice_claim("c", "1g.10gb", made_name("n1", 1, *SMALL))
    pods = (claiming("p", "c", node=N1), held, claiming("q", "d"), slice_claim("d", "3g.40gb"))
    plan = reserved("pod:a/q", ("q", "n1", ()), milli_gpu=428)
    (place,) = plan.assignments
    flight = replace(plan, assignments=(replace(place, slices=(mig(0, "3g.40gb", 4),)),))
    state = state_of(node(gpus=0), presliced(), *pods, flight)
    later = presliced(sick=[(1, *SMALL)]) if how == "taint" else presliced(made={0: [SMALL, ("3g.40gb", 0)]})
    state.apply(replace(later, uid="later", generation=2))
    snap = state.snapshot()
    # A slice that is not offered any more is expected to be one that is.
    left = [(0, "1g.10gb", 0), (0, "1g.10gb", 1)] if how == "taint" else [(0, "3g.40gb", 0)]
    assert (free(snap), violations(snap), inconsistencies(state)) == (left, [], [])
    assert broken_rules(snap, plan_of(snap, now_s=0, settings=PlanSettings())) == []


def test_the_order_of_what_happens_does_not_matter() -> None:
    things = [node(gpus=0), presliced(whole=[2]), slice_claim("c", "1g.10gb", made_name("n1", 0, *SMALL))]
    state = state_of(*reversed(things))
    assert state.snapshot().slices == state_of(*things).snapshot().slices
    assert not any(map(state.apply, map(event_of, things)))
