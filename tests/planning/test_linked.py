"""Pods whose GPUs are to be connected by NVLink, alone and in gangs: where they go, on which GPUs, and why not."""

from collections.abc import Mapping, Sequence

import pytest

from scheduler.model.links import LinkGraph
from scheduler.model.node import Allocator
from scheduler.model.plan import Admit, Offer, Plan, Reason, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.devices.links import link_graph
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import gang, node, pods, queue, shape, single, snapshot
from tests.planning.decided import given, planned, wait_of

REQUIRED, PREFERRED, ANY = Linked.REQUIRED, Linked.PREFERRED, Linked.ANY


def chain(gpus: int) -> LinkGraph:
    """Each GPU linked to the next one, the pairs in the middle best."""
    links = [[0] * gpus for _ in range(gpus)]
    for i in range(gpus - 1):
        links[i][i + 1] = links[i + 1][i] = min(i + 1, gpus - 1 - i)
    speeds = [[25_000 * n for n in row] for row in links]
    graph, _ = link_graph(nvlinks=links, nvlink_mbps=speeds, pcie=[[None] * gpus] * gpus, numa=[0] * gpus)
    return graph


def cluster(
    waiting: Sequence[Workload],
    *,
    taken: Mapping[str, Sequence[int]] | None = None,
    allocator: Allocator = Allocator.DRA,
    **machines: str | LinkGraph | None,
) -> Snapshot:
    """A node of each machine, named by the keyword; `taken` are GPUs held by somebody."""
    graphs = {name: machine_graph(m) if isinstance(m, str) else m for name, m in machines.items()}
    nodes = [
        node(name, 8 if graph is None else graph.size, links=graph, allocator=allocator)
        for name, graph in graphs.items()
    ]
    return snapshot(nodes, waiting, queues=[queue(nominal=100)], held=taken or {})


def alone(gpus: int, linked: Linked, count: int = 1) -> list[Workload]:
    return [single(f"p{i}", shape(gpus, linked=linked)) for i in range(count)]


def together(*sizes: int, linked: Linked = REQUIRED) -> list[Workload]:
    return [gang("g", pods("g", [shape(n, linked=linked) for n in sizes]))]


@pytest.mark.parametrize(
    ("waiting", "want"),
    [
        pytest.param(alone(2, REQUIRED), ["pairs/0 1"], id="a bridged pair"),
        pytest.param(alone(2, REQUIRED, 2), ["pairs/0 1", "pairs/2 3"], id="both pairs"),
        pytest.param(alone(1, REQUIRED), ["pairs/0"], id="one GPU needs no link"),
        pytest.param(alone(4, PREFERRED), ["pairs/0 1 2 3"], id="preferred, and not to be had"),
        pytest.param(together(2, 2), ["pairs/0 1", "pairs/2 3"], id="a gang of pairs"),
    ],
)
def test_linked_gpus_on_a_machine_with_bridges(waiting: list[Workload], want: list[str]) -> None:
    assert given(planned(cluster(waiting, pairs="a100_pcie_x4_bridged"))) == want


def test_broken_pairs_are_not_linked() -> None:
    free = cluster(alone(2, REQUIRED), pairs="a100_pcie_x4_bridged", taken={"pairs": [0, 3]})
    wait = wait_of(planned(free))
    assert wait.reason is Reason.FRAGMENTED
    assert given(planned(cluster(alone(1, ANY), pairs="a100_pcie_x4_bridged", taken={"pairs": [0]}))) == ["pairs/1"]


def test_a_gpu_off_the_fabric_is_left_out() -> None:
    made = planned(cluster(together(2, 2, 2), box="b200_one_gpu_off_fabric"))
    assert given(made) == ["box/0 1", "box/4 5", "box/6 7"]
    assert isinstance(planned(cluster(together(2, 2, 2, 2), box="b200_one_gpu_off_fabric")).decisions[0], Wait)


def test_where_the_device_plugin_chooses_only_what_is_sure_is_planned() -> None:
    plugin = Allocator.DEVICE_PLUGIN
    off = "b200_one_gpu_off_fabric"
    wait = wait_of(
        planned(
            cluster(
                alone(2, REQUIRED), box=off, pairs="a100_pcie_x4_bridged", taken={"pairs": [0, 2]}, allocator=plugin
            )
        )
    )
    assert wait.reason is Reason.FRAGMENTED
    assert wait.message == "enough is free in sum, but not 2 GPUs connected by NVLink on one node for every pod"
    assert "on 1 more nodes they are free, and the device plugin may give others" in wait.detail
    assert "linked GPUs as preferred" in wait.unblock
    # With the odd GPU in use, whichever two the plugin gives are connected.
    assert given(planned(cluster(alone(2, REQUIRED), box=off, taken={"box": [2]}, allocator=plugin))) == ["box/0 1"]
    made = planned(cluster(alone(2, REQUIRED), box=off, line="dgx_a100", allocator=plugin))
    assert given(made) == ["line/0 1"]
    # Preferred links go where they are sure, and else anywhere.
    assert given(planned(cluster(alone(2, PREFERRED), box=off, line="dgx_a100", allocator=plugin))) == ["line/0 1"]
    assert given(planned(cluster(alone(2, PREFERRED), box=off, allocator=plugin))) == ["box/4 5"]


