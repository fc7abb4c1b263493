"""The check of plans on slices that were made beforehand: each is there, free, given once, and no other is."""

import pytest
from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.plan import Admit, Assignment, Placement, Plan
from scheduler.scoring.rules.check import broken_rules
from tests.state.build import (
    claim,
    claiming,
    made_name,
    mig,
    node,
    presliced,
    queue,
    report,
    slice_claim,
    state_of,
)

SMALL = "1g.10gb"
NOT_OFFERED = "p{} on n1: no slice {} at {} of GPU {} can be claimed"
NOT_FREE = "p{} on n1: no slice {} at {} of device {} is free"


def said(*places: MigInstance, profile: str = SMALL, sick: bool = False) -> list[str]:
    """What the check says of a plan that gives p0, p1 … these slices."""
    there = presliced(sick=[(0, SMALL, 1)] if sick else ())
    taken = claim("others", made_name("n1", 1, SMALL, 0), ours=False)
    waiting = [
        thing for i in range(len(places)) for thing in (claiming(f"p{i}", f"c{i}"), slice_claim(f"c{i}", profile))
    ]
    snap = state_of(queue(), node(gpus=0), there, taken, *waiting).snapshot()
    decisions = tuple(
        Admit(
            workload=WorkloadKey(f"pod:a/p{i}"),
            placement=Placement(assignments=(Assignment(pod=PodUid(f"p{i}"), node=NodeName("n1"), slices=(place,)),)),
        )
        for i, place in enumerate(places)
    )
    return broken_rules(snap, Plan(generation=snap.generation, decisions=decisions))


def test_slices_that_are_there_and_free_are_right() -> None:
    assert said(mig(0, SMALL, 0), mig(0, SMALL, 1)) == []
    assert said(mig(0, "3g.40gb", 4), profile="3g.40gb") == []


@pytest.mark.parametrize(
    ("places", "want"),
    [
        pytest.param([mig(0, SMALL, 0)] * 2, [NOT_FREE.format(1, SMALL, 0, 0)], id="given twice"),
        pytest.param([mig(1, SMALL, 0)], [NOT_FREE.format(0, SMALL, 0, 1)], id="that a claim of others has"),
        pytest.param(
            [mig(0, SMALL, 2)],
            [NOT_FREE.format(0, SMALL, 2, 0), NOT_OFFERED.format(0, SMALL, 2, 0)],
            id="that would have to be made",
        ),
    ],
)
def test_slices_that_are_not_to_be_had_are_refused(places: list[MigInstance], want: list[str]) -> None:
    assert sorted(said(*places)) == sorted(want)


def test_a_slice_with_a_taint_and_one_of_a_sick_gpu_are_refused() -> None:
    assert NOT_OFFERED.format(0, SMALL, 1, 0) in said(mig(0, SMALL, 1), sick=True)
    things = (presliced(), replace(report(gpus=2, sick=[0]), uid="r"), claiming("p0", "c0"), slice_claim("c0", SMALL))
    snap = state_of(queue(), node(gpus=0), *things).snapshot()
    plan = Placement(assignments=(Assignment(pod=PodUid("p0"), node=NodeName("n1"), slices=(mig(0, SMALL, 0),)),))
    found = broken_rules(
        snap,
        Plan(generation=snap.generation, decisions=(Admit(workload=WorkloadKey("pod:a/p0"), placement=plan),)),
    )
    assert "p0 on n1: device 0 is unknown, unhealthy or sliced beforehand" in found
