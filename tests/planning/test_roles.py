"""Roles of a gang, each in one domain of a level of its own, in drawings of clusters."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, gang, outcome, pods, shape, waiting

RACKS = """
b0/r0 n0: ..##
b0/r0 n1: ..##
b0/r1 n2: ....
b1/r2 n3: ....
b1/r3 n4: ....
"""


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000))
    assert broken_rules(snap, decided) == []
    return decided


def roles(*wanted: tuple[str, int, int, str | None], on: Sequence[str | None] = ()) -> tuple[Pod, ...]:
    """Pods of roles: name, how many, GPUs each, level."""
    made = pods("g", [shape(gpus) for _, count, gpus, _ in wanted for _ in range(count)], on=on)
    named = [(role, level) for role, count, _, level in wanted for _ in range(count)]
    return tuple(
        msgspec.structs.replace(pod, role=role, role_required=level)
        for pod, (role, level) in zip(made, named, strict=True)
    )


@pytest.mark.parametrize(
    ("wanted", "more", "want"),
    [
        pytest.param(
            [("prefill", 2, 2, "rack"), ("decode", 1, 4, "rack")],
            {},
            "n4 n4 n3",
            id="each role in a rack of its own, both in one block, on few nodes",
        ),
        pytest.param(
            [("prefill", 2, 1, "rack"), ("decode", 2, 1, "rack")],
            {},
            "n2 n2 n2 n2",
            id="both in one rack if it holds them",
        ),
        pytest.param(
            [("prefill", 2, 4, "block"), ("decode", 1, 4, "rack")],
            {},
            "n3 n4 n2",
            id="levels of roles differ",
        ),
        pytest.param(
            [("leader", 1, 0, None), ("worker", 2, 4, "block")],
            {},
            "n3 n3 n4",
            id="pods without a role go where it is best",
        ),
        pytest.param([("a", 1, 2, "rack"), ("a", 2, 1, "rack")], {}, "n2 n2 n2", id="pods of a role may differ"),
        pytest.param(
            [("a", 1, 4, "rack"), ("b", 1, 4, "rack")],
            {"topology_required": "block"},
            "n3 n4",
            id="within the block that the gang requires",
        ),
        pytest.param([("a", 3, 4, "rack")], {}, "TopologyUnsatisfied", id="no rack holds the role"),
        pytest.param(
            [("a", 3, 1, "rack"), ("b", 3, 1, "rack"), ("c", 2, 4, "block"), ("d", 2, 1, "rack")],
            {},
            "Fragmented",
            id="each role by itself, but not all",
        ),
    ],
)
def test_each_role_stands_in_one_domain(
    wanted: list[tuple[str, int, int, str | None]], more: dict[str, Any], want: str
) -> None:
    decided = planned(draw(RACKS, gang("g", roles(*wanted), **more)))
    assert outcome(decided, "g") == want


def test_a_member_that_comes_back_goes_to_its_role() -> None:
    members = roles(("a", 2, 2, "rack"), ("b", 2, 1, "rack"), on=["n2", None, "n3", None])
    assert outcome(planned(draw(RACKS, gang("g", members))), "g") == "n2 n3"


def test_why_a_role_waits() -> None:
    wait = waiting(planned(draw(RACKS, gang("g", roles(("a", 3, 4, "rack"), ("b", 1, 1, None))))), "g")
    assert wait.message == "no rack has room for all pods of the role a together"
    assert wait.detail == "the role a needs room for 3 pods in one rack; the best has room for 1"


def test_the_answer_is_proven_best() -> None:
    decided = planned(draw(RACKS, gang("g", roles(("a", 2, 2, "rack"), ("b", 1, 4, "rack")))))
    (admit,) = decided.decisions
    assert isinstance(admit, Admit)
    assert admit.placement.proof.status == "optimal"


def test_the_checker_refuses_a_role_in_two_domains() -> None:
    snap = draw(RACKS, gang("g", roles(("a", 2, 2, "rack"))))
    decided = planned(snap)
    (admit,) = decided.decisions
    assert isinstance(admit, Admit)
    first, second = admit.placement.assignments
    moved = msgspec.structs.replace(second, node=NodeName("n3"))
    placement = msgspec.structs.replace(admit.placement, assignments=(first, moved))
    bad = msgspec.structs.replace(decided, decisions=(msgspec.structs.replace(admit, placement=placement),))
    assert any("role a stands in 2 domains of rack" in why for why in broken_rules(snap, bad))


def test_many_domains_are_not_all_tried() -> None:
    lines = [f"b{i // 8}/r{i} n{i:02}: {'....' if i % 8 < 2 else '..##'}" for i in range(32)]
    members = roles(("a", 1, 4, "rack"), ("b", 1, 4, "rack"), ("c", 1, 2, "rack"))
    decided = planned(draw("\n".join(lines), gang("g", members)))
    (admit,) = decided.decisions
    assert isinstance(admit, Admit)
    assert outcome(decided, "g") == "n00 n01 n02"
    assert admit.placement.proof.status == "optimal"
