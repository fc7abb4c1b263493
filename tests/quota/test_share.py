"""What queues deserve, and what of theirs others use."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.quota.forest import Forest, in_force
from scheduler.quota.share import fair_shares, filled, lent


def forest(*queues: Queue) -> Forest:
    return Forest(in_force({q.name: q for q in queues}, {}))


def q(
    name: str, parent: str | None = None, *, nominal: int = 0, weight: int = 1, borrow: int | None = None,
    lend: int | None = None,
) -> Queue:  # fmt: skip
    total = Quota(nominal_milli_gpu=nominal, borrowing_limit_milli_gpu=borrow, lending_limit_milli_gpu=lend)
    return Queue(name=QueueName(name), parent=None if parent is None else QueueName(parent), total=total, weight=weight)


def shares(queues: list[Queue], capacity: int, **demand: int) -> dict[str, int]:
    asked = {QueueName(name): n for name, n in demand.items()}
    return {str(name): n for name, n in fair_shares(forest(*queues), asked, capacity).items()}


@pytest.mark.parametrize(
    ("queues", "demand", "want"),
    [
        pytest.param([q("a", nominal=4), q("b", nominal=6)], {"a": 9, "b": 9}, {"a": 4, "b": 6}, id="nominal"),
        pytest.param([q("a", nominal=4), q("b", nominal=6)], {"a": 9, "b": 1}, {"a": 9, "b": 1}, id="what is idle"),
        pytest.param([q("a"), q("b", weight=3)], {"a": 9, "b": 99}, {"a": 3, "b": 7}, id="by weight, the rest first"),
        pytest.param(
            [q("a", nominal=2), q("b", nominal=2), q("c", nominal=6)], {"a": 9, "b": 9}, {"a": 5, "b": 5}, id="halves"
        ),
        pytest.param([q("a", nominal=2, borrow=1), q("b")], {"a": 9, "b": 9}, {"a": 3, "b": 7}, id="not above limits"),
        pytest.param([q("a"), q("b", nominal=6, lend=2)], {"a": 9}, {"a": 6, "b": 0}, id="what is kept goes to nobody"),
        pytest.param([q("a", nominal=30), q("b", nominal=10)], {"a": 30, "b": 10}, {"a": 8, "b": 2}, id="too little"),
        pytest.param(
            [q("o", nominal=6), q("p", nominal=4), q("x", "o", nominal=2), q("y", "o", nominal=2)],
            {"x": 9, "y": 9, "p": 9},
            {"o": 6, "x": 3, "y": 3, "p": 4},
            id="down the tree",
        ),
    ],
)
def test_fair_shares(queues: list[Queue], demand: dict[str, int], want: dict[str, int]) -> None:
    found = shares(queues, 10, **demand)
    assert {name: found[name] for name in want} == want


AMOUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=6)


@given(AMOUNTS, st.integers(0, 200))
def test_filling_is_weighted_max_min(parts: list[tuple[int, int]], amount: int) -> None:
    wanted, weights = [w for w, _ in parts], [n for _, n in parts]
    given_out = filled(wanted, weights, amount)
    able = sum(w for w, n in parts if n)
    assert sum(given_out) == min(amount, able)
    assert all(0 <= got <= want for got, want in zip(given_out, wanted, strict=True))
    for got, want, weight in zip(given_out, wanted, weights, strict=True):
        if got < want and weight:
            # Nobody has more for his weight, but for the milli-GPU that rounding gives.
            for other, other_weight in zip(given_out, weights, strict=True):
                if other_weight:
                    assert Fraction(max(other - 1, 0), other_weight) <= Fraction(got + 1, weight)


@given(st.data())
def test_shares_of_the_queues_below_add_up_to_no_more_than_the_one_above(data: st.DataObject) -> None:
    queues: list[Queue] = []
    for at in range(data.draw(st.integers(1, 7))):
        parent = data.draw(st.one_of(st.none(), st.sampled_from(queues).map(lambda p: str(p.name)))) if queues else None
        nominal, limit = data.draw(st.integers(0, 20)), data.draw(st.one_of(st.none(), st.integers(0, 20)))
        lend = data.draw(st.one_of(st.none(), st.integers(0, 20)))
        weight = data.draw(st.integers(0, 3))
        queues.append(q(f"q{at}", parent, nominal=nominal, borrow=limit, lend=lend, weight=weight))
    known = forest(*queues)
    demand = {queue.name: data.draw(st.integers(0, 40)) for queue in queues}
    capacity = data.draw(st.integers(0, 60))
    found = fair_shares(known, demand, capacity)
    assert sum(found[name] for name in known.below.get(None, ())) <= capacity
    for queue in queues:
        below = [found[name] for name in known.below.get(queue.name, ())]
        assert sum(below) <= found[queue.name]
        ceiling = queue.total.ceiling_milli_gpu
        assert ceiling is None or found[queue.name] <= ceiling
        if not below:
            assert found[queue.name] <= demand[queue.name]
    used = {name: min(n, 25) for name, n in demand.items()}
    gone = lent(known, used, capacity)
    for queue in queues:
        idle = max(queue.total.nominal_milli_gpu - max(used[queue.name], queue.total.kept_milli_gpu), 0)
        assert 0 <= gone[queue.name] <= idle


def test_what_is_lent_comes_from_what_nobody_owns_first_and_then_from_what_is_idle() -> None:
    queues = forest(q("a", nominal=4), q("b", nominal=6), q("c", nominal=2, lend=0), q("d", nominal=3))
    used = {QueueName("a"): 10, QueueName("b"): 1, QueueName("d"): 2}
    # Six are borrowed, of sixteen one belongs to nobody; b has five to lend, d one.
    assert {str(k): v for k, v in lent(queues, used, 16).items()} == {"a": 0, "b": 5, "c": 0, "d": 0}
    assert {str(k): v for k, v in lent(queues, used, 15).items()} == {"a": 0, "b": 5, "c": 0, "d": 1}
