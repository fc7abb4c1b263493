"""The parts of a search for moves that know no solver: classes of nodes, bounds of domains, and seats."""

import numpy as np
import pytest

from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.moves import cpsat_moves
from scheduler.scoring.moves.cpsat_moves import choose
from scheduler.scoring.moves.domains import by_domain
from scheduler.scoring.moves.frame import Frame
from scheduler.scoring.moves.moves import Bundle, Kind, MoveProblem, Mover, NodeClass, Opening, classes_of
from scheduler.scoring.moves.seats import seats_of

NODES = 6
FREE = np.array([[8], [0], [4], [8], [8], [2]], dtype=np.int64)
"""Free GPUs, the one column."""

RACKS = np.array([0, 0, 1, 1, 2, -1], dtype=np.int64)


def kind(gpus: int, fits: int = 100) -> Kind:
    return Kind(demand=((0, gpus),), fits=np.full(NODES, fits, dtype=np.int64), gpu_column=0)


def mover(price: int, gpus: dict[int, int], bundle: Bundle | None = None) -> Mover:
    return Mover(
        price=price,
        use={row: ((0, n),) for row, n in gpus.items()},
        holds=frozenset(gpus),
        bundle=bundle or Bundle(kinds=((kind(1), sum(gpus.values())),)),
    )


def problem(*movers: Mover, opening: Opening | None = None, seat: Bundle | None = None) -> MoveProblem:
    return MoveProblem(free=FREE, movers=movers, opening=opening, seat=seat)


def described(each: NodeClass) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return each.rows, each.room


def test_equal_nodes_are_one_class_and_shared_ones_are_apart() -> None:
    a, b = mover(1, {1: 4, 2: 4}), mover(2, {1: 4})
    found = classes_of(problem(a, b), [kind(8), kind(4)], [], [0, 1], merge=True)
    # Row 1 has two movers; rows 2 has one; row 5 has room for neither kind.
    assert [described(each) for each in found] == [((0, 3, 4), (1, 2)), ((1,), (1, 2)), ((2,), (1, 2))]
    (_, both, _) = found
    assert both.content == ((0, ((0, 4),)), (1, ((0, 4),)))


def test_movers_that_cannot_leave_leave_no_room() -> None:
    a, b = mover(1, {1: 4, 2: 4}), mover(2, {1: 4})
    found = classes_of(problem(a, b), [kind(8)], [], [1], merge=True)
    assert [described(each) for each in found] == [((0, 3, 4), (1,))]


def test_levels_and_openings_tell_nodes_apart() -> None:
    opening = Opening(codes=np.where(RACKS == 1, RACKS, -1))
    found = classes_of(problem(opening=opening), [kind(8)], [RACKS], [], merge=True)
    assert [(each.rows, each.opens) for each in found] == [((0,), -1), ((2,), 1), ((3,), 1), ((4,), -1)]


def test_without_merging_every_node_is_a_class() -> None:
    found = classes_of(problem(), [kind(8)], [], [], merge=False)
    assert [each.rows for each in found] == [(0,), (3,), (4,)]


@pytest.mark.parametrize(
    ("count", "want"),
    [
        (1, [(0, 0), (1, 0), (2, 0)]),  # a whole free node in each rack
        (2, [(1, 49), (0, 99)]),  # half of the mover on both nodes of rack 1; all of rack 0's
    ],
)
def test_a_domain_to_open_costs_at_least_the_shares_of_its_nodes(count: int, want: list[tuple[int, int]]) -> None:
    movers = [mover(100, {1: 8}), mover(100, {2: 4, 5: 4})]
    opening = Opening(codes=RACKS, count=count)
    found = by_domain(problem(*movers, opening=opening))
    domains = [(int(each.problem.opening.codes.max()), each.bound) for each in found if each.problem.opening]
    assert [pair for pair in domains if pair[0] != 2 or count == 1] == want


def test_a_seat_has_the_domains_that_could_hold_it() -> None:
    seat = Bundle(kinds=((kind(8), 2),), required=RACKS)
    movers = [mover(100, {1: 8}), mover(60, {2: 4, 5: 4})]
    found = by_domain(problem(*movers, seat=seat))
    domains: list[tuple[list[int], int]] = []
    for each in found:
        assert each.problem.seat is not None
        (only, _), *_ = each.problem.seat.kinds
        domains.append((np.flatnonzero(only.fits).tolist(), each.bound))
    assert domains == [([2, 3], 29), ([0, 1], 99)]


