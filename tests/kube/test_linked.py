"""How the GPUs of a report are connected, and what is said where the report is not clear."""

import json

import pytest

from scheduler.kube.translate_node import read_report
from scheduler.model.links import LinkGraph
from scheduler.model.node import Allocator
from scheduler.scoring.devices.machines import machine_graph

Link = dict[str, object]


def nvlink(a: int, b: int, count: int = 12) -> Link:
    return {"a": a, "b": b, "type": "NVLink", "count": count, "gigabytesPerSecond": 25 * count}


def pcie(a: int, b: int, level: str = "PIX") -> Link:
    return {"a": a, "b": b, "type": "PCIe", "pcieLevel": level}


def read(gpus: int = 2, links: tuple[Link, ...] = (), **status: object) -> tuple[LinkGraph | None, tuple[str, ...]]:
    devices = [
        {"index": i, "uuid": f"GPU-{i}", "model": "A100", "health": {"state": "Healthy"}, "numaNode": i // 2}
        for i in range(gpus)
    ]
    raw = json.dumps({"metadata": {"name": "n"}, "status": {"devices": devices, "links": links, **status}})
    seen = read_report(raw.encode())[1]
    return seen.links, seen.assumed


def test_measured_links_are_taken_as_they_are() -> None:
    graph, assumed = read(3, (nvlink(0, 1), pcie(0, 1), pcie(0, 2, "SYS"), pcie(1, 2, "SYS")))
    assert graph is not None
    assert assumed == ()
    assert graph.nvlinks == ((0, 12, 0), (12, 0, 0), (0, 0, 0))
    assert graph.mbps[0][1] == 300_000
    assert graph.mbps[0][2] < graph.mbps[0][1]
    assert graph.pcie[1][0] == "PIX"
    assert graph.numa == (0, 0, 1)


def test_equal_nodes_share_one_record() -> None:
    assert read(2, (nvlink(0, 1), pcie(0, 1)))[0] is read(2, (nvlink(0, 1), pcie(0, 1)))[0]


@pytest.mark.parametrize(
    ("links", "counts"),
    [
        pytest.param((), [1, 1, 1], id="a switch connects all where no link is listed"),
        pytest.param((nvlink(0, 1, 18),), [18, 0, 0], id="listed links count: one GPU is off the switch"),
    ],
)
def test_a_switch(links: tuple[Link, ...], counts: list[int]) -> None:
    graph, _ = read(3, links, nvswitch=True)
    assert graph is not None
    assert graph.switched
    assert [graph.nvlinks[a][b] for a, b in ((0, 1), (0, 2), (1, 2))] == counts


def test_nothing_told_is_nothing_known() -> None:
    assert read(2) == (None, ())
    assert read(0, nvswitch=True) == (None, ())


def test_links_that_were_not_measured_are_those_of_the_machine_type() -> None:
    assert read(4, machine="a100_pcie_x4_bridged") == (machine_graph("a100_pcie_x4_bridged"), ())
    off = machine_graph("b200_one_gpu_off_fabric")
    assert read(8, machine="b200-one-gpu-off-fabric", nvswitch=True) == (off, ())


@pytest.mark.parametrize(
    ("gpus", "links", "status", "said"),
    [
        pytest.param(
            2, (), {"machine": "toaster"}, "machine type 'toaster' is not one of a100_pcie_x4_bridged,", id="type"
        ),
        pytest.param(8, (), {"machine": "gb200_tray"}, "has 4 GPUs, and 8 are reported", id="larger than its type"),
        pytest.param(
            3,
            (),
            {"machine": "gb200_tray"},
            "3 are reported; links of the first are assumed",
            id="smaller than its type",
        ),
        pytest.param(
            2,
            (),
            {"machine": "toaster", "nvswitch": True},
            "its switch is taken to connect every two GPUs alike",
            id="unknown type with a switch",
        ),
        pytest.param(
            2,
            ({"a": 0, "b": 1, "type": "NVLink", "count": 1, "gigabytesPerSecond": 2**31 - 1}, pcie(0, 1)),
            {},
            "2147483647000 MB/s over NVLink; 1000000000 is assumed",
            id="speed beyond belief",
        ),
        pytest.param(2, (nvlink(0, 1, -4), pcie(0, 1)), {}, "-4 NVLinks; 0 is assumed", id="negative count"),
        pytest.param(
            2,
            (nvlink(0, 1, 4), nvlink(1, 0, 3), pcie(0, 1)),
            {},
            "GPUs 0 and 1 are given 4 NVLinks one way and 3 the other; 3 is assumed",
            id="asymmetric counts",
        ),
        pytest.param(2, (pcie(0, 1), pcie(1, 0, "PHB")), {}, "PHB is assumed", id="asymmetric levels"),
        pytest.param(2, (nvlink(0, 7), pcie(0, 1)), {}, "between GPUs 0 and 7 is left out", id="no such GPU"),
        pytest.param(2, (nvlink(1, 1), pcie(0, 1)), {}, "between GPUs 1 and 1 is left out", id="to itself"),
        pytest.param(
            2, (pcie(0, 1, "NEAR"),), {}, "its level is 'NEAR'; allowed: PIX, PXB, PHB, NODE, SYS", id="level"
        ),
        pytest.param(2, ({"a": 0, "b": 1, "type": "String"}, pcie(0, 1)), {}, "type 'String'", id="kind of link"),
        pytest.param(
            3, (pcie(0, 1),), {}, "level of 2 pairs of GPUs is not given; SYS is assumed", id="missing levels"
        ),
    ],
)
def test_what_is_not_clear_is_said_once_with_what_is_assumed(
    gpus: int, links: tuple[Link, ...], status: dict[str, object], said: str
) -> None:
    _, assumed = read(gpus, links, **status)
    assert len([text for text in assumed if said in text]) == 1


def test_who_chooses_the_gpus() -> None:
    def allocator(**status: object) -> Allocator:
        return read_report(json.dumps({"metadata": {"name": "n"}, "status": status}).encode())[1].allocator

    assert allocator() is Allocator.DEVICE_PLUGIN
    assert allocator(allocator="DRA") is Allocator.DRA


def test_an_unknown_allocator_is_said() -> None:
    raw = json.dumps({"metadata": {"name": "n", "uid": "u"}, "status": {"allocator": "Dice"}})
    seen = read_report(raw.encode())[1]
    assert seen.allocator is Allocator.DEVICE_PLUGIN
    assert seen.assumed == ("allocator is 'Dice'; allowed: DRA, DevicePlugin; DevicePlugin is assumed",)
    assert seen.uid == "u"
