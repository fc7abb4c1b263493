"""What is remembered of GPUs from one look to the next."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import UnsetType

from scheduler.exporter.node import DeviceKnown
from scheduler.exporter.reading import DeviceFacts, DeviceState, Slot, Told, Unread, Why, Xid
from scheduler.kube.wire_report import Report, ReportDevice

LOST = Unread(why=Why.LOST)
T = TypeVar("T")

_NO_DATA = Unread(why=Why.NO_DATA)
_NOT_LOOKED = Unread(why=Why.NO_DATA, said="it was not looked at yet")

_NAMELESS = "unknown-at-"
_CAPABILITY = re.compile(r"(\d+)\.(\d+)", re.ASCII)


def place(
    before: Mapping[str, DeviceKnown], told: Sequence[str], nameless: Sequence[Slot]
) -> tuple[dict[str, DeviceKnown], list[str]]:
    """All GPUs, with those lost that the driver no longer tells; and which of these may answer to their UUID still.

    A GPU whose UUID the driver does not tell is taken for one that is remembered and missing; where none is, it is
    reported by its place. Where all that are missing hang, nothing more is asked of them.
    """
    kept = {uuid: one for uuid, one in before.items() if not uuid.startswith(_NAMELESS)}
    found = {uuid: kept.get(uuid) or DeviceKnown(uuid=uuid, facts=_NOT_LOOKED, state=_NOT_LOOKED) for uuid in told}
    missing = [uuid for uuid in kept if uuid not in found]
    reasons = [slot.uuid if isinstance(slot.uuid, Unread) else LOST for slot in nameless]
    # A GPU that may not be lost is not taken for one that was: what it reported before would be forgiven.
    reason = next((why for why in reasons if why.why is not Why.LOST), LOST)
    found |= {uuid: unseen(kept[uuid], reason) for uuid in missing}
    for slot, why in zip(nameless[len(missing) :], reasons[len(missing) :], strict=True):
        name = f"{_NAMELESS}{slot.index}"
        found[name] = DeviceKnown(uuid=name, facts=why, state=why)
    all_hang = len(nameless) == len(missing) and all(why.why is Why.TIMED_OUT for why in reasons)
    return found, missing if nameless and not all_hang else []


def seen(before: DeviceKnown, facts: Told[DeviceFacts], state: Told[DeviceState]) -> DeviceKnown:
    """A GPU after a look at it. One that was lost, or has begun to count anew, was initialised meanwhile.

    Errors of a MIG instance go with it: what they leave in the memory is told by the GPU's counts and rows.
    """
    if isinstance(state, Unread):
        lost = isinstance(facts, Unread) and facts.why is Why.LOST
        return _with(before, facts=facts, state=LOST if lost else state)
    again = _reset(before, state)
    links = () if isinstance(state.nvlinks, Unread) else state.nvlinks
    up = frozenset(link.link for link in links if link.active)
    return _with(
        before,
        facts=facts,
        state=state,
        errors=() if again else _lasting(before.errors, state),
        links_up=(frozenset[int]() if again else before.links_up) | up,
    )


def unseen(before: DeviceKnown, why: Unread) -> DeviceKnown:
    """A GPU that cannot be looked at."""
    return _with(before, facts=before.facts, state=why)


def initialised(before: DeviceKnown) -> DeviceKnown:
    """A GPU after the driver started anew: errors and links of before count no more."""
    return _with(before, facts=before.facts, state=before.state, errors=(), links_up=frozenset())


def erred(before: DeviceKnown, error: Xid) -> DeviceKnown:
    """A GPU of which the driver reported an error; one of the same kind is not repeated."""
    errors = before.errors if error in before.errors else (*before.errors, error)
    return msgspec.structs.replace(before, errors=errors)


def joined(now: DeviceKnown, before: DeviceKnown) -> DeviceKnown:
    """A GPU with what was known of it before."""
    errors = tuple(dict.fromkeys((*before.errors, *now.errors)))
    return msgspec.structs.replace(now, errors=errors, before=now.before or before.before)


def watched(before: DeviceKnown, *, heard: bool) -> DeviceKnown:
    """A GPU of which the driver reports errors, or cannot."""
    return before if before.unwatched is not heard else msgspec.structs.replace(before, unwatched=not heard)


def mig_changed(before: DeviceKnown, after: DeviceKnown) -> bool:
    """Whether MIG was turned on or off between two looks."""
    old, new = before.state, after.state
    if isinstance(old, Unread) or isinstance(new, Unread):
        return False
    return old.mig_mode != new.mig_mode


def restored(report: Report) -> Iterator[DeviceKnown]:
    """GPUs as an earlier report of the same boot of the node has them."""
    for told in report.devices:
        if told.uuid.startswith(_NAMELESS):
            continue
        xids = () if isinstance(told.health.xids, UnsetType) else told.health.xids
        errors = tuple(Xid(uuid=told.uuid, number=number) for number in xids)
        yield DeviceKnown(uuid=told.uuid, facts=_NOT_LOOKED, state=_NOT_LOOKED, before=_facts(told), errors=errors)


def _facts(told: ReportDevice) -> DeviceFacts:
    capability = (
        None if isinstance(told.compute_capability, UnsetType) else _CAPABILITY.fullmatch(told.compute_capability)
    )
    return DeviceFacts(
        index=told.index,
        uuid=told.uuid,
        model=told.model,
        memory_mib=_or_unread(told.memory_mib),
        pci_bus_id=_or_unread(told.pci_bus_id),
        minor=_or_unread(told.minor_number),
        serial=_NO_DATA,
        numa_node=_or_unread(told.numa_node),
        architecture=_or_unread(told.architecture),
        compute_capability=(int(capability[1]), int(capability[2])) if capability else _NO_DATA,
        mig_profiles=_NO_DATA,
    )


def _or_unread(told: T | UnsetType) -> T | Unread:
    return _NO_DATA if isinstance(told, UnsetType) else told


def _lasting(errors: tuple[Xid, ...], state: DeviceState) -> tuple[Xid, ...]:
    """Errors of the GPU, and of instances that it has still."""
    if isinstance(state.instances, Unread):
        return errors
    there = {one.gpu_instance for one in state.instances}
    return tuple(one for one in errors if one.gpu_instance is None or one.gpu_instance in there)


def _reset(before: DeviceKnown, state: DeviceState) -> bool:
    """Whether the GPU was initialised between two looks: it was lost, or counts fewer memory errors than it did."""
    if isinstance(before.state, Unread):
        return before.state.why is Why.LOST
    old, new = before.state.ecc, state.ecc
    if isinstance(old, Unread) or isinstance(new, Unread):
        return False
    return new.uncorrected < old.uncorrected or new.corrected < old.corrected


def _with(
    before: DeviceKnown,
    *,
    facts: Told[DeviceFacts],
    state: Told[DeviceState],
    errors: tuple[Xid, ...] | None = None,
    links_up: frozenset[int] | None = None,
) -> DeviceKnown:
    return DeviceKnown(
        uuid=before.uuid,
        facts=facts,
        state=state,
        before=before.known if isinstance(facts, Unread) else facts,
        errors=before.errors if errors is None else errors,
        links_up=before.links_up if links_up is None else links_up,
        unwatched=before.unwatched,
    )
