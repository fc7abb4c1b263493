"""MIG geometry against an enumeration of its own, from the table's placements alone."""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.mig import ENGINES, MigModel, Profile
from scheduler.scoring.sharing.mig import (
    EMPTY,
    Layout,
    best_start,
    free_starts,
    is_legal,
    legal_layouts,
    loss,
    memory_units,
    most,
    outlook,
    place_mix,
    with_one,
)
from scheduler.scoring.sharing.mig_tables import mig_model, mig_models

FACTS = Path(__file__).parents[4] / "shared" / "fixtures" / "mig.json"
MODELS = sorted(mig_models())
A30 = ["1g.6gb", "2g.12gb", "4g.24gb", "1g.6gb+me", "2g.12gb+me"]


def model(name: str) -> MigModel:
    return mig_models()[name]


def units(profile: Profile, start: int) -> set[int]:
    return set(range(start, start + profile.size))


def layouts(gpu: MigModel, names: Sequence[str], *, engines: bool = True) -> set[frozenset[tuple[str, int]]]:
    """All legal sets of instances of these profiles, grown one instance at a time; without `engines`, as if it had
    any number of them.
    """
    profiles = {p.name: p for p in gpu.profiles if p.name in names}
    whole = {e: max(getattr(p, e) or 0 for p in gpu.profiles) for e in ENGINES}
    found: set[frozenset[tuple[str, int]]] = {frozenset()}
    edge = list(found)
    while edge:
        grown: set[frozenset[tuple[str, int]]] = set()
        for one, (name, p) in product(edge, profiles.items()):
            there = [profiles[n] for n, _ in one]
            if sum(q.name == name for q in there) >= p.most:
                continue
            if engines and any(sum(getattr(q, e) or 0 for q in [*there, p]) > whole[e] for e in ENGINES):
                continue
            taken = set[int]().union(*(units(profiles[n], s) for n, s in one)) if one else set[int]()
            grown.update(one | {(name, s)} for s in p.starts if not taken & units(p, s))
        edge = list(grown - found)
        found |= grown
    return found


def plain(gpu: MigModel) -> list[str]:
    return [p.name for p in gpu.profiles if not set(p.name) & set("+-")]


def as_layout(gpu: MigModel, named: frozenset[tuple[str, int]]) -> Layout:
    names = [p.name for p in gpu.profiles]
    return tuple(sorted((names.index(n), s) for n, s in named))


def counted(gpu: MigModel, names: Sequence[str], *, engines: bool) -> tuple[int, int, int, int]:
    """Layouts, maximal ones, multisets of profiles, maximal ones: the same measures as published enumerations."""
    found = layouts(gpu, names, engines=engines)
    largest = [one for one in found if not any(one < other for other in found if len(other) == len(one) + 1)]
    sets = {tuple(sorted(n for n, _ in one)) for one in found}
    biggest = [one for one in sets if not any(tuple(sorted([*one, name])) in sets for name in names)]
    return len(found), len(largest), len(sets), len(biggest)


@pytest.mark.parametrize(
    ("gpu", "names", "engines", "want"),
    [
        ("A30-24GB", ["1g.6gb", "2g.12gb", "4g.24gb"], True, (26, 5, 10, 4)),
        ("A30-24GB", A30, False, (84, 21, 22, 9)),
        # 1g+me beside 2g+me would take the JPEG engine twice: 8 layouts fewer.
        ("A30-24GB", A30, True, (76, 17, 20, 8)),
        ("RTX-PRO-6000-96GB", ["1g.24gb", "2g.48gb", "4g.96gb"], True, (26, 5, 10, 4)),
    ],
)
def test_the_enumeration_counts_what_is_published(
    gpu: str, names: list[str], engines: bool, want: tuple[int, ...]
) -> None:
    assert counted(model(gpu), names, engines=engines) == want


@pytest.mark.parametrize("name", MODELS)
def test_every_enumerated_layout_is_legal_and_no_other(name: str) -> None:
    gpu = model(name)
    names = plain(gpu)
    known = {as_layout(gpu, one) for one in layouts(gpu, names)}
    assert all(is_legal(gpu, one) for one in known)
    wanted = [i for i, p in enumerate(gpu.profiles) if p.name in names]
    spots = [(i, s) for i in wanted for s in gpu.profiles[i].starts]
    for size in (1, 2, 3):
        legal = {tuple(sorted(some)) for some in combinations(spots, size) if is_legal(gpu, tuple(sorted(some)))}
        assert legal == {one for one in known if len(one) == size}


