"""What is said where linked GPUs are planned on links that nobody reported."""

from collections.abc import Iterable

from scheduler.model.names import NodeName
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked, Workload
from scheduler.planning.reasons.wording import shortened

NODES_SHOWN = 5


def assumed_lines(snapshot: Snapshot, workload: Workload, nodes: Iterable[NodeName]) -> list[str]:
    """A sentence for each machine type that some of these nodes are taken for; none where links do not matter."""
    if all(pod.shape.linked is Linked.ANY for pod in workload.members):
        return []
    found: dict[str, list[str]] = {}
    for name in sorted(set(nodes)):
        node = snapshot.nodes.get(name)
        if node is not None and node.links_assumed:
            found.setdefault(node.machine, []).append(name)
    return [
        f"How the GPUs of {_some(names)} are connected is not reported; they are taken to be as in machines of type "
        f"{machine}"
        for machine, names in sorted(found.items())
    ]


def _some(names: list[str]) -> str:
    return shortened(names, NODES_SHOWN, "{} more nodes")
