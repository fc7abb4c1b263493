"""How GPUs are linked, out of the links of each: pairs, how many NVLinks each GPU should have, and the clique."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from msgspec import UNSET, UnsetType

from scheduler.exporter.node import DeviceKnown, NodeKnown
from scheduler.exporter.reading import Fabric, FabricState, FarEnd, NvLink, Pair, PcieLevel, Told, Unread, Why
from scheduler.kube.wire_report import ReportFabric, ReportLink

MBPS_PER_GBPS = 1000

_NO_UUID = frozenset("0-")

LEVELS = {level: level.value for level in PcieLevel} | {PcieLevel.INTERNAL: PcieLevel.PIX.value}
"""Two GPUs of one board have a PCIe switch between them as PIX has; the definition knows no nearer level."""


def nvlinks_of(device: DeviceKnown) -> Sequence[NvLink] | None:
    """The NVLinks of a GPU; None where they could not be read."""
    if isinstance(device.state, Unread) or isinstance(device.state.nvlinks, Unread):
        return None
    return device.state.nvlinks


def version_of(links: Sequence[NvLink]) -> str | UnsetType:
    """The lowest version of the NVLinks that are up; unset where none is, or the driver does not tell."""
    told = [link.generation for link in links if link.active and not isinstance(link.generation, Unread)]
    return min(told, key=lambda text: tuple(map(int, text.split("."))), default=UNSET)


def is_switched(devices: Sequence[DeviceKnown]) -> bool:
    """Whether NVLinks of the node go through a switch."""
    return any(link.far_end is FarEnd.SWITCH for device in devices for link in nvlinks_of(device) or ())


def wanted_nvlinks(devices: Sequence[DeviceKnown]) -> Mapping[str, int | None]:
    """How many NVLinks each GPU should have up, by its UUID; None where it should have none, or nobody can tell.

    Where a switch connects GPUs, all NVLinks of all of them lead there. Where GPUs are connected directly, a GPU may
    have NVLinks that lead nowhere, as without a bridge: those count that are up, have been up, or name another end.
    """
    switched = is_switched(devices)
    best: dict[str, int] = {}
    for device in devices:
        model = _model(device)
        best[model] = max(best.get(model, 0), sum(link.active for link in nvlinks_of(device) or ()))
    wanted: dict[str, int | None] = {}
    for device in devices:
        links = nvlinks_of(device)
        if switched:
            wanted[device.uuid] = max(len(links or ()), best[_model(device)]) or None
        else:
            leads = {link.link for link in links or () if link.active or _leads(link)}
            wanted[device.uuid] = len(leads | device.links_up) or None
    return wanted


def links(node: NodeKnown, order: Sequence[DeviceKnown]) -> Iterator[ReportLink]:
    """The links of all pairs of GPUs; `order` gives each GPU its index."""
    for (a, one), (b, other) in itertools.combinations(enumerate(order), 2):
        pair = node.pairs.get(_names(one, other))
        sides = [side for side in (_towards(one, other), _towards(other, one)) if side is not None]
        if len(sides) == 2 or any(_is_sure(side, pair) for side in sides):
            count, mbps = _narrower(sides)
            if count:
                yield ReportLink(
                    a=a,
                    b=b,
                    type="NVLink",
                    count=count,
                    gigabytes_per_second=UNSET if mbps is None else mbps // MBPS_PER_GBPS,
                    p2p=_known(pair.p2p_nvlink if pair else None),
                )
        if pair is not None and not isinstance(pair.level, Unread):
            yield ReportLink(a=a, b=b, type="PCIe", pcie_level=LEVELS[pair.level], p2p=_known(pair.p2p))


def unread_links(node: NodeKnown, order: Sequence[DeviceKnown]) -> Mapping[str, Unread]:
    """GPUs of which nobody asked what connects them to the others, by UUID: why not."""
    found: dict[str, Unread] = {}
    for one, other in itertools.combinations(order, 2):
        if _names(one, other) not in node.pairs:
            found |= {each.uuid: each.missing for each in (one, other) if each.missing is not None}
    return found


def unread_pairs(node: NodeKnown, order: Sequence[DeviceKnown]) -> Mapping[str, Unread]:
    """What could not be read of pairs, by the field of the report: the first reason of each."""
    found: dict[str, Unread] = {}
    for one, other in itertools.combinations(order, 2):
        pair = node.pairs.get(_names(one, other))
        if pair is not None:
            for field, told in _fields(pair, nvlinks=bool(nvlinks_of(one) and nvlinks_of(other))):
                if isinstance(told, Unread):
                    found.setdefault(field, told)
    return found


def fabric(devices: Sequence[DeviceKnown]) -> ReportFabric | None:
    """The fabric: the state of whichever GPU is least far, and the clique if all GPUs are whole members of one."""
    told = [one.state.fabric for one in devices if not isinstance(one.state, Unread)]
    known = [one for one in told if not isinstance(one, Unread)]
    if not known:
        return None
    rank = list(FabricState)
    state = min((one.state for one in known), key=rank.index)
    cliques = {(one.cluster_uuid, one.clique) for one in known if _in_clique(one)}
    if len(cliques) != 1 or not all(map(_in_clique, known)) or len(known) != len(told):
        return ReportFabric(state=state.value)
    ((cluster, clique),) = cliques
    return ReportFabric(state=state.value, cluster_uuid=cluster, clique_id=str(clique))


def _names(one: DeviceKnown, other: DeviceKnown) -> tuple[str, str]:
    return min(one.uuid, other.uuid), max(one.uuid, other.uuid)


def _in_clique(told: Fabric) -> bool:
    """As go-nvlib has it: completed, without fault, and the fabric has a name. HGX machines complete without one."""
    named = bool(set(told.cluster_uuid) - _NO_UUID)
    return told.state is FabricState.COMPLETED and told.healthy and named


def _model(device: DeviceKnown) -> str:
    known = device.known
    return "" if known is None or isinstance(known.model, Unread) else known.model


def _leads(link: NvLink) -> bool:
    return bool(link.peer_bus_id) or link.far_end in {FarEnd.GPU, FarEnd.SWITCH}


def _towards(one: DeviceKnown, other: DeviceKnown) -> Sequence[NvLink] | None:
    """The NVLinks that are up from a GPU to another, directly or to the switch; None where they could not be read."""
    own, there = nvlinks_of(one), other.known
    if own is None:
        gone = one.missing is not None and one.missing.why is Why.LOST
        return () if gone else None
    address = "" if there is None or isinstance(there.pci_bus_id, Unread) else there.pci_bus_id
    direct = [link for link in own if link.active and address and link.peer_bus_id == address]
    up = [link for link in own if link.active and link.far_end is FarEnd.SWITCH]
    return direct or up


def _is_sure(side: Sequence[NvLink], pair: Pair | None) -> bool:
    """Whether one end is enough: an NVLink that leads to the switch says nothing of who else reaches it."""
    reached = pair is not None and pair.p2p_nvlink is True
    return reached or not any(link.far_end is FarEnd.SWITCH for link in side)


def _narrower(sides: Sequence[Sequence[NvLink]]) -> tuple[int, int | None]:
    """How many NVLinks and MB/s the worse of two directions has; speeds None where one is not told."""
    count = min(len(side) for side in sides)
    speeds = [[link.mbps for link in side if not isinstance(link.mbps, Unread)] for side in sides]
    if any(len(some) < len(side) for some, side in zip(speeds, sides, strict=True)):
        return count, None
    return count, min(sum(some) for some in speeds)


def _fields(pair: Pair, *, nvlinks: bool) -> Iterator[tuple[str, Told[bool] | Told[PcieLevel]]]:
    yield "links.pcieLevel", pair.level
    yield "links.p2p", pair.p2p
    if nvlinks:
        yield "links.p2p", pair.p2p_nvlink


def _known(told: Told[bool] | None) -> bool | UnsetType:
    return UNSET if told is None or isinstance(told, Unread) else told
