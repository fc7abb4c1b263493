"""What is assumed of a node's GPUs by its labels, as long as no exporter reports them."""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from scheduler.kube import keys
from scheduler.model.node import Device, Node
from scheduler.scoring.devices.profiles import assumed_links

PARTS_OF_GPUS = ("-MIG-", "-SHARED")
"""In the product's name: what is counted as GPUs are slices, or replicas of shared GPUs (GPU feature discovery)."""

MOST_GPUS = 64


def with_assumed_devices(node: Node) -> Node:
    """The node with devices and links as its kind of machine has them, where that can be told from its labels.

    What may be used is what `allocatable` says: the label with the number of GPUs counts one model, so on nodes with
    several it is wrong.
    """
    gpus = node.allocatable.gpus
    divided = node.replicas > 1 or any(mark in node.product for mark in PARTS_OF_GPUS)
    if not 0 < gpus <= MOST_GPUS or not node.product or divided or node.allocatable.mig_slices:
        return node
    found = assumed_links(node.product, gpus, _number(node.labels, keys.GPU_COUNT_LABEL), _names(node.labels))
    if found is None:
        return node
    machine, links = found
    devices = _devices(gpus, node.product, _number(node.labels, keys.GPU_MEMORY_LABEL))
    return msgspec.structs.replace(node, machine=machine, devices=devices, links=links, links_assumed=True)


@lru_cache(maxsize=256)
def _devices(gpus: int, product: str, memory_mib: int) -> tuple[Device, ...]:
    """The same record for all nodes of a kind."""
    return tuple(Device(index=index, model=product, memory_mib=memory_mib) for index in range(gpus))


def _names(labels: Mapping[str, str]) -> frozenset[str]:
    return frozenset(labels[key] for key in keys.MACHINE_NAME_LABELS if key in labels)


def _number(labels: Mapping[str, str], key: str) -> int:
    """A whole number of at most nine digits; 0 where there is none."""
    text = labels.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
