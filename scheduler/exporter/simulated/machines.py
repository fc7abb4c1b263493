"""The machines that can be simulated, put together from the project's data files, which are read when first asked."""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from scheduler.exporter.reading import FabricState, PcieLevel

ZERO_UUID = "00000000-0000-0000-0000-000000000000"
_LINKS = "devices/machines"
_MIG = "sharing/data/mig.yaml"
"""In `scheduler.scoring`, whose code this package must not import: it is too heavy for a node."""


class UnknownMachineError(ValueError):
    """There is no machine type of this name."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A MIG profile as `mig.yaml` has it; numbers are 0 where no source tells them."""

    name: str
    id: int
    starts: tuple[int, ...]
    size: int
    most: int
    compute: int
    sm: int = 0
    memory_mib: int = msgspec.field(default=0, name="memoryMiB")
    decoders: int = 0
    jpeg: int = 0
    ofa: int = 0
    copy: int = 0


class GpuModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the driver tells of a kind of GPU; see `data/gpus.yaml`."""

    name: str
    architecture: str
    compute: str
    memory_mib: int = msgspec.field(name="memoryMiB")
    mig: str = ""
    p2p: bool = True
    absent: frozenset[str] = frozenset()

    @property
    def product(self) -> str:
        """The name as GPU feature discovery writes it into labels."""
        return self.name.replace(" ", "-")

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Its MIG profiles; none where it cannot be divided. Memory that no source tells is that of the units taken."""
        return _profiles(self.mig, self.memory_mib) if self.mig else ()


class FabricFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a GPU of the machine says of the fabric that spans nodes."""

    state: FabricState
    cluster_uuid: str = ZERO_UUID
    clique: int = 0


class Lane(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One NVLink of a GPU: to link `peer_link` of GPU `peer`, or to the switch at `switch`; `up` where it works."""

    peer: int | None = None
    peer_link: int = 0
    switch: str = ""
    up: bool = True


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine type. Sequences are by GPU; `levels` has None where a GPU meets itself."""

    name: str
    gpus: tuple[GpuModel, ...]
    numa: tuple[int, ...]
    levels: tuple[tuple[PcieLevel | None, ...], ...]
    lanes: tuple[tuple[Lane, ...], ...]
    nvlinks: tuple[tuple[int, ...], ...]
    nvlink_generation: int
    nvlink_mbps: int
    switched: bool
    fabric: FabricFacts | None


class _Links(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    gpus: int
    nvlink_generation: int
    nvlink_megabytes_per_second: int
    nvswitch: bool
    cpu_numa: tuple[int, ...]
    nvlinks: tuple[tuple[int, ...], ...]
    pcie: tuple[tuple[str, ...], ...]


class _Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    gpus: Sequence[str]
    fabric: FabricFacts | None = None
    switches: Sequence[str] = ()


class _Kinds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: Mapping[str, GpuModel]
    machines: Mapping[str, _Kind]


class _MigModel(msgspec.Struct, frozen=True, kw_only=True):
    units: int
    profiles: tuple[Profile, ...]


def machine_names() -> Sequence[str]:
    """The machine types that can be simulated, sorted."""
    return sorted(_kinds().machines)


@cache
def machine(name: str) -> Machine:
    """The machine type of this name, in which - and _ are the same.

    Raises:
        UnknownMachineError: there is none; the message names those that there are.
    """
    name = name.replace("-", "_")
    kind = _kinds().machines.get(name)
    if kind is None:
        raise UnknownMachineError(f'machine "{name}" is unknown; allowed: {", ".join(machine_names())}')
    text = files("scheduler.scoring").joinpath(_LINKS, f"{name}.json").read_bytes()
    links = msgspec.json.decode(text, type=_Links)
    models = [_kinds().models[model] for model in kind.gpus]
    return Machine(
        name=name,
        gpus=tuple(models if len(models) == links.gpus else models * links.gpus),
        numa=links.cpu_numa,
        levels=tuple(tuple(None if level == "X" else PcieLevel(level) for level in row) for row in links.pcie),
        lanes=_switched_lanes(links, kind.switches) if links.nvswitch else _direct_lanes(links.nvlinks),
        nvlinks=links.nvlinks,
        nvlink_generation=links.nvlink_generation,
        nvlink_mbps=links.nvlink_megabytes_per_second,
        switched=links.nvswitch,
        fabric=kind.fabric,
    )


@cache
def _kinds() -> _Kinds:
    return msgspec.yaml.decode(files(__package__ or __name__).joinpath("data/gpus.yaml").read_bytes(), type=_Kinds)


@cache
def _profiles(model: str, memory_mib: int) -> tuple[Profile, ...]:
    table = _mig_models()[model]
    return tuple(
        msgspec.structs.replace(p, memory_mib=p.memory_mib or p.size * (memory_mib // table.units))
        for p in table.profiles
    )


@cache
def _mig_models() -> Mapping[str, _MigModel]:
    text = files("scheduler.scoring").joinpath(_MIG).read_bytes()
    return msgspec.yaml.decode(text, type=dict[str, _MigModel])


def _switched_lanes(links: _Links, switches: Sequence[str]) -> tuple[tuple[Lane, ...], ...]:
    """Every GPU has the same NVLinks, shared out among the switches; of one off the fabric they are down."""
    each = max(map(max, links.nvlinks))
    hidden = switches or ("",)
    return tuple(
        tuple(Lane(switch=hidden[link % len(hidden)], up=any(row)) for link in range(each)) for row in links.nvlinks
    )


def _direct_lanes(nvlinks: Sequence[Sequence[int]]) -> tuple[tuple[Lane, ...], ...]:
    """The NVLinks of each GPU are numbered by peer, and both ends of one name each other."""
    ends = [[peer for peer, count in enumerate(row) for _ in range(count)] for row in nvlinks]
    free = {
        (gpu, peer): deque(link for link, end in enumerate(own) if end == peer)
        for gpu, own in enumerate(ends)
        for peer in set(own)
    }
    return tuple(
        tuple(Lane(peer=peer, peer_link=free[peer, gpu].popleft()) for peer in own) for gpu, own in enumerate(ends)
    )
