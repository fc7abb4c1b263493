"""Whether GPUs that nodes divide on demand are divided as they can be, by what pods and plans have of them."""

from collections import Counter
from collections.abc import Iterator

from scheduler.model.names import NodeName
from scheduler.model.node import MigInstance, Node
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import Snapshot
from scheduler.scoring.rules.mig import broken_layout
from scheduler.scoring.sharing.portions import share_units, whole_of


def given_twice(snapshot: Snapshot) -> Iterator[str]:
    """GPUs of which more is given out than they have, as far as it is known who has what, in sentences."""
    whole, shares, slices = _known(snapshot)
    for name in sorted({*whole, *shares, *slices}):
        node = snapshot.nodes.get(name)
        if node is not None and node.on_demand:
            yield from _of_node(node, whole.get(name, set()), shares.get(name, Counter()), slices.get(name, []))


def _known(
    snapshot: Snapshot,
) -> tuple[dict[NodeName, set[int]], dict[NodeName, Counter[int]], dict[NodeName, list[MigInstance]]]:
    """Per node the GPUs that are held whole, what is given out in parts, and instances held or planned for."""
    whole: dict[NodeName, set[int]] = {}
    shares: dict[NodeName, Counter[int]] = {}
    slices: dict[NodeName, list[MigInstance]] = {}
    planned = {a.pod: a for flight in snapshot.in_flight.values() for a in flight.assignments}
    for workload in snapshot.workloads.values():
        for pod in workload.members:
            flight = planned.get(pod.uid)
            node = pod.node if pod.node is not None else flight.node if flight is not None else None
            if node is None:
                continue
            devices = pod.devices if flight is None or pod.node is not None else flight.devices
            made = pod.slices if flight is None or pod.node is not None else flight.slices
            there = snapshot.nodes.get(node)
            if pod.shape.requests.gpus:
                whole.setdefault(node, set()).update(devices)
            elif there is not None:
                share = share_units(there.capacities, pod.shape)
                shares.setdefault(node, Counter()).update(dict.fromkeys(devices, share))
            slices.setdefault(node, []).extend(made)
    return whole, shares, slices


def _of_node(node: Node, whole: set[int], shares: Counter[int], slices: list[MigInstance]) -> Iterator[str]:
    there = whole_of(node.capacities)
    for device, given in sorted(shares.items()):
        if given > there or device in whole:
            yield f"{given * MILLI_GPU // there} milli of GPU {device} of node {node.name} are given out in parts" + (
                ", and it is held whole" if device in whole else ""
            )
    for device in sorted({one.device for one in slices}):
        if device in whole or shares[device]:
            yield f"GPU {device} of node {node.name} is divided into slices and given out otherwise too"
        own = [one for one in slices if one.device == device]
        if node.slices_made:
            yield from _given_again(node, own)
            continue
        for why in broken_layout(node.product, own, node.mig_models):
            yield f"GPU {device} of node {node.name}: {why}"


def _given_again(node: Node, slices: list[MigInstance]) -> Iterator[str]:
    """Slices that were made beforehand and that more than one has. One that is not offered any more may be held yet."""
    for (device, profile, start), given in sorted(Counter((s.device, s.profile, s.start) for s in slices).items()):
        if given > 1:
            yield f"slice {profile} at {start} of GPU {device} of node {node.name} is given out {given} times"
