"""The machine types that a fleet can consist of: the GPUs that the exporter simulates, in hosts of a size."""

import functools
from collections.abc import Mapping

import msgspec

from scheduler.exporter.simulated.machines import GpuModel, Profile, machine, machine_names
from scheduler.localcluster.assets import data_file


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a machine has besides GPUs."""

    cpu: int
    memory_gib: int = msgspec.field(name="memoryGiB")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine type. `model` is the GPU of which GPU feature discovery writes labels: the last one."""

    model: GpuModel
    gpus: int
    cpu: int
    memory_gib: int

    @property
    def product(self) -> str:
        """The GPU product as GPU feature discovery writes it into the node's labels."""
        return self.model.product

    @property
    def family(self) -> str:
        """The GPU's architecture, likewise."""
        return self.model.architecture

    @property
    def compute(self) -> str:
        """The GPU's compute capability, as in "9.0"."""
        return self.model.compute

    @property
    def memory_mib(self) -> int:
        """Memory of each GPU."""
        return self.model.memory_mib

    @property
    def mig(self) -> bool:
        """Whether the GPUs can be divided."""
        return bool(self.model.profiles)


@functools.cache
def machines() -> Mapping[str, Machine]:
    """All machine types by name."""
    hosts = msgspec.yaml.decode(data_file("machines.yaml").read_bytes(), type=dict[str, Host])
    made = {name: (machine(name).gpus, hosts[name]) for name in machine_names() if name in hosts}
    return {
        name: Machine(model=gpus[-1], gpus=len(gpus), cpu=host.cpu, memory_gib=host.memory_gib)
        for name, (gpus, host) in made.items()
    }


def profiles(machine: Machine) -> Mapping[str, Profile]:
    """The MIG profiles that a fleet can ask for of the machine's GPUs; none where they cannot be divided.

    Those that differ only in engines (`1g.10gb+me`) are left out.
    """
    return {profile.name: profile for profile in machine.model.profiles if "+" not in profile.name}
