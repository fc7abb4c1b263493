"""GPUs as a plan gives them away, node by node."""

from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.links import LinkGraph
from scheduler.model.names import NodeName
from scheduler.model.node import Allocator
from scheduler.model.snapshot import Unsure
from scheduler.model.workload import Linked, PodShape
from scheduler.scoring.devices.choose import Chooser, indexes, set_of
from scheduler.scoring.devices.choosers import can_link, firmly, linked_size
from scheduler.scoring.devices.free import FreeDevices
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.devices.plugin import PluginChooser
from scheduler.scoring.fleet import Fleet
from tests.planning.build import node, shape, snapshot
from tests.scoring.devices import links_by_hand as by_hand
from tests.scoring.devices.links_by_hand import graphs

REQUIRED, PREFERRED, ANY = Linked.REQUIRED, Linked.PREFERRED, Linked.ANY


def devices_of(
    *graph: LinkGraph | str | None,
    taken: Sequence[int] = (),
    unhealthy: Sequence[int] = (),
    allocator: Allocator = Allocator.DRA,
) -> FreeDevices:
    """Nodes n0, n1 … of these machines; `taken` and `unhealthy` are GPUs of n0."""
    links = [machine_graph(g) if isinstance(g, str) else g for g in graph]
    nodes = [
        node(
            f"n{i}",
            8 if g is None else g.size,
            links=g,
            allocator=allocator,
            unhealthy=unhealthy if i == 0 else (),
        )
        for i, g in enumerate(links)
    ]
    seen = snapshot(nodes, held={"n0": taken})
    return FreeDevices(seen, Fleet(seen))


def linked_sets(devices: FreeDevices, rows: int, count: int, *, kept: bool = False, empty: bool = False) -> list[int]:
    """How many linked sets of `count` GPUs each of the first `rows` nodes is sure to give."""
    fits = np.full(rows, 100, dtype=np.int64)
    devices.limit(fits, np.arange(rows), shape(count, linked=REQUIRED), kept=kept, empty=empty)
    return fits.tolist()


def test_what_is_free_is_healthy_and_held_by_nobody() -> None:
    devices = devices_of("dgx_a100", "gb200_tray", taken=[0, 1], unhealthy=[1, 7])
    assert indexes(devices.at(0)) == (2, 3, 4, 5, 6)
    assert indexes(devices.at(1)) == (0, 1, 2, 3)
    devices.take(0, (2, 3))
    assert indexes(devices.at(0)) == (4, 5, 6)
    devices.put_back(0, (3,))
    assert indexes(devices.at(0)) == (3, 4, 5, 6)


@pytest.mark.parametrize(
    ("allocator", "free"), [(Allocator.DRA, [3, 3, 0, 0]), (Allocator.DEVICE_PLUGIN, [0, 3, 0, 0])]
)
def test_how_many_linked_sets_are_free_depends_on_who_chooses(allocator: Allocator, free: list[int]) -> None:
    off = "b200_one_gpu_off_fabric"
    devices = devices_of(off, off, "l40s_x8", None, allocator=allocator)
    devices.take(1, (2,))
    assert linked_sets(devices, 4, 2) == free
    assert linked_sets(devices, 4, 2, empty=True) == [free[0], free[0], 0, 0]
    assert devices.unsure(np.arange(4), shape(2, linked=REQUIRED)) == (allocator is Allocator.DEVICE_PLUGIN)
    assert devices.unsure(np.arange(4), shape(2)) == 0


