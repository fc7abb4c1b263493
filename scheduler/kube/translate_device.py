"""ResourceSlices as events: the GPUs of nodes that pods can claim."""

import re
import sys
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from scheduler.kube import keys
from scheduler.kube.quantities import NANO, nanos, whole
from scheduler.kube.wire import Meta
from scheduler.kube.wire_dra import WireAttribute, WireCapacity, WireDeviceClass, WireSlice, WireSliceDevice
from scheduler.model.claims import Capacity, Offered
from scheduler.model.names import NodeName
from scheduler.state.events import DeviceClassSeen, SliceSeen

MIB = 1 << 20

KEEPS_OFF = frozenset({"NoSchedule", "NoExecute"})
"""Effects of device taints that keep pods off; those that only tell do not (KEP-5055)."""

_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])\Z")
_MEMORY_SLICE = re.compile(r"memory-slice-([0-9]{1,2})\Z")
_MADE_MEMORY_SLICE = re.compile(r"(?:gpu\.nvidia\.com/)?memorySlice([0-9]{1,2})\Z")
_ENGINES = ("decoders", "jpeg-engines", "ofa-engines", "copy-engines")
"""Counters of the engines of `scheduler.model.mig.ENGINES` (k8s-dra-driver-gpu, partitionable devices)."""

KEPT = 4096

_MIG_NAME = re.compile(r"(gpu-[0-9]+)-mig-")

_slice_decoder = msgspec.json.Decoder(WireSlice)
_class_decoder = msgspec.json.Decoder(WireDeviceClass)


def read_slice(raw: bytes | msgspec.Raw) -> tuple[Meta, SliceSeen]:
    """A ResourceSlice's metadata, and the GPUs of one node that it offers; none where it is about anything else.

    Raises:
        ValueError: the text is no ResourceSlice, or a quantity in it cannot be read.
    """
    wire = _slice_decoder.decode(raw)
    spec = wire.spec
    local = spec.driver == keys.GPU_DRIVER and spec.node_name
    return wire.metadata, SliceSeen(
        uid=wire.metadata.uid,
        name=wire.metadata.name,
        driver=sys.intern(spec.driver),
        pool=sys.intern(spec.pool.name),
        generation=spec.pool.generation,
        slices=spec.pool.resource_slice_count,
        node=NodeName(sys.intern(spec.node_name)) if spec.node_name else None,
        devices=tuple(found for d in spec.devices if (found := _offered(d)) is not None) if local else (),
    )


def read_class(raw: bytes | msgspec.Raw) -> tuple[Meta, DeviceClassSeen]:
    """A DeviceClass's metadata, and as which extended resource its devices are given out.

    Raises:
        ValueError: the text is no DeviceClass.
    """
    wire = _class_decoder.decode(raw)
    meta = wire.metadata
    return meta, DeviceClassSeen(uid=meta.uid, name=meta.name, resource=wire.spec.extended_resource_name)


def _offered(wire: WireSliceDevice) -> Offered | None:
    """A GPU, or a MIG slice of one; None for anything else."""
    kind = _text(wire.attributes, "type")
    if kind not in {"gpu", "mig"}:
        return None
    if kind == "mig":
        return _slice(wire)
    return Offered(
        name=sys.intern(wire.name),
        uuid=_text(wire.attributes, "uuid"),
        model=sys.intern(_text(wire.attributes, "productName")),
        memory_mib=_memory_mib(wire),
        address=pci_address(_text(wire.attributes, "resource.kubernetes.io/pciBusID")),
        usable=not any(taint.effect in KEEPS_OFF for taint in wire.taints),
        shared=wire.allow_multiple_allocations,
        capacities=_capacities(wire) if wire.allow_multiple_allocations else (),
    )


def _capacities(wire: WireSliceDevice) -> tuple[Capacity, ...]:
    """What claims share of a GPU; equal GPUs have one record."""
    return _same(tuple(_capacity(name, each) for name, each in sorted(wire.capacity.items())))