def walked(gpu: MigModel) -> set[Layout]:
    """All legal layouts, memory unit by memory unit: each is left free, or some instance begins there."""
    whole = {e: max(getattr(p, e) or 0 for p in gpu.profiles) for e in ENGINES}
    found: set[Layout] = set()

    def walk(unit: int, made: tuple[tuple[int, int], ...]) -> None:
        if unit >= gpu.units:
            found.add(tuple(sorted(made)))
            return
        walk(unit + 1, made)
        for index, p in enumerate(gpu.profiles):
            if unit in p.starts and unit + p.size <= gpu.units:
                walk(unit + p.size, (*made, (index, unit)))

    def allowed(one: Layout) -> bool:
        there = [gpu.profiles[i] for i, _ in one]
        return all(there.count(p) <= p.most for p in there) and all(
            sum(getattr(p, e) or 0 for p in there) <= whole[e] for e in ENGINES
        )

    walk(0, ())
    return {one for one in found if allowed(one)}


@pytest.mark.parametrize("name", MODELS)
def test_the_legal_layouts_of_every_model_are_those_of_a_walk_over_its_memory(name: str) -> None:
    gpu = model(name)
    listed = legal_layouts(gpu)
    assert set(listed) == walked(gpu)
    assert len(set(listed)) == len(listed)
    assert set(listed) == {as_layout(gpu, one) for one in layouts(gpu, [p.name for p in gpu.profiles])}


def test_the_legal_layouts_of_a_small_gpu_are_those_of_all_sets_of_placements() -> None:
    gpu = model("A30-24GB")
    spots = [(i, s) for i, p in enumerate(gpu.profiles) for s in p.starts]
    every = [some for size in range(5) for some in combinations(spots, size)]
    legal = set[Layout]()
    for some in every:
        there = [gpu.profiles[i] for i, _ in some]
        claimed = [unit for i, s in some for unit in units(gpu.profiles[i], s)]
        if (
            len(claimed) == len(set(claimed))
            and all(there.count(p) <= p.most for p in there)
            and all(
                sum(getattr(p, e) or 0 for p in there) <= max(getattr(p, e) or 0 for p in gpu.profiles) for e in ENGINES
            )
        ):
            legal.add(some)
    assert legal == set(legal_layouts(gpu))
    assert len(legal) == 76


@pytest.mark.parametrize("name", MODELS)
def test_compute_slices_suffice_for_every_layout(name: str) -> None:
    gpu = model(name)
    compute = {p.name: p.compute for p in gpu.profiles}
    whole = max(compute.values())
    assert all(sum(compute[n] for n, _ in one) <= whole for one in layouts(gpu, plain(gpu)))


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        pytest.param({"3g.40gb": 2, "1g.10gb": 1}, False, id="two 3g take all memory"),
        pytest.param({"4g.40gb": 1, "2g.20gb": 2}, False, id="4g and two 2g"),
        pytest.param({"2g.20gb": 4}, False, id="four 2g"),
        pytest.param({"1g.20gb": 4, "1g.10gb": 3}, False, id="double memory takes two units"),
        pytest.param({"1g.10gb+me": 2}, False, id="media engines go to one slice"),
        pytest.param({"7g.80gb": 1, "1g.10gb": 1}, False, id="nothing beside the whole"),
        pytest.param({"4g.40gb": 1, "3g.40gb": 1}, True, id="3g behind 4g, where first fit puts it in front"),
        pytest.param({"2g.20gb": 3, "1g.10gb": 1}, True, id="three 2g and the last unit but one"),
        pytest.param({"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 2}, True, id="a mix"),
        pytest.param({"1g.10gb": 6, "1g.10gb+me": 1}, True, id="one slice of seven with media engines"),
    ],
)
def test_mixes_that_mislead(wanted: dict[str, int], fits: bool) -> None:
    gpu = model("A100-80GB")
    found = place_mix(gpu, EMPTY, tuple(wanted.get(p.name, 0) for p in gpu.profiles))
    assert (found is not None) == fits
    if found is not None:
        assert is_legal(gpu, found)
        assert sorted(gpu.profiles[i].name for i, _ in found) == sorted(n for n, k in wanted.items() for _ in range(k))


@pytest.mark.parametrize(
    ("profile", "start"),
    [("1g.10gb", 6), ("1g.10gb+me", 6), ("2g.20gb", 4), ("3g.40gb", 4), ("4g.40gb", 0), ("7g.80gb", 0), ("1g.20gb", 6)],
)
def test_where_a_lone_slice_goes(profile: str, start: int) -> None:
    for name in ("A100-80GB", "H100-80GB"):
        gpu = model(name)
        index = gpu.index(profile)
        assert index is not None
        assert best_start(gpu, EMPTY, index) == start


