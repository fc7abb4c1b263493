"""Whether a plan spares GPUs with signs of a fault, for the checker: plain loops of its own."""

from collections.abc import Iterable

from scheduler.model.node import Allocator
from scheduler.model.plan import Assignment
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked, Pod


def needless_suspects(snapshot: Snapshot, placed: Iterable[tuple[Pod, Assignment]]) -> list[str]:
    """Suspect GPUs that are given out though a sound one of the same node stays free.

    Only where the plan's choice is carried out, and for pods to which links do not matter.
    """
    given: dict[str, set[int]] = {}
    choices: list[tuple[Pod, Assignment]] = []
    for pod, assignment in placed:
        given.setdefault(assignment.node, set()).update(assignment.devices)
        given[assignment.node].update(one.device for one in assignment.slices)
        if pod.shape.linked is Linked.ANY and pod.shape.requests.gpus:
            choices.append((pod, assignment))
    broken: list[str] = []
    for pod, assignment in choices:
        node = snapshot.nodes.get(assignment.node)
        if node is None or node.allocator is not Allocator.DRA:
            continue
        suspects = {d.index for d in node.devices if d.suspect} & set(assignment.devices)
        taken = snapshot.devices_used.get(node.name, frozenset()) | given[node.name]
        spare = [
            d.index for d in node.devices if d.index not in taken and d.healthy and not d.suspect and not d.mig_enabled
        ]
        if suspects and spare:
            broken.append(
                f"{pod.name} on {node.name}: suspect devices {sorted(suspects)} are given and {spare} stay free"
            )
    return broken
