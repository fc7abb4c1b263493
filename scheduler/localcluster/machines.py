"""The machine types that a fleet can consist of: GPUs and MIG profiles. How GPUs are linked: `scoring.machines`."""

import functools
from collections.abc import Mapping, Sequence

import msgspec

from scheduler.localcluster.assets import data_file


class Machine(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A machine type. `product` is the GPU product as GPU feature discovery writes it into the node's labels."""

    product: str
    family: str
    compute: str
    memory_mib: int = msgspec.field(name="memoryMiB")
    gpus: int
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
