"""GPUs of a node that are divided as pods need it: what fits, what a pod gets, and that nothing is given twice."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.names import NodeName
from scheduler.model.node import Device, MigInstance, Node
from scheduler.scoring.sharing.divided import (
    Divided,
    Need,
    Slot,
    Taken,
    as_used,
    count,
    hold,
    hold_slice,
    take,
    untouched,
)
from scheduler.scoring.sharing.mig import is_legal
from scheduler.scoring.sharing.mig_tables import mig_model

PRODUCT = "NVIDIA-A100-SXM4-80GB"
PROFILES = ["1g.10gb", "1g.10gb+me", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]


def node(gpus: int = 1, *, product: str = PRODUCT, instances: Sequence[MigInstance] = (), sick: int = -1) -> Node:
    return Node(
        name=NodeName("n"),
        product=product,
        devices=tuple(Device(index=i, healthy=i != sick) for i in range(gpus)),
        mig_on_demand=True,
        shares_on_demand=True,
        mig_instances=tuple(instances),
    )


def slices(**wanted: int) -> Need:
    """`slices(_3g_40gb=1)` is one 3g.40gb."""
    return Need(slices=tuple((name[1:].replace("_", "."), n) for name, n in wanted.items()))


def mig(device: int, profile: str, start: int) -> MigInstance:
    return MigInstance(device=device, profile=profile, start=start)


def taken(have: Divided, *needs: Need) -> Taken:
    got = Taken(have)
    for need in needs:
        found = take(got.left, need)
        assert found is not None
        got = found
    return got


def test_a_slice_goes_where_larger_ones_stay_possible() -> None:
    first = taken(untouched(node(2)), slices(_1g_10gb=1))
    assert first.slices == (mig(0, "1g.10gb", 6),)
    # The second one spares the untouched GPU, and 3g at 0 of the first.
    second = taken(first.left, slices(_1g_10gb=1))
    assert second.slices == (mig(0, "1g.10gb", 5),)
    assert taken(second.left, slices(_4g_40gb=1)).slices == (mig(0, "4g.40gb", 0),)


def test_what_the_driver_tells_of_its_profiles_counts_rather_than_the_table() -> None:
    known = mig_model(PRODUCT)
    assert known is not None
    profiles = tuple(replace(p, starts=(0, 2)) if p.name == "2g.20gb" else p for p in known.profiles)
    told = replace(known, products=(PRODUCT,), placements="reported", profiles=profiles)
    plain = node()
    assert count(untouched(plain), slices(_2g_20gb=1)) == 3
    assert count(untouched(replace(plain, mig_models=(told,))), slices(_2g_20gb=1)) == 2
    assert count(untouched(replace(plain, product=f"{PRODUCT}-SHARED", mig_models=(told,))), slices(_2g_20gb=1)) == 2
    other = replace(told, products=("NVIDIA-A30",))
    assert (
        count(untouched(replace(plain, mig_models=(other, replace(other, products=("X",))))), slices(_2g_20gb=1)) == 3
    )


def test_slices_in_the_wrong_half_leave_room_for_one_large_one() -> None:
    have = hold_slice(untouched(node()), mig(0, "1g.10gb", 0))
    assert count(have, slices(_3g_40gb=1)) == 1
    assert taken(have, slices(_3g_40gb=1)).slices == (mig(0, "3g.40gb", 4),)


def test_an_instance_that_exists_is_used_first() -> None:
    have = untouched(node(2, instances=[mig(1, "1g.10gb", 3)]))
    assert count(have, slices(_1g_10gb=1)) == 14
    got = taken(have, slices(_1g_10gb=1))
    assert got.slices == (mig(1, "1g.10gb", 3),)
    assert count(got.left, slices(_1g_10gb=1)) == 13
    assert count(have, Need(whole=1)) == 1


def test_several_profiles_of_one_pod_are_placed_together() -> None:
    pair = slices(_3g_40gb=1, _4g_40gb=1)
    assert taken(untouched(node()), pair).slices == (mig(0, "4g.40gb", 0), mig(0, "3g.40gb", 4))
    assert count(untouched(node(2)), pair) == 2
    assert take(hold_slice(untouched(node()), mig(0, "1g.10gb", 0)), pair) is None


@pytest.mark.parametrize(
    ("need", "product"),
    [
        pytest.param(slices(_9g_40gb=1), PRODUCT, id="an unknown profile"),
        pytest.param(slices(_1g_10gb=1), "NVIDIA-L40S", id="a GPU that cannot be divided"),
        pytest.param(slices(_1g_5gb=1), PRODUCT, id="a profile of another model"),
    ],
)
def test_what_is_not_there_has_no_place(need: Need, product: str) -> None:
    assert count(untouched(node(product=product)), need) == 0
    assert take(untouched(node(product=product)), need) is None


def test_parts_go_to_the_fullest_gpu_that_takes_them() -> None:
    have = hold(hold(untouched(node(3)), 1, share=600), 2, share=300)
    assert taken(have, Need(parts=1, share=400)).devices == (1,)
    assert taken(have, Need(parts=1, share=500)).devices == (2,)
    assert taken(have, Need(parts=1, share=800)).devices == (0,)
    assert taken(have, Need(parts=2, share=500)).devices == (0, 2)
    assert take(have, Need(parts=2, share=800)) is None
    assert count(have, Need(parts=1, share=400)) == 1 + 1 + 2


def test_broken_gpus_are_left_alone() -> None:
    have = untouched(node(2, sick=0))
    assert taken(have, Need(parts=1, share=1)).devices == (1,)
    assert taken(have, slices(_7g_80gb=1)).slices == (mig(1, "7g.80gb", 0),)
    assert count(have, Need(whole=1)) == 1


def test_gpus_with_instances_that_nobody_knows_are_left_alone() -> None:
    have = untouched(node(2, instances=[mig(0, "9g.90gb", 0), mig(0, "1g.10gb", 6)]))
    assert taken(have, slices(_1g_10gb=1)).slices == (mig(1, "1g.10gb", 6),)
    assert taken(have, Need(parts=1, share=1)).devices == (1,)
    assert count(have, Need(whole=1)) == 1


def test_no_more_untouched_gpus_are_opened_than_may_be() -> None:
    have = hold(untouched(node(3)), 0, share=500)._replace(opens=0)
    assert count(have, Need(parts=1, share=250)) == 2
    assert count(have, slices(_1g_10gb=1)) == 0
    assert take(have, Need(whole=1)) is None


NEEDS = st.one_of(
    st.integers(1, 2).map(lambda gpus: Need(whole=gpus)),
    st.tuples(st.integers(1, 3), st.sampled_from([1, 100, 250, 333, 500, 700, 1000])).map(
        lambda asked: Need(parts=asked[0], share=asked[1])
    ),
    st.dictionaries(st.sampled_from(PROFILES), st.integers(1, 2), min_size=1, max_size=2).map(
        lambda wanted: Need(slices=tuple(sorted(wanted.items())))
    ),
)


def units_of(profile: str, start: int) -> range:
    model = mig_model(PRODUCT)
    assert model is not None
    index = model.index(profile)
    assert index is not None
    return range(start, start + model.profiles[index].size)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), st.lists(NEEDS, max_size=12))
def test_nothing_is_ever_given_twice(gpus: int, needs: list[Need]) -> None:
    have = untouched(node(gpus))
    milli: Counter[int] = Counter()
    made: list[MigInstance] = []
    for need in needs:
        before = count(have, need)
        got = take(have, need)
        assert (got is None) == (before == 0)
        if got is None:
            continue
        have = got.left
        if need.parts == 1 or need.whole or len(need.slices) == 1:
            assert count(have, need) == before - 1
        assert len(set(got.devices)) == len(got.devices) == need.whole + need.parts
        milli.update(dict.fromkeys(got.devices, 1000 if need.whole else need.share))
        made += got.slices
        assert Counter(one.profile for one in got.slices) == dict(need.slices)
    for device in range(gpus):
        own = [one for one in made if one.device == device]
        units = [unit for one in own for unit in units_of(one.profile, one.start)]
        assert len(units) == len(set(units))
        assert milli[device] <= 1000
        assert not (own and milli[device])
    model = mig_model(PRODUCT)
    assert model is not None
    assert all(is_legal(model, slot.layout) for slot in have.slots)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.lists(NEEDS, max_size=6))
def test_what_is_held_elsewhere_is_counted_as_what_was_taken_here(gpus: int, needs: list[Need]) -> None:
    have = again = untouched(node(gpus))
    milli: Counter[int] = Counter()
    made: list[MigInstance] = []
    for need in needs:
        got = take(have, need)
        if got is not None:
            have = got.left
            for device in got.devices:
                again = hold(again, device, share=1000 if need.whole else need.share)
            for one in got.slices:
                again = hold_slice(again, one)
            milli.update(dict.fromkeys(got.devices, 1000 if need.whole else need.share))
            made += got.slices
    assert again == have
    milli.update(dict.fromkeys((one.device for one in made), 1000))
    assert as_used(untouched(node(gpus)), made, milli) == have


def test_equal_gpus_are_tried_once() -> None:
    wanted: Mapping[str, int] = {"3g.40gb": 15, "4g.40gb": 1}
    slots = tuple(Slot(i) for i in range(8))
    assert take(Divided(slots, 8, mig_model(PRODUCT)), Need(slices=tuple(wanted.items()))) is not None
    assert take(Divided(slots, 8, mig_model(PRODUCT)), Need(slices=(("3g.40gb", 16), ("4g.40gb", 1)))) is None
