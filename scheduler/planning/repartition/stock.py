"""The GPUs of nodes whose MIG slices are made beforehand: what stands on each, and what may be changed."""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from scheduler.model.mig import MigModel
from scheduler.model.names import NodeName
from scheduler.model.node import Device, MigInstance, Node
from scheduler.model.resources import GPU, MIG_PREFIX
from scheduler.model.snapshot import Snapshot
from scheduler.planning.repartition.proposal import GpuLayout
from scheduler.scoring.sharing.mig import Layout
from scheduler.scoring.sharing.mig_tables import model_on

MIXED = "mixed"
"""The strategy of the device plugin that advertises slices by their profile (`nvidia.com/mig-<profile>`)."""


SHOWN = 3
"""Names that one sentence bears."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU: its instances in use and free by index of the profile and start. `fixed`: it may not be changed.

    A GPU that is not divided and in use is fixed, and gives nothing: `held`.
    """

    node: NodeName
    device: int
    product: str
    model: MigModel
    used: Layout
    idle: Layout
    divided: bool
    fixed: bool
    held: bool

    @property
    def layout(self) -> GpuLayout:
        """How it is divided."""
        standing = sorted((start, profile, True) for profile, start in self.used)
        standing += sorted((start, profile, False) for profile, start in self.idle)
        instances = tuple(
            MigInstance(device=self.device, profile=self.model.profiles[profile].name, start=start, in_use=in_use)
            for start, profile, in_use in sorted(standing)
        )
        return GpuLayout(device=self.device, product=self.product, divided=self.divided, instances=instances)


def gpus_of(
    snapshot: Snapshot, given: Mapping[NodeName, Counter[str]], only: NodeName | None = None
) -> tuple[list[Gpu], list[str]]:
    """The GPUs that may be divided, by node and index, and a sentence for each kind of node that is left out.

    `given`: what pods get now, by node and resource. `only`: of this node alone.
    """
    found: list[Gpu] = []
    left_out: dict[str, list[NodeName]] = {}
    for name in snapshot.columns.names:
        node = snapshot.nodes[name]
        if not node.devices or (only is not None and name != only):
            continue
        why = _why_not(snapshot, node)
        if why is None:
            found += _of_node(snapshot, node, given.get(name, Counter()))
        elif why:
            left_out.setdefault(why, []).append(name)
    return found, [f"{_some(names)}: {why}" for why, names in left_out.items()]


def _why_not(snapshot: Snapshot, node: Node) -> str | None:
    """Why the node's GPUs are not divided anew; empty where there is nothing to say, None where they are."""
    if node.slices_made:
        return "pods claim the slices that were made of its GPUs, each by its name"
    if node.on_demand or all(model_on(node, device.model or node.product) is None for device in node.devices):
        return ""
    if node.links_assumed:
        return "no exporter reports its GPUs"
    if node.mig_changing:
        return f"its GPUs are being divided anew right now (nvidia.com/mig.config.state is {node.mig_state})"
    if node.mig_state == "failed":
        return "the MIG manager failed to divide its GPUs (nvidia.com/mig.config.state is failed)"
    if node.claimable:
        return "pods claim its devices, and slices are made as they are claimed"
    if any(_unknown(node, one) for one in node.mig_instances):
        return "it has MIG instances of profiles that nobody knows"
    if node.mig_strategy != MIXED:
        return f"the device plugin's MIG strategy is {node.mig_strategy or 'not told'}; needed: {MIXED}"
    if not snapshot.columns.usable[snapshot.columns.row_of[node.name]]:
        return "it takes no pods (not ready, or cordoned)"
    return None


def _of_node(snapshot: Snapshot, node: Node, given: Counter[str]) -> Iterator[Gpu]:
    taken = snapshot.devices_used.get(node.name, frozenset())
    # Which whole GPUs are held is not known of all pods: then it may be any.
    unsure = node.name in snapshot.devices_unsure or given[GPU] > 0
    doubtful = _doubtful(snapshot, node, given)
    for device in node.devices:
        product = device.model or node.product
        model = model_on(node, product)
        if model is None:
            continue
        own = [one for one in node.mig_instances if one.device == device.index]
        spots = [(model.index(one.profile), one) for one in own]
        held = not device.mig_enabled and (device.index in taken or unsure)
        yield Gpu(
            node=node.name,
            device=device.index,
            product=product,
            model=model,
            used=_layout((at, one) for at, one in spots if one.in_use or _spelled(one.profile) in doubtful),
            idle=_layout((at, one) for at, one in spots if not (one.in_use or _spelled(one.profile) in doubtful)),
            divided=device.mig_enabled,
            fixed=held or not _sound(device),
            held=held or not _sound(device),
        )


def _unknown(node: Node, one: MigInstance) -> bool:
    device = next((device for device in node.devices if device.index == one.device), None)
    model = None if device is None else model_on(node, device.model or node.product)
    return model is None or model.index(one.profile) is None


def _sound(device: Device) -> bool:
    return device.healthy and not device.suspect


def _doubtful(snapshot: Snapshot, node: Node, given: Counter[str]) -> set[str]:
    """Profiles of which more instances are given out than the report names: any of them may be in use."""
    columns = snapshot.columns
    known = Counter(_spelled(one.profile) for one in node.mig_instances if one.in_use)
    row = columns.row_of[node.name]
    found: set[str] = set()
    for column, resource in enumerate(columns.resources):
        if resource.startswith(MIG_PREFIX) and resource != GPU:
            profile = resource.removeprefix(MIG_PREFIX)
            if columns.used[row, column] + given[resource] > known[profile]:
                found.add(profile)
    return found


def _layout(spots: Iterator[tuple[int | None, MigInstance]]) -> Layout:
    return tuple(sorted((at, one.start) for at, one in spots if at is not None))


def _spelled(profile: str) -> str:
    return profile.replace("+", ".")


def _some(names: list[NodeName]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
