"""Roles that have to share a domain, against trying every way to share the nodes; and where not all ways are tried."""

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.scoring.gangs.gang import Ask, Limits, Together
from scheduler.scoring.gangs.place import place
from scheduler.scoring.gangs.problem import prepare
from scheduler.scoring.gangs.roles import MOST_CHOICES
from scheduler.scoring.room import Room
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level
from tests.planning.build import LEVELS
from tests.scoring.gangs.test_place import PLENTY, Case, cases, every_packing, one_domain, problem_of


class Roles(msgspec.Struct, frozen=True):
    """`levels[g]` is that of group g's role; all groups in one role where `shared`."""

    case: Case
    levels: list[str | None]
    shared: bool


@st.composite
def with_roles(draw: st.DrawFn) -> Roles:
    levels = draw(st.lists(st.sampled_from([None, "rack", "block"]), min_size=2, max_size=2))
    return Roles(draw(cases()), levels, draw(st.booleans()))


def asked(roles: Roles) -> tuple[Room, Ask]:
    room, ask = problem_of(roles.case)
    named = [(g, level) for g, level in enumerate(roles.levels[: len(ask.groups)]) if level is not None]
    together = [([g], level) for g, level in named]
    if roles.shared and named:
        together = [([g for g, _ in named], named[0][1])]
    found = [(groups, find_level(room.fleet, LEVELS, level)) for groups, level in together]
    return room, msgspec.structs.replace(
        ask,
        together=tuple(Together(level=level, groups=tuple(groups)) for groups, level in found if level is not None),
    )


def cheapest(room: Room, ask: Ask) -> int | None:
    problem = prepare(room, ask)
    costs: list[int] = []
    for packing in every_packing(room, ask):
        used = [row for row in range(len(room.fleet)) if any(counts[row] for counts in packing)]
        if one_domain(room, ask, used) and all(_together(room, packing, role) for role in ask.together):
            assert problem is not None, "prepare() ruled out a gang that fits"
            costs.append(problem.charges.cost_of(np.array(used)))
    return min(costs, default=None)


def _together(room: Room, packing: tuple[list[int], ...], role: Together) -> bool:
    rows = [row for row in range(len(room.fleet)) if any(packing[g][row] for g in role.groups)]
    return len({room.snapshot.nodes[room.name(row)].labels.get(role.level.label) for row in rows}) == 1


@settings(max_examples=200, deadline=None)
@given(roles=with_roles())
@example(
    # One rack's name in two blocks, and a role that has to stay in one block.
    roles=Roles(
        Case(drawing="b1/r1 n0: .\nb1/r0 n1: .\nb0/r0 n2: .\nb0/r1 n3: .", groups=((0, 2, 2),), required="rack"),
        ["block", None],
        shared=False,
    )
)
def test_roles_are_placed_as_cheaply_as_can_be(roles: Roles) -> None:
    room, ask = asked(roles)
    best = cheapest(room, ask)
    placed = place(room, ask, PLENTY)
    if best is None:
        assert placed.layout is None
        assert placed.certain
    else:
        assert placed.layout is not None
        assert placed.layout.proof.status == "optimal"
        assert placed.layout.proof.cost == placed.layout.proof.bound == best


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(roles=with_roles())
def test_without_the_solver_nothing_is_claimed_that_does_not_hold(roles: Roles) -> None:
    room, ask = asked(roles)
    best = cheapest(room, ask)
    placed = place(room, ask, Limits())
    if placed.layout is not None:
        assert best is not None
        assert placed.layout.proof.bound <= best <= placed.layout.proof.cost
    elif placed.certain:
        assert best is None


@pytest.mark.parametrize("budget_ms", [0, 2000])
def test_where_not_all_ways_are_tried_the_bound_holds_all_the_same(budget_ms: int) -> None:
    # Three roles in racks of their own: 12 racks each could hold are 1,728 ways.
    lines = [f"b{i // 4}/r{i} n{i:02}: {'....' if i % 3 else '..##'}" for i in range(12)]
    case = Case("\n".join(lines), ((2, 2, 0), (2, 1, 1), (1, 2, 0)), None)
    room, ask = problem_of(case)
    rack = LEVELS[1]
    ask = msgspec.structs.replace(ask, together=tuple(Together(level=rack, groups=(g,)) for g in range(3)))
    problem = prepare(room, ask)
    assert problem is not None
    assert not problem.whole
    assert len(problem.choices) <= MOST_CHOICES
    placed = place(room, ask, Limits(budget_ms=budget_ms))
    assert placed.layout is not None
    # 4, 2 and 2 GPUs: two racks of one block at best.
    assert placed.layout.proof.bound <= placed.layout.proof.cost
    codes = domains(room.fleet, rack).codes
    used = [np.unique(codes[rows]) for rows, _ in placed.layout.groups]
    assert [len(each) for each in used] == [1, 1, 1]
    assert NO_DOMAIN not in np.concatenate(used)
    assert len(np.unique(np.concatenate(used))) == 2


def test_roles_that_fill_their_domains_are_not_put_into_one() -> None:
    case = Case("b0/r0 n0: ...\nb0/r1 n1: ..\nb1/r2 n2: ....", ((2, 1, 0), (1, 3, 0)), None)
    room, ask = problem_of(case)
    ask = msgspec.structs.replace(ask, together=tuple(Together(level=LEVELS[1], groups=(g,)) for g in range(2)))
    placed = place(room, ask, PLENTY)
    assert placed.layout is not None
    assert [rows.tolist() for rows, _ in placed.layout.groups] == [[1], [0]]


def test_a_domain_that_holds_all_roles_is_found_among_many() -> None:
    # Each rack holds either role; the fullest ones hold no second one, the last one does.
    lines = [f"b{i // 8}/r{i:02} n{i:02}: {'....' if i < 31 else '........'}" for i in range(32)]
    room, ask = problem_of(Case("\n".join(lines), ((2, 2, 0), (1, 4, 0)), None))
    ask = msgspec.structs.replace(ask, together=tuple(Together(level=LEVELS[1], groups=(g,)) for g in range(2)))
    placed = place(room, ask, Limits())
    assert placed.layout is not None
    assert [rows.tolist() for rows, _ in placed.layout.groups] == [[31], [31]]
    assert placed.layout.proof.status == "optimal"
