"""Parts of GPUs and MIG slices on nodes that make them on demand, for the checker: every GPU counted by hand."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from scheduler.model.names import NodeName
from scheduler.model.node import MigInstance, Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU_SHARED, Resources
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, PodShape
from scheduler.scoring.rules.mig import broken_layout
from scheduler.scoring.sharing.portions import share_units, whole_of

MIG = "nvidia.com/mig-"
WHOLE_MILLI = 1000


class _Gpus:
    """The GPUs of one node as they are before a plan, and then after each of its pods."""

    def __init__(self, snapshot: Snapshot, node: Node) -> None:
        self.node = node
        self.shares = Counter(dict(snapshot.shares_used.get(node.name, ())))
        self.all = whole_of(node.capacities)
        known = snapshot.slices.get(node.name, ())
        self.made = [one for one in known if one.in_use]
        self.idle = [(one.device, _spelled(one.profile), one.start) for one in known if not one.in_use]
        self.before = set(snapshot.devices_used.get(node.name, frozenset()))
        made = {each.device for each in node.slices_made}
        self.sound = {d.index for d in node.devices if d.healthy and (not d.mig_enabled or d.index in made)}
        self.whole = self.before - set(self.shares) - {one.device for one in known}
        self.opened: set[int] = set()

    def give_whole(self, devices: Sequence[int]) -> list[str]:
        """What is wrong with giving these GPUs whole, beyond what holds on any node."""
        broken = [f"device {d} is given whole and otherwise too" for d in devices if d in self.opened]
        self.whole.update(devices)
        return broken

    def give_parts(self, devices: Sequence[int], shape: PodShape) -> list[str]:
        """What is wrong with giving a pod its part of each of these GPUs."""
        share = share_units(self.node.capacities, shape)
        broken = [] if len(set(devices)) == len(devices) else ["a device is named twice"]
        for device in devices:
            broken += self._open(device)
            self.shares[device] += share
            if self.shares[device] > self.all:
                given = self.shares[device] * WHOLE_MILLI // self.all
                broken.append(f"{given} milli of device {device} are given out")
            if any(one.device == device for one in self._standing()):
                broken.append(f"device {device} is divided into slices")
        return broken

    def give_slices(self, slices: Sequence[MigInstance]) -> list[str]:
        """What is wrong with making, or using, these instances."""
        broken: list[str] = []
        for one in slices:
            broken += self._open(one.device)
            if self.shares[one.device]:
                broken.append(f"parts of device {one.device} are given out")
            spelled = (one.device, _spelled(one.profile), one.start)
            if spelled in self.idle:
                self.idle.remove(spelled)
            elif self.node.slices_made:
                broken.append(f"no slice {one.profile} at {one.start} of device {one.device} is free")
            self.made.append(one)
            if self.node.slices_made:
                continue
            there = [other for other in self._standing() if other.device == one.device]
            broken += [
                f"device {one.device}: {why}" for why in broken_layout(self.node.product, there, self.node.mig_models)
            ]
        return broken

    def _open(self, device: int) -> list[str]:
        if device not in self.sound:
            return [f"device {device} is unknown, unhealthy or sliced beforehand"]
        if device not in self.before:
            self.opened.add(device)
        return [f"device {device} is held whole"] if device in self.whole else []

    def _standing(self) -> list[MigInstance]:
        idle = [MigInstance(device=device, profile=profile, start=start) for device, profile, start in self.idle]
        return [*self.made, *idle]


def divides(shape_requests: Resources, node: Node | None) -> bool:
    """Whether amounts have parts of GPUs or MIG slices in them that the node makes on demand."""
    return node is not None and node.on_demand and counted(shape_requests) != shape_requests


def counted(requests: Resources) -> Resources:
    """The amounts that the tables of a node count that divides GPUs on demand: without parts and slices."""
    kept = tuple((name, n) for name, n in requests.extended if name != GPU_SHARED and not name.startswith(MIG))
    return msgspec.structs.replace(requests, extended=kept)


def broken_parts(
    snapshot: Snapshot, placed: Iterable[tuple[Pod, Assignment]]
) -> tuple[list[str], Mapping[NodeName, int]]:
    """What is wrong with the parts and slices that pods get, and how many GPUs per node are taken into use for them."""
    gpus: dict[NodeName, _Gpus] = {}
    broken: list[str] = []
    for pod, assignment in placed:
        node = snapshot.nodes.get(assignment.node)
        if node is None or not node.on_demand:
            broken += [f"{pod.name} on {assignment.node}: it makes no slices" for _ in assignment.slices[:1]]
            continue
        here = gpus.setdefault(node.name, _Gpus(snapshot, node))
        broken += [f"{pod.name} on {node.name}: {why}" for why in _broken(pod, assignment, here)]
    return broken, {name: len(here.opened) for name, here in gpus.items()}


def _broken(pod: Pod, assignment: Assignment, gpus: _Gpus) -> list[str]:
    requests = pod.shape.requests
    if not divides(requests, gpus.node):
        return [
            *(["slices for a pod that asks for none"] if assignment.slices else ()),
            *gpus.give_whole(assignment.devices),
        ]
    broken: list[str] = []
    if requests.gpus:
        broken.append("whole GPUs beside parts or slices")
    parts = requests.count(GPU_SHARED)
    if parts and not gpus.node.shares_on_demand:
        broken.append("it gives out no parts of GPUs")
    if len(assignment.devices) != parts:
        broken.append(f"{len(assignment.devices)} devices for parts of {parts} GPUs")
    wanted = {_spelled(profile): n for profile, n in requests.mig_slices}
    made = Counter(_spelled(one.profile) for one in assignment.slices)
    if wanted and not gpus.node.mig_on_demand:
        broken.append("it makes no slices")
    if made != wanted:
        broken.append(f"slices {dict(made)} for {wanted}")
    broken += gpus.give_parts(assignment.devices, pod.shape)
    return broken + gpus.give_slices(assignment.slices)


def no_place(snapshot: Snapshot, node: Node, pod: Pod) -> list[str]:
    """What of the parts and slices that a pod asks for has no place on a node even by itself."""
    broken: list[str] = []
    if pod.shape.requests.count(GPU_SHARED):
        tries = (_Gpus(snapshot, node).give_parts([device.index], pod.shape) for device in node.devices)
        if not node.shares_on_demand or all(tries):
            broken.append("no GPU has such a part free")
    for profile, _ in pod.shape.requests.mig_slices:
        places = (
            MigInstance(device=d.index, profile=profile, start=start) for d in node.devices for start in range(16)
        )
        if not node.mig_on_demand or all(_Gpus(snapshot, node).give_slices([place]) for place in places):
            broken.append(f"no GPU has a place for {profile}")
    return broken


def _spelled(profile: str) -> str:
    """The profile as the device plugin's resources have it."""
    return profile.replace("+", ".")
