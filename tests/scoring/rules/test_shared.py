"""The check of plans on GPUs that claims share: no more of them than there is, and parts only where there are any."""

import pytest
from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.plan import Admit, Assignment, Placement, Plan
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.events import SliceSeen
from tests.state.build import (
    GIB,
    MEMORY,
    claim,
    claiming,
    gpu_name,
    node,
    offer,
    part_claim,
    queue,
    sharing,
    state_of,
)

NONE = "p0 on n1: its GPUs have no {} milli with {} for a claim"


def said(there: SliceSeen, *parts: tuple[int, int], others_gib: int = 40) -> list[str]:
    """What the check says of a plan that gives p0, p1 … so much memory (GiB; 0: no amount) of these GPUs.

    `others_gib`: what others have of GPU 1.
    """
    taken = part_claim("others", others_gib, gpu_name("n1", 1), ours=False)
    waiting = [
        thing
        for i, (gib, _) in enumerate(parts)
        for thing in (claiming(f"p{i}", f"c{i}"), part_claim(f"c{i}", gib) if gib else claim(f"c{i}"))
    ]
    # What the claims come to is told by nodes that share their GPUs as they are wanted.
    elsewhere = (node("n2", gpus=0), sharing("n2", replace(MEMORY, total=800 * GIB)))
    snap = state_of(queue(), node(gpus=0), there, *elsewhere, taken, *waiting).snapshot()
    decisions = tuple(
        Admit(
            workload=WorkloadKey(f"pod:a/p{i}"),
            placement=Placement(assignments=(Assignment(pod=PodUid(f"p{i}"), node=NodeName("n1"), devices=(device,)),)),
        )
        for i, (_, device) in enumerate(parts)
    )
    return broken_rules(snap, Plan(generation=snap.generation, decisions=decisions))


def test_parts_that_fit_are_right() -> None:
    assert said(sharing("n1"), (40, 0), (40, 0), (40, 1)) == []
    assert said(sharing("n1"), (0, 0), (70, 0), (35, 1)) == []


@pytest.mark.parametrize(
    ("there", "parts", "want"),
    [
        pytest.param(
            sharing("n1"), [(40, 0), (45, 0)], "p1 on n1: 1062 milli of device 0 are given out", id="too much"
        ),
        pytest.param(sharing("n1"), [(41, 1)], "p0 on n1: 1062 milli of device 1 are given out", id="beside others"),
        pytest.param(sharing("n1"), [(80, 0), (1, 0)], "p1 on n1: 1062 milli of device 0 are given out", id="of none"),
        pytest.param(offer("n1", gpus=2), [(10, 0)], NONE.format(13, {"memory": 10 * GIB}), id="not shared"),
        pytest.param(
            sharing("n1", replace(MEMORY, total=30 * GIB)),
            [(35, 0)],
            NONE.format(44, {"memory": 35 * GIB}),
            id="smaller",
        ),
    ],
)
def test_what_is_wrong_is_told(there: SliceSeen, parts: list[tuple[int, int]], want: str) -> None:
    assert said(there, *parts)[0] == want
