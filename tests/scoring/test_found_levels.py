"""Levels in well-known node labels, and what is said about odd ones."""

import pytest

from scheduler.model.names import NodeName
from scheduler.model.node import Node, TopologyLevel
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.found_levels import found_levels
from scheduler.scoring.level_notes import level_notes
from scheduler.scoring.rules.layout import place_of
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level, tree
from scheduler.state.cluster import ClusterState
from scheduler.state.events import NodeSeen, TopologyGone, TopologySeen
from tests.planning.build import node, snapshot

ZONE = "topology.kubernetes.io/zone"
CLIQUE = "nvidia.com/gpu.clique"
TIER = "fabric.topograph.run/tier-"
AWS = "topology.k8s.aws/network-node-layer-"


def nodes(*labels: dict[str, str]) -> list[Node]:
    return [node(f"n{i}", labels=each) for i, each in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        pytest.param({}, "", id="nothing known"),
        pytest.param({ZONE: ""}, "", id="empty values tell nothing"),
        pytest.param({ZONE: "a", "topology.kubernetes.io/region": "r"}, "region zone", id="places"),
        pytest.param({f"{AWS}{i}": "x" for i in (3, 1, 2)} | {ZONE: "a"}, "zone layer-1 layer-2 layer-3", id="AWS"),
        pytest.param(
            {f"{TIER}{i}": "x" for i in (0, 1, 2, 3)} | {CLIQUE: "c"}, "tier-3 core spine leaf clique", id="topograph"
        ),
        pytest.param({f"cloud.google.com/gce-topology-{n}": "x" for n in ("host", "block")}, "block host", id="Google"),
        pytest.param(
            {f"oci.oraclecloud.com/host.{n}": "x" for n in ("rack_id", "network_block_id")}, "block rack", id="Oracle"
        ),
        pytest.param(
            {f"network.topology.nvidia.com/{n}": "x" for n in ("leaf", "core", "accelerator")},
            "core leaf nvlink-domain",
            id="topograph of old",
        ),
    ],
)
def test_known_labels_become_levels_outermost_first(labels: dict[str, str], want: str) -> None:
    assert " ".join(level.name for level in found_levels(nodes(labels, labels))) == want


def test_of_several_networks_the_one_on_most_nodes_is_used_and_the_rest_is_named() -> None:
    both = {f"{AWS}1": "x", f"{TIER}0": "y"}
    there = nodes(both, {f"{AWS}1": "x"})
    assert [level.label for level in found_levels(there)] == [f"{AWS}1"]
    assert [level.label for level in found_levels(nodes(both, both))] == [f"{TIER}0"]
    state = ClusterState()
    for each in there:
        state.apply(NodeSeen(node=each))
    assert f"labels of topology that other labels tell better are not used: {TIER}0" in level_notes(state.snapshot())


def test_a_clique_of_several_leaves_stands_outside_them() -> None:
    wide = nodes(
        {f"{TIER}0": "l0", f"{TIER}1": "s0", CLIQUE: "c0"},
        {f"{TIER}0": "l1", f"{TIER}1": "s0", CLIQUE: "c0"},
        {f"{TIER}0": "l2", f"{TIER}1": "s0", CLIQUE: "c1"},
    )
    assert [level.name for level in found_levels(wide)] == ["spine", "clique", "leaf"]


def test_a_state_without_topology_finds_levels_until_somebody_names_them() -> None:
    state = ClusterState()
    state.apply(NodeSeen(node=node("n0", labels={ZONE: "a", "r": "r0"})))
    found = state.snapshot()
    assert found.topology == (TopologyLevel(name="zone", label=ZONE),)
    assert found.topology_found
    state.apply(NodeSeen(node=node("n1", labels={CLIQUE: "c.1"})))
    assert [level.name for level in state.snapshot().topology] == ["zone", "clique"]
    named = (TopologyLevel(name="rack", label="r"),)
    state.apply(TopologySeen(name="t", levels=named))
    assert state.snapshot().topology == named
    assert not state.snapshot().topology_found
    state.apply(TopologyGone(name="t"))
    assert [level.name for level in state.snapshot().topology] == ["zone", "clique"]


def test_cliques_that_exporters_report_stand_for_labels_and_before_them() -> None:
    snap = snapshot(
        [
            node("n0", clique="u.1"),
            node("n1", labels={CLIQUE: "u.1"}),
            node("n2", labels={CLIQUE: "u.1"}, clique="u.2"),
            node("n3", clique="u.2"),
            node("n4"),
        ]
    )
    (level,) = found_levels(snap.nodes.values())
    assert level == TopologyLevel(name="clique", label=CLIQUE)
    fleet = Fleet(snap)
    assert domains(fleet, level).codes.tolist() == [0, 0, 1, 1, NO_DOMAIN]
    assert find_level(fleet, (), CLIQUE) == TopologyLevel(name=CLIQUE, label=CLIQUE)
    assert [place_of(snap, CLIQUE, name) for name in snap.columns.names] == ["u.1", "u.1", "u.2", "u.2", None]
    # Selectors of pods mean the label itself.
    assert fleet.label(CLIQUE).values == ("u.1",)
    assert (
        f"the label {CLIQUE} of 1 nodes names another clique than their exporter reports: n2 (u.1, reported u.2); the "
        "reported one counts"
    ) in level_notes(snap)


def test_missing_labels_are_said_by_name_with_what_is_assumed() -> None:
    there = [*(node(f"n{i}", labels={"b": "b0"}) for i in range(5)), node("z", labels={"b": "b0", "r": "r0"})]
    (note,) = level_notes(snapshot([*there, node("cpu", 0)]))
    assert note == (
        "5 of 6 nodes with devices lack the label r of the level rack: n0, n1, n2 and 2 more; each is taken to be "
        "close to no other node, and is not used where that level is required"
    )
    (note,) = level_notes(snapshot(there[:5]))
    assert note == "no node with devices has the label r of the level rack; the level is passed over"


def test_domains_over_several_outer_ones_are_said_by_name_with_what_is_assumed() -> None:
    there = [node(f"n{i}", labels={"b": f"b{i % 2}", "r": f"r{i // 2}"}) for i in range(4)]
    (note,) = level_notes(snapshot([*there, node("n4", labels={"b": "b0", "r": "r2"})]))
    assert note == (
        "2 of 3 domains of the level rack (r) reach over several of the level block: r0, r1; each is taken for one "
        "where rack is required, and else for one in each block"
    )


def test_a_level_that_nobody_has_or_whose_value_is_empty_hides_no_other_level() -> None:
    there = [node(f"n{i}", labels={"b": "", "r": f"r{i // 2}"}) for i in range(4)]
    snap = snapshot(there)
    fleet = Fleet(snap)
    assert domains(fleet, snap.topology[0]).codes.tolist() == [NO_DOMAIN] * 4
    assert [codes.tolist() for codes in tree(fleet, snap.topology).codes] == [[0, 0, 1, 1]]
    mixed = Fleet(snapshot([*there, node("n4", labels={"b": "b0"}), node("n5")]))
    assert domains(mixed, snap.topology[0]).codes.tolist() == [NO_DOMAIN] * 4 + [0, NO_DOMAIN]
    assert mixed.names[4] == NodeName("n4")
