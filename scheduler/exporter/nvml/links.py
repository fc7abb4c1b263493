"""How GPUs are linked: the NVLinks of one, and what lies between two."""

from collections.abc import Collection
from typing import Any

from scheduler.exporter.nvml.calls import INVALID_ARGUMENT, NOT_SUPPORTED, CallError, Calls, bus_id
from scheduler.exporter.nvml.fields import field_values
from scheduler.exporter.reading import FarEnd, NvLink, Pair, PcieLevel, Told, Unread, Why

_MOST_LINKS = 64
"""Where counting through ends at the latest. NVML_NVLINK_MAX_LINKS was 18 and 36 in turn."""

_GENERATIONS = {1: "1.0", 2: "2.0", 3: "2.2", 4: "3.0", 5: "3.1", 6: "4.0", 7: "5.0", 8: "6.0"}
"""nvml.h, NVML_NVLINK_VERSION_*: a number in a list, which is not the generation."""

_TYPE_GPU, _TYPE_SWITCH = 0, 2
"""nvml.h, nvmlIntNvLinkDeviceType_t."""

_SPEED, _COMMON_SPEED = 164, 90
"""nvml.h, NVML_FI_DEV_NVLINK_GET_SPEED with the link as scope, and NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: MB/s."""

_LEVELS = {
    0: PcieLevel.INTERNAL,
    10: PcieLevel.PIX,
    20: PcieLevel.PXB,
    30: PcieLevel.PHB,
    40: PcieLevel.NODE,
    50: PcieLevel.SYS,
}
"""nvml.h, nvmlGpuTopologyLevel_t."""

_P2P_READ, _P2P_NVLINK = 0, 2
"""nvml.h, nvmlGpuP2PCapsIndex_t. The constant of this name in pynvml is a tuple, which no call takes."""
_P2P_OK, _P2P_UNKNOWN = 0, 6


def links_of(calls: Calls, handle: object, local: Collection[str]) -> Told[tuple[NvLink, ...]]:
    """The NVLinks of a GPU; `local` are the PCI addresses of the machine's GPUs. Empty where it has none."""
    try:
        states = _states(calls, handle)
    except CallError as err:
        return err.unread()
    speeds = _speeds(calls, handle, list(states)) if states else {}
    return tuple(_link(calls, handle, (link, active, speeds[link]), local) for link, active in states.items())


def pair_of(calls: Calls, a: tuple[str, Told[object]], b: tuple[str, Told[object]]) -> Pair:
    """What connects two GPUs, each given by its UUID and handle."""
    (one, first), (other, second) = a, b
    missing = next((handle for handle in (first, second) if isinstance(handle, Unread)), None)
    if missing is not None:
        return Pair(a=one, b=other, level=missing, p2p=missing, p2p_nvlink=missing)
    return Pair(
        a=one,
        b=other,
        level=calls.ask(_level, "nvmlDeviceGetTopologyCommonAncestor", first, second),
        p2p=calls.ask(_p2p, "nvmlDeviceGetP2PStatus", first, second, _P2P_READ),
        p2p_nvlink=calls.ask(_p2p, "nvmlDeviceGetP2PStatus", first, second, _P2P_NVLINK),
    )


def _states(calls: Calls, handle: object) -> dict[int, bool]:
    """Whether each link that there is works. Not supported: this one is not there; invalid argument: no more are."""
    states: dict[int, bool] = {}
    for link in range(_MOST_LINKS):
        try:
            states[link] = bool(calls.call("nvmlDeviceGetNvLinkState", handle, link))
        except CallError as err:
            if err.code == INVALID_ARGUMENT:
                break
            if err.code != NOT_SUPPORTED:
                raise
    return states


def _link(calls: Calls, handle: object, told: tuple[int, bool, Told[int]], local: Collection[str]) -> NvLink:
    link, active, mbps = told
    far_end, peer = _far_end(calls, handle, link, local)
    return NvLink(
        link=link,
        active=active,
        far_end=far_end,
        peer_bus_id=peer,
        generation=calls.ask(_generation, "nvmlDeviceGetNvLinkVersion", handle, link),
        mbps=mbps,
    )


def _far_end(calls: Calls, handle: object, link: int, local: Collection[str]) -> tuple[Told[FarEnd], str]:
    """A GPU where the address is that of a local one; else what the driver says it is.

    Addresses of switches are of no use: some are real, some are all ones, and some are made up for a virtual machine.
    """
    kind = calls.ask(int, "nvmlDeviceGetNvLinkRemoteDeviceType", handle, link)
    address = calls.ask(bus_id, "nvmlDeviceGetNvLinkRemotePciInfo", handle, link)
    if isinstance(address, str) and address in local:
        return FarEnd.GPU, address
    if isinstance(kind, Unread):
        return kind, ""
    if kind == _TYPE_GPU:
        return FarEnd.GPU, address if isinstance(address, str) else ""
    return FarEnd.SWITCH if kind == _TYPE_SWITCH else FarEnd.OTHER, ""


def _speeds(calls: Calls, handle: object, links: list[int]) -> dict[int, Told[int]]:
    """Of each link; where the driver tells no link's own speed, the one that all working links share."""
    own = dict(zip(links, field_values(calls, handle, [(_SPEED, link) for link in links]), strict=True))
    if not any(isinstance(speed, Unread) for speed in own.values()):
        return {link: _known(speed) for link, speed in own.items()}
    (common,) = field_values(calls, handle, [(_COMMON_SPEED, 0)])
    return {link: _known(common if isinstance(speed, Unread) else speed) for link, speed in own.items()}


def _known(speed: Told[int]) -> Told[int]:
    return Unread(why=Why.NO_DATA, call="nvmlDeviceGetFieldValues") if speed == 0 else speed


def _generation(number: Any) -> str:  # noqa: ANN401 - a number of pynvml
    if number not in _GENERATIONS:
        raise ValueError(f"NVLink version {number} is not known")
    return _GENERATIONS[number]


def _level(number: Any) -> PcieLevel:  # noqa: ANN401 - a number of pynvml
    if number not in _LEVELS:
        raise ValueError(f"PCIe level {number} is not known")
    return _LEVELS[number]


def _p2p(status: Any) -> bool:  # noqa: ANN401 - a number of pynvml
    if status == _P2P_UNKNOWN:
        raise ValueError("P2P status is not known")
    return bool(status == _P2P_OK)
