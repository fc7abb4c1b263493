"""What the device plugin gives, and what is sure where it chooses: recorded answers, and trying everything."""

from collections.abc import Iterator
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.links import LinkGraph
from scheduler.model.workload import Linked
from scheduler.scoring.devices.choose import exact_chooser, indexes, largest_first, set_of
from scheduler.scoring.devices.links import all_equal
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.devices.plugin import PluginChooser
from tests.scoring.devices import links_by_hand as by_hand
from tests.scoring.devices.links_by_hand import Some, graphs, machine_of, members, renumbered, subsets

SCORES = {"PIX": 50, "PXB": 40, "PHB": 30, "NODE": 20, "SYS": 10}


def plugin(machine: str) -> PluginChooser:
    graph = machine_graph(machine)
    assert graph is not None
    return PluginChooser(graph)


def written(picks: tuple[int, ...]) -> str:
    return " ".join(sorted("".join(map(str, indexes(some))) for some in picks))


EVERY = {count: " ".join("".join(map(str, some)) for some in combinations(range(8), count)) for count in (2, 4)}
ALL_SIX = "01 02 03 12 13 23"


@pytest.mark.parametrize(
    ("machine", "free", "count", "want"),
    [
        # The plugin's own tests (go-gpuallocator, besteffort_test.go), and what it gave in runs with the links of
        # DGX-1, H100 NVL, HGX H100 and L40S; for the other machines, what follows from the pairs' scores.
        ("dgx1_v100", range(8), 2, "03 12 23 47 56 67"),
        ("dgx1_v100", range(8), 4, "0123 4567"),
        ("dgx1_v100", (0, 2, 4, 5), 2, "45"),
        ("dgx1_v100", (0, 4, 5, 6), 2, "56"),
        ("dgx1_v100", (0, 1, 3), 2, "03"),
        ("dgx1_v100", (0, 1, 4), 2, "04"),
        ("dgx_a100", range(8), 2, "01 23 45 67"),
        ("dgx_a100", range(8), 4, "0123 0145 0167 2345 2367 4567"),
        ("aws_p6_b200", range(8), 2, "01 23 45 67"),
        ("aws_p6_b200", range(8), 4, "0123 4567"),
        ("hgx_h100", range(8), 2, "01 02 03 12 13 23 45 46 47 56 57 67"),
        ("hgx_h100", range(8), 4, "0123 4567"),
        ("a100_pcie_x4_bridged", range(4), 2, "01 23"),
        ("h100_nvl_x4_bridged", range(4), 2, "01 23"),
        ("a100_sxm4_x4_direct", range(4), 2, ALL_SIX),
        ("gb200_tray", range(4), 2, ALL_SIX),
        ("l40s_x4", range(4), 2, "01 23"),
        ("mixed_2sxm_2pcie", range(4), 2, "01"),
        ("b200_one_gpu_off_fabric", range(8), 4, "0123 4567"),
        ("aws_p4d", range(8), 2, "01 23 45 67"),
        ("aws_p4d", range(8), 4, "0123 4567"),
        ("b200_one_gpu_off_fabric", range(8), 2, "01 02 03 12 13 23 45 46 47 56 57 67"),
        ("l40s_x8", range(8), 2, "01 23 45 67"),
        ("l40s_x8", range(8), 4, "0123 4567"),
        ("rtx4090_x8_all_sys", range(8), 2, EVERY[2]),
        ("rtx4090_x8_all_sys", range(8), 4, EVERY[4]),
        ("a100_pcie_x4_bridged", range(4), 4, "0123"),
        ("h100_nvl_x4_bridged", range(4), 4, "0123"),
        ("mixed_2sxm_2pcie", range(4), 4, "0123"),
        ("a100_pcie_x4_bridged", (0, 2), 1, "0 2"),
        ("a100_pcie_x4_bridged", (0, 2), 2, "02"),
    ],
)
def test_what_the_plugin_may_give(machine: str, free: range | tuple[int, ...], count: int, want: str) -> None:
    assert written(plugin(machine).picks(set_of(free), count)) == want


