"""Gangs placed anew so that a later one fits too: what that may change, and what it never does."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.plan import Admit, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning import cycle
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.gangs import batch
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, equal, gang, node, outcome, pods, queue, shape, single, snapshot

LAWS = settings(max_examples=60, deadline=None)
BUDGETS = pytest.mark.parametrize("budget_ms", [pytest.param(0, id="greedy"), pytest.param(2000, id="solver")])


def planned(snap: Snapshot, budget_ms: int = 2000) -> Plan:
    return cycle.plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=budget_ms, hold_s=0))


def one_by_one(snap: Snapshot, budget_ms: int = 2000) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cycle, "admit_beside", lambda *_: None)  # type: ignore[reportUnknownLambdaType]
        return planned(snap, budget_ms)


def racks(*sizes: int) -> str:
    """Racks of so many free nodes of 8 GPUs."""
    return "\n".join(f"b0/r{r} r{r}n{i:02}: ........" for r, size in enumerate(sizes) for i in range(size))


def in_racks(*pods_each: int) -> list[Workload]:
    """Gangs of so many whole nodes in one rack each, in this order."""
    return [equal(f"g{i}", n, topology_required="rack", created_s=i) for i, n in enumerate(pods_each)]


def outcomes(plan: Plan, count: int) -> list[str]:
    return [outcome(plan, f"g{i}") for i in range(count)]


@BUDGETS
def test_gangs_share_a_rack_so_that_the_last_one_has_one_to_itself(budget_ms: int) -> None:
    snap = draw(racks(10, 7), *in_racks(5, 5, 7))
    assert outcomes(one_by_one(snap, budget_ms), 3)[2] == "TopologyUnsatisfied"
    found = planned(snap, budget_ms)
    first, second, third = ({name[:2] for name in some.split()} for some in outcomes(found, 3))
    assert (first, second, third) == ({"r0"}, {"r0"}, {"r1"})
    assert broken_rules(snap, found) == []


def test_a_chain_of_moves_is_found_by_the_solver_alone() -> None:
    # 6 in r1, 5 in r0 and 4 in r2 leave room for neither 5 nor 6; 6 + 4, 5 + 5 and 6 fit exactly.
    snap = draw(racks(10, 10, 6), *in_racks(4, 5, 5, 6, 6))
    assert "TopologyUnsatisfied" in outcomes(one_by_one(snap), 5)
    assert all(" " in some for some in outcomes(planned(snap), 5))


def models(*, flavors: bool) -> Snapshot:
    """The first gang takes either model, the second needs the one that the first takes by itself."""
    nodes = [
        *(node(f"a{i}", labels={"r": "r0"}) for i in range(2)),
        *(node(f"b{i}", product="L40S", labels={"r": "r1"}) for i in range(3)),
    ]
    either = gang("g0", pods("g0", [shape(8, models=("H100", "L40S"))] * 2), created_s=0)
    fixed = gang("g1", pods("g1", [shape(8, models=("H100",))] * 2), created_s=1)
    quota = {"H100": 100, "L40S": 100} if flavors else None
    return snapshot(nodes, [either, fixed], queues=[queue("a", flavors=quota)])


def test_a_gang_that_either_model_suits_makes_way() -> None:
    assert outcomes(one_by_one(models(flavors=False)), 2) == ["a0 a1", "InsufficientResources"]
    assert outcomes(planned(models(flavors=False)), 2) == ["b0 b1", "a0 a1"]


def test_where_quota_is_set_per_model_a_gang_keeps_its_own() -> None:
    assert outcomes(planned(models(flavors=True)), 2) == ["a0 a1", "InsufficientResources"]


def test_no_gang_is_spread_wider_for_a_later_one() -> None:
    # Were the first gang split over both racks, the second would fit.
    snap = draw(
        racks(4, 2),
        equal("g0", 3, created_s=0),
        equal("g1", 2, topology_required="rack", created_s=1),
    )
    before = one_by_one(snap)
    assert outcomes(planned(snap), 2) == outcomes(before, 2)


def test_a_pod_alone_stays_where_it_is() -> None:
    snap = draw(
        "b0/r0 a0: ........\nb0/r0 a1: ........\nb0/r1 b0: ........\n", single("s", shape(1), created_s=0), *in_racks(2)
    )
    assert planned(snap) == one_by_one(snap)


def test_quota_of_a_flavor_is_used_as_before() -> None:
    snap = draw(racks(10, 7), *in_racks(5, 5, 7), queues=[queue("a", nominal=136, flavors={"H100": 136})])
    found = planned(snap)
    assert all(" " in some for some in outcomes(found, 3))
    assert broken_rules(snap, found) == []


def test_a_plan_that_the_checker_refuses_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    snap = draw(racks(10, 7), *in_racks(5, 5, 7))
    monkeypatch.setattr("scheduler.planning.batch.broken_rules", lambda *_: ["a rule"])  # type: ignore[reportUnknownLambdaType]
    assert planned(snap) == one_by_one(snap)


@pytest.mark.parametrize("most_rows", [pytest.param(1024, id="all nodes"), pytest.param(0, id="some nodes")])
def test_where_nodes_are_left_out_an_answer_is_found_still(monkeypatch: pytest.MonkeyPatch, most_rows: int) -> None:
    monkeypatch.setattr(batch, "MOST_ROWS", most_rows)
    snap = draw(racks(10, 10, 6, 3, 3), *in_racks(4, 5, 5, 6, 6))
    found = planned(snap)
    assert all(" " in some for some in outcomes(found, 5))
    proofs = [d.placement.proof for d in found.decisions if isinstance(d, Admit)]
    assert all(proof.bound <= proof.cost for proof in proofs)
    assert {proof.status for proof in proofs} <= {"optimal", "feasible"}


def best_in_order(sizes: Sequence[int], wanted: Sequence[int]) -> list[bool]:
    """Brute force: each gets in whose size fits into some bin together with all that got in before."""
    inside: list[int] = []
    got: list[bool] = []
    for size in wanted:
        ways = product(range(len(sizes)), repeat=len(inside) + 1)
        fits = any(
            all(
                sum(n for n, b in zip([*inside, size], way, strict=True) if b == bin_) <= have
                for bin_, have in enumerate(sizes)
            )
            for way in ways
        )
        got.append(fits)
        inside += [size] * fits
    return got


@LAWS
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    wanted=st.lists(st.integers(1, 5), min_size=1, max_size=6),
)
def test_whole_racks_are_shared_as_well_as_can_be(sizes: list[int], wanted: list[int]) -> None:
    found = planned(draw(racks(*sizes), *in_racks(*wanted)))
    assert [
        some not in {"TopologyUnsatisfied", "InsufficientResources"} for some in outcomes(found, len(wanted))
    ] == best_in_order(sizes, wanted)


@LAWS
@given(
    free=st.lists(st.integers(1, 8), min_size=1, max_size=4), wanted=st.lists(st.integers(1, 5), min_size=1, max_size=6)
)
def test_nodes_are_shared_as_well_as_can_be(free: list[int], wanted: list[int]) -> None:
    drawing = "\n".join(f"b0/r0 n{i}: {'.' * n}{'#' * (8 - n)}" for i, n in enumerate(free))
    found = planned(draw(drawing, *(equal(f"g{i}", 1, n, created_s=i) for i, n in enumerate(wanted))))
    assert [some.startswith("n") for some in outcomes(found, len(wanted))] == best_in_order(free, wanted)


@st.composite
def crowded(draw: st.DrawFn) -> Snapshot:
    """A few partly used nodes of two models in racks, and more gangs than are likely to fit."""
    free = draw(st.lists(st.integers(0, 8), min_size=2, max_size=6))
    nodes = [
        node(
            f"n{i}",
            product=draw(st.sampled_from(["H100", "H100", "L40S"])),
            labels={"r": draw(st.sampled_from(["r0", "r1"]))},
        )
        for i in range(len(free))
    ]
    held = {f"n{i}": range(n, 8) for i, n in enumerate(free)}
    gangs: list[Workload] = []
    for i in range(draw(st.integers(2, 7))):
        some = [
            shape(
                draw(st.sampled_from([1, 2, 3, 4, 8])),
                milli_cpu=draw(st.sampled_from([1000, 20_000])),
                models=draw(st.sampled_from([(), (), ("H100",), ("H100", "L40S")])),
            )
            for _ in range(draw(st.integers(1, 2)))
        ]
        members = [draw(st.sampled_from(some)) for _ in range(draw(st.integers(1, 3)))]
        gangs.append(
            gang(
                f"g{i}",
                pods(f"g{i}", members),
                least=draw(st.sampled_from([None, None, 1])),
                created_s=i,
                priority=draw(st.sampled_from([0, 0, 5])),
                topology_required=draw(st.sampled_from([None, "rack", "node"])),
                topology_preferred=draw(st.sampled_from([None, None, "rack"])),
            )
        )
    flavors = draw(st.sampled_from([None, None, {"H100": 16, "L40S": 8}]))
    return snapshot(nodes, gangs, held=held, queues=[queue("a", nominal=draw(st.integers(8, 40)), flavors=flavors)])


@pytest.mark.long
@LAWS
@given(snap=crowded(), solver=st.booleans())
def test_who_comes_first_gets_in_first_and_is_no_worse_off(snap: Snapshot, *, solver: bool) -> None:
    budget_ms = 2000 * solver
    alone, found = one_by_one(snap, budget_ms), planned(snap, budget_ms)
    assert broken_rules(snap, found) == []
    assert planned(snap, budget_ms) == found
    for before, after in zip(alone.decisions, found.decisions, strict=True):
        assert before.workload == after.workload
        if type(before) is not type(after):
            # Whoever comes after the first gang that got in besides is decided on what that left.
            assert isinstance(after, Admit)
            break
        workload = snap.workloads[before.workload]
        if isinstance(after, Admit) and workload.min_member < workload.size:
            # Whoever got in besides comes before what a gang can do without.
            assert len(after.placement.assignments) >= workload.min_member
        elif isinstance(before, Admit) and isinstance(after, Admit):
            more = [use.used for use in after.placement.spread], [use.used for use in before.placement.spread]
            assert all(a <= b for a, b in zip(*more, strict=True))
            assert len(after.placement.assignments) == len(before.placement.assignments)
