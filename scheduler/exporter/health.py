"""Whether work may be given to a GPU: rules over what was read of it, and over what it reported before."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import assert_never

import msgspec

from scheduler.exporter.node import DeviceKnown
from scheduler.exporter.reading import DeviceState, FabricState, Unread, Why
from scheduler.exporter.xids import IGNORED, SUSPECT, TOLD_OTHERWISE, UNHEALTHY

MOST_REASONS = 16
MOST_XIDS = 64
LONGEST_REASON = 256
"""What the definition of GPUNode allows."""

_ACTIONS = {
    1: "a reset of the GPU",
    2: "a reboot of the node",
    3: "its links to other GPUs to be left alone (drain P2P)",
    4: "a reset of the GPU as soon as work has left it",
    5: "its IMEX domain to be recovered",
    6: "a reset of its bus",
    7: "a reboot of the system",
}
"""NVML field 230, GPU_RECOVERY_ACTION (nvml.h, nvmlDeviceGpuRecoveryAction_t)."""

_WORKS_ON = frozenset({3, 5})
"""Actions that concern links to other GPUs or nodes: the GPU itself works."""


class Health(IntEnum):
    """How a GPU is, better ones first."""

    HEALTHY = 0
    SUSPECT = 1
    UNKNOWN = 2
    UNHEALTHY = 3

    @property
    def said(self) -> str:
        """By the name of the GPUNode."""
        return self.name.capitalize()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The worst of what speaks against a GPU, and a sentence for each, worst first."""

    health: Health
    reasons: tuple[str, ...] = ()


def judge(device: DeviceKnown, *, nvlinks: int | None, ignored: frozenset[int] = IGNORED, problem: str = "") -> Verdict:
    """How a GPU is.

    `nvlinks`: how many it should have up; None where that is not known. `ignored`: Xids that say nothing of a GPU.
    `problem`: why no GPU of the node can be looked at, if so.
    """
    found = [*_looks(device, problem), *_errors(device, ignored)]
    if not isinstance(device.state, Unread):
        found += _memory(device.state)
        found += _links(device.state, nvlinks)
        found += _asked(device.state)
    found.sort(key=lambda one: -one[0])
    worst = found[0][0] if found else Health.HEALTHY
    reasons = tuple(dict.fromkeys(text[:LONGEST_REASON] for _, text in found))[:MOST_REASONS]
    return Verdict(health=worst, reasons=reasons)


def explain(unread: Unread) -> str:
    """Why something could not be read, with what the driver said."""
    detail = " ".join(part for part in (unread.call, unread.said) if part)
    return f"{unread.why.value} ({detail})" if detail else unread.why.value


def lasting(device: DeviceKnown, ignored: frozenset[int] = IGNORED) -> tuple[int, ...]:
    """Errors of the GPU as a whole that count until it is initialised anew."""
    passed = ignored | TOLD_OTHERWISE
    numbers = {one.number for one in device.errors if one.gpu_instance is None and one.number not in passed}
    return tuple(sorted(numbers))[:MOST_XIDS]


Finding = tuple[Health, str]


def _looks(device: DeviceKnown, problem: str) -> Iterator[Finding]:
    missing = device.missing
    if problem:
        yield Health.UNKNOWN, f"it could not be looked at: {problem}"
    elif missing is not None and missing.why is Why.LOST:
        yield Health.UNHEALTHY, "it fell off the bus: the driver does not reach it any more"
    elif missing is not None:
        yield Health.UNKNOWN, f"it could not be looked at: {explain(missing)}"


def _errors(device: DeviceKnown, ignored: frozenset[int]) -> Iterator[Finding]:
    for error in device.errors:
        if error.number in ignored or error.number in TOLD_OTHERWISE:
            continue
        suspect = SUSPECT.get(error.number)
        said = suspect or UNHEALTHY.get(error.number, "an error of the driver")
        if error.gpu_instance is not None:
            yield Health.SUSPECT, f"Xid {error.number} of its GPU instance {error.gpu_instance}: {said}"
        else:
            worst = Health.UNHEALTHY if suspect is None else Health.SUSPECT
            yield worst, f"Xid {error.number}, and no reset since: {said}"


def _memory(state: DeviceState) -> Iterator[Finding]:
    ecc, rows = state.ecc, state.remapped
    if not isinstance(ecc, Unread) and ecc.uncorrected:
        plural = "" if ecc.uncorrected == 1 else "s"
        yield Health.UNHEALTHY, f"{ecc.uncorrected} memory error{plural} could not be corrected since the last reset"
    if not isinstance(rows, Unread):
        if rows.failure:
            yield Health.UNHEALTHY, "a faulty row of memory could not be replaced: no spare rows are left"
        elif rows.pending:
            yield Health.SUSPECT, "a faulty row of memory is replaced at the next reset"


def _links(state: DeviceState, wanted: int | None) -> Iterator[Finding]:
    if not isinstance(state.nvlinks, Unread) and wanted:
        up = sum(link.active for link in state.nvlinks)
        if up < wanted:
            yield Health.SUSPECT, _down(up, wanted, [str(link.link) for link in state.nvlinks if not link.active])
    if isinstance(state.fabric, Unread):
        return
    match state.fabric.state:
        case FabricState.NOT_SUPPORTED:
            return
        case FabricState.NOT_STARTED | FabricState.IN_PROGRESS:
            yield Health.SUSPECT, f"it has not joined the NVLink fabric ({state.fabric.state.value})"
        case FabricState.COMPLETED:
            if not state.fabric.healthy:
                yield Health.SUSPECT, "the NVLink fabric reports a fault of it"
        case _:
            assert_never(state.fabric.state)


def _down(up: int, wanted: int, down: Sequence[str]) -> str:
    if not up:
        return f"all of its {wanted} NVLinks are down"
    which = f": {', '.join(down)}" if len(down) == wanted - up else ""
    return f"{wanted - up} of its {wanted} NVLinks {'is' if wanted - up == 1 else 'are'} down{which}"


def _asked(state: DeviceState) -> Iterator[Finding]:
    action = state.recovery_action
    if isinstance(action, Unread) or action == 0:
        return
    said = _ACTIONS.get(action, f"recovery action {action}")
    yield Health.SUSPECT if action in _WORKS_ON else Health.UNHEALTHY, f"the driver asks for {said}"
