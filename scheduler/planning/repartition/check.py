"""What is wrong with a proposal, found by plain counting, without the solver and its geometry."""

from collections import Counter
from collections.abc import Iterator

from scheduler.model.names import NodeName
from scheduler.model.resources import GPU, MIG_PREFIX
from scheduler.model.snapshot import Snapshot
from scheduler.planning.repartition.after import divided_anew, free_of, used_of
from scheduler.planning.repartition.proposal import GpuChange, NodeChange, Proposal
from scheduler.scoring.rules.mig import broken_layout


def broken_proposal(snapshot: Snapshot, proposal: Proposal, *, moves: int = 0) -> list[str]:
    """Everything that a proposal may not do, or promises and does not keep, in sentences.

    `moves`: how many instances in use it may take from their pods.
    """
    found = [why for change in proposal.nodes for why in _of_node(snapshot, change)]
    taken = sum(one.in_use for node in proposal.nodes for change in node.changes for one in change.before.instances)
    if taken > moves:
        found.append(f"{taken} instances in use are taken from their pods; allowed: {moves}")
    if taken != proposal.moved:
        found.append(f"{proposal.moved} instances are said to move, {taken} do")
    return found or list(_promises(snapshot, proposal))


def came_since(before: Snapshot, now: Snapshot, proposal: Proposal) -> str | None:
    """Why nodes of a proposal must not be divided any more, as somebody came to one; None where nobody did.

    `before`: what it was made of. Which GPU a pod got is often told late, so more of anything counts.
    """
    for change in proposal.nodes:
        node = now.nodes.get(change.node)
        if node is None:
            return f"{change.node} is gone"
        changed = {one.before.device for one in change.changes}
        used = {one.device for one in node.mig_instances if one.in_use}
        used |= {d.index for d in node.devices if not d.mig_enabled} & now.devices_used.get(node.name, frozenset())
        if taken := sorted(changed & used):
            return f"GPU {taken[0]} of {node.name} is in use now"
        for resource in (name for name, _ in node.allocatable.extended):
            if used_of(now, node.name, resource) > used_of(before, node.name, resource):
                return f"more {resource} of {node.name} is in use than when this was planned"
    return None


def _of_node(snapshot: Snapshot, change: NodeChange) -> Iterator[str]:
    node = snapshot.nodes.get(change.node)
    if node is None or node.on_demand or node.mig_changing:
        yield f"{change.node}: unknown, or its GPUs are not divided beforehand, or they are being divided right now"
        return
    devices = {device.index: device for device in node.devices}
    held = snapshot.devices_used.get(change.node, frozenset())
    for one in change.changes:
        where = f"GPU {one.before.device} of {change.node}"
        device = devices.get(one.before.device)
        if device is None or not device.healthy or one.before.device != one.after.device:
            yield f"{where}: unknown or unhealthy, or taken for another"
            continue
        standing = {(each.profile, each.start) for each in node.mig_instances if each.device == device.index}
        if standing != {(each.profile, each.start) for each in one.before.instances}:
            yield f"{where}: other instances stand on it than is said"
        if device.mig_enabled != one.before.divided or (not device.mig_enabled and device.index in held):
            yield f"{where}: it is held whole, or divided where it is said not to be"
        yield from (f"{where}: {why}" for why in _layout(one, change, snapshot))


def _layout(one: GpuChange, change: NodeChange, snapshot: Snapshot) -> list[str]:
    if not one.after.divided:
        return ["instances on a whole GPU"] if one.after.instances else []
    node = snapshot.nodes[change.node]
    return broken_layout(one.after.product, one.after.instances, node.mig_models)


def _promises(snapshot: Snapshot, proposal: Proposal) -> Iterator[str]:
    """Whether all that are promised room find it beside each other, those that need most of one node first."""
    after = divided_anew(snapshot, proposal.nodes)
    left: dict[tuple[NodeName, str], int] = {}

    def free(name: NodeName, resource: str) -> int:
        return left.setdefault((name, resource), free_of(after, name, resource))

    names = after.columns.names
    asked = Counter[tuple[int, str]]()
    for served in proposal.served:
        resource = MIG_PREFIX + served.profile if served.profile else GPU
        asked[served.each, resource] += served.pods
    for (each, resource), pods in sorted(asked.items(), reverse=True):
        for _ in range(pods):
            name = next((name for name in names if free(name, resource) >= each), None)
            if name is None:
                yield f"there is no room for {each} {resource} that is promised"
                break
            left[name, resource] -= each
    # Pods that move still count as used where they stood: over all nodes there has to be a place for each.
    for profile in sorted(_moving(proposal)):
        resource = MIG_PREFIX + profile.replace("+", ".")
        if sum(free(name, resource) for name in names) < 0:
            yield f"those that move find no room for {profile}"


def _moving(proposal: Proposal) -> set[str]:
    changes = (change for node in proposal.nodes for change in node.changes)
    return {one.profile for change in changes for one in change.before.instances if one.in_use}
