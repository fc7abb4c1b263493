"""How the GPUs of a report are connected: as measured, or as its machine type has it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar, get_args

from scheduler.kube.wire_own import GPUNodeStatus, WireLink
from scheduler.model.links import LinkGraph, PcieLevel
from scheduler.scoring.devices.links import ASSUMED_LEVEL, link_graph, part
from scheduler.scoring.devices.machines import machine_graph, machine_types

MBPS_PER_GBPS = 1000

REMEMBERED = 256
"""Different machines whose links are kept, as they were told; only speed depends on it."""

Value = TypeVar("Value")
Pairs = dict[tuple[int, int], Value]
LEVELS: Mapping[str, PcieLevel] = {level: level for level in get_args(PcieLevel)}


def read_links(status: GPUNodeStatus) -> tuple[LinkGraph | None, tuple[str, ...]]:
    """The links of the reported GPUs, None where they are not known, and a sentence for each thing that was assumed.

    Links that are reported count; where none are, those of the machine type; where it is not told or not known and
    the NVLinks go through a switch, every two GPUs are connected alike.
    """
    size = max((device.index + 1 for device in status.devices), default=0)
    if not size:
        return None, ()
    if status.links or (status.nvswitch and not status.machine):
        return _measured(status, size)
    if not status.machine:
        return None, ()
    graph, wrong = _of_type(status.machine, size)
    if graph is not None:
        return graph, (wrong,) if wrong else ()
    if status.nvswitch:
        return _measured(status, size)[0], (f"{wrong}; its switch is taken to connect every two GPUs alike",)
    return None, (f"{wrong}; its links are taken to be unknown",)


def _of_type(machine: str, size: int) -> tuple[LinkGraph | None, str]:
    """The links of the first `size` GPUs of a machine type, None where it has not as many, and what is odd about it."""
    graph = machine_graph(machine)
    if graph is None:
        return None, f"machine type {machine!r} is not one of {', '.join(machine_types())}"
    if graph.size < size:
        return None, f"machine type {machine!r} has {graph.size} GPUs, and {size} are reported"
    if graph.size > size:
        said = (
            f"machine type {machine!r} has {graph.size} GPUs, and {size} are reported; links of the first are assumed"
        )
        return part(graph, size), said
    return graph, ""


def _measured(status: GPUNodeStatus, size: int) -> tuple[LinkGraph, tuple[str, ...]]:
    numa = tuple((device.index, device.numa_node) for device in status.devices)
    return _graph_of(tuple(status.links), numa, size, switched=status.nvswitch)


@lru_cache(maxsize=REMEMBERED)
def _graph_of(
    links: tuple[WireLink, ...], numa_nodes: tuple[tuple[int, int | None], ...], size: int, *, switched: bool
) -> tuple[LinkGraph, tuple[str, ...]]:
    """Made once for all nodes of a kind, and once for all reports of a node: only who holds what changes often."""
    known = {index for index, _ in numa_nodes}
    said: list[str] = []
    counts: Pairs[int] = {}
    nvlink_mbps: Pairs[int] = {}
    levels: Pairs[PcieLevel | None] = {}
    pcie_mbps: Pairs[int] = {}
    for link in links:
        wrong = _wrong(link, known)
        if wrong:
            said.append(wrong)
        elif link.type == "NVLink":
            counts[link.a, link.b] = link.count
            nvlink_mbps[link.a, link.b] = MBPS_PER_GBPS * link.gigabytes_per_second
        else:
            levels[link.a, link.b] = LEVELS[link.pcie_level]
            pcie_mbps[link.a, link.b] = MBPS_PER_GBPS * link.gigabytes_per_second
    if switched and not counts:
        counts = {(a, b): 1 for a in known for b in known if a != b}
    numa = dict(numa_nodes)
    graph, assumed = link_graph(
        nvlinks=_both_ways(counts, size, 0),
        nvlink_mbps=_both_ways(nvlink_mbps, size, 0),
        pcie=_both_ways(levels, size, None if levels else ASSUMED_LEVEL),
        pcie_mbps=_both_ways(pcie_mbps, size, 0),
        numa=[numa.get(index) for index in range(size)],
        switched=switched,
    )
    return graph, (*said, *assumed)


def _wrong(link: WireLink, known: set[int]) -> str:
    """Why a link cannot be; "" where it can."""
    what = f"a link of type {link.type!r} between GPUs {link.a} and {link.b}"
    if link.a == link.b or not {link.a, link.b} <= known:
        return f"{what} is left out: these are not two GPUs of the node"
    if link.type == "PCIe" and link.pcie_level in LEVELS:
        return ""
    if link.type == "PCIe":
        return f"{what} is left out: its level is {link.pcie_level!r}; allowed: {', '.join(LEVELS)}"
    return "" if link.type == "NVLink" else f"{what} is left out; allowed types: NVLink, PCIe"


def _both_ways(given: Pairs[Value], size: int, missing: Value) -> Sequence[Sequence[Value]]:
    """A matrix of pairs that are given in one direction, or in both."""
    return [[given.get((a, b), given.get((b, a), missing)) for b in range(size)] for a in range(size)]
