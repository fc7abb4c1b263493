import json
from pathlib import Path

import pytest

from benchmarks import in_node
from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.scoring.devices.table import DeviceTable

CAPTURES = Path(__file__).parents[3] / "shared" / "fixtures" / "topologies.json"


@pytest.mark.parametrize("name", ["a100_pcie_x4_bridged", "dgx1_v100"])
def test_the_reference_tries_every_ring(name: str) -> None:
    graph = machine_graph(name)
    assert graph is not None
    speeds = in_node.bottlenecks(graph)
    assert len(speeds) == 2**graph.size - graph.size - 1
    ring = DeviceTable(graph).ring
    assert all(ring[some] == speed for some, speed in speeds.items())


def test_the_best_possible_of_a_state() -> None:
    graph = machine_graph("a100_pcie_x4_bridged")
    assert graph is not None
    speeds = in_node.bottlenecks(graph)
    assert in_node.best_possible(graph, speeds, (0b1111, 2)) == 300_000
    assert in_node.best_possible(graph, speeds, (0b0101, 2)) == 6_000


@pytest.mark.long
def test_every_machine_keeps_the_budget() -> None:
    rows = in_node.run(quick=True)
    quality = [row for row in rows if row.limit is not None and row.limit.least is not None]
    assert [row.what.rpartition(" ")[2] for row in quality] == list(machine_types())
    assert all(row.verdict == "ok" for row in quality)
    # Where nobody guides it, the device plugin may give what this benchmark exists to avoid.
    assert min(row.baseline or 0 for row in quality) < in_node.LEAST_RATIO
    assert any("after warm-up" in row.what for row in rows)


@pytest.mark.skipif(not CAPTURES.exists(), reason="the captures of machines are not on this computer")
def test_every_captured_machine_is_measured() -> None:
    assert set(json.loads(CAPTURES.read_text("utf-8"))) <= set(machine_types())
