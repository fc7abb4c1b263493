"""What the layout of gangs has to keep, for the checker: slices and roles in one domain each, exclusive domains."""

from collections.abc import Collection, Iterable, Sequence

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload


def place_of(snapshot: Snapshot, level: str, name: NodeName) -> str | None:
    """The domain of `level`, by its name or label key, that a node stands in; None where it lacks the label."""
    labels = {each.name: each.label for each in snapshot.topology}
    if level in {"node", "kubernetes.io/hostname"} and level not in labels:
        return name
    node = snapshot.nodes.get(name)
    return None if node is None else node.place(labels.get(level, level)) or None


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


def broken_roles(
    snapshot: Snapshot, workload: Workload, everyone: Sequence[tuple[Pod, NodeName]], new: Collection[PodUid]
) -> list[str]:
    """Roles with a level of their own that get a new pod and do not stand in one domain of it."""
    broken: list[str] = []
    for role, level in sorted({(pod.role, pod.role_required) for pod, _ in everyone if pod.role_required is not None}):
        of_role = [(pod, name) for pod, name in everyone if (pod.role, pod.role_required) == (role, level)]
        places = {place_of(snapshot, level, name) for _, name in of_role}
        if any(pod.uid in new for pod, _ in of_role) and (None in places or len(places) > 1):
            broken.append(f"{workload.key}: role {role} stands in {len(places)} domains of {level}, one required")
    return broken


def broken_exclusive(snapshot: Snapshot, placed: Iterable[tuple[Workload, Pod, NodeName]]) -> list[str]:
    """Domains that a gang has for itself and that another gang is in too, where a pod of either is new there."""
    exclusive = {w.key: w.topology_exclusive for w in snapshot.workloads.values() if w.is_gang and w.topology_exclusive}
    if not exclusive:
        return []
    new = [(workload.key, name) for workload, _, name in placed if workload.is_gang]
    stand: dict[WorkloadKey, set[NodeName]] = {}
    for key, workload in snapshot.workloads.items():
        if workload.is_gang:
            names = {pod.node for pod in workload.members if pod.node is not None}
            flight = snapshot.in_flight.get(key)
            stand[key] = names | {a.node for a in flight.assignments} if flight is not None else names
    moved: dict[WorkloadKey, set[NodeName]] = {}
    for key, name in new:
        moved.setdefault(key, set()).add(name)
    broken: list[str] = []
    for owner, level in sorted(exclusive.items()):
        own_new = {place_of(snapshot, level, name) for name in moved.get(owner, ())}
        if None in own_new:
            broken.append(f"{owner}: a node lacks the exclusive level {level}")
        own = own_new | {place_of(snapshot, level, name) for name in stand[owner]}
        for other in sorted(stand):
            if other == owner:
                continue
            theirs_new = {place_of(snapshot, level, name) for name in moved.get(other, ())}
            theirs = theirs_new | {place_of(snapshot, level, name) for name in stand[other]}
            shared = ((own_new & theirs) | (own & theirs_new)) - {None}
            broken += [f"{owner}: {other} is in its {level} {place}" for place in sorted(str(p) for p in shared)]
    return broken
