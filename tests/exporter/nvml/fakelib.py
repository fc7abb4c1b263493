# ruff: noqa: ANN401, N802, SLF001 - C functions by their own names, whose arguments ctypes leaves without types
# pyright: reportPrivateUsage=false
"""The driver's C library, played by Python: functions that take what `pynvml` passes to C and fill what it points to.

What it tells comes from a simulated node, so that the real backend over it can be compared with `FixtureBackend`.
Structures that the backend declares itself are filled by the byte offsets of nvml.h.
"""

import ctypes
import struct
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from scheduler.exporter.simulated.faults import Kind
from scheduler.exporter.simulated.node import Instance, SimulatedNode, bus_id
from scheduler.exporter.simulated.records import ecc_errors, p2p, recovery_action, serial
from tests.exporter.nvml.fakemig import FakeMig
from tests.exporter.nvml.memory import Code, address, fill, point, put, write

INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
TIMEOUT = 10
GPU_IS_LOST = 15

ARCHITECTURES = {"volta": 5, "ampere": 7, "ada-lovelace": 8, "hopper": 9, "blackwell": 10}
VERSIONS = {1: 1, 2: 2, 3: 4, 4: 6, 5: 7}
LEVELS = {"INTERNAL": 0, "PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}
STATES = {"NotSupported": 0, "NotStarted": 1, "InProgress": 2, "Completed": 3}
UINT, ULONGLONG = 1, 3

GPU_AT, SET_AT = 0x1000, 0x9000
GARBAGE = b"\xee" * 3
"""What C leaves in the padding of a structure."""


class FakeLib(FakeMig):
    """`fail` makes a function return a code, for one GPU or all; `missing` are symbols that the library lacks."""

    def __init__(self, node: SimulatedNode) -> None:
        self.node = node
        self.fail: dict[str, int] = {}
        self.fail_on: dict[tuple[str, int], int] = {}
        self.missing: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.opened = 0
        self.watched: set[int] = set()
        self.events: list[tuple[int, int, int]] = []
        self.fabric_versions = {2, 3}
        self.health_mask = 0x51AA
        self.health_summary = 1
        self.wait_code = TIMEOUT
        self.hang: tuple[str, int] | None = None
        """A function, and the GPU of which it does not return until `free` is set."""
        self.free = threading.Event()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name in self.missing:
            raise AttributeError(name)
        try:
            body = object.__getattribute__(self, f"do_{name}")
        except AttributeError:
            raise AttributeError(name) from None

        def function(*args: Any) -> Any:
            self.seen[name] += 1
            try:
                if self.node.has(Kind.DRIVER, None) and name not in {"nvmlErrorString", "nvmlShutdown"}:
                    return DRIVER_NOT_LOADED
                if name in self.fail:
                    return self.fail[name]
                gpus = [self.gpu(arg) for arg in args if self.is_gpu(arg)]
                self.stay(name, args, gpus)
                for gpu in gpus:
                    if (name, gpu) in self.fail_on:
                        return self.fail_on[name, gpu]
                    if not self.node.reachable(gpu):
                        return GPU_IS_LOST
                return body(*args) or 0
            except Code as code:
                return code.number

        return function

    def stay(self, name: str, args: tuple[Any, ...], gpus: list[int]) -> None:
        if name == "nvmlDeviceGetHandleByIndex_v2":
            gpus = self.node.counted()[int(args[0].value) :][:1]
        if self.hang is not None and self.hang[0] == name and self.hang[1] in gpus:
            self.free.wait(60)

    def is_gpu(self, arg: Any) -> bool:
        return isinstance(arg, ctypes._Pointer) and GPU_AT <= address(arg) < GPU_AT + 16 * self.node.size

    def gpu(self, handle: Any) -> int:
        return (address(handle) - GPU_AT) // 16

    def told(self, field: str, gpu: int) -> None:
        if self.node.lacks(field, gpu):
            raise Code(NOT_SUPPORTED)

    def do_nvmlErrorString(self, code: int) -> bytes:
        return f"error {code}".encode()

    def do_nvmlInitWithFlags(self, flags: int) -> None:
        self.opened += 1

    def do_nvmlShutdown(self) -> None:
        self.opened -= 1

    def do_nvmlSystemGetDriverVersion(self, text: Any, size: Any) -> None:
        write(text, "580.95.05", size)

    def do_nvmlSystemGetNVMLVersion(self, text: Any, size: Any) -> None:
        write(text, "13.580.95.05", size)

    def do_nvmlSystemGetCudaDriverVersion_v2(self, number: Any) -> None:
        put(number, 13000)

    def do_nvmlDeviceGetCount_v2(self, count: Any) -> None:
        put(count, len(self.node.counted()))

    def do_nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> None:
        counted = self.node.counted()
        at = int(index.value)
        if at >= len(counted):
            raise Code(INVALID_ARGUMENT)
        if not self.node.reachable(counted[at]):
            raise Code(GPU_IS_LOST)
        point(handle, GPU_AT + 16 * counted[at])

    def do_nvmlDeviceGetHandleByUUID(self, name: Any, handle: Any) -> None:
        wanted = name.value.decode()
        gpu = self.node.uuids.index(wanted) if wanted in self.node.uuids else -1
        if gpu < 0 or self.node.has(Kind.ABSENT, gpu):
            raise Code(NOT_FOUND)
        if not self.node.reachable(gpu):
            raise Code(GPU_IS_LOST)
        point(handle, GPU_AT + 16 * gpu)

    def do_nvmlDeviceGetUUID(self, handle: Any, text: Any, size: Any) -> None:
        write(text, self.node.uuids[self.gpu(handle)] if self.is_gpu(handle) else self.mig(handle)[1].uuid, size)

    def do_nvmlDeviceGetIndex(self, handle: Any, index: Any) -> None:
        put(index, self.node.index(self.gpu(handle)))

    def do_nvmlDeviceGetName(self, handle: Any, text: Any, size: Any) -> None:
        self.told("model", self.gpu(handle))
        write(text, self.node.machine.gpus[self.gpu(handle)].name, size)

    def do_nvmlDeviceGetSerial(self, handle: Any, text: Any, size: Any) -> None:
        self.told("serial", self.gpu(handle))
        write(text, serial(self.node, self.gpu(handle)), size)

    def do_nvmlDeviceGetMinorNumber(self, handle: Any, number: Any) -> None:
        self.told("minor", self.gpu(handle))
        put(number, self.gpu(handle))

    def do_nvmlDeviceGetArchitecture(self, handle: Any, number: Any) -> None:
        self.told("architecture", self.gpu(handle))
        put(number, ARCHITECTURES[self.node.machine.gpus[self.gpu(handle)].architecture])

    def do_nvmlDeviceGetCudaComputeCapability(self, handle: Any, major: Any, minor: Any) -> None:
        self.told("compute_capability", self.gpu(handle))
        for number, part in zip(
            (major, minor), self.node.machine.gpus[self.gpu(handle)].compute.split("."), strict=True
        ):
            put(number, int(part))

    def do_nvmlDeviceGetPciInfo_v3(self, handle: Any, info: Any) -> None:
        self.told("pci_bus_id", self.gpu(handle))
        fill(info, busId=f"0000{bus_id(self.gpu(handle)).upper()}".encode())

    def do_nvmlDeviceGetMemoryInfo(self, handle: Any, info: Any) -> None:
        self.told("memory_mib", self.gpu(handle))
        fill(info, total=self.node.machine.gpus[self.gpu(handle)].memory_mib << 20, used=0)

    def do_nvmlDeviceGetMemoryInfo_v2(self, handle: Any, info: Any) -> None:
        assert info._obj.version == 0x02000028
        self.do_nvmlDeviceGetMemoryInfo(handle, info)

    def do_nvmlDeviceGetMemoryAffinity(self, handle: Any, words: int, bits: Any, scope: Any) -> None:
        self.told("numa_node", self.gpu(handle))
        assert scope.value == 0
        node = self.node.machine.numa[self.gpu(handle)]
        bits._obj[node // 64] = 1 << node % 64

    def do_nvmlDeviceGetTopologyCommonAncestor(self, a: Any, b: Any, level: Any) -> None:
        for handle in (a, b):
            self.told("level", self.gpu(handle))
        told = self.node.machine.levels[self.gpu(a)][self.gpu(b)]
        assert told is not None
        put(level, LEVELS[told.value])

    def do_nvmlDeviceGetP2PStatus(self, a: Any, b: Any, index: int, status: Any) -> None:
        for handle in (a, b):
            self.told({0: "p2p", 2: "p2p_nvlink"}[index], self.gpu(handle))
        is_ok = {0: p2p, 2: SimulatedNode.nvlinked}[index](self.node, self.gpu(a), self.gpu(b))
        put(status, 0 if is_ok else 5)

    def lane(self, handle: Any, link: int) -> Any:
        lanes = self.node.machine.lanes[self.gpu(handle)]
        if not lanes:
            raise Code(NOT_SUPPORTED)
        if link >= len(lanes):
            raise Code(INVALID_ARGUMENT)
        return lanes[link]

    def do_nvmlDeviceGetNvLinkState(self, handle: Any, link: int, active: Any) -> None:
        self.lane(handle, link)
        put(active, int(self.node.lane_up(self.gpu(handle), link)))

    def do_nvmlDeviceGetNvLinkVersion(self, handle: Any, link: int, version: Any) -> None:
        self.lane(handle, link)
        put(version, VERSIONS[self.node.machine.nvlink_generation])

    def do_nvmlDeviceGetNvLinkRemoteDeviceType(self, handle: Any, link: int, kind: Any) -> None:
        put(kind, 2 if self.lane(handle, link).peer is None else 0)

    def do_nvmlDeviceGetNvLinkRemotePciInfo_v2(self, handle: Any, link: int, info: Any) -> None:
        lane = self.lane(handle, link)
        there = f"0000{lane.switch if lane.peer is None else bus_id(lane.peer)}"
        fill(info, busId=(there.upper() if there != "0000" else "FFFFFFFF:FF:FF.0").encode())

    def do_nvmlDeviceGetFieldValues(self, handle: Any, count: Any, values: Any) -> None:
        gpu = self.gpu(handle)
        for value in values._obj:
            value.nvmlReturn, value.valueType = 0, UINT
            if value.fieldId == 230 and not self.node.lacks("recovery_action", gpu):
                value.value.uiVal = recovery_action(self.node, gpu)
            elif value.fieldId == 164 and value.scopeId < len(self.node.machine.lanes[gpu]):
                value.valueType, value.value.ullVal = ULONGLONG, self.node.machine.nvlink_mbps
            else:
                value.nvmlReturn = NOT_SUPPORTED

    def do_nvmlDeviceGetGpuFabricInfo(self, handle: Any, info: Any) -> None:
        raw = self.fabric(self.gpu(handle))
        ctypes.memmove(info, raw, len(raw))

    def do_nvmlDeviceGetGpuFabricInfoV(self, handle: Any, info: Any) -> None:
        raw = self.fabric(self.gpu(handle))
        version = info._obj.version >> 24
        assert info._obj.version & 0xFFFFFF == ctypes.sizeof(info._obj) == {2: 36, 3: 40}[version]
        if version not in self.fabric_versions:
            raise Code(25)
        raw = struct.pack("<I", info._obj.version) + raw + struct.pack("<I", self.health_mask)
        raw += struct.pack("<B3s", self.health_summary, GARBAGE) if version == 3 else b""
        ctypes.memmove(info, raw, len(raw))

    def fabric(self, gpu: int) -> bytes:
        """What the first version of the structure has (nvml.h: the state is one byte)."""
        facts = self.node.machine.fabric
        self.told("fabric", gpu)
        if facts is None:
            raise Code(NOT_SUPPORTED)
        away = self.node.has(Kind.FABRIC, gpu) or not any(
            self.node.lane_up(gpu, link) for link in range(len(self.node.machine.lanes[gpu]))
        )
        name = bytes(16) if away else uuid.UUID(facts.cluster_uuid).bytes
        state = STATES["InProgress" if away else facts.state.value]
        status, clique = (999, 0) if away else (0, facts.clique)
        return struct.pack("<16sIIB3s", name, status, clique, state, GARBAGE)

    def do_nvmlDeviceGetTotalEccErrors(self, handle: Any, kind: Any, since: Any, count: Any) -> None:
        self.told("ecc", self.gpu(handle))
        assert since.value == 0
        put(count, ecc_errors(self.node, self.gpu(handle)) if kind.value else 0)

    def do_nvmlDeviceGetRemappedRows(self, handle: Any, *rows: Any) -> None:
        gpu = self.gpu(handle)
        self.told("remapped", gpu)
        failed, pending = (bool(self.node.has(kind, gpu)) for kind in (Kind.ROWS, Kind.PENDING_ROWS))
        for row, number in zip(rows, (0, failed or pending, pending, failed), strict=True):
            put(row, int(number))

    def do_nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> None:
        self.told("utilisation", self.gpu(handle))
        if self.gpu(handle) in self.node.divided:
            raise Code(NOT_SUPPORTED)
        fill(rates, gpu=0, memory=0)

    def do_nvmlDeviceGetComputeMode(self, handle: Any, mode: Any) -> None:
        self.told("exclusive_process", self.gpu(handle))
        put(mode, 0)

    def do_nvmlEventSetCreate(self, events: Any) -> None:
        point(events, SET_AT)

    def do_nvmlEventSetFree(self, events: Any) -> None:
        assert address(events) == SET_AT

    def do_nvmlDeviceGetSupportedEventTypes(self, handle: Any, types: Any) -> None:
        put(types, 0 if self.node.has(Kind.UNWATCHED, self.gpu(handle)) else 0x19)

    def do_nvmlDeviceRegisterEvents(self, handle: Any, types: Any, events: Any) -> None:
        assert types.value == 8
        self.watched.add(self.gpu(handle))

    def do_nvmlEventSetWait_v2(self, events: Any, data: Any, timeout_ms: Any) -> None:
        assert address(events) == SET_AT
        if not self.events:
            raise Code(self.wait_code)
        gpu, number, instance = self.events.pop(0)
        fill(data, eventType=8, eventData=number, gpuInstanceId=instance)
        point(ctypes.byref(data._obj), GPU_AT + 16 * gpu)

    def instances(self, gpu: int) -> list[Instance]:
        return self.node.divided.get(gpu, [])