def _capacity(name: str, wire: WireCapacity) -> Capacity:
    """A capacity. Fractions are rounded so that nothing is given twice: what there is down, what is taken up."""
    policy = wire.request_policy
    valid = None if policy is None else policy.valid_range
    return Capacity(
        name=name,
        total=nanos(wire.value) // NANO,
        default=None if policy is None else _amount(policy.default),
        values=() if policy is None else tuple(whole(nanos(each)) for each in policy.valid_values),
        least=None if valid is None else _amount(valid.min),
        most=None if valid is None else _amount(valid.max),
        step=(None if valid is None else _amount(valid.step)) or 0,
    )


def _amount(quantity: str | None) -> int | None:
    return None if quantity is None else whole(nanos(quantity))


@lru_cache(maxsize=KEPT)
def _same(capacities: tuple[Capacity, ...]) -> tuple[Capacity, ...]:
    return capacities


def _slice(wire: WireSliceDevice) -> Offered:
    """A MIG slice; those of machines of one kind that are made as they are claimed are all equal, and one record."""
    named = _MIG_NAME.match(wire.name)
    ways = ["" if named is None else named[1], _text(wire.attributes, "parentUUID")]
    counters = {name: counter.value for taken in wire.consumes_counters for name, counter in taken.counters.items()}
    units = sorted(int(read[1]) for name in counters if (read := _MEMORY_SLICE.match(name)) is not None)
    if not wire.consumes_counters:
        return _made(wire, ways)
    return _shared(
        Offered(
            name=sys.intern(wire.name),
            kind="mig",
            uuid=_text(wire.attributes, "uuid"),
            usable=not any(taint.effect in KEEPS_OFF for taint in wire.taints),
            parent=sys.intern(next(filter(None, ways), "")),
            profile=sys.intern(_text(wire.attributes, "profile")),
            start=units[0] if units else -1,
            size=len(units),
            engines=tuple(whole(nanos(counters.get(name, "0"))) for name in _ENGINES) if units else (),
        )
    )


def _made(wire: WireSliceDevice, ways: list[str]) -> Offered:
    """A MIG slice that is there already; its place stands in its capacities (k8s-dra-driver-gpu, deviceinfo.go)."""
    units = sorted(int(read[1]) for name in wire.capacity if (read := _MADE_MEMORY_SLICE.match(name)) is not None)
    return Offered(
        name=sys.intern(wire.name),
        kind="mig",
        uuid=_text(wire.attributes, "uuid"),
        model=sys.intern(_text(wire.attributes, "productName")),
        address=pci_address(_text(wire.attributes, "resource.kubernetes.io/pciBusID")),
        usable=not any(taint.effect in KEEPS_OFF for taint in wire.taints),
        shared=wire.allow_multiple_allocations,
        # Its GPU is not offered itself, and only the GPU's uuid means anything.
        parent=sys.intern(next(filter(None, reversed(ways)), "")),
        profile=sys.intern(_text(wire.attributes, "profile")),
        start=units[0] if units else -1,
        size=len(units),
        made=True,
    )


@lru_cache(maxsize=KEPT)
def _shared(offered: Offered) -> Offered:
    return offered


def _text(attributes: Mapping[str, WireAttribute], name: str) -> str:
    """A text attribute, by its short name or by that with the driver's domain in front."""
    found = attributes.get(name) or attributes.get(f"{keys.GPU_DRIVER}/{name}")
    return "" if found is None or found.string is None else found.string


def _memory_mib(wire: WireSliceDevice) -> int:
    found = wire.capacity.get("memory") or wire.capacity.get(f"{keys.GPU_DRIVER}/memory")
    return 0 if found is None else whole(nanos(found.value)) // MIB


def pci_address(text: str) -> str:
    """A PCI address with four digits of domain in lower case, as sysfs writes it; "" where it is none."""
    read = _ADDRESS.match(text.lower())
    return "" if read is None else f"{read[1][-4:]}:{read[2]}:{read[3]}.{read[4]}"
