"""A report as people read it."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UnsetType

from scheduler.exporter.reading import DeviceState, Unread
from scheduler.kube.wire_report import Report, ReportDevice, ReportHolding, ReportUnread

_HEAD = ("GPU", "HEALTH", "MODEL", "MEMORY", "USED", "BUSY", "PCI", "NUMA", "NVLINKS", "MIG", "UUID")


def show(report: Report, *, node: str, used: Iterable[DeviceState] = ()) -> str:
    """The whole report, in parts with an empty line between them, with how busy GPUs are."""
    now = {one.uuid: one for one in used}
    parts = [
        "\n".join(_summary(report, node)),
        _columns([_HEAD, *(_row(one, now.get(one.uuid)) for one in report.devices)]) if report.devices else "",
        "\n".join(_complaints(report.devices)),
        "\n".join(_slices(report.devices)),
        _matrix(report) if len(report.devices) > 1 else "",
        "\n".join(map(_holding, report.holdings)),
        "\n".join(_unread(report)),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(report: Report, node: str) -> Iterator[str]:
    source = ", simulated" if report.source == "Simulated" else ""
    yield f"node:    {node}{source}"
    if report.driver_version:
        cuda = f", CUDA up to {report.cuda_version}" if report.cuda_version else ""
        yield f"driver:  {report.driver_version}{cuda}"
    yield f"GPUs:    {report.device_count}, of which healthy: {report.healthy_device_count}"
    if report.fabric is not None and report.fabric.clique_id is not None:
        yield f"fabric:  {report.fabric.cluster_uuid}, clique {report.fabric.clique_id}"
    elif report.fabric is not None and report.fabric.state != "NotSupported":
        yield f"fabric:  {report.fabric.state}, no clique across nodes"
    if report.sharing is not None:
        yield f"shared:  {report.sharing.strategy}, {report.sharing.replicas or 'unknown'} pods a GPU"


def _row(one: ReportDevice, now: DeviceState | None) -> tuple[str, ...]:
    version = "" if isinstance(one.nvlink_version, UnsetType) else f" ({one.nvlink_version})"
    nvlinks = "-" if isinstance(one.nvlinks, UnsetType) else f"{_or(one.active_nvlinks, '?')}/{one.nvlinks}{version}"
    memory = "-" if isinstance(one.memory_mib, UnsetType) else f"{one.memory_mib} MiB"
    mig = (
        one.mig_mode if isinstance(one.pending_mig_mode, UnsetType) else f"{one.mig_mode}, {one.pending_mig_mode} later"
    )
    pci, numa = _or(one.pci_bus_id, "-"), _or(one.numa_node, "-")
    used = "-" if now is None or isinstance(now.memory_used_mib, Unread) else f"{now.memory_used_mib} MiB"
    busy = "-" if now is None or isinstance(now.utilisation, Unread) else f"{now.utilisation.gpu_percent} %"
    return (str(one.index), one.health.state, one.model, memory, used, busy, pci, numa, nvlinks, mig, one.uuid)


def _complaints(devices: Sequence[ReportDevice]) -> Iterator[str]:
    for one in devices:
        if not isinstance(one.health.reasons, UnsetType):
            for reason in one.health.reasons:
                yield f"GPU {one.index} is {one.health.state}: {reason}"


def _slices(devices: Sequence[ReportDevice]) -> Iterator[str]:
    for one in devices:
        if one.mig_mode == "Enabled":
            made = () if isinstance(one.mig_instances, UnsetType) else one.mig_instances
            said = ", ".join(f"{each.profile} at {each.start}" for each in made) or "no instances"
            free: dict[str, list[str]] = {}
            for place in () if isinstance(one.free_placements, UnsetType) else one.free_placements:
                free.setdefault(place.profile, []).append(str(place.start))
            room = "; ".join(f"{name} at {', '.join(starts)}" for name, starts in free.items()) or "nothing"
            yield f"GPU {one.index} is divided: {said}. Room for: {room}"


def _matrix(report: Report) -> str:
    """As `nvidia-smi topo -m` has it: NVLinks where there are any, else what lies between on PCIe."""
    said: dict[tuple[int, int], str] = {}
    for link in report.links:
        if link.type == "NVLink":
            said[link.a, link.b] = f"NV{link.count}"
        elif not isinstance(link.pcie_level, UnsetType):
            said.setdefault((link.a, link.b), link.pcie_level)
    indexes = [one.index for one in report.devices]
    rows = [[str(a), *("-" if a == b else said.get((min(a, b), max(a, b)), "?") for b in indexes)] for a in indexes]
    return _columns([["", *map(str, indexes)], *rows])


def _holding(one: ReportHolding) -> str:
    what = ", ".join(one.device_uuids) or "unknown devices"
    return f"{one.pod_namespace}/{one.pod_name} ({one.container}) holds of {one.resource}: {what}"


def _unread(report: Report) -> Iterator[str]:
    found: dict[ReportUnread, list[str]] = {}
    for one in report.unread:
        found.setdefault(one, [])
    for device in report.devices:
        for one in () if isinstance(device.unread, UnsetType) else device.unread:
            found.setdefault(one, []).append(str(device.index))
    for one, gpus in found.items():
        every = len(gpus) == len(report.devices) > 1
        where = " of all GPUs" if every else f" of GPU {', '.join(gpus)}" if gpus else ""
        yield f"not known: {one.field}{where}: {one.reason}"


def _or(told: object, other: str) -> str:
    return other if isinstance(told, UnsetType) else str(told)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
