"""Laws of the policies and prices for single pods, against plain loops over nodes and devices."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.demand import Kind, Request
from scheduler.model.policy import Policy, policy_named
from scheduler.scoring.policies.fragmentation import (
    FILL,
    TRIES,
    WEIGHT,
    States,
    Worth,
    expected_filling,
    fragmented_milli,
)
from scheduler.scoring.policies.free import FreeTable
from scheduler.scoring.policies.policies import Chooser
from scheduler.scoring.policies.prices import Prices

PRODUCTS = ("A", "B")
WIDTH = 4

Row = tuple[int, int, list[int], int]
"""Free CPU and memory, free milli-GPU of each device, code of the product."""


def table_of(rows: list[Row]) -> FreeTable:
    return FreeTable(
        milli_cpu=np.array([row[0] for row in rows], dtype=np.int64),
        memory=np.array([row[1] for row in rows], dtype=np.int64),
        devices=np.array([row[2] + [0] * (WIDTH - len(row[2])) for row in rows], dtype=np.int64),
        product=np.array([row[3] if row[2] else -1 for row in rows], dtype=np.int64),
        products=PRODUCTS,
    )


LAWS = settings(max_examples=80, deadline=None)

SHARES = st.sampled_from([100, 250, 500, 700, 1000])
ROWS = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.integers(0, 8),
        st.lists(st.integers(0, 10).map(lambda n: 100 * n), max_size=WIDTH),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    devices = draw(st.integers(0, WIDTH))
    return Request(
        milli_cpu=draw(st.integers(0, 4)),
        memory=draw(st.integers(0, 4)),
        devices=devices,
        share_milli=draw(SHARES) if devices == 1 else 1000,
        models=draw(st.sampled_from([(), ("A",), ("B",), ("A", "B"), ("C",)])) if devices else (),
    )


@st.composite
def mixes(draw: st.DrawFn) -> tuple[Kind, ...]:
    found = draw(st.lists(requests().filter(lambda r: r.devices > 0), max_size=4, unique=True))
    return tuple(Kind(request, draw(st.integers(1, WEIGHT))) for request in found)


def has_room(row: Row, request: Request) -> bool:
    cpu, memory, devices, product = row
    if request.devices and request.models and (not devices or PRODUCTS[product] not in request.models):
        return False
    enough = sum(free >= request.share_milli for free in devices)
    return cpu >= request.milli_cpu and memory >= request.memory and enough >= request.devices


@LAWS
@given(ROWS, st.lists(requests(), max_size=8), st.sampled_from(list(Policy)), mixes())
def test_a_pod_gets_room_that_is_there_and_always_gets_it(
    rows: list[Row], asked: list[Request], policy: Policy, kinds: tuple[Kind, ...]
) -> None:
    table = table_of(rows)
    chooser = Chooser(table, policy, Prices(table, kinds))
    left = [(cpu, memory, list(devices), product) for cpu, memory, devices, product in rows]
    for request in asked:
        placed = chooser.place(request)
        assert (placed is not None) == any(has_room(row, request) for row in left)
        if placed is None:
            continue
        at, devices = placed
        cpu, memory, free, product = left[at]
        assert has_room(left[at], request)
        assert len(set(devices)) == len(devices) == request.devices
        for device in devices:
            assert free[device] >= request.share_milli
            free[device] -= request.share_milli
        left[at] = (cpu - request.milli_cpu, memory - request.memory, free, product)
    assert table.devices.tolist() == [free + [0] * (WIDTH - len(free)) for _, _, free, _ in left]


def worth_by_hand(row: Row, kinds: tuple[Kind, ...]) -> int:
    """For each kind the pods of it that fit, one after the other, and the filling of each device."""
    total = 0
    cpu, memory, devices, product = row
    for kind in kinds:
        request, pods = kind.request, 0
        slots = sum(free // request.share_milli for free in devices) // request.devices
        wanted = not request.models or (bool(devices) and PRODUCTS[product] in request.models)
        while wanted and pods < slots:
            if (pods + 1) * request.milli_cpu > cpu or (pods + 1) * request.memory > memory:
                break
            pods += 1
        total += kind.weight * round((pods * request.milli_gpu / 1000) ** 0.5 * 1000)
    every = sum(kind.weight * kind.request.devices for kind in kinds)
    name = PRODUCTS[product] if devices else ""
    some = [kind for kind in kinds if not kind.request.models or name in kind.request.models]
    filled = sum(round(float(expected_filling(some, every)[free])) for free in devices)
    each = max(filled / 1000, 1)
    content = sum(
        kind.weight * kind.request.devices
        for kind in kinds
        if kind.request.milli_cpu <= cpu / each and kind.request.memory <= memory / each
    )
    return total + FILL * WEIGHT * round(filled * (1 - math.exp(-TRIES * content / every)))


@LAWS
@given(ROWS, mixes().filter(bool))
def test_worth_is_what_pods_of_each_kind_could_still_be_given(rows: list[Row], kinds: tuple[Kind, ...]) -> None:
    table = table_of(rows)
    worth = Worth(table, kinds).of(States(table.milli_cpu, table.memory, table.devices, table.product))
    assert worth.tolist() == [worth_by_hand(row, kinds) for row in rows]
    assert 0 <= fragmented_milli(table, kinds) <= int(table.devices.sum()) + 1


@LAWS
@given(ROWS, requests(), mixes().filter(bool))
def test_a_price_is_the_least_loss_of_worth_on_any_devices(
    rows: list[Row], request: Request, kinds: tuple[Kind, ...]
) -> None:
    table = table_of(rows)
    priced = Prices(table, kinds).of(request).price
    for row, price in zip(rows, priced.tolist(), strict=True):
        assert np.isfinite(price) == has_room(row, request)
        if not np.isfinite(price):
            continue
        losses: list[int] = []
        for chosen in combinations(range(len(row[2])), request.devices):
            after = [free - request.share_milli * (at in chosen) for at, free in enumerate(row[2])]
            if min(after, default=0) >= 0:
                state = (row[0] - request.milli_cpu, row[1] - request.memory, after, row[3])
                losses.append(worth_by_hand(row, kinds) - worth_by_hand(state, kinds))
        assert price == min(losses)


@pytest.mark.long
@LAWS
@given(ROWS, st.lists(requests(), max_size=8), mixes(), mixes())
def test_prices_that_follow_equal_prices_from_scratch(
    rows: list[Row], asked: list[Request], kinds: tuple[Kind, ...], later: tuple[Kind, ...]
) -> None:
    table = table_of(rows)
    prices = Prices(table, kinds)
    chooser = Chooser(table, Policy.LEAST_FRAGMENTATION, prices)
    for at, request in enumerate(asked):
        if at == len(asked) // 2:
            prices.learn(later)
            kinds = later
        assert prices.of(request).price.tolist() == Prices(table, kinds).of(request).price.tolist()
        chooser.place(request)


@LAWS
@given(ROWS, requests(), st.sampled_from(list(Policy)), mixes())
def test_no_equal_key_depends_on_more_than_the_order_of_nodes(
    rows: list[Row], request: Request, policy: Policy, kinds: tuple[Kind, ...]
) -> None:
    """Nodes that are all alike: the first takes the pod."""
    table = table_of([rows[0]] * 4)
    chosen = Chooser(table, policy, Prices(table, kinds)).choose(request)
    assert chosen is None or chosen[0] == 0


def test_policies_by_name() -> None:
    assert [policy_named(policy.value.upper()) for policy in Policy] == list(Policy)
    assert policy_named("BestFit") is None


def test_what_is_free_is_expected_to_be_filled_by_what_fits() -> None:
    """Halves alone: sure to come in `TRIES` requests, all but. What is left beside one stays free."""
    sure = 1 - math.exp(-TRIES)
    filled = expected_filling([Kind(Request(devices=1, share_milli=500), 7)], 7)
    assert filled[[0, 499]].tolist() == [0, 0]
    assert filled[[500, 999]].tolist() == pytest.approx([500 * sure] * 2)
    assert filled[1000] == pytest.approx(sure * (500 + 500 * sure))


def test_what_hardly_ever_comes_fills_hardly_anything() -> None:
    rare = [Kind(Request(devices=1, share_milli=100), 1), Kind(Request(devices=1), 999)]
    assert expected_filling(rare, 1000)[190] == pytest.approx(100 * (1 - math.exp(-TRIES / 1000)))
