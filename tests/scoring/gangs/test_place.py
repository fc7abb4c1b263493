"""Gangs of pods that differ, against trying every way to share the nodes; and what a proof may say."""

from collections.abc import Iterator
from itertools import product

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import HostPort, PodShape
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.gangs.cpsat import solve
from scheduler.scoring.gangs.gang import Ask, Limits
from scheduler.scoring.gangs.greedy import pack
from scheduler.scoring.gangs.place import place
from scheduler.scoring.gangs.problem import Problem, prepare
from scheduler.scoring.room import Room
from scheduler.scoring.topology import find_level
from tests.planning.build import LEVELS, draw, node, shape, snapshot

PLENTY = Limits(budget_ms=5000)


class Case(msgspec.Struct, frozen=True):
    drawing: str
    groups: tuple[tuple[int, int, int], ...]
    required: str | None


@st.composite
def cases(draw_: st.DrawFn) -> Case:
    lines: list[str] = []
    for i in range(draw_(st.integers(1, 4))):
        signs = "".join("#" if held else "." for held in draw_(st.lists(st.booleans(), min_size=1, max_size=4)))
        lines.append(f"b{draw_(st.integers(0, 1))}/r{draw_(st.integers(0, 1))} n{i}: {signs}")
    groups = draw_(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 3)), min_size=2, max_size=2))
    ordered = sorted({(gpus, cpu): count for gpus, count, cpu in groups}.items(), reverse=True)
    return Case(
        drawing="\n".join(lines),
        groups=tuple((gpus, count, cpu) for (gpus, cpu), count in ordered),
        required=draw_(st.sampled_from([None, None, "rack", "block"])),
    )


def problem_of(case: Case) -> tuple[Room, Ask]:
    snap = draw(case.drawing)
    room = Room(snap, Fleet(snap))
    groups = tuple((shape(gpus, milli_cpu=1 + 16_000 * cpu), count) for gpus, count, cpu in case.groups)
    level = None if case.required is None else find_level(room.fleet, LEVELS, case.required)
    return room, Ask(groups=groups, topology=LEVELS, required=level)


def every_packing(room: Room, ask: Ask) -> Iterator[tuple[list[int], ...]]:
    """All ways to put the pods onto nodes: for each group how many go to each row."""
    rows = range(len(room.fleet))
    options = [
        [counts for counts in product(range(count + 1), repeat=len(rows)) if sum(counts) == count]
        for _, count in ask.groups
    ]
    for packing in product(*options):
        if all(
            fits(room.snapshot, row, [(s, c[row]) for (s, _), c in zip(ask.groups, packing, strict=True)])
            for row in rows
        ):
            yield tuple(list(c) for c in packing)


def fits(snap: Snapshot, row: int, pods: list[tuple[PodShape, int]]) -> bool:
    free = dict(zip(snap.columns.resources, snap.columns.free[row].tolist(), strict=True))
    return (
        sum(s.requests.gpus * n for s, n in pods) <= free["nvidia.com/gpu"]
        and sum(s.requests.milli_cpu * n for s, n in pods) <= free["milli_cpu"]
    )


def one_domain(room: Room, ask: Ask, used: list[int]) -> bool:
    if ask.required is None:
        return True
    return len({room.snapshot.nodes[room.name(row)].labels.get(ask.required.label) for row in used}) == 1


def cheapest(room: Room, ask: Ask, problem: Problem | None) -> int | None:
    costs: list[int] = []
    for packing in every_packing(room, ask):
        used = [row for row in range(len(room.fleet)) if any(counts[row] for counts in packing)]
        if one_domain(room, ask, used):
            assert problem is not None, "prepare() ruled out a gang that fits"
            costs.append(problem.charges.cost_of(np.array(used)))
    return min(costs, default=None)


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_mixed_gangs_are_placed_as_cheaply_as_can_be(case: Case) -> None:
    room, ask = problem_of(case)
    best = cheapest(room, ask, prepare(room, ask))
    placed = place(room, ask, PLENTY)
    if best is None:
        assert placed.layout is None
        assert placed.certain
    else:
        assert placed.layout is not None
        assert placed.layout.proof.status == "optimal"
        assert placed.layout.proof.cost == placed.layout.proof.bound == best


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_without_the_solver_nothing_is_claimed_that_does_not_hold(case: Case) -> None:
    room, ask = problem_of(case)
    best = cheapest(room, ask, prepare(room, ask))
    placed = place(room, ask, Limits())
    if placed.layout is not None:
        assert best is not None
        assert placed.layout.proof.bound <= best <= placed.layout.proof.cost
        assert (placed.layout.proof.status == "optimal") == (placed.layout.proof.bound == placed.layout.proof.cost)
    elif placed.certain:
        assert best is None


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_the_solver_alone_finds_the_same(case: Case) -> None:
    room, ask = problem_of(case)
    problem = prepare(room, ask)
    if problem is None:
        return
    best = cheapest(room, ask, problem)
    solved = solve(room, problem, None, 0, PLENTY)
    assert (solved.packing.cost if solved.packing else None) == best
    assert solved.outcome == ("infeasible" if best is None else "optimal")
    hinted = solve(room, problem, pack(room, problem).packing, 0, PLENTY)
    assert (hinted.packing.cost if hinted.packing else None) == best


def test_a_launcher_moves_in_with_its_workers() -> None:
    snap = draw("b0/r0 n0: ........\nb0/r0 n1: ........\nb0/r1 n2: ........")
    room = Room(snap, Fleet(snap))
    placed = place(room, Ask(groups=((shape(8), 2), (shape(0), 1)), topology=LEVELS), Limits())
    assert placed.layout is not None
    assert placed.layout.proof.status == "optimal"
    assert [rows.tolist() for rows, _ in placed.layout.groups] == [[0, 1], [0]]


def test_pods_with_the_same_host_port_never_share_a_node() -> None:
    port = (HostPort(port=8080),)
    snap = snapshot([node("n0", 8), node("n1", 8)])
    room = Room(snap, Fleet(snap))
    groups = ((shape(2, host_ports=port), 1), (shape(1, host_ports=port), 1))
    placed = place(room, Ask(groups=groups), PLENTY)
    assert placed.layout is not None
    assert [rows.tolist() for rows, _ in placed.layout.groups] == [[0], [1]]
    three = Ask(groups=((shape(2, host_ports=port), 2), (shape(1, host_ports=port), 1)))
    refused = place(room, three, PLENTY)
    assert refused.layout is None
    assert refused.certain


def test_where_the_budget_is_spent_nothing_is_certain() -> None:
    # Both kinds of pods fit by themselves; together they need more CPU than one node has.
    snap = snapshot([node("n0", 8)])
    room = Room(snap, Fleet(snap))
    ask = Ask(groups=((shape(1, milli_cpu=40_000), 1), (shape(0, milli_cpu=40_000), 1)))
    assert place(room, ask, Limits()).certain is False
    assert place(room, ask, PLENTY).certain is True
