"""What the placement of one workload has to keep, for the checker: all or nothing, one domain, one model."""

from collections.abc import Collection, Sequence

from scheduler.model.names import NodeName, PodUid
from scheduler.model.plan import Assignment
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.scoring.rules.layout import broken_roles, broken_slices, place_of
from scheduler.scoring.rules.node import is_model


def broken_gang(snapshot: Snapshot, workload: Workload, assignments: Sequence[Assignment]) -> list[str]:
    """Every rule of gangs that `assignments` break for `workload`."""
    pending = {pod.uid: pod for pod in workload.pending}
    broken = [f"{workload.key}: {a.pod} is placed but does not wait" for a in assignments if a.pod not in pending]
    if len({a.pod for a in assignments}) < len(assignments):
        broken.append(f"{workload.key}: a pod is placed twice")
    if not assignments:
        broken.append(f"{workload.key}: admitted without a pod")
    standing = [(pod, pod.node) for pod in workload.placed if pod.node is not None]
    new = [(pending[a.pod], a.node) for a in assignments if a.pod in pending]
    together = [pod.role for pod, _ in standing] + [pod.role for pod in {pod.uid: pod for pod, _ in new}.values()]
    if len(together) < workload.min_member:
        broken.append(f"{workload.key}: {len(together)} of at least {workload.min_member} pods would stand")
    broken += [
        f"{workload.key}: {together.count(role)} of at least {least} pods of role {role} would stand"
        for role, least in workload.role_minimums
        if together.count(role) < least
    ]
    if workload.problems or any(pod.problems or pod.foreign_gates for pod, _ in new):
        broken.append(f"{workload.key}: admitted though it has problems or gates of others")
    everyone = [*standing, *new]
    return [
        *broken,
        *_broken_topology(snapshot, workload, everyone),
        *broken_slices(snapshot, workload, everyone, {pod.uid for pod, _ in new}),
        *broken_roles(snapshot, workload, everyone, {pod.uid for pod, _ in new}),
        *_broken_models(snapshot, workload, everyone, {pod.uid for pod, _ in new}),
    ]


def _broken_topology(snapshot: Snapshot, workload: Workload, everyone: Sequence[tuple[Pod, NodeName]]) -> list[str]:
    wanted = workload.topology_required
    if wanted is None:
        return []
    places = {place_of(snapshot, wanted, name) for _, name in everyone}
    if None in places:
        return [f"{workload.key}: a node lacks the required level {wanted}"]
    return [f"{workload.key}: {len(places)} domains of {wanted}, one required"] if len(places) > 1 else []


def _broken_models(
    snapshot: Snapshot, workload: Workload, everyone: Sequence[tuple[Pod, NodeName]], new: Collection[PodUid]
) -> list[str]:
    """A gang that accepts several GPU models gets one of them for all pods that do.

    A node whose model is not known takes no new pod that names one; what stands there says nothing of the gang's model.
    """
    choosy = [
        (pod.uid, set(pod.shape.models), snapshot.nodes[name].product)
        for pod, name in everyone
        if len(pod.shape.models) > 1 and pod.shape.requests.wants_devices and name in snapshot.nodes
    ]
    choosy = [each for each in choosy if each[2] or each[0] in new]
    if not any(uid in new for uid, _, _ in choosy):
        return []
    shared = [model for model in sorted(choosy[0][1]) if all(model in models for _, models, _ in choosy)]
    if any(all(is_model(model, product) for _, _, product in choosy) for model in shared):
        return []
    return [f"{workload.key}: its pods stand on several GPU models"]
