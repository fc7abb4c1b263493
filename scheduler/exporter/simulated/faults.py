"""What can be wrong with a simulated node, and how people write it: `lost:2`, `nvlink:3.5`, `xid:4=79`."""

import re
from collections.abc import Sequence
from enum import Enum

import msgspec

from scheduler.exporter.reading import DeviceFacts, DeviceState, Pair

FIELDS = tuple(
    name.replace("_", "-")
    for name in (
        *(n for n in DeviceFacts.__struct_fields__ if n not in {"index", "uuid"}),
        *(n for n in DeviceState.__struct_fields__ if n != "uuid"),
        *(n for n in Pair.__struct_fields__ if n not in {"a", "b"}),
    )
)
"""What `field` can take away."""

_MOST_GPU = 255
_MOST_NUMBER = 1_000_000


class BadFaultError(ValueError):
    """A fault that cannot be; the message is a sentence for who wrote it."""


class Kind(Enum):
    """Kinds of fault, by the word that people write."""

    LOST = "lost"
    ABSENT = "absent"
    NVLINK = "nvlink"
    XID = "xid"
    ECC = "ecc"
    ROWS = "rows"
    PENDING_ROWS = "pending-rows"
    RECOVERY = "recovery"
    FABRIC = "fabric"
    MIG = "mig"
    UNWATCHED = "unwatched"
    HANG = "hang"
    DRIVER = "driver"
    FIELD = "field"


class Fault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fault, of GPU number `gpu` of the machine (whatever its index now), or of all where that is None.

    `number` is the link of `nvlink` (None: all), the Xid of `xid`, the errors of `ecc`, the action of `recovery`.
    `field` is what `field` takes away, one of `FIELDS`.
    """

    kind: Kind
    gpu: int | None = None
    number: int | None = None
    field: str = ""

    def __str__(self) -> str:
        """As people write it; `parse_fault` of it is the same fault."""
        parts = [self.kind.value]
        if self.field:
            parts.append(self.field)
        if self.gpu is not None:
            parts.append(f"{self.gpu}.{self.number}" if self._has_link() else str(self.gpu))
        number = "" if self.number is None or self._has_link() else f"={self.number}"
        return ":".join(parts) + number

    def _has_link(self) -> bool:
        return self.kind is Kind.NVLINK and self.number is not None


FORMS = {
    Kind.LOST: ("lost:GPU", "fell off the bus: the driver counts it and cannot reach it"),
    Kind.ABSENT: ("absent:GPU", "the driver no longer counts it"),
    Kind.NVLINK: ("nvlink:GPU or nvlink:GPU.LINK", "all its NVLinks are down, or one"),
    Kind.XID: ("xid:GPU=NUMBER", "the driver reports this error once, as soon as somebody listens"),
    Kind.ECC: ("ecc:GPU or ecc:GPU=COUNT", "memory errors that could not be corrected"),
    Kind.ROWS: ("rows:GPU", "no spare rows of memory are left"),
    Kind.PENDING_ROWS: ("pending-rows:GPU", "rows of memory wait for a reset to be replaced"),
    Kind.RECOVERY: ("recovery:GPU or recovery:GPU=ACTION", "the driver asks for a reset (1) or another action"),
    Kind.FABRIC: ("fabric:GPU", "it has left the fabric that spans nodes"),
    Kind.MIG: ("mig:GPU", "its MIG mode changes at the next reset"),
    Kind.UNWATCHED: ("unwatched:GPU", "the driver cannot report its errors"),
    Kind.HANG: ("hang or hang:GPU", "calls do not return until it is healed"),
    Kind.DRIVER: ("driver", "the driver is gone"),
    Kind.FIELD: ("field:NAME or field:NAME:GPU", "the driver does not tell this field"),
}
"""How each kind is written, and what it means."""

_PATTERNS = {
    Kind.NVLINK: r"(?P<gpu>\d+)(\.(?P<number>\d+))?",
    Kind.XID: r"(?P<gpu>\d+)=(?P<number>\d+)",
    Kind.ECC: r"(?P<gpu>\d+)(=(?P<number>\d+))?",
    Kind.RECOVERY: r"(?P<gpu>\d+)(=(?P<number>\d+))?",
    Kind.HANG: r"(?P<gpu>\d+)?",
    Kind.DRIVER: r"",
    Kind.FIELD: r"(?P<field>[a-z0-9-]+)(:(?P<gpu>\d+))?",
}
_PLAIN = r"(?P<gpu>\d+)"


def parse_fault(text: str) -> Fault:
    """The fault that `text` says.

    Raises:
        BadFaultError: it says none; the message quotes it and says what is allowed.
    """
    word, colon, rest = text.strip().partition(":")
    kind = next((kind for kind in Kind if kind.value == word), None)
    if kind is None:
        allowed = ", ".join(FORMS[kind][0] for kind in Kind)
        raise BadFaultError(f'fault "{text}" is unknown; allowed: {allowed}')
    found = re.fullmatch(_PATTERNS.get(kind, _PLAIN), rest, re.ASCII)
    if found is None or bool(colon) != bool(rest):
        raise BadFaultError(f'fault "{text}" cannot be read; it is written {FORMS[kind][0]}')
    parts = found.groupdict()
    field = parts.get("field") or ""
    if field and field not in FIELDS:
        raise BadFaultError(f'fault "{text}": field "{field}" is unknown; allowed: {", ".join(FIELDS)}')
    return Fault(
        kind=kind,
        gpu=_number(text, parts.get("gpu"), _MOST_GPU),
        number=_number(text, parts.get("number"), _MOST_NUMBER),
        field=field,
    )


def check_fault(fault: Fault, *, machine: str, links: Sequence[int]) -> None:
    """That a machine can have this fault; `links` says how many NVLinks each of its GPUs has.

    Raises:
        BadFaultError: it has no such GPU or NVLink.
    """
    if fault.gpu is None:
        return
    if fault.gpu >= len(links):
        raise BadFaultError(f'fault "{fault}": {machine} has the GPUs 0 to {len(links) - 1}')
    if fault.kind is not Kind.NVLINK:
        return
    has = links[fault.gpu]
    if not has:
        raise BadFaultError(f'fault "{fault}": GPU {fault.gpu} of {machine} has no NVLinks')
    if fault.number is not None and fault.number >= has:
        raise BadFaultError(f'fault "{fault}": GPU {fault.gpu} of {machine} has the NVLinks 0 to {has - 1}')


def _number(text: str, digits: str | None, most: int) -> int | None:
    if digits is None:
        return None
    if len(digits) > len(str(most)) or int(digits) > most:
        raise BadFaultError(f'fault "{text}": {digits[:20]} is too large; at most {most} is allowed')
    return int(digits)
