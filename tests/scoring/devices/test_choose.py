"""The best set of GPUs, and how many sets there is room for, against trying everything."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.links import LinkGraph, PcieLevel
from scheduler.model.node import Device
from scheduler.model.workload import Linked
from scheduler.scoring.devices.choose import Chooser, exact_chooser, indexes, largest_first, set_of, usable
from scheduler.scoring.devices.links import all_equal, link_graph
from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.scoring.devices.wide import WideChooser
from tests.scoring.devices import links_by_hand as by_hand
from tests.scoring.devices.links_by_hand import Some, graphs, machine_of, mask_of, members, renumbered, subsets

ANY, PREFERRED, REQUIRED = Linked.ANY, Linked.PREFERRED, Linked.REQUIRED

Sizes = tuple[int, ...]


def sizes_of(data: st.DataObject, least: int = 2) -> Sizes:
    return largest_first(data.draw(st.lists(st.integers(least, 3), max_size=3), label="sizes"))


def free_in(data: st.DataObject, graph: LinkGraph) -> int:
    return data.draw(st.integers(0, (1 << graph.size) - 1), label="free")


def rank(graph: LinkGraph, free: Some, some: Some, wish: Linked) -> tuple[object, ...]:
    """By what one set is better than another, as the module says it; larger is better."""
    return (
        wish is ANY or by_hand.linked(graph, some),
        by_hand.bottleneck(graph, some),
        by_hand.slowest(graph, some),
        by_hand.left_over(graph, free - some),
        -by_hand.distance(graph, some),
        -by_hand.distance(graph, free - some),
        [-index for index in sorted(some)],
    )


def best_by_hand(graph: LinkGraph, free: Some, size: int, wish: Linked, keep: Sequence[int] = ()) -> int:
    possible = [
        some
        for some in subsets(free, size)
        if by_hand.packable(graph, free - some, keep) and (wish is not REQUIRED or by_hand.linked(graph, some))
    ]
    return mask_of(max(possible, key=lambda some: rank(graph, free, some, wish), default=Some()))


@given(st.data(), graphs(most_gpus=6), st.sampled_from(Linked))
def test_the_best_set_is_that_of_trying_everything(data: st.DataObject, graph: LinkGraph, wish: Linked) -> None:
    chooser, free = Chooser(graph), free_in(data, graph)
    size = data.draw(st.integers(1, graph.size), label="size")
    keep = sizes_of(data)
    assert chooser.best(free, size, wish, keep) == best_by_hand(graph, members(free), size, wish, keep)


@pytest.mark.parametrize("name", [name for name, machine in machine_types().items() if machine.gpus == 4])
def test_on_small_machines_the_best_set_of_every_state_is_that_of_trying_everything(name: str) -> None:
    graph = machine_graph(name)
    assert graph is not None
    chooser = exact_chooser(graph)
    for free in range(1 << graph.size):
        for size in range(1, graph.size + 1):
            for wish in Linked:
                assert chooser.best(free, size, wish) == best_by_hand(graph, members(free), size, wish)


def test_on_a_mesh_of_eight_the_best_set_of_every_state_is_that_of_trying_everything() -> None:
    graph = machine_graph("dgx1_v100")
    assert graph is not None
    chooser = Chooser(graph)
    # A third of all states has every shape.
    for free in range(0, 256, 3):
        for size in range(1, graph.size + 1):
            assert chooser.best(free, size) == best_by_hand(graph, members(free), size, ANY)


def test_linked_gpus_that_are_slower_are_preferred_where_links_are() -> None:
    """0 and 2 are linked over 1 alone, and reach each other slowly; 3, 4 and 5 share a PCIe switch."""
    links = [[0] * 6 for _ in range(6)]
    pcie: list[list[PcieLevel | None]] = [["SYS"] * 6 for _ in range(6)]
    for a, b in ((0, 1), (1, 2)):
        links[a][b] = links[b][a] = 1
    for a, b in ((3, 4), (3, 5), (4, 5)):
        pcie[a][b] = pcie[b][a] = "PIX"
    graph, _ = link_graph(nvlinks=links, nvlink_mbps=[[25_000 * n for n in r] for r in links], pcie=pcie, numa=[0] * 6)
    chooser = Chooser(graph)
    got = [indexes(chooser.best(chooser.all, 3, wish)) for wish in (ANY, PREFERRED, REQUIRED)]
    assert got == [(3, 4, 5), (0, 1, 2), (0, 1, 2)]


@settings(max_examples=25)
@given(graphs(least_gpus=9, most_gpus=10), st.sampled_from((3, 4, 5)))
def test_where_counts_are_not_worked_out_beforehand_they_are_right(graph: LinkGraph, size: int) -> None:
    chooser = Chooser(graph)
    assert not chooser.table.exact
    assert chooser.fits(chooser.all, size) == by_hand.most(graph, members(chooser.all), size)


def test_stars_that_are_joined_in_a_row_are_told_apart() -> None:
    """Centres in a line, each with three leaves of its own, are as many linked sets of four, and no path."""
    for centres in (2, 3, 4):
        links = [[0] * 4 * centres for _ in range(4 * centres)]
        pairs = [(4 * c, 4 * c + leaf) for c in range(centres) for leaf in (1, 2, 3)]
        for a, b in [*pairs, *((4 * c, 4 * c + 4) for c in range(centres - 1))]:
            links[a][b] = links[b][a] = 1
        chooser = Chooser(machine_of(links))
        assert chooser.fits(chooser.all, 4) == centres
        assert chooser.fits(chooser.all ^ 1, 4) == centres - 1


@given(st.data(), graphs(most_gpus=7))
def test_as_many_sets_fit_as_trying_everything_finds(data: st.DataObject, graph: LinkGraph) -> None:
    chooser, free = Chooser(graph), free_in(data, graph)
    for size in range(1, graph.size + 1):
        assert chooser.fits(free, size) == by_hand.most(graph, members(free), size)


@given(st.data(), graphs(most_gpus=7))
def test_sets_of_several_sizes_fit_together_where_trying_everything_finds_them(
    data: st.DataObject, graph: LinkGraph
) -> None:
    chooser, free, sizes = Chooser(graph), free_in(data, graph), sizes_of(data)
    assert chooser.packable(free, sizes) == by_hand.packable(graph, members(free), sizes)


@given(st.data(), graphs(most_gpus=7), st.sampled_from(Linked))
def test_numbering_gpus_otherwise_changes_nothing_but_their_numbers(
    data: st.DataObject, graph: LinkGraph, wish: Linked
) -> None:
    order = data.draw(st.permutations(range(graph.size)), label="order")
    other = renumbered(graph, order)
    free, size, keep = free_in(data, graph), data.draw(st.integers(1, graph.size)), sizes_of(data)
    theirs = set_of(i for i, old in enumerate(order) if free >> old & 1)
    mine, found = Chooser(graph), Chooser(other)
    assert mine.fits(free, size) == found.fits(theirs, size)
    assert mine.packable(free, keep) == found.packable(theirs, keep)
    assert mine.could_link(size) == found.could_link(size)
    first = members(mine.best(free, size, wish, keep))
    second = frozenset(order[i] for i in members(found.best(theirs, size, wish, keep)))
    # Equally good sets may be told apart by their numbers alone.
    assert rank(graph, members(free), first, wish)[:-1] == rank(graph, members(free), second, wish)[:-1]


@pytest.mark.long
@given(st.data(), graphs(most_gpus=8))
def test_a_further_free_gpu_never_takes_a_set_away(data: st.DataObject, graph: LinkGraph) -> None:
    chooser, free = Chooser(graph), free_in(data, graph)
    more = free | 1 << data.draw(st.integers(0, graph.size - 1), label="more")
    sizes = sizes_of(data)
    assert chooser.packable(more, sizes) or not chooser.packable(free, sizes)
    for size in range(1, graph.size + 1):
        assert chooser.fits(more, size) >= chooser.fits(free, size)


@given(st.data(), graphs(most_gpus=8))
def test_what_is_counted_is_found_set_by_set(data: st.DataObject, graph: LinkGraph) -> None:
    chooser, free = Chooser(graph), free_in(data, graph)
    size = data.draw(st.integers(2, 4), label="size")
    left = chooser.fits(free, size)
    assert chooser.packable(free, (size,) * left)
    while left:
        left -= 1
        some = chooser.best(free, size, REQUIRED, (size,) * left)
        assert some & free == some
        assert by_hand.linked(graph, members(some))
        free ^= some
    assert chooser.fits(free, size) >= 0


@pytest.mark.parametrize("count", [-1, 0, 5, 99])
def test_counts_that_no_machine_has_room_for(count: int) -> None:
    chooser = exact_chooser(all_equal(4))
    assert chooser.best(0b1111, count) == 0
    assert chooser.fits(0b1111, count) == 0


def test_an_answer_is_the_same_when_it_is_asked_for_again() -> None:
    graph = machine_graph("dgx1_v100")
    assert graph is not None
    chooser = Chooser(graph)
    first = [chooser.best(free, 3, PREFERRED) for free in range(256)]
    assert [chooser.best(free, 3, PREFERRED) for free in range(256)] == first


# Machines with more GPUs than tables are made for


@given(st.data(), graphs(most_gpus=7), st.sampled_from(Linked))
def test_what_a_wide_machine_finds_is_real(data: st.DataObject, graph: LinkGraph, wish: Linked) -> None:
    wide, exact, free = WideChooser(graph), Chooser(graph), free_in(data, graph)
    size, keep = data.draw(st.integers(1, graph.size)), sizes_of(data)
    some = wide.best(free, size, wish, keep)
    if some:
        assert some & free == some
        assert some.bit_count() == size
        assert exact.packable(free ^ some, keep)
        assert wish is not REQUIRED or by_hand.linked(graph, members(some))
    assert wide.fits(free, size) <= exact.fits(free, size)
    assert exact.packable(free, keep) or not wide.packable(free, keep)
    assert wide.could_link(size) == exact.could_link(size)


def test_a_wide_machine_whose_gpus_are_all_connected_is_filled() -> None:
    wide = exact_chooser(all_equal(24))
    assert isinstance(wide, WideChooser)
    assert wide.fits(wide.all, 8) == 3
    assert wide.packable(wide.all, (12, 8, 4))
    assert not wide.packable(wide.all, (12, 8, 5))
    assert wide.best(wide.all, 8, REQUIRED).bit_count() == 8
    assert wide.best(wide.all, 25) == 0
    assert wide.fits(wide.all, 0) == 0
    speed, loss = wide.toll(wide.all, 0b11)
    assert (speed > 0, loss) == (True, 0)


def test_which_devices_are_planned_on() -> None:
    devices = [Device(index=0), Device(index=1, healthy=False), Device(index=2, mig_enabled=True), Device(index=3)]
    assert indexes(usable(devices)) == (0, 3)
    assert set_of((0, 3)) == usable(devices)
    assert largest_first([1, 2, 4, 1, 3]) == (4, 3, 2)