@st.composite
def states(draw: st.DrawFn) -> tuple[MigModel, Layout]:
    """A GPU and what legally stands on it, wherever it came to stand."""
    gpu = model(draw(st.sampled_from(MODELS)))
    layout: Layout = EMPTY
    for _ in range(draw(st.integers(0, 5))):
        profile = draw(st.integers(0, len(gpu.profiles) - 1))
        starts = free_starts(gpu, layout, profile)
        if starts:
            layout = with_one(layout, profile, draw(st.sampled_from(starts)))
    return gpu, layout


def reachable(gpu: MigModel, layout: Layout) -> Iterator[tuple[int, ...]]:
    """Counts per profile of everything that can stand on the GPU beside `layout`, in ways of its own."""
    names = [p.name for p in gpu.profiles]
    base = frozenset((names[i], s) for i, s in layout)
    for one in layouts(gpu, names):
        if base <= one:
            more = one - base
            yield tuple(sum(n == name for n, _ in more) for name in names)


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(states(), st.data())
def test_counts_and_mixes_are_those_of_the_enumeration(state: tuple[MigModel, Layout], data: st.DataObject) -> None:
    gpu, layout = state
    if len(gpu.profiles) > 8:
        gpu, layout = model("A30-24GB"), EMPTY
    possible = set(reachable(gpu, layout))
    for index in range(len(gpu.profiles)):
        assert most(gpu, layout, index) == max(counts[index] for counts in possible)
    wanted = tuple(data.draw(st.lists(st.integers(0, 2), min_size=len(gpu.profiles), max_size=len(gpu.profiles))))
    assert (place_mix(gpu, layout, wanted) is not None) == (wanted in possible)


@settings(max_examples=200, deadline=None)
@given(states())
def test_a_slice_goes_where_most_stays_possible(state: tuple[MigModel, Layout]) -> None:
    gpu, layout = state
    for index in range(len(gpu.profiles)):
        starts = [s for s in gpu.profiles[index].starts if is_legal(gpu, with_one(layout, index, s))]
        assert list(free_starts(gpu, layout, index)) == starts
        chosen = best_start(gpu, layout, index)
        assert (chosen is None) == (not starts)
        if chosen is not None:
            left = outlook(gpu, with_one(layout, index, chosen))
            assert left == max(outlook(gpu, with_one(layout, index, s)) for s in starts)
            assert loss(gpu, layout, index, chosen)[index] >= 1


@given(states())
def test_memory_is_never_more_than_there_is(state: tuple[MigModel, Layout]) -> None:
    gpu, layout = state
    assert memory_units(gpu, layout) == sum(gpu.profiles[i].size for i, _ in layout) <= gpu.units


@pytest.mark.parametrize(
    ("product_", "want"),
    [
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA-A100-PCIE-40GB", "A100-40GB"),
        ("NVIDIA-H100-80GB-HBM3", "H100-80GB"),
        ("NVIDIA-H100-PCIe", "H100-80GB"),
        ("NVIDIA-H100-NVL", "H100-NVL-94GB"),
        ("NVIDIA-H200", "H200-141GB"),
        ("NVIDIA-B200", "B200-180GB"),
        ("NVIDIA-GB200", "GB200"),
        ("NVIDIA-A30", "A30-24GB"),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "RTX-PRO-6000-96GB"),
        ("NVIDIA-L40S", None),
        ("", None),
    ],
)
def test_products_of_node_labels_are_found(product_: str, want: str | None) -> None:
    assert mig_model(product_) == (None if want is None else model(want))


def test_profiles_are_known_by_both_their_names() -> None:
    gpu = model("H100-80GB")
    index = gpu.index("1g.10gb+me")
    assert index is not None
    assert gpu.index("1g.10gb.me") == index
    assert gpu.profiles[index].resource == "1g.10gb.me"
    assert model("RTX-PRO-6000-96GB").index("1g.24gb-me") is not None
    assert gpu.index("1g.5gb") is None


@pytest.mark.skipif(not FACTS.exists(), reason="no table of facts lies beside this checkout")
def test_the_table_says_what_the_facts_say() -> None:
    facts = json.loads(FACTS.read_text())
    assert sorted(facts) == MODELS
    words = {"max": "most", "slices": "compute", "mem_MiB": "memory_mib", "dec": "decoders", "ce": "copy"}
    for name, fact in facts.items():
        gpu = model(name)
        assert (gpu.units, gpu.placements) == (fact["units"], fact["placements"])
        for row in fact["profiles"]:
            index = gpu.index(row.pop("profile"))
            assert index is not None
            profile = gpu.profiles[index]
            assert {k: tuple(v) if k == "starts" else v for k, v in row.items()} == {
                str(k): getattr(profile, str(words.get(k, k))) for k in row
            }