def test_a_price_is_divided_among_the_pods_that_a_mover_makes_room_for() -> None:
    seat = Bundle(kinds=((kind(4), 5),), required=RACKS)
    # Rack 1 holds three pods as it is, and two more where the mover leaves.
    (only,) = by_domain(problem(mover(60, {2: 8}), mover(90, {5: 4}), seat=seat))
    assert only.bound == 59


def test_a_model_without_the_dearest_movers_proves_no_more_than_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    free = np.array([[0], [0], [0], [80]], dtype=np.int64)
    small = Bundle(kinds=((Kind(demand=((0, 2),), fits=np.array([0, 0, 0, 40]), gpu_column=0), 1),))
    cheap = [mover(3, {1: 2}, small) for _ in range(4)]
    large = Bundle(kinds=((Kind(demand=((0, 8),), fits=np.array([0, 0, 0, 10]), gpu_column=0), 1),))
    seat = Bundle(kinds=((Kind(demand=((0, 8),), fits=np.array([1, 1, 1, 0]), gpu_column=0), 1),))
    whole = MoveProblem(free=free, movers=(*cheap, mover(10, {0: 8}, large)), seat=seat)
    limits = Limits(budget_ms=1000)
    found = choose(whole, limits, resettle=True, bound=0)
    assert found.choice is not None
    assert (found.outcome, found.choice.moved, found.bound) == ("optimal", (4,), 10)

    def without_the_dearest(problem: MoveProblem, *, resettle: bool) -> Frame:
        return Frame(problem, [0, 1, 2, 3], resettle=resettle)

    monkeypatch.setattr(cpsat_moves, "frame_of", without_the_dearest)
    found = choose(whole, limits, resettle=True, bound=0)
    assert found.choice is not None
    assert (found.outcome, found.choice.moved, found.choice.price, found.bound) == ("feasible", (0, 1, 2, 3), 12, 10)


def test_a_seat_anywhere_is_one_problem() -> None:
    whole = problem(seat=Bundle(kinds=((kind(8), 2),)))
    (only,) = by_domain(whole)
    assert only.problem is whole
    assert only.bound == 0


def test_seats_fill_nodes_in_turn_and_large_pods_first() -> None:
    small, large = Bundle(kinds=((kind(2), 3),)), Bundle(kinds=((kind(4), 2),))
    everything = problem()
    classes = classes_of(everything, [kind(2), kind(4)], [], [], merge=True)
    at = next(i for i, each in enumerate(classes) if each.rows == (0, 3, 4))
    found = seats_of(everything, classes, {0: small, 1: large}, {(0, 0): [(at, 3)], (1, 0): [(at, 2)]}, [], [])
    assert {key: [(r.tolist(), c.tolist()) for r, c in seats] for key, seats in found.items()} == {
        0: [([3], [3])],
        1: [([0], [2])],
    }


def test_counts_that_do_not_fit_onto_their_nodes_are_no_seats() -> None:
    bundle = Bundle(kinds=((kind(5), 4),))
    classes = classes_of(problem(), [kind(5)], [], [], merge=True)
    assert seats_of(problem(), classes, {0: bundle}, {(0, 0): [(0, 4)]}, [], []) == {}


def test_opened_nodes_seat_nobody_and_moved_work_leaves_room() -> None:
    bundle = Bundle(kinds=((kind(8), 1),))
    leaving = problem(mover(1, {1: 8}))
    classes = classes_of(leaving, [kind(8)], [], [0], merge=True)
    at = next(i for i, each in enumerate(classes) if each.rows == (1,))
    ((rows, _),) = seats_of(leaving, classes, {0: bundle}, {(0, 0): [(at, 1)]}, [0], [])[0]
    assert rows.tolist() == [1]
    assert seats_of(leaving, classes, {0: bundle}, {(0, 0): [(at, 1)]}, [0], [1]) == {}


def test_slices_stay_together_in_the_order_of_ranks() -> None:
    halves = np.array([1, 0, 0, 1, 0, 0], dtype=np.int64)
    bundle = Bundle(kinds=((kind(8), 3),), slices=((halves, 2),))
    whole = problem(mover(1, {1: 8}))
    classes = classes_of(whole, [kind(8)], [halves], [0], merge=True)
    counts = [(i, len(each.rows)) for i, each in enumerate(classes) if set(each.rows) <= {0, 3, 4}]
    ((rows, _),) = seats_of(whole, classes, {0: bundle}, {(0, 0): counts}, [0], [])[0]
    # The slice of two is in half 1; the last, shorter one comes after it.
    assert rows.tolist() == [0, 3, 4]
