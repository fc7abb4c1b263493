"""One simulated node: which GPUs it has, how they are divided now, and what is wrong with them."""

import uuid
from collections.abc import Iterable, Sequence

import msgspec

from scheduler.exporter.simulated.faults import BadFaultError, Fault, Kind, check_fault
from scheduler.exporter.simulated.machines import Machine, Profile

_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "bayplan.dev")
_FIRST_BUS, _BUS_STEP = 0x18, 0x11
"""PCI buses in even steps, as on many eight-GPU machines."""


class LayoutError(ValueError):
    """A division of a GPU that the driver would refuse."""


class Placed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A MIG instance on GPU number `gpu` of the machine: its profile by name, and its first memory unit."""

    gpu: int
    profile: str
    start: int


class Instance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A MIG instance that exists, with the number that the driver gave it."""

    id: int
    profile: Profile
    start: int
    uuid: str


def stable_uuid(kind: str, *parts: object) -> str:
    """A UUID in the driver's form that is the same each time for the same parts."""
    return f"{kind}-{uuid.uuid5(_SPACE, '/'.join(map(str, parts)))}"


def bus_id(gpu: int) -> str:
    """The PCI address of a GPU, as sysfs has it."""
    return f"0000:{_FIRST_BUS + _BUS_STEP * gpu:02x}:00.0"


_SEEN_IN = {
    Kind.ECC: ("ecc", "errors of its memory"),
    Kind.ROWS: ("remapped", "rows of memory that were replaced"),
    Kind.PENDING_ROWS: ("remapped", "rows of memory that were replaced"),
    Kind.RECOVERY: ("recovery_action", "what should be done about it"),
    Kind.FABRIC: ("fabric", "a fabric that spans nodes"),
}
"""What shows a fault: a field of the readings, and what that is."""


def check_seen(machine: Machine, fault: Fault) -> None:
    """That a fault of a machine shows in what its driver tells.

    Raises:
        BadFaultError: nobody would see it.
    """
    if fault.gpu is None:
        return
    model = machine.gpus[fault.gpu]
    field, what = _SEEN_IN.get(fault.kind, ("", ""))
    if fault.kind is Kind.MIG and not model.profiles:
        raise BadFaultError(f'fault "{fault}": GPU {fault.gpu} of {machine.name} cannot be divided')
    if field in model.absent or (fault.kind is Kind.FABRIC and machine.fabric is None):
        raise BadFaultError(f'fault "{fault}": of GPU {fault.gpu} of {machine.name} the driver does not tell {what}')


