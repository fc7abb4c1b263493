"""The fleet file: which nodes a local cluster has."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from scheduler.localcluster.assets import data_file
from scheduler.localcluster.errors import InputError
from scheduler.localcluster.machines import Machine, machines
from scheduler.localcluster.slices import NoRoomError, Slice, divide

_MAX_NODES = 20_000


class NodeTaint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A taint that every node of the group has."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Nodes that are alike, named NAME-0, NAME-1 and so on.

    Attributes:
        machine: a machine type; "" for nodes without GPUs.
        cpu: cores; 0 for what the machine type has.
        memory_gib: memory in GiB; 0 for what the machine type has.
        ephemeral_gib: local storage in GiB.
        pods: how many pods a node takes.
        rack: the inner network domain, "" for none.
        block: the outer network domain, "" for none.
        zone: the availability zone, "" for none.
        mig: how many MIG slices of each profile a node has; as few GPUs as possible are divided, the last ones first.
        labels: more labels; they win over those that are made from the rest. Where NVLinks span nodes, those of a group
            stand in one clique, which `nvidia.com/gpu.clique` may name.
        taints: taints of every node.
        reports: whether an exporter reports the nodes' devices as GPUNode objects; else there are labels only.
        dra: whether the GPUs, and slices, are there for claims (ResourceSlices), and not as resources of the node.
        shared: whether several claims may have a part of the memory of each GPU; claims that name none have it whole.
    """

    name: str
    count: int
    machine: str = ""
    cpu: int = 0
    memory_gib: int = msgspec.field(name="memoryGiB", default=0)
    ephemeral_gib: int = msgspec.field(name="ephemeralGiB", default=1024)
    pods: int = 110
    rack: str = ""
    block: str = ""
    zone: str = ""
    mig: Mapping[str, int] = {}
    labels: Mapping[str, str] = {}
    taints: Sequence[NodeTaint] = ()
    reports: bool = True
    dra: bool = False
    shared: bool = False

    def machine_type(self) -> Machine | None:
        """The machine type, None for nodes without GPUs."""
        return machines()[self.machine] if self.machine else None

    def slices(self) -> Sequence[Slice]:
        """The MIG slices of each node."""
        machine = self.machine_type()
        return divide(machine, self.mig) if machine else ()


class Fleet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All groups of nodes."""

    groups: Sequence[Group]

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return sum(group.count for group in self.groups)


_GROUP_KEYS = ", ".join(field.encode_name for field in msgspec.structs.fields(Group))
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def read(path: Path) -> Fleet:
    """The fleet in a YAML file.

    Raises:
        InputError: the file cannot be read or says something that cannot be.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"cannot read the fleet file {path}: {error}") from error
    try:
        fleet = msgspec.convert(content, type=Fleet)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}; a fleet has the key groups, a group the keys {_GROUP_KEYS}") from error
    problem = _problem(fleet)
    if problem:
        raise InputError(f"{path}: {problem}")
    return fleet


def default() -> Fleet:
    """The 24 nodes of the demo."""
    return read(data_file("fleet-demo.yaml"))


def plain(count: int, *, name: str = "node", machine: str = "hgx_h100") -> Fleet:
    """`count` equal nodes NAME-0, NAME-1 and so on without racks, slices or reports, for benchmarks."""
    return Fleet(groups=[Group(name=name, count=count, machine=machine, reports=False)])


def _problem(fleet: Fleet) -> str:
    """One sentence on what cannot be, "" where all is well."""
    names = [group.name for group in fleet.groups]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        return f'the group name "{doubled[0]}" stands there more than once'
    if fleet.nodes > _MAX_NODES:
        return f"the groups have {fleet.nodes} nodes together; {_MAX_NODES} are allowed"
    problems = (f'group "{group.name}": {text}' for group in fleet.groups if (text := _group_problem(group)))
    return next(problems, "")


def _group_problem(group: Group) -> str:
    if not _NAME.fullmatch(group.name):
        return "a name is 1 to 52 of a-z, 0-9 and -, with no - at its ends"
    amounts = {"count": group.count, "cpu": group.cpu, "memoryGiB": group.memory_gib}
    amounts |= {"ephemeralGiB": group.ephemeral_gib, "pods": group.pods, **group.mig}
    for key, amount in amounts.items():
        if amount < 0:
            return f"{key} is {amount}; it must be 0 or more"
    for taint in group.taints:
        if taint.effect not in _EFFECTS:
            return f'taint effect "{taint.effect}" is unknown; allowed: {", ".join(_EFFECTS)}'
    if group.machine and group.machine not in machines():
        return f'machine "{group.machine}" is unknown; allowed: {", ".join(sorted(machines()))}'
    if not group.machine:
        return _problem_without_gpus(group)
    return _problem_with_gpus(group)


def _problem_with_gpus(group: Group) -> str:
    if group.shared and not group.dra:
        return "it has shared without dra; only claims share GPUs there"
    try:
        group.slices()
    except NoRoomError as error:
        return str(error)
    return ""


def _problem_without_gpus(group: Group) -> str:
    if group.mig:
        return "it has mig but no machine, and so no GPUs to divide"
    if group.dra or group.shared:
        return f"it has {'dra' if group.dra else 'shared'} but no machine, and so no GPUs to claim"
    if not group.cpu or not group.memory_gib:
        return "without a machine it needs cpu and memoryGiB"
    return ""
