"""The machine types that a fleet can consist of: GPUs, links, MIG profiles."""

import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from scheduler.localcluster.assets import data_file

PcieLevel = Literal["PIX", "PXB", "PHB", "NODE", "SYS"]


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two GPUs of a machine by index, and the PCIe level between them where that is what the pair is about."""

    a: int
    b: int
    level: PcieLevel = "SYS"


class Pcie(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """PCIe levels between GPUs: of different NUMA nodes, of the same one, and of the pairs that differ from both."""

    default: PcieLevel
    same_numa: PcieLevel
    pairs: Sequence[Pair] = ()

    def level(self, a: int, b: int, *, same_numa: bool) -> PcieLevel:
        """The level between GPUs `a` and `b`."""
        for pair in self.pairs:
            if {pair.a, pair.b} == {a, b}:
                return pair.level
        return self.same_numa if same_numa else self.default


class Nvlink(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`links` NVLinks of `megabytes_per_second` each way, on every pair through a switch, or on `pairs`."""

    links: int
    megabytes_per_second: int
    switched: bool = False
    pairs: Sequence[Pair] = ()

    def connects(self, a: int, b: int) -> bool:
        """Whether GPUs `a` and `b` are joined by NVLink."""
        return self.switched or any({pair.a, pair.b} == {a, b} for pair in self.pairs)


class Machine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A machine type. `product` is the GPU product as GPU feature discovery writes it into the node's labels."""

    product: str
    family: str
    compute: str
    memory_mib: int = msgspec.field(name="memoryMiB")
    gpus: int
    numa: Sequence[int]
    pcie: Pcie
    nvlink: Nvlink | None = None
    mig: str = ""
    cpu: int
    memory_gib: int = msgspec.field(name="memoryGiB")


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A MIG profile: an instance may begin at each of `starts` and takes `size` memory units."""

    id: int
    starts: Sequence[int]
    size: int
    slices: int
    memory_mib: int = msgspec.field(name="memoryMiB")


@functools.cache
def machines() -> Mapping[str, Machine]:
    """All machine types by name."""
    return msgspec.yaml.decode(data_file("machines.yaml").read_bytes(), type=dict[str, Machine])


@functools.cache
def _profiles() -> Mapping[str, Mapping[str, Profile]]:
    return msgspec.yaml.decode(data_file("mig-profiles.yaml").read_bytes(), type=dict[str, dict[str, Profile]])


def profiles(machine: Machine) -> Mapping[str, Profile]:
    """The MIG profiles of the machine's GPUs by name; none where they cannot be divided."""
    return _profiles()[machine.mig] if machine.mig else {}
