"""What the order of a gang's pods has to keep, for the checker: slices in one domain each."""

from collections.abc import Collection, Sequence

from scheduler.model.names import NodeName, PodUid
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload


def place_of(snapshot: Snapshot, level: str, name: NodeName) -> str | None:
    """The domain of `level`, by its name or label key, that a node stands in; None where it lacks the label."""
    labels = {each.name: each.label for each in snapshot.topology}
    if level in {"node", "kubernetes.io/hostname"} and level not in labels:
        return name
    node = snapshot.nodes.get(name)
    return None if node is None else node.labels.get(labels.get(level, level)) or None


def broken_slices(
    snapshot: Snapshot, workload: Workload, everyone: Sequence[tuple[Pod, NodeName]], new: Collection[PodUid]
) -> list[str]:
    """Slices that get a new pod and do not stand in one domain."""
    nodes = {pod.uid: name for pod, name in everyone}
    ranked = sorted(
        (pod for pod in workload.members if not pod.deleting), key=lambda p: (p.index is None, p.index or 0, p.name)
    )
    broken: list[str] = []
    for level, size in workload.topology_slices:
        slices: list[list[Pod]] = []
        last: dict[object, list[Pod]] = {}
        for pod in ranked:
            kind = (pod.role_required is not None and pod.role, pod.shape)
            if kind not in last or len(last[kind]) == size:
                last[kind] = []
                slices.append(last[kind])
            last[kind].append(pod)
        for pods in slices:
            if not any(pod.uid in new for pod in pods):
                continue
            places = {place_of(snapshot, level, nodes[pod.uid]) for pod in pods if pod.uid in nodes}
            if None in places or len(places) > 1:
                what = f"{pods[0].name} to {pods[-1].name}"
                broken.append(f"{workload.key}: {what} stand in {len(places)} domains of {level}, one required")
    return broken
