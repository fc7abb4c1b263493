"""Which device each request of a pod's claims gets by a plan."""

from collections.abc import Mapping

from scheduler.model.claims import DeviceName, Grant
from scheduler.model.node import Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU
from scheduler.model.workload import Pod


def grants(pod: Pod, assignment: Assignment, node: Node) -> Mapping[str, tuple[Grant, ...]] | str:
    """By the uid of each claim that the pod is charged for, what it gets; or a sentence on why it cannot be given.

    The GPUs of the assignment go to the requests in the order of claims and requests.
    """
    names: list[DeviceName] = []
    by_index = {device.index: device.claimed_as for device in node.devices}
    for index in assignment.devices:
        name = by_index.get(index)
        if name is None:
            return f"GPU {index} of {node.name} cannot be claimed any more"
        names.append(name)
    found: dict[str, tuple[Grant, ...]] = {}
    for claim in pod.claims:
        given: list[Grant] = []
        for request in claim.requests:
            if request.resource != GPU:
                return f"claim {claim.claim} asks for {request.resource}, which is not given out by claims"
            if len(names) < request.count:
                return f"the plan has too few GPUs of {node.name} for claim {claim.claim}"
            given += [Grant(request=request.name, device=name) for name in names[: request.count]]
            del names[: request.count]
        if given:
            found[claim.uid] = tuple(given)
    return f"the plan has more GPUs of {node.name} than {pod.name} claims" if names else found
