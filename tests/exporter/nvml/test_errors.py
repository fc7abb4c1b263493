"""Every call that a full look at a node makes, failing in every way for one GPU: only what hangs on it is missing."""

from collections.abc import Iterator

import msgspec
import pytest

from scheduler.exporter.backend import DriverError
from scheduler.exporter.nvml.backend import PynvmlBackend
from scheduler.exporter.reading import DeviceFacts, DeviceState, Pair, Unread, Why
from scheduler.exporter.simulated.node import Placed
from tests.exporter.made import slots
from tests.exporter.nvml.conftest import Open
from tests.exporter.nvml.fakelib import FakeLib

MACHINE = "a100_sxm4_x4_direct"
INSTANCES = (Placed(gpu=0, profile="3g.20gb", start=0), Placed(gpu=1, profile="1g.5gb", start=6))

CODES = {
    "not supported": (3, Why.NOT_SUPPORTED),
    "not found": (6, Why.NO_DATA),
    "invalid argument": (2, Why.NOT_SUPPORTED),
    "no permission": (4, Why.NO_PERMISSION),
    "lost": (15, Why.LOST),
    "function not found": (13, Why.OLD_DRIVER),
    "unknown": (999, Why.FAILED),
    "no data": (21, Why.NO_DATA),
    "timeout": (10, Why.TIMED_OUT),
    "reset required": (16, Why.FAILED),
}

OTHERWISE = {
    "nvmlDeviceGetMigDeviceHandleByIndex": [Why.NO_DATA],  # A device that is not there any more.
    "nvmlDeviceGetGpuFabricInfoV": [Why.NOT_SUPPORTED],  # The older call says so.
}
NOTHING = frozenset[str]()
LINKS = frozenset({"nvlinks"})

FIELDS: dict[str, frozenset[str]] = {
    "nvmlDeviceGetIndex": frozenset({"facts"}),
    "nvmlDeviceGetName": frozenset({"model"}),
    "nvmlDeviceGetMemoryInfo_v2": NOTHING,  # Version 1 answers.
    "nvmlDeviceGetPciInfo_v3": frozenset({"pci_bus_id"}),
    "nvmlDeviceGetMinorNumber": frozenset({"minor"}),
    "nvmlDeviceGetSerial": frozenset({"serial"}),
    "nvmlDeviceGetArchitecture": frozenset({"architecture"}),
    "nvmlDeviceGetCudaComputeCapability": frozenset({"compute_capability"}),
    "nvmlDeviceGetGpuInstanceProfileInfoV": frozenset({"mig_profiles", "instances"}),
    "nvmlDeviceGetGpuInstancePossiblePlacements_v2": frozenset({"mig_profiles"}),
    "nvmlDeviceGetMigMode": frozenset({"mig_mode", "instances"}),
    "nvmlDeviceGetGpuInstances": frozenset({"instances"}),
    "nvmlDeviceGetMaxMigDeviceCount": frozenset({"instances"}),
    "nvmlDeviceGetMigDeviceHandleByIndex": frozenset({"instances"}),
    "nvmlDeviceGetNvLinkState": LINKS,
    "nvmlDeviceGetNvLinkVersion": LINKS,
    "nvmlDeviceGetNvLinkRemoteDeviceType": NOTHING,  # The address is that of a GPU of the machine.
    "nvmlDeviceGetNvLinkRemotePciInfo_v2": LINKS,
    "nvmlDeviceGetFieldValues": frozenset({"nvlinks", "recovery_action"}),
    "nvmlDeviceGetGpuFabricInfoV": frozenset({"fabric"}),
    "nvmlDeviceGetGpuFabricInfo": frozenset({"fabric"}),
    "nvmlDeviceGetTotalEccErrors": frozenset({"ecc"}),
    "nvmlDeviceGetRemappedRows": frozenset({"remapped"}),
    "nvmlDeviceGetUtilizationRates": frozenset({"utilisation"}),
    "nvmlDeviceGetComputeMode": frozenset({"exclusive_process"}),
    "nvmlDeviceGetTopologyCommonAncestor": frozenset({"level"}),
    "nvmlDeviceGetP2PStatus": frozenset({"p2p", "p2p_nvlink"}),
    "nvmlDeviceGetUUID": NOTHING,  # The GPU is found by its UUID instead.
    "nvmlDeviceGetHandleByIndex_v2": NOTHING,  # Likewise.
}
"""What may be missing of a GPU when a call fails for it."""

Seen = tuple[DeviceFacts | Unread, DeviceState | Unread, Pair]


def look(backend: PynvmlBackend, lib: FakeLib) -> list[Seen]:
    """All there is to read, with the pair of each GPU and the next one."""
    slots(backend)
    own = lib.node.uuids
    return [
        (backend.facts(uuid), backend.state(uuid), backend.pair(uuid, own[(gpu + 1) % len(own)]))
        for gpu, uuid in enumerate(own)
    ]