def test_what_is_expected_of_the_device_plugin_is_among_what_it_may_give() -> None:
    for allocator, want in ((Allocator.DRA, "box/4 5 6"), (Allocator.DEVICE_PLUGIN, "box/4 6 7")):
        half = cluster(alone(3, REQUIRED), box="dgx1_v100", taken={"box": range(4)}, allocator=allocator)
        assert given(planned(half)) == [want]


def test_unlinked_members_leave_the_links_to_those_who_need_them() -> None:
    members = pods("g", [shape(2), shape(2, linked=REQUIRED)])
    made = planned(cluster([gang("g", members)], box="mixed_2sxm_2pcie"))
    assert isinstance(made.decisions[0], Admit)
    assert {a.pod: a.devices for a in made.decisions[0].placement.assignments} == {"g-0": (2, 3), "g-1": (0, 1)}


def test_equal_pods_on_a_node_leave_room_for_each_other() -> None:
    # The best pair by itself is 1 2, after which no second pair is linked.
    assert given(planned(cluster(alone(2, REQUIRED, 2), line=chain(4)))) == ["line/0 1", "line/2 3"]
    assert given(planned(cluster(alone(2, PREFERRED, 2), line=chain(4)))) == ["line/0 1", "line/2 3"]
    assert given(planned(cluster(alone(2, REQUIRED), line=chain(4)))) == ["line/1 2"]


def test_linked_sets_of_several_sizes_that_clash_on_a_node_go_apart() -> None:
    # Each fits into the seven linked GPUs by itself. Four, two and two do not together, though eight are free.
    made = planned(cluster(together(4, 2, 2), box="b200_one_gpu_off_fabric", pairs="a100_pcie_x4_bridged"))
    assert [text.partition("/")[0] for text in given(made)] == ["box", "pairs", "pairs"]
    made = planned(cluster(together(4, 2, 2), box="b200_one_gpu_off_fabric"))
    assert isinstance(made.decisions[0], Wait)


@pytest.mark.parametrize("allocator", Allocator)
@pytest.mark.parametrize(
    ("gpus", "want"),
    [
        pytest.param(1, "b/1", id="a single GPU is taken where no pair is broken by it"),
        pytest.param(2, "a/2 3", id="two GPUs are taken where they are faster"),
    ],
)
def test_of_equally_full_nodes_the_one_is_taken_whose_links_suit(gpus: int, want: str, allocator: Allocator) -> None:
    pairs = "a100_pcie_x4_bridged"
    taken = {"a": [0, 1], "b": [0, 2], "c": [0, 1]}
    full = cluster(alone(gpus, ANY), a=pairs, b=pairs, c=pairs, taken=taken, allocator=allocator)
    assert given(planned(full)) == [want]


def test_many_single_pods_break_no_pair_as_long_as_there_are_others() -> None:
    pairs = "a100_pcie_x4_bridged"
    taken = {name: [0, 2] if name in "ad" else [0, 1] for name in "abcdef"}
    made = given(planned(cluster(alone(1, ANY, 9), taken=taken, a=pairs, b=pairs, c=pairs, d=pairs, e=pairs, f=pairs)))
    assert {"a/1", "a/3", "d/1", "d/3"} < set(made)
    # Five are left for the four other nodes: two of these are filled, and one pair is broken.
    assert sorted(text[0] for text in made if text[0] not in "ad") == ["b", "b", "c", "c", "e"]


def test_links_do_not_matter_before_how_full_nodes_are() -> None:
    pairs = "a100_pcie_x4_bridged"
    taken = {"a": [0, 1, 2], "b": [0, 2]}
    assert given(planned(cluster(alone(1, ANY), a=pairs, b=pairs, taken=taken))) == ["a/3"]


def offered(made: Plan) -> list[list[str]]:
    """For each pod whose node kube-scheduler chooses, the nodes that it is offered, best first."""
    return [[name for name, _ in d.nodes] for d in made.decisions if isinstance(d, Offer)]


def test_pods_whose_node_kube_scheduler_chooses_use_up_linked_gpus_too() -> None:
    one = single("first", shape(2, linked=REQUIRED, scheduler_rules=True), created_s=0)
    rest = [single(f"p{i}", shape(2, linked=REQUIRED), created_s=1) for i in range(2)]
    made = planned(cluster([one, *rest], pairs="a100_pcie_x4_bridged"))
    assert offered(made) == [["pairs"]]
    assert given(made) == ["pairs/2 3"]


