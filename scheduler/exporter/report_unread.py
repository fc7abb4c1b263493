"""What could not be read of a node, by the fields of the GPUNode, with the reasons."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from scheduler.exporter.health import LONGEST_REASON, explain
from scheduler.exporter.node import DeviceKnown, NodeKnown
from scheduler.exporter.reading import DeviceFacts, DeviceState, Unread, Why
from scheduler.exporter.report_links import nvlinks_of, unread_pairs
from scheduler.kube.wire_report import ReportUnread

_FACTS: Mapping[str, Callable[[DeviceFacts], object]] = {
    "model": lambda facts: facts.model,
    "memoryMiB": lambda facts: facts.memory_mib,
    "pciBusId": lambda facts: facts.pci_bus_id,
    "numaNode": lambda facts: facts.numa_node,
    "minorNumber": lambda facts: facts.minor,
    "architecture": lambda facts: facts.architecture,
    "computeCapability": lambda facts: facts.compute_capability,
}
_STATE: Mapping[str, Callable[[DeviceState], object]] = {
    "nvlinks": lambda state: state.nvlinks,
    "fabric": lambda state: state.fabric,
    "ecc": lambda state: state.ecc,
    "remappedRows": lambda state: state.remapped,
    "recoveryAction": lambda state: state.recovery_action,
}


def unread_of_device(one: DeviceKnown, links: Unread | None = None) -> Iterator[ReportUnread]:
    """What is missing of a GPU; `links`: why its links were never asked for, if so.

    That it cannot be divided is said by its MIG mode.
    """
    known = one.known
    if known is None:
        yield _missing("facts", one.facts)
    else:
        for field, read in _FACTS.items():
            yield from _if_unread(field, read(known))
        yield from _divisible("migProfiles", known.mig_profiles)
        if not isinstance(known.mig_profiles, Unread):
            starts = [each.starts for each in known.mig_profiles if isinstance(each.starts, Unread)]
            yield from (_missing("migProfiles", each) for each in starts[:1])
    if links is not None:
        yield _missing("links", links)
    if isinstance(one.state, Unread):
        yield _missing("state", one.state)
        return
    yield from _divisible("migMode", one.state.mig_mode)
    yield from _divisible("migInstances", one.state.instances)
    for field, read in _STATE.items():
        yield from _if_unread(field, read(one.state))
    up = [link for link in nvlinks_of(one) or () if link.active]
    for field, unread in (
        ("nvlinkVersion", [link.generation for link in up if isinstance(link.generation, Unread)]),
        ("links.gigabytesPerSecond", [link.mbps for link in up if isinstance(link.mbps, Unread)]),
        ("links", [link.far_end for link in up if isinstance(link.far_end, Unread)]),
    ):
        yield from (_missing(field, each) for each in unread[:1])
    if one.unwatched:
        yield ReportUnread(field="xids", reason="the driver cannot report errors of this GPU")


def unread_of_node(node: NodeKnown, order: Sequence[DeviceKnown]) -> Iterator[ReportUnread]:
    """What is missing of the node as a whole."""
    if node.problem:
        yield ReportUnread(field="devices", reason=node.problem[:LONGEST_REASON])
    elif isinstance(node.driver, Unread):
        yield _missing("driverVersion", node.driver)
    if not isinstance(node.driver, Unread):
        yield from _if_unread("driverVersion", node.driver.version)
        yield from _if_unread("cudaVersion", node.driver.cuda)
    for field, told in unread_pairs(node, order).items():
        yield _missing(field, told)
    yield from _if_unread("holdings", node.held)
    yield from _if_unread("sharing", node.sharing)


def _divisible(field: str, told: object) -> Iterator[ReportUnread]:
    if isinstance(told, Unread) and told.why is not Why.NOT_SUPPORTED:
        yield _missing(field, told)


def _if_unread(field: str, told: object) -> Iterator[ReportUnread]:
    if isinstance(told, Unread):
        yield _missing(field, told)


def _missing(field: str, told: object) -> ReportUnread:
    reason = explain(told) if isinstance(told, Unread) else "it is not told"
    return ReportUnread(field=field, reason=reason[:LONGEST_REASON])
