"""Work that stands on what fails: GPUs that are not healthy or suspect, nodes that are not ready."""

from collections.abc import Collection, Sequence
from enum import Enum

import msgspec

from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Device, Node
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.reasons.wording import listed

SHOWN = 8
"""Members of a gang that are named one by one."""


class Cause(Enum):
    """What fails, as conditions and events name it."""

    NODE_NOT_READY = "NodeNotReady"
    UNHEALTHY = "DeviceUnhealthy"
    SUSPECT = "DeviceSuspect"


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that stands on what fails, and why in a sentence: which GPU of which node, and what speaks against it."""

    pod: PodUid
    node: NodeName
    cause: Cause
    why: str

    @property
    def grave(self) -> bool:
        """Whether its work cannot go on there; a suspect GPU still works."""
        return self.cause is not Cause.SUSPECT


def failing(snapshot: Snapshot, workload: Workload) -> tuple[Failing, ...]:
    """What fails below the members that stand, the members in their order.

    Which GPUs a pod holds is known from the report, or where it has all of its node.
    """
    found: list[Failing] = []
    for pod in workload.placed:
        node = None if pod.node is None else snapshot.nodes.get(pod.node)
        if node is not None and (not node.ready or node.name in snapshot.ailing):
            found += _of_pod(pod, node)
    return tuple(found)


def failing_lines(found: Collection[Failing]) -> list[str]:
    """A line for each of the first members, and how many there are beyond."""
    lines = [f"Failing: {one.why}." if one.grave else f"Note: {one.why}." for one in found]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"{more} more pods stand on what fails."] if more > 0 else lines


def _of_pod(pod: Pod, node: Node) -> list[Failing]:
    if not node.ready:
        why = f"{pod.name} stands on {node.name}, which is not ready"
        return [Failing(pod=pod.uid, node=node.name, cause=Cause.NODE_NOT_READY, why=why)]
    held = _held(pod, node)
    found: list[Failing] = []
    for cause, sick in (
        (Cause.UNHEALTHY, [d for d in node.devices if not d.healthy and d.index in held]),
        (Cause.SUSPECT, [d for d in node.devices if d.healthy and d.suspect and d.index in held]),
    ):
        if sick:
            alike: dict[str, list[Device]] = {}
            for device in sick:
                alike.setdefault(_because(device), []).append(device)
            what = "; ".join(
                f"{_called(some)} of {node.name} {_state(cause, some)}{why}" for why, some in alike.items()
            )
            found.append(Failing(pod=pod.uid, node=node.name, cause=cause, why=f"{pod.name}: {what}"))
    return found


def _held(pod: Pod, node: Node) -> set[int]:
    """The GPUs that the pod has for sure, in whole or in part."""
    known = {*pod.devices, *(one.device for one in pod.slices)}
    whole = {d.index for d in node.devices if not d.mig_enabled}
    return whole if not known and whole and pod.shape.requests.gpus >= len(whole) else known


def _called(devices: Sequence[Device]) -> str:
    """GPUs of which the same is said: one by its uuid too, several by their indexes alone."""
    if len(devices) > 1:
        return f"GPUs {listed([str(device.index) for device in devices])}"
    return f"GPU {devices[0].index} ({devices[0].uuid})" if devices[0].uuid else f"GPU {devices[0].index}"


def _state(cause: Cause, devices: Sequence[Device]) -> str:
    one = len(devices) == 1
    if cause is Cause.UNHEALTHY:
        return "is not healthy" if one else "are not healthy"
    return "shows signs of a fault" if one else "show signs of a fault"


def _because(device: Device) -> str:
    return f" ({', '.join(text.rstrip('.') for text in device.reasons)})" if device.reasons else ""