@pytest.mark.parametrize(
    ("wish", "want"), [(ANY, ["a", "b", "c"]), (PREFERRED, ["b", "c", "a"]), (REQUIRED, ["b", "c"])]
)
def test_pods_whose_node_kube_scheduler_chooses_are_offered_linked_gpus_first(wish: Linked, want: list[str]) -> None:
    waiting = [single("p", shape(2, linked=wish, scheduler_rules=True))]
    taken = {"a": [0, 2]}
    made = planned(cluster(waiting, a="a100_pcie_x4_bridged", b="gb200_tray", c="a100_sxm4_x4_direct", taken=taken))
    assert offered(made) == [want]


def test_linked_sets_of_one_size_for_unlike_pods_do_not_share_gpus() -> None:
    # Seven linked GPUs hold four once, whatever CPU the pods ask for beside them.
    unlike = [shape(4, linked=REQUIRED), shape(4, linked=REQUIRED, milli_cpu=200)]
    waiting = [gang("g", pods("g", unlike))]
    assert isinstance(planned(cluster(waiting, box="b200_one_gpu_off_fabric")).decisions[0], Wait)
    made = planned(cluster(waiting, box="b200_one_gpu_off_fabric", tray="gb200_tray"))
    assert sorted(text.partition("/")[0] for text in given(made)) == ["box", "tray"]


def test_preferred_links_are_sought_on_other_nodes_first() -> None:
    for waiting in (alone(4, PREFERRED), together(4, linked=PREFERRED)):
        made = planned(cluster(waiting, a="a100_pcie_x4_bridged", b="gb200_tray"))
        assert given(made) == ["b/0 1 2 3"]


@pytest.mark.parametrize("machine", [None, "l40s_x8", "a100_pcie_x4_bridged"])
def test_required_links_that_no_node_has_are_said_to_be_what_is_missing(machine: str | None) -> None:
    wait = wait_of(planned(cluster(alone(4, REQUIRED), n=machine)))
    assert wait.reason is Reason.NO_NODE_MATCHES
    assert "4 GPUs connected by NVLink" in wait.message


def test_the_checker_refuses_gpus_without_links() -> None:
    linked = cluster(alone(2, REQUIRED), n="gb200_tray")
    bridged = cluster(alone(2, REQUIRED), n="a100_pcie_x4_bridged", taken={"n": [0]})
    unknown = cluster(alone(2, REQUIRED), n=None)
    made = plan(linked, now_s=0, settings=PlanSettings())
    assert broken_rules(linked, made) == []
    assert any("device 0 is taken" in text for text in broken_rules(bridged, made))
    assert any("its links are not known" in text for text in broken_rules(unknown, made))
    moved = cluster(alone(2, REQUIRED), n=chain(4))
    made = plan(moved, now_s=0, settings=PlanSettings())
    assert any("GPUs 1, 2 are not connected by NVLink" in text for text in broken_rules(bridged, made))


def test_containers_that_ask_one_after_the_other_get_no_promise_that_one_would() -> None:
    """On four bridged GPUs a pair is sure to be linked; of single GPUs, chance decides which two."""
    bridged = "a100_pcie_x4_bridged"
    asks = {(): "n", (1, 1): ""}
    for steps, node_name in asks.items():
        snap = cluster(
            [single("w", shape(2, linked=REQUIRED, gpu_steps=steps))], n=bridged, allocator=Allocator.DEVICE_PLUGIN
        )
        made = planned(snap)
        assert "".join(each.partition("/")[0] for each in given(made)) == node_name
    # Where the plan's choice is carried out it makes no difference.
    exact = cluster([single("w", shape(2, linked=REQUIRED, gpu_steps=(1, 1)))], n=bridged)
    assert given(planned(exact)) == ["n/0 1"]


def test_beside_other_pods_of_a_gang_nothing_is_promised_to_container_after_container() -> None:
    members = pods("g", [shape(4, linked=REQUIRED, gpu_steps=(2, 2)), shape(2, linked=REQUIRED)])
    for machine, starts in (("b200_one_gpu_off_fabric", False), ("hgx_h100", True)):
        made = planned(cluster([gang("g", members)], n=machine, allocator=Allocator.DEVICE_PLUGIN))
        assert bool(given(made)) == starts


def test_where_the_plugin_chooses_a_node_is_as_good_as_the_worst_that_it_may_give() -> None:
    """With one GPU off the switch the plugin may give a pair without NVLinks; the mesh gives pairs with two each."""
    pair = single("w", shape(2))
    off, mesh = "b200_one_gpu_off_fabric", "dgx1_v100"
    exact = planned(cluster([pair], a=off, b=mesh))
    assert given(exact)[0].startswith("a/")
    guessed = planned(cluster([pair], allocator=Allocator.DEVICE_PLUGIN, a=off, b=mesh))
    assert given(guessed)[0].startswith("b/")