@pytest.mark.parametrize(
    ("sizes", "pairs"),
    [
        pytest.param((2,), 1, id="a pair was given one of the two bridges"),
        pytest.param((1, 1), 0, id="two single pods may hold a GPU of each bridge"),
        pytest.param((), 1, id="all is told"),
    ],
)
def test_links_are_sure_only_whichever_gpus_others_hold(sizes: tuple[int, ...], pairs: int) -> None:
    """GPUs 0 and 1 are expected to be held."""
    bridged, plugin = machine_graph("a100_pcie_x4_bridged"), Allocator.DEVICE_PLUGIN
    seen = snapshot([node("n0", 4, links=bridged, allocator=plugin)], held={"n0": [0, 1]})
    unsure = {NodeName("n0"): Unsure(devices=frozenset({0, 1}), sizes=sizes)} if sizes else {}
    seen = msgspec.structs.replace(seen, devices_unsure=unsure)
    devices = FreeDevices(seen, Fleet(seen))
    assert linked_sets(devices, 1, 2) == [pairs]
    assert devices.unsure(np.arange(1), shape(2, linked=REQUIRED)) == 1 - pairs
    assert linked_sets(devices, 1, 2, empty=True) == [2]
    if pairs:
        assert devices.hand_out(0, [(shape(2, linked=REQUIRED), 1)]) == [[(2, 3)]]


def test_sets_of_several_sizes_are_sure_only_whichever_gpus_others_hold() -> None:
    graph = machine_graph("b200_one_gpu_off_fabric")
    nodes = [node("n0", 8, links=graph, allocator=Allocator.DEVICE_PLUGIN)]
    told = snapshot(nodes, held={"n0": [2]})
    unsure = msgspec.structs.replace(told, devices_unsure={NodeName("n0"): Unsure(devices=frozenset({2}), sizes=(1,))})
    rows, one = np.arange(1), np.ones(1, dtype=np.int64)
    shapes = [shape(4, linked=REQUIRED), shape(2, linked=REQUIRED)]
    for seen, clash in ((told, []), (unsure, [0])):
        assert FreeDevices(seen, Fleet(seen)).clashing(shapes, [(rows, one), (rows, one)]) == clash


def test_what_a_pod_gets_on_each_node_and_what_others_lose_by_it() -> None:
    devices = devices_of("a100_pcie_x4_bridged", "a100_pcie_x4_bridged", "hgx_h100", None)
    devices.take(0, (0, 2))
    rows = np.arange(4)
    two, one = devices.tolls(rows, shape(2)), devices.tolls(rows, shape(1))
    assert two is not None
    assert one is not None
    assert two.speed.tolist() == [6_000, 300_000, 18 * 26_562, 0]
    assert one.speed.tolist() == [0, 0, 0, 0]
    assert 0 == one.loss[3] < one.loss[0] < one.loss[1]
    assert devices.tolls(rows, shape(0)) is None
    assert devices_of("hgx_h100", "gb200_tray", None).tolls(np.arange(3), shape(1)) is None


def test_which_machines_could_ever_link_so_many() -> None:
    seen = snapshot(
        [
            node("a", 8, links=machine_graph("b200_one_gpu_off_fabric")),
            node("b", 4, links=machine_graph("a100_pcie_x4_bridged")),
            node("c", 8),
        ]
    )
    fleet = Fleet(seen)
    assert [can_link(fleet, n).tolist() for n in (2, 3, 7, 8)] == [
        [True, True, False],
        [True, False, False],
        [True, False, False],
        [False, False, False],
    ]


def test_what_is_kept_for_a_waiting_gang_is_not_free_and_not_used() -> None:
    devices = devices_of("a100_pcie_x4_bridged")
    devices.keep(0, shape(2, linked=REQUIRED), 1)
    assert indexes(devices.at(0)) == (2, 3)
    assert linked_sets(devices, 1, 2) == [1]
    assert linked_sets(devices, 1, 2, kept=True) == [2]
    devices.keep(0, shape(2), 1)
    assert indexes(devices.at(0)) == (2, 3)


def test_where_nothing_is_known_of_links_the_first_gpus_are_taken() -> None:
    devices = devices_of(None, taken=[0])
    assert devices.hand_out(0, [(shape(2), 2), (shape(2, linked=PREFERRED), 1), (shape(2, linked=REQUIRED), 1)]) == [
        [(1, 2), (3, 4)],
        [(5, 6)],
        [()],
    ]