@pytest.mark.parametrize(
    ("machine", "free", "steps", "want"),
    [
        ("a100_pcie_x4_bridged", range(4), (2, 2), "0123"),
        ("a100_pcie_x4_bridged", range(4), (1, 2), "012 013 023 123"),
        ("dgx_a100", range(8), (2, 2), "0123 0145 0167 2345 2367 4567"),
        ("dgx_a100", (0, 1, 2, 3), (1, 1), "01 02 03 12 13 23"),
        ("dgx1_v100", range(8), (2, 2), "0123 0347 0356 1247 1256 2367 4567"),
        ("hgx_h100", range(8), (8,), "01234567"),
        ("hgx_h100", (0, 1), (2, 1), ""),
    ],
)
def test_containers_of_a_pod_are_given_theirs_one_after_the_other(
    machine: str, free: range | tuple[int, ...], steps: tuple[int, ...], want: str
) -> None:
    assert written(plugin(machine).picks_in_turn(set_of(free), steps)) == want


@given(st.data(), graphs(most_gpus=6))
def test_the_toll_is_that_of_the_worst_set_that_may_be_given(data: st.DataObject, graph: LinkGraph) -> None:
    chooser, judge = PluginChooser(graph), exact_chooser(graph)
    free = data.draw(st.integers(1, (1 << graph.size) - 1), label="free")
    count = data.draw(st.integers(1, free.bit_count()), label="count")
    sets = subsets(members(free), 1) if count == 1 else picks_by_hand(graph, members(free), count)
    tolls = [judge.toll(free, set_of(some)) for some in sets]
    assert chooser.toll(free, count) == (min(s for s, _ in tolls), max(loss for _, loss in tolls))


@given(st.data(), graphs(most_gpus=6))
def test_containers_get_what_pods_would_in_that_order(data: st.DataObject, graph: LinkGraph) -> None:
    chooser = PluginChooser(graph)
    steps = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3), label="steps"))
    free = data.draw(st.integers(0, (1 << graph.size) - 1), label="free")
    given_sets = {0}
    for count in steps:
        given_sets = {
            held | set_of(some)
            for held in given_sets
            if count <= (free & ~held).bit_count()
            for some in (
                picks_by_hand(graph, members(free & ~held), count) if count > 1 else subsets(members(free & ~held), 1)
            )
        }
    assert set(chooser.picks_in_turn(free, steps)) == given_sets
    total = sum(steps)
    sure = bool(given_sets) and all(by_hand.linked(graph, members(some)) for some in given_sets)
    assert (chooser.best(free, total, Linked.REQUIRED, (), steps) != 0) == sure
    assert (chooser.fits(free, total, steps) > 0) == sure


def test_the_plugin_does_not_see_that_a_gpu_is_off_the_switch() -> None:
    """The pair 0 2 has no NVLink, and the plugin takes it for as good as any of the socket."""
    graph = machine_graph("b200_one_gpu_off_fabric")
    assert graph is not None
    chooser = PluginChooser(graph)
    everything = chooser.all
    assert {"02", "12", "23"} < set(written(chooser.picks(everything, 2)).split())
    assert chooser.fits(everything, 2) == 0
    assert chooser.best(everything, 2, Linked.REQUIRED) == 0
    assert exact_chooser(graph).fits(everything, 2) == 3
    assert chooser.could_fit(everything, 2)
    assert not chooser.could_fit(0b101, 2)
    assert not chooser.always_sure
    without = everything & ~(1 << 2)
    assert chooser.fits(without, 2) == 3
    assert indexes(chooser.best(without, 2, Linked.REQUIRED)) == (0, 1)
    assert chooser.could_link(7)
    assert not chooser.could_link(8)


def cuts(free: Some, count: int) -> Iterator[tuple[Some, ...]]:
    """All ways to cut `free` into sets of `count`, and one smaller set for what is left over."""
    for small in subsets(free, len(free) % count):
        yield from ((*cut, small) if small else cut for cut in _evenly(free - small, count))


def _evenly(free: Some, count: int) -> Iterator[tuple[Some, ...]]:
    if not free:
        yield ()
        return
    lowest = min(free)
    for some in subsets(free, count):
        if lowest in some:
            yield from ((some, *cut) for cut in _evenly(free - some, count))


def picks_by_hand(graph: LinkGraph, free: Some, count: int) -> set[Some]:
    def score(some: Some) -> int:
        straight = 0 if graph.switched else 100
        return sum(SCORES[graph.pcie[a][b]] + straight * graph.nvlinks[a][b] for a, b in combinations(sorted(some), 2))

    scored = [(sum(map(score, cut)), cut) for cut in cuts(free, count)]
    most = max(total for total, _ in scored)
    given_sets = {some for total, cut in scored if total == most for some in cut if score(some) == max(map(score, cut))}
    if any(len(some) < count for some in given_sets):
        return set(subsets(free, count))
    return given_sets