class SimulatedNode:
    """A node named `name` of a machine type. GPUs go by their number in the machine's data, whatever their index.

    Not safe for threads by itself: `FixtureBackend` holds a lock around it.
    """

    def __init__(
        self, machine: Machine, name: str, *, instances: Iterable[Placed] = (), faults: Iterable[Fault] = ()
    ) -> None:
        self.machine = machine
        self.name = name
        self.size = len(machine.gpus)
        self.uuids = [stable_uuid("GPU", name, gpu) for gpu in range(self.size)]
        self.order = list(range(self.size))
        """GPUs are counted in this order: `order[gpu]` is the index of a GPU where none is absent."""
        self.divided: dict[int, list[Instance]] = {}
        """GPUs on which MIG is enabled, with their instances by start."""
        self.faults: set[Fault] = set()
        wanted: dict[int, list[Placed]] = {}
        for one in instances:
            wanted.setdefault(one.gpu, []).append(one)
        for gpu, own in wanted.items():
            self.divide(gpu, own)
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Let something break.

        Raises:
            BadFaultError: the machine has no such part.
        """
        check_fault(fault, machine=self.machine.name, links=[len(lanes) for lanes in self.machine.lanes])
        self.faults.add(fault)

    def has(self, kind: Kind, gpu: int | None) -> Fault | None:
        """A fault of this kind that GPU has, or that all have."""
        return next((f for f in self.faults if f.kind is kind and f.gpu in {None, gpu}), None)

    def lacks(self, field: str, gpu: int) -> bool:
        """Whether the driver does not tell this field of the GPU; `field` as in the records."""
        name = field.replace("_", "-")
        return field in self.machine.gpus[gpu].absent or any(
            f.kind is Kind.FIELD and f.field == name and f.gpu in {None, gpu} for f in self.faults
        )

    def counted(self) -> list[int]:
        """The GPUs that the driver counts, by their index."""
        return sorted((g for g in range(self.size) if not self.has(Kind.ABSENT, g)), key=lambda g: self.order[g])

    def index(self, gpu: int) -> int:
        """The index of a GPU that the driver counts."""
        return self.counted().index(gpu)

    def reachable(self, gpu: int) -> bool:
        """Whether the driver reaches the GPU."""
        return not self.has(Kind.LOST, gpu) and not self.has(Kind.ABSENT, gpu)

    def lane_up(self, gpu: int, link: int) -> bool:
        """Whether an NVLink works, which takes both of its ends."""
        lane = self.machine.lanes[gpu][link]
        if not self.faults:
            return lane.up
        if lane.peer is None:
            return lane.up and not self._cut(gpu, link)
        return (
            lane.up
            and self.reachable(lane.peer)
            and not self._cut(gpu, link)
            and not self._cut(lane.peer, lane.peer_link)
        )

    def _cut(self, gpu: int, link: int) -> bool:
        return any(f.kind is Kind.NVLINK and f.gpu == gpu and f.number in {None, link} for f in self.faults)

    def nvlinked(self, a: int, b: int) -> bool:
        """Whether two GPUs reach each other over NVLink in one step."""
        if not self.faults:
            return self.machine.nvlinks[a][b] > 0
        up = [{lane.peer for link, lane in enumerate(self.machine.lanes[g]) if self.lane_up(g, link)} for g in (a, b)]
        return all(up) if self.machine.switched else b in up[0]

    def reindex(self, order: Sequence[int]) -> None:
        """Count the GPUs in another order from now on: `order[gpu]` is the index of a GPU.

        Raises:
            LayoutError: it is no permutation.
        """
        if sorted(order) != list(range(self.size)):
            raise LayoutError(f"the order {list(order)} is no permutation of 0 to {self.size - 1}")
        self.order = list(order)

    def divide(self, gpu: int, wanted: Sequence[Placed] | None) -> None:
        """Divide a GPU so, keeping instances that stay; None ends MIG on it.

        Raises:
            LayoutError: the GPU cannot be divided so.
        """
        if not 0 <= gpu < self.size:
            raise LayoutError(f"{self.machine.name} has the GPUs 0 to {self.size - 1}, not {gpu}")
        if wanted is None:
            self.divided.pop(gpu, None)
            return
        profiles = {profile.name: profile for profile in self.machine.gpus[gpu].profiles}
        if not profiles:
            raise LayoutError(f"GPU {gpu} of {self.machine.name} cannot be divided")
        taken: set[int] = set()
        for one in wanted:
            profile = profiles.get(one.profile)
            if profile is None or one.start not in profile.starts:
                allowed = ", ".join(profiles) if profile is None else ", ".join(map(str, profile.starts))
                said = f"profile {one.profile}" if profile is None else f"{one.profile} from unit {one.start}"
                raise LayoutError(f"GPU {gpu} of {self.machine.name} has no {said}; allowed: {allowed}")
            units = set(range(one.start, one.start + profile.size))
            if taken & units:
                raise LayoutError(f"{one.profile} from unit {one.start} of GPU {gpu} overlaps another instance")
            taken |= units
        for profile in profiles.values():
            if sum(one.profile == profile.name for one in wanted) > profile.most:
                raise LayoutError(f"GPU {gpu} of {self.machine.name} takes at most {profile.most} of {profile.name}")
        self.divided[gpu] = self._made(gpu, [(profiles[one.profile], one.start) for one in wanted])

    def _made(self, gpu: int, wanted: list[tuple[Profile, int]]) -> list[Instance]:
        old = {(one.profile.id, one.start): one for one in self.divided.get(gpu, ())}
        kept = [old[profile.id, start] for profile, start in wanted if (profile.id, start) in old]
        ids = iter(sorted(set(range(1, len(wanted) + len(old) + 1)) - {one.id for one in kept}))
        new = [
            Instance(
                id=next(ids), profile=profile, start=start, uuid=stable_uuid("MIG", self.name, gpu, profile.name, start)
            )
            for profile, start in sorted(wanted, key=lambda one: one[1])
            if (profile.id, start) not in old
        ]
        return sorted(kept + new, key=lambda one: one.start)
