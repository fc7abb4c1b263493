"""What claims take of shared GPUs, by the words of the API; and that they never take more than there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.claims import Amounts, Capacity
from scheduler.scoring.sharing.portions import (
    part_milli,
    portion_milli,
    quantity,
    suits,
    taken,
    total_of,
    units,
    whole_of,
)

GIB = 1 << 30


def memory(total: int = 80, **policy: int | tuple[int, ...]) -> Capacity:
    """Memory in GiB."""
    scaled = {k: tuple(x * GIB for x in v) if isinstance(v, tuple) else v * GIB for k, v in policy.items()}
    return Capacity(name="memory", total=total * GIB, **scaled)  # type: ignore[arg-type]


RANGE = memory(default=10, least=5, most=40, step=5)
VALUES = memory(default=10, values=(10, 20, 40))


@pytest.mark.parametrize(
    ("capacity", "asked", "want"),
    [
        pytest.param(memory(), None, 80, id="no policy, no amount: all"),
        pytest.param(memory(), 7, 7, id="no policy: as asked"),
        pytest.param(memory(), 81, None, id="more than there is"),
        pytest.param(memory(default=20), None, 20, id="the default"),
        pytest.param(memory(default=20), 30, 30, id="a default is no limit"),
        pytest.param(RANGE, None, 10, id="the default of a range"),
        pytest.param(RANGE, 1, 5, id="at least the least"),
        pytest.param(RANGE, 11, 15, id="whole steps from the least"),
        pytest.param(RANGE, 40, 40, id="up to the most"),
        pytest.param(RANGE, 41, None, id="above the most"),
        pytest.param(memory(default=4, least=4, step=3), 5, 7, id="steps do not begin at 0"),
        pytest.param(memory(default=4, least=4), 5, 5, id="without steps any amount"),
        pytest.param(memory(default=2, least=2, step=26), 79, 80, id="a last step that just fits"),
        pytest.param(memory(79, default=2, least=2, step=26), 79, None, id="a last step beyond what there is"),
        pytest.param(VALUES, 11, 20, id="the next value"),
        pytest.param(VALUES, 20, 20, id="a value itself"),
        pytest.param(VALUES, 41, None, id="above all values"),
    ],
)
def test_what_is_taken_of_one_capacity(capacity: Capacity, asked: int | None, want: int | None) -> None:
    found = taken((capacity,), () if asked is None else (("memory", asked * GIB),))
    assert found == (None if want is None else (("memory", want * GIB),))


def test_each_capacity_counts_and_the_one_used_most_says_how_much_of_the_gpu_it_is() -> None:
    cores = Capacity(name="cores", total=100, default=10)
    both = (cores, memory(default=40))
    assert taken(both, (("cores", 25),)) == (("cores", 25), ("memory", 40 * GIB))
    assert portion_milli(both, (("cores", 25),)) == 500
    assert portion_milli(both, (("memory", 1 * GIB),)) == 100
    assert taken(both, (("engines", 1),)) is None
    assert portion_milli((cores,), (("cores", 1),)) == 10
    assert part_milli((memory(),), (("memory", 1),)) == 1
    assert part_milli((memory(),), ()) == 1000
    assert taken((), ()) is None


def test_parts_go_to_shared_gpus_and_whole_ones_where_a_claim_gets_all() -> None:
    assert suits((memory(),), (("memory", GIB),), parts=True)
    assert not suits((), (), parts=True)
    assert not suits((memory(),), (("memory", 81 * GIB),), parts=True)
    assert suits((), (), parts=False)
    assert suits((memory(),), (), parts=False)
    assert not suits((memory(default=10),), (), parts=False)


@pytest.mark.parametrize(
    ("amount", "want"),
    [(10 * GIB, "10Gi"), (81559 << 20, "81559Mi"), (1000, "1000"), (0, "0"), (GIB + 1, "1073741825")],
)
def test_amounts_as_kubernetes_writes_them(amount: int, want: str) -> None:
    assert quantity(amount) == want


@st.composite
def capacities(draw: st.DrawFn, name: str = "memory") -> Capacity:
    """As the API server accepts them."""
    total = draw(st.integers(1, 60))
    match draw(st.sampled_from(["none", "default", "values", "range"])):
        case "none":
            return Capacity(name=name, total=total)
        case "default":
            return Capacity(name=name, total=total, default=draw(st.integers(1, total)))
        case "values":
            values = tuple(sorted(draw(st.sets(st.integers(1, total), min_size=1, max_size=10))))
            return Capacity(name=name, total=total, values=values, default=draw(st.sampled_from(values)))
        case _:
            least = draw(st.integers(1, total))
            step = draw(st.integers(0, total - least))
            reach = range(least, total + 1, step or 1)
            most = draw(st.none() | st.sampled_from(reach))
            default = draw(st.sampled_from([n for n in reach if most is None or n <= most]))
            return Capacity(name=name, total=total, least=least, most=most, step=step, default=default)


def allowed(capacity: Capacity) -> list[int]:
    """Every amount that a claim may have by the policy, by trying all."""
    found: list[int] = []
    for amount in range(1, capacity.total + 1):
        if capacity.values:
            fine = amount in capacity.values
        elif capacity.least is not None:
            above = amount - capacity.least
            fine = above >= 0 and (not capacity.step or above % capacity.step == 0)
            fine = fine and (capacity.most is None or amount <= capacity.most)
        else:
            fine = True
        if fine:
            found.append(amount)
    return found


@given(capacities(), st.integers(1, 70))
def test_a_claim_takes_the_least_that_the_policy_allows_and_that_is_enough(capacity: Capacity, asked: int) -> None:
    want = next((amount for amount in allowed(capacity) if amount >= asked), None)
    assert taken((capacity,), (("memory", asked),)) == (None if want is None else (("memory", want),))
    assert taken((capacity,), ()) == (("memory", capacity.total if capacity.default is None else capacity.default),)


@given(capacities("a"), capacities("b"), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=30))
def test_claims_whose_units_fit_a_gpu_take_no_capacity_twice(
    a: Capacity, b: Capacity, asks: list[tuple[int, int]]
) -> None:
    both, used, sums = (a, b), 0, {"a": 0, "b": 0}
    for ask in asks:
        amounts = taken(both, tuple((c.name, n) for c, n in zip(both, ask, strict=True) if n))
        if amounts is None:
            continue
        part = units(both, amounts)
        if used + part <= whole_of(both):
            used += part
            sums = {name: sums[name] + amount for name, amount in amounts}
            assert all(sums[c.name] <= c.total for c in both)


def test_where_units_are_larger_than_those_of_a_capacity_parts_are_rounded_up() -> None:
    huge = (Capacity(name="memory", total=10**16 + 1),)
    third = (("memory", huge[0].total // 3 + 1),)
    assert 3 * units(huge, third) > whole_of(huge) == 10**15


@given(capacities(), st.lists(st.integers(0, 60), max_size=30))
def test_of_one_capacity_all_is_given_out(capacity: Capacity, asks: list[int]) -> None:
    used = given_out = 0
    for ask in asks:
        amounts = taken((capacity,), (("memory", ask),) if ask else ())
        if amounts is not None:
            part = units((capacity,), amounts)
            assert (used + part <= whole_of((capacity,))) == (given_out + amounts[0][1] <= capacity.total)
            if used + part <= whole_of((capacity,)):
                used, given_out = used + part, given_out + amounts[0][1]


@given(capacities("a"), capacities("b"), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=30))
def test_claims_whose_parts_fit_a_gpu_take_no_capacity_twice(
    a: Capacity, b: Capacity, asks: list[tuple[int, int]]
) -> None:
    both, milli = (a, b), 0
    given_out: list[Amounts] = []
    for ask in asks:
        wanted = tuple((c.name, n) for c, n in zip(both, ask, strict=True) if n)
        amounts, portion = taken(both, wanted), portion_milli(both, wanted)
        assert (amounts is None) == (portion is None)
        if amounts is not None and portion is not None and milli + portion <= 1000:
            milli += portion
            given_out.append(amounts)
    used = total_of(given_out)
    assert all(used.get(c.name, 0) <= c.total for c in both)
    assert part_milli(both, tuple(used.items())) <= max(milli, 1) or not given_out