@given(st.data(), graphs(most_gpus=6))
def test_what_the_plugin_may_give_is_that_of_trying_every_cut(data: st.DataObject, graph: LinkGraph) -> None:
    free = data.draw(st.integers(1, (1 << graph.size) - 1), label="free")
    count = data.draw(st.integers(2, graph.size), label="count") if graph.size > 1 else 2
    if count <= free.bit_count():
        picks = PluginChooser(graph).picks(free, count)
        assert set(map(members, picks)) == picks_by_hand(graph, members(free), count)


def surely(graph: LinkGraph, free: Some, order: tuple[int, ...]) -> bool:
    """Whether pods that come in this order all get linked sets whatever chance does."""
    if not order:
        return True
    if len(free) < order[0]:
        return False
    return all(
        by_hand.linked(graph, some) and surely(graph, free - some, order[1:])
        for some in picks_by_hand(graph, free, order[0])
    )


@given(st.data(), graphs(most_gpus=6))
def test_what_is_promised_holds_whatever_chance_does(data: st.DataObject, graph: LinkGraph) -> None:
    chooser = PluginChooser(graph)
    free = data.draw(st.integers(0, (1 << graph.size) - 1), label="free")
    some = members(free)
    for count in range(2, graph.size + 1):
        pods = chooser.fits(free, count)
        assert surely(graph, some, (count,) * pods)
        assert not surely(graph, some, (count,) * (pods + 1))
    sizes = largest_first(data.draw(st.lists(st.integers(2, 3), max_size=3), label="sizes"))
    assert chooser.packable(free, sizes) == all(surely(graph, some, order) for order in set(permutations(sizes)))


def test_chance_may_leave_room_for_one_pod_or_for_two() -> None:
    """Of the pairs that may be given first, some leave two further pairs for sure, and one leaves one."""
    graph = machine_of(
        [
            [0, 1, 0, 2, 1, 1],
            [1, 0, 2, 2, 0, 0],
            [0, 2, 0, 1, 1, 0],
            [2, 2, 1, 0, 1, 1],
            [1, 0, 1, 1, 0, 0],
            [1, 0, 0, 1, 0, 0],
        ]
    )
    chooser = PluginChooser(graph)
    free = chooser.all
    assert {chooser.fits(free ^ some, 2) for some in chooser.picks(free, 2)} == {1, 2}
    assert chooser.fits(free, 2) == 2
    assert surely(graph, members(free), (2, 2))
    assert not surely(graph, members(free), (2, 2, 2))


def test_sets_of_several_sizes_are_promised_only_where_their_order_does_not_matter() -> None:
    """0 1 3 are linked, and 2 4. If the pair comes first, it may be cut out of the three."""
    graph = machine_of([[0, 1, 0, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]])
    chooser = PluginChooser(graph)
    assert surely(graph, members(chooser.all), (3, 2))
    assert not surely(graph, members(chooser.all), (2, 3))
    assert not chooser.packable(chooser.all, (3, 2))
    assert exact_chooser(graph).packable(chooser.all, (3, 2))


def test_what_may_be_free_where_nobody_told_which_gpus_pods_hold() -> None:
    bridged = plugin("a100_pcie_x4_bridged")
    # A pair was given one of the two bridges; two single pods may hold any two GPUs.
    assert written(tuple(bridged.states(0b1100, 0b0011, (2,)))) == "01 23"
    assert written(tuple(bridged.states(0b1100, 0b0011, (1, 1)))) == ALL_SIX
    # After a single pod and a pair, whichever came first, any one GPU is left.
    assert written(tuple(bridged.states(0b1000, 0b0111, (2, 1)))) == "0 1 2 3"
    assert written(tuple(bridged.states(0b1110, 0b0001, (1,)))) == "012 013 023 123"
    assert bridged.states(0b0000, 0b0011, (2, 2)) == {0}
    assert bridged.states(0b1100, 0, ()) == {0b1100}
    assert plugin("hgx_h100").states(0b11110000, 0b1111, (1, 1, 1, 1)) == {0b11110000}
    # What is expected is one of the states, though the plugin would not have given 0 1.
    assert 0b11111100 in plugin("dgx1_v100").states(0b11111100, 0b11, (2,))
    large = PluginChooser(machine_of([[int(abs(a - b) == 1) for b in range(12)] for a in range(12)]))
    assert large.states(large.all ^ 1, 1, (1,)) == {0}


