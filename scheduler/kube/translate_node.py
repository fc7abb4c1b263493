"""Nodes, and reports on their devices, as events."""

import sys

import msgspec

from scheduler.kube import keys
from scheduler.kube.requests import read_quantities, resources_of
from scheduler.kube.translate_alignment import read_alignment
from scheduler.kube.translate_assumed import with_assumed_devices
from scheduler.kube.translate_device import pci_address
from scheduler.kube.translate_fabric import read_clique
from scheduler.kube.translate_links import read_links
from scheduler.kube.translate_mig import read_instances, read_models, slices_held
from scheduler.kube.wire import Meta, NameMeta, WireNode
from scheduler.kube.wire_own import Health, Holding, WireDevice, WireGPUNode
from scheduler.model.names import NodeName
from scheduler.model.node import Allocator, Device, Node, Taint
from scheduler.state.events import DevicesSeen, NodeSeen

ALLOCATORS = frozenset({Allocator.DEVICE_PLUGIN.value, Allocator.DRA.value})
"""What a report may say; who serves an extended resource is told by DeviceClasses."""

MOST_REPLICAS = 1001

HEALTHY, SUSPECT = "Healthy", "Suspect"

MOST_REASONS, REASON_LENGTH = 3, 200
"""So many sentences of so many characters are kept of what speaks against a GPU."""

_node_decoder = msgspec.json.Decoder(WireNode)
_report_decoder = msgspec.json.Decoder(WireGPUNode)


def read_node(raw: bytes | msgspec.Raw) -> tuple[Meta, NodeSeen]:
    """A node's metadata, and the node with the devices and links that are assumed until an exporter reports them.

    Raises:
        ValueError: the text is no node, or a quantity in it cannot be read.
    """
    meta, node = read_plain_node(raw)
    return meta, NodeSeen(node=with_assumed_devices(node.node))


def read_plain_node(raw: bytes | msgspec.Raw) -> tuple[Meta, NodeSeen]:
    """The same, and nothing is assumed.

    Raises:
        ValueError: the text is no node, or a quantity in it cannot be read.
    """
    wire = _node_decoder.decode(raw)
    meta = wire.metadata
    labels = {sys.intern(k): sys.intern(v) for k, v in meta.labels.items()}
    taints: list[Taint] = []
    for t in wire.spec.taints:
        if t.effect in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            taints.append(Taint(key=t.key, value=t.value, effect=t.effect))
        else:
            raise ValueError(
                f"effect of the taint {t.key!r} is {t.effect!r}; allowed: NoSchedule, PreferNoSchedule, NoExecute"
            )
    alignment, wrong = read_alignment(labels)
    return meta, NodeSeen(
        node=Node(
            name=NodeName(sys.intern(meta.name)),
            uid=meta.uid,
            labels=labels,
            taints=tuple(taints),
            unschedulable=wire.spec.unschedulable,
            ready=any(c.type == "Ready" and c.status == "True" for c in wire.status.conditions),
            allocatable=resources_of(read_quantities(wire.status.allocatable)),
            product=labels.get(keys.GPU_PRODUCT_LABEL, ""),
            mig_strategy=labels.get(keys.MIG_STRATEGY_LABEL, ""),
            mig_config=labels.get(keys.MIG_CONFIG_LABEL, ""),
            mig_wanted=labels.get(keys.MIG_WANTED_LABEL, ""),
            mig_state=labels.get(keys.MIG_STATE_LABEL, ""),
            replicas=_replicas(labels.get(keys.GPU_REPLICAS_LABEL, "")),
            alignment=alignment,
            notes=wrong,
        )
    )


def read_report(raw: bytes | msgspec.Raw) -> tuple[NameMeta, DevicesSeen]:
    """A GPUNode's metadata, and its report. Devices of unknown health count as unhealthy.

    Raises:
        ValueError: the text is no GPUNode.
    """
    wire = _report_decoder.decode(raw)
    status = wire.status
    links, assumed = read_links(status)
    allocator, wrong = _allocator(status.allocator)
    models, strange = read_models(status)
    instances, odd = read_instances(status, models)
    clique, unclear = read_clique(status.fabric)
    devices = sorted((_device(d, on_demand=status.mig_on_demand) for d in status.devices), key=lambda d: d.index)
    return wire.metadata, DevicesSeen(
        node=NodeName(sys.intern(wire.metadata.name)),
        machine=status.machine,
        devices=tuple(devices),
        links=links,
        assumed=(*assumed, *wrong, *strange, *odd, *unclear),
        uid=wire.metadata.uid,
        allocator=allocator,
        held=_held(status.holdings, {d.uuid: d.index for d in devices}),
        mig_on_demand=status.mig_on_demand,
        mig_instances=tuple(sorted(instances.values(), key=lambda one: (one.device, one.start))),
        mig_models=models,
        slices_held=slices_held(status.holdings, instances),
        addresses=tuple(pci_address(d.pci_bus_id) for d in sorted(status.devices, key=lambda d: d.index)),
        clique=clique,
    )


def _replicas(text: str) -> int:
    """Into how many parts each GPU is shared; 1 where it is not told. Smaller parts than a thousandth are all alike."""
    return min(int(text), MOST_REPLICAS) if text.isascii() and text.isdigit() and int(text) >= 1 else 1


def _allocator(told: str) -> tuple[Allocator, tuple[str, ...]]:
    """Who chooses GPUs, and what is wrong with what is told."""
    if told in ALLOCATORS:
        return Allocator(told), ()
    said = (
        f"allocator is {told!r}; allowed: {', '.join(sorted(ALLOCATORS))}; {Allocator.DEVICE_PLUGIN.value} is assumed"
    )
    return Allocator.DEVICE_PLUGIN, (said,)


def _device(wire: WireDevice, *, on_demand: bool) -> Device:
    return Device(
        index=wire.index,
        uuid=wire.uuid,
        model=sys.intern(wire.model),
        memory_mib=wire.memory_mib,
        healthy=wire.health.state in {HEALTHY, SUSPECT},
        suspect=wire.health.state == SUSPECT,
        reasons=() if wire.health.state == HEALTHY else _reasons(wire.health),
        # Where slices are made on demand, a GPU is divided only as long as there are any.
        mig_enabled=wire.mig_mode == "Enabled" and not on_demand,
    )


def _reasons(health: Health) -> tuple[str, ...]:
    return tuple(text[:REASON_LENGTH] for text in health.reasons[:MOST_REASONS])


def _held(holdings: list[Holding], index_of: dict[str, int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Which pod holds which whole GPUs; slices have no index. A shared GPU is listed as `<uuid>::<replica>`."""
    held: dict[str, set[int]] = {}
    for holding in holdings:
        indexes = {index_of[u] for text in holding.device_uuids if (u := text.partition("::")[0]) in index_of}
        if indexes:
            held.setdefault(f"{holding.pod_namespace}/{holding.pod_name}", set()).update(indexes)
    return tuple((pod, tuple(sorted(indexes))) for pod, indexes in sorted(held.items()))