def fields(seen: Seen) -> dict[str, object]:
    facts, state, pair = seen
    found: dict[str, object] = {"facts": facts} if isinstance(facts, Unread) else {}
    for record in (facts, state, pair):
        if not isinstance(record, Unread):
            found |= {name: getattr(record, name) for name in record.__struct_fields__}
    return found


def unreads(value: object) -> Iterator[Unread]:
    if isinstance(value, Unread):
        yield value
    elif isinstance(value, tuple):
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            yield from unreads(part)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from unreads(getattr(value, name))


def test_the_table_names_every_call_that_is_made(opened: Open) -> None:
    backend, lib = opened(MACHINE, instances=INSTANCES)
    look(backend, lib)
    of_no_gpu = {"nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlErrorString"}
    of_instances = {"nvmlGpuInstanceGetInfo", "nvmlDeviceGetAttributes_v2", "nvmlDeviceGetGpuInstanceId"}
    system = {name for name in lib.seen if name.startswith("nvmlSystem")}
    assert set(lib.seen) - system - of_no_gpu - of_instances == set(FIELDS) - {"nvmlDeviceGetGpuFabricInfo"}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("call", FIELDS)
def test_one_call_fails_for_one_gpu(opened: Open, call: str, code: str) -> None:
    backend, lib = opened(MACHINE, instances=INSTANCES)
    usual = look(backend, lib)
    number, why = CODES[code]
    lib.fail_on[call, 0] = number
    seen = look(backend, lib)
    assert seen[1:-1] == usual[1:-1]
    assert seen[-1][:2] == usual[-1][:2]
    before, after = fields(usual[0]), fields(seen[0])
    gone = {name for name in before if name not in after}
    if gone:
        told = [record for record in seen[0][:2] if isinstance(record, Unread)]
        assert {record.why for record in told} == {why}
        assert why is Why.LOST or FIELDS[call] == {"facts"}
        return
    for name in {name for name in before if before[name] != after[name]}:
        assert name in FIELDS[call]
        new = set(unreads(after[name])) - set(unreads(before[name]))
        assert {told.why for told in new} <= {why, *OTHERWISE.get(call, ())}
        assert all(told.said for told in new if told.why is Why.FAILED)


MISSING_WHOLE = {
    call: next(iter(names))
    for call, names in FIELDS.items()
    if len(names) == 1 and call not in {"nvmlDeviceGetGpuFabricInfo", "nvmlDeviceGetGpuInstancePossiblePlacements_v2"}
}


@pytest.mark.parametrize("code", ["no permission", "unknown", "no data", "timeout"])
@pytest.mark.parametrize("call", MISSING_WHOLE)
def test_a_field_is_missing_with_the_reason_of_its_call(opened: Open, call: str, code: str) -> None:
    backend, lib = opened(MACHINE, instances=INSTANCES)
    number, why = CODES[code]
    lib.fail_on[call, 0] = number
    after = fields(look(backend, lib)[0])
    assert (
        why in {told.why for told in unreads(after[MISSING_WHOLE[call]])}
        or call == "nvmlDeviceGetNvLinkRemotePciInfo_v2"
    )


@pytest.mark.parametrize("call", FIELDS)
def test_a_symbol_that_an_old_driver_lacks(opened: Open, call: str) -> None:
    backend, lib = opened(MACHINE, instances=INSTANCES, ready=False)
    lib.missing.add(call)
    backend.open()
    for slot in slots(backend):
        assert isinstance(slot.uuid, str) or call in {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"}
    for seen in look(backend, lib):
        told = {one.why for one in unreads(seen)} - {Why.NOT_SUPPORTED}
        assert told <= {Why.OLD_DRIVER}


def open_and_count(backend: PynvmlBackend) -> None:
    backend.open()
    slots(backend)


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2"])
@pytest.mark.parametrize("code", CODES)
def test_a_driver_that_cannot_be_opened_or_count(opened: Open, call: str, code: str) -> None:
    backend, lib = opened(MACHINE, ready=False)
    lib.fail[call] = CODES[code][0]
    with pytest.raises(DriverError, match=r"^the driver cannot (be opened|count its GPUs): "):
        open_and_count(backend)


@pytest.mark.parametrize("code", [1, 9, 12, 18])
@pytest.mark.parametrize("call", FIELDS)
def test_a_driver_that_is_gone_ends_any_call(opened: Open, call: str, code: int) -> None:
    backend, lib = opened(MACHINE, instances=INSTANCES)
    if call == "nvmlDeviceGetGpuFabricInfo":
        lib.missing.add("nvmlDeviceGetGpuFabricInfoV")
    lib.fail[call] = code
    with pytest.raises(DriverError):
        look(backend, lib)