def test_nothing_is_sure_where_the_plugin_would_take_the_smaller_set() -> None:
    """Three equal GPUs, and a pair with many links: the best cut is these two sets, and the pair the better one."""
    links = [[0] * 5 for _ in range(5)]
    links[3][4] = links[4][3] = 12
    chooser = PluginChooser(machine_of(links, "PIX"))
    assert len(chooser.picks(chooser.all, 3)) == 10
    assert written(chooser.picks(chooser.all, 2)) == "34"


@given(st.data(), graphs(most_gpus=6), st.sampled_from(Linked))
def test_what_is_expected_is_the_best_that_the_plugin_may_give(
    data: st.DataObject, graph: LinkGraph, wish: Linked
) -> None:
    chooser, free_choice = PluginChooser(graph), exact_chooser(graph)
    free = data.draw(st.integers(1, (1 << graph.size) - 1), label="free")
    count = data.draw(st.integers(1, free.bit_count()), label="count")
    some = chooser.best(free, count, wish)
    picks = chooser.picks(free, count)
    if wish is Linked.REQUIRED and not all(by_hand.linked(graph, members(pick)) for pick in picks):
        assert some == 0
    else:
        assert some in picks
        assert some == free_choice.best_of(picks, free, wish)


@pytest.mark.parametrize("size", [12, 16, 20])
def test_on_large_machines_only_equal_gpus_are_sure(size: int) -> None:
    chooser = PluginChooser(all_equal(size))
    assert chooser.fits(chooser.all, 4) == size // 4
    assert chooser.packable(chooser.all, (6, 4, 2))
    assert chooser.best(chooser.all, 4, Linked.REQUIRED).bit_count() == 4
    links = [[int(abs(a - b) == 1) for b in range(size)] for a in range(size)]
    line = LinkGraph(
        nvlinks=tuple(map(tuple, links)),
        mbps=tuple(tuple(50_000 if n else 6_000 for n in row) for row in links),
        pcie=all_equal(size).pcie,
        numa=(0,) * size,
    )
    unsure = PluginChooser(line)
    assert unsure.fits(unsure.all, 2) == 0
    assert not unsure.packable(unsure.all, (2,))
    assert unsure.best(unsure.all, 2, Linked.REQUIRED) == 0
    assert unsure.best(unsure.all, 2).bit_count() == 2
    assert unsure.fits(set_of(range(2)), 2) == 1
    assert unsure.best(unsure.all, 2, Linked.ANY, (2,)) == 0


def test_counts_that_no_machine_has_room_for() -> None:
    chooser = plugin("gb200_tray")
    assert chooser.best(0b1111, 0) == chooser.best(0b1111, 5) == 0
    assert chooser.fits(0b1111, 0) == chooser.fits(0b1111, 5) == 0
    assert not chooser.packable(0b1111, (3, 2))


@given(st.data(), graphs(most_gpus=6))
def test_how_gpus_are_numbered_changes_nothing(data: st.DataObject, graph: LinkGraph) -> None:
    order = data.draw(st.permutations(range(graph.size)), label="order")
    here, there = PluginChooser(graph), PluginChooser(renumbered(graph, order))
    free = data.draw(st.integers(0, (1 << graph.size) - 1), label="free")
    steps = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=2), label="steps"))
    count = sum(steps)

    def moved(some: int) -> int:
        return set_of(at for at, old in enumerate(order) if some >> old & 1)

    assert set(map(moved, here.picks_in_turn(free, steps))) == set(there.picks_in_turn(moved(free), steps))
    assert {moved(some) for some in here.may_get(free, (1,), steps, (2,))} == there.may_get(
        moved(free), (1,), steps, (2,)
    )
    assert here.fits(free, count, steps) == there.fits(moved(free), count, steps)
    assert here.could_fit(free, count) == there.could_fit(moved(free), count)
    assert here.packable(free, (2, 2)) == there.packable(moved(free), (2, 2))
    assert here.toll(free, count, steps) == there.toll(moved(free), count, steps)
