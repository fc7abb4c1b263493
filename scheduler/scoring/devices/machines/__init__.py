"""The machine types that Bayplan knows: their links, with where each fact is from, one JSON file a type.

`nvlinks` and `pcie` are the two layers of `nvidia-smi topo -m` and `topo -mp`; `nvlinkMegabytesPerSecond` is what one
NVLink carries in one direction.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from scheduler.model.links import LinkGraph, PcieLevel
from scheduler.scoring.devices.links import link_graph


class MachineType(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One file. `pcie` has an X where a GPU meets itself."""

    description: str
    provenance: str
    gpus: int
    nvlink_generation: int
    nvlink_megabytes_per_second: int
    nvswitch: bool
    cpu_numa: Sequence[int]
    nvlinks: Sequence[Sequence[int]]
    pcie: Sequence[Sequence[PcieLevel | Literal["X"]]]


@cache
def machine_types() -> Mapping[str, MachineType]:
    """All types by name, sorted."""
    found = sorted(file.name for file in files(__name__).iterdir() if file.name.endswith(".json"))
    return {name.removesuffix(".json"): _read(name) for name in found}


@cache
def machine_graph(name: str) -> LinkGraph | None:
    """The links of the type `name`, in which - and _ are the same; None where there is no such type."""
    machine = machine_types().get(name.replace("-", "_"))
    if machine is None:
        return None
    speed = machine.nvlink_megabytes_per_second
    graph, _ = link_graph(
        nvlinks=machine.nvlinks,
        nvlink_mbps=[[count * speed for count in row] for row in machine.nvlinks],
        pcie=[[None if level == "X" else level for level in row] for row in machine.pcie],
        numa=machine.cpu_numa,
        switched=machine.nvswitch,
    )
    return graph


def _read(name: str) -> MachineType:
    return msgspec.json.decode(files(__name__).joinpath(name).read_bytes(), type=MachineType)