def test_more_pods_than_gpus_get_none() -> None:
    devices = devices_of("a100_pcie_x4_bridged", taken=[0])
    assert devices.hand_out(0, [(shape(4), 1)]) == [[()]]
    assert devices.hand_out(0, [(shape(0), 2)]) == [[(), ()]]


def test_sets_of_one_size_never_clash_and_others_do_where_they_do_not_fit_together() -> None:
    devices = devices_of("b200_one_gpu_off_fabric", "dgx_a100")
    rows, one, two = np.arange(2), np.ones(2, dtype=np.int64), np.full(2, 2)
    four, pair, plain = (shape(n, linked=wish) for n, wish in ((4, REQUIRED), (2, REQUIRED), (2, ANY)))
    assert devices.clashing([four, pair], [(rows, one), (rows, two)]) == [0]
    assert devices.clashing([four, pair], [(rows, one), (rows, one)]) == []
    assert devices.clashing([four, plain], [(rows, one), (rows, two)]) == []
    assert devices.clashing([pair], [(rows, two)]) == []


def test_where_the_plugin_chooses_pods_that_need_links_are_expected_to_come_first() -> None:
    devices = devices_of("mixed_2sxm_2pcie", allocator=Allocator.DEVICE_PLUGIN)
    assert devices.hand_out(0, [(shape(2), 1), (shape(2, linked=REQUIRED), 1)]) == [[(2, 3)], [(0, 1)]]


def test_preferred_links_are_planned_as_required_first() -> None:
    assert firmly(shape(2, linked=PREFERRED)) == shape(2, linked=REQUIRED)
    for other in (shape(1, linked=PREFERRED), shape(2, linked=REQUIRED), shape(2)):
        assert firmly(other) is other
    assert [linked_size(shape(n, linked=w)) for n, w in ((1, REQUIRED), (2, REQUIRED), (4, PREFERRED))] == [0, 2, 0]


Wants = list[tuple[PodShape, int]]


def chooser_of(graph: LinkGraph, allocator: Allocator) -> Chooser | PluginChooser:
    match allocator:
        case Allocator.DRA:
            return Chooser(graph)
        case Allocator.DEVICE_PLUGIN:
            return PluginChooser(graph)
        case Allocator.SCHEDULER:
            return PluginChooser(graph, predicted=0)


@given(
    st.data(),
    graphs(most_gpus=7, least_gpus=2),
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(Linked), st.integers(1, 2)), min_size=1, max_size=4),
    st.sampled_from(Allocator),
)
def test_pods_of_one_node_get_what_they_need_without_getting_in_each_others_way(
    data: st.DataObject, graph: LinkGraph, pods: list[tuple[int, Linked, int]], allocator: Allocator
) -> None:
    taken = data.draw(st.sets(st.integers(0, graph.size - 1)), label="taken")
    devices = devices_of(graph, taken=sorted(taken), allocator=allocator)
    before = devices.at(0)
    wants: Wants = [(shape(gpus, linked=wish), count) for gpus, wish, count in pods]
    firm = tuple(sorted((n for each, count in wants for n in [linked_size(each)] * count if n), reverse=True))
    chooser = chooser_of(graph, allocator)
    roomy = sum(gpus * count for gpus, _, count in pods) <= before.bit_count() and chooser.packable(before, firm)
    given_out = devices.hand_out(0, wants)
    every = list(chain.from_iterable(given_out))
    taken_now = [index for some in every for index in some]
    assert len(set(taken_now)) == len(taken_now)
    assert set_of(taken_now) & ~before == 0
    assert devices.at(0) == before & ~set_of(taken_now)
    for (each, count), sets in zip(wants, given_out, strict=True):
        assert len(sets) == count
        for some in sets:
            assert len(some) in (0, each.requests.gpus)
            assert len(some) == each.requests.gpus or not roomy
            assert not (linked_size(each) and some) or by_hand.linked(graph, frozenset(some))
