"""What a plan has to keep where pods claim devices, for the checker: exact devices, and no GPU given twice."""

from collections.abc import Iterable

from scheduler.model.plan import Admit, Assignment, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod


def unnamed_devices(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Pods that start at once and claim GPUs, of which the plan does not name as many as they claim."""
    broken: list[str] = []
    for decision in plan.decisions:
        workload = snapshot.workloads.get(decision.workload) if isinstance(decision, Admit) else None
        pods = {pod.uid: pod for pod in workload.members} if workload is not None else {}
        for assignment in decision.placement.assignments if isinstance(decision, Admit) else ():
            pod = pods.get(assignment.pod)
            if pod is None or not pod.shape.by_claim:
                continue
            requests = pod.shape.requests
            gpus, slices = requests.gpus + requests.shared_gpus, sum(count for _, count in requests.mig_slices)
            if len(assignment.devices) != gpus or len(assignment.slices) != slices:
                named = (
                    f"{len(assignment.devices)} of the {gpus} GPUs and {len(assignment.slices)} of the {slices} slices"
                )
                broken.append(f"{assignment.pod}: {named} that it claims are named")
    return broken


def broken_claims(snapshot: Snapshot, placed: Iterable[tuple[Pod, Assignment]]) -> list[str]:
    """Pods that get what cannot be claimed, claim what is not ready, or come beside those that they are kept from."""
    broken: list[str] = []
    sorts: dict[str, set[bool]] = {}
    for pod, assignment in placed:
        name, shape = assignment.node, pod.shape
        node = snapshot.nodes.get(name)
        broken += [
            f"{pod.name}: planned though its claim {c.claim or c.name} is {c.waits}" for c in pod.claims if c.waits
        ]
        if node is None or not shape.requests.wants_devices:
            continue
        closed = snapshot.closed.get(name)
        if closed is not None and (closed.to_claims if shape.by_claim else closed.to_others):
            broken.append(f"{pod.name} on {name}: the node is closed to such pods")
        claimable = {device.index for device in node.devices if device.claimed_as is not None}
        if node.claimable and not node.claims_only:
            sorts.setdefault(name, set()).add(shape.by_claim)
        if not shape.by_claim:
            continue
        offered = {(each.profile, each.start) for each in node.slice_names}
        made = {(each.device, each.profile, each.start) for each in node.slices_made}
        broken += [
            f"{pod.name} on {name}: device {i} cannot be claimed" for i in assignment.devices if i not in claimable
        ]
        broken += [
            f"{pod.name} on {name}: no slice {one.profile} at {one.start} of GPU {one.device} can be claimed"
            for one in assignment.slices
            if (one.device not in claimable or (one.profile, one.start) not in offered)
            and (one.device, one.profile, one.start) not in made
        ]
    both = (name for name, some in sorted(sorts.items()) if len(some) > 1)
    return [*broken, *(f"{name}: pods come that claim its GPUs, and others that do not" for name in both)]
