"""The files of machine types: whole, symmetric, with their origin, and the same as the captures they were made from."""

import json
from pathlib import Path

import pytest

from scheduler.localcluster.machines import machines
from scheduler.model.links import LinkGraph
from scheduler.scoring.devices.links import PCIE_MBPS
from scheduler.scoring.devices.machines import MachineType, machine_graph, machine_types

CAPTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "topologies.json"

NVLINK_MBPS = {0: 0, 2: 25_781, 3: 25_000, 4: 26_562, 5: 53_125}
"""Per generation what one NVLink carries in one direction, by NVIDIA's data sheets."""


def graph_of(name: str) -> LinkGraph:
    graph = machine_graph(name)
    assert graph is not None
    return graph


@pytest.mark.parametrize("name", machine_types())
def test_a_machine_is_whole_and_says_where_it_is_from(name: str) -> None:
    machine = machine_types()[name]
    size = range(machine.gpus)
    assert machine.description
    assert any(word in machine.provenance for word in ("aptured", "nferred", "erived", "est data"))
    assert len(machine.cpu_numa) == len(machine.nvlinks) == len(machine.pcie) == machine.gpus
    assert all(len(row) == machine.gpus for row in (*machine.nvlinks, *machine.pcie))
    for a in size:
        assert machine.nvlinks[a][a] == 0
        assert machine.pcie[a][a] == "X"
        for b in range(a):
            assert machine.nvlinks[a][b] == machine.nvlinks[b][a] >= 0
            assert machine.pcie[a][b] == machine.pcie[b][a] in PCIE_MBPS
    assert machine.nvlink_megabytes_per_second == NVLINK_MBPS[machine.nvlink_generation]
    assert any(map(any, machine.nvlinks)) == (machine.nvlink_generation > 0)


@pytest.mark.parametrize("name", machine_types())
def test_the_graph_is_what_the_file_says(name: str) -> None:
    machine, graph = machine_types()[name], graph_of(name)
    assert graph.nvlinks == tuple(map(tuple, machine.nvlinks))
    assert graph.switched == machine.nvswitch
    for a in range(machine.gpus):
        for b in range(a):
            links = machine.nvlinks[a][b]
            level = machine.pcie[a][b]
            assert level != "X"
            assert graph.pcie[a][b] == level
            assert graph.mbps[a][b] == (links * machine.nvlink_megabytes_per_second if links else PCIE_MBPS[level])


def test_dashes_and_underscores_are_the_same_in_names() -> None:
    assert machine_graph("hgx-h100") == graph_of("hgx_h100")
    assert machine_graph("toaster") is None


@pytest.mark.skipif(not CAPTURES.exists(), reason="the captures of machines are not on this computer")
def test_the_files_are_the_captures() -> None:
    captures = json.loads(CAPTURES.read_text("utf-8"))
    assert set(captures) <= set(machine_types())
    for name, capture in captures.items():
        machine = machine_types()[name]
        assert _facts(machine) == (
            capture["gpus"],
            capture["nvlink_links"],
            capture["pcie"],
            capture["cpu_numa"],
            capture["nvswitch"],
            capture["nvlink_gen"],
            capture["link_MBps_per_dir"],
        )


def _facts(machine: MachineType) -> tuple[object, ...]:
    return (
        machine.gpus,
        machine.nvlinks,
        machine.pcie,
        machine.cpu_numa,
        machine.nvswitch,
        machine.nvlink_generation,
        machine.nvlink_megabytes_per_second,
    )


@pytest.mark.parametrize("name", machines())
def test_machines_of_the_local_cluster_are_of_a_known_type(name: str) -> None:
    assert machines()[name].gpus == graph_of(name).size
