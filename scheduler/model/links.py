"""How the GPUs of a machine are connected."""

from typing import Literal

import msgspec

PcieLevel = Literal["PIX", "PXB", "PHB", "NODE", "SYS"]
"""What lies between two GPUs on PCIe, nearest first: one switch, several switches, a host bridge, one NUMA node, the
link between CPU sockets (the words of `nvidia-smi topo -m`)."""

UNKNOWN_NUMA = -1
"""The NUMA node of a GPU of which none is known (as sysfs has it)."""


class LinkGraph(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The links of a machine's GPUs; rows and columns are device indexes, and all tables are symmetric.

    `nvlinks[a][b]`: how many NVLinks connect the two, directly or through a switch; 0 where none does.
    `mbps[a][b]`: megabytes (10^6 bytes) a second that the pair exchanges in one direction, over NVLink where there is
    any, else over PCIe. `pcie[a][b]`: the level between them. `numa[a]`: the NUMA node of the CPUs nearest to the GPU.
    `switched`: the NVLinks go through a switch.
    """

    nvlinks: tuple[tuple[int, ...], ...]
    mbps: tuple[tuple[int, ...], ...]
    pcie: tuple[tuple[PcieLevel, ...], ...]
    numa: tuple[int, ...]
    switched: bool = False

    @property
    def size(self) -> int:
        """How many GPUs it is about."""
        return len(self.numa)
