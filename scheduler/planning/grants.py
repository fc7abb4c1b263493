"""Which device each request of a pod's claims gets by a plan."""

from collections.abc import Mapping

from scheduler.model.claims import DeviceName, Grant
from scheduler.model.node import Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX
from scheduler.model.workload import Pod
from scheduler.scoring.sharing.portions import taken


def grants(pod: Pod, assignment: Assignment, node: Node) -> Mapping[str, tuple[Grant, ...]] | str:
    """By the uid of each claim that the pod is charged for, what it gets; or a sentence on why it cannot be given.

    The GPUs of the assignment, and its MIG slices of each profile, go to the requests in the order of claims and
    requests; of GPUs that are shared, as much as a request takes of each.
    """
    names = _names(assignment, node)
    if isinstance(names, str):
        return names
    shared = {d.claimed_as: d.capacities for d in node.devices if d.claimed_as is not None and d.capacities}
    found: dict[str, tuple[Grant, ...]] = {}
    for claim in pod.claims:
        given: list[Grant] = []
        for request in claim.requests:
            left = names.get(GPU if request.resource == GPU_SHARED else request.resource, [])
            if len(left) < request.count:
                what = "GPUs" if request.resource in {GPU, GPU_SHARED} else request.resource
                return f"the plan has too few {what} of {node.name} for claim {claim.claim}"
            for name in left[: request.count]:
                consumed = taken(shared[name], request.capacity) if name in shared else ()
                if consumed is None:
                    return f"{name.device} of {node.name} is not shared any more as claim {claim.claim} asks"
                given.append(Grant(request=request.name, device=name, consumed=consumed))
            del left[: request.count]
        if given:
            found[claim.uid] = tuple(given)
    return f"the plan has more GPUs of {node.name} than {pod.name} claims" if any(names.values()) else found


def _names(assignment: Assignment, node: Node) -> dict[str, list[DeviceName]] | str:
    """The devices of an assignment by what they count as, or why one of them cannot be claimed."""
    names: dict[str, list[DeviceName]] = {}
    by_index = {device.index: device.claimed_as for device in node.devices}
    for index in assignment.devices:
        name = by_index.get(index)
        if name is None:
            return f"GPU {index} of {node.name} cannot be claimed any more"
        names.setdefault(GPU, []).append(name)
    for one in assignment.slices:
        name = node.claimed_as(one)
        if name is None:
            what = f"slice {one.profile} at {one.start} of GPU {one.device}"
            return f"{what} of {node.name} cannot be claimed any more"
        names.setdefault(MIG_PREFIX + one.profile.replace("+", "."), []).append(name)
    return names
