# ruff: noqa: ANN401, N802, SLF001 - C functions by their own names, whose arguments ctypes leaves without types
# pyright: reportPrivateUsage=false
"""The part of the played library that is about MIG.

Profiles stand at every other number, as real drivers leave holes; MIG devices are counted from the last index down.
"""

import ctypes
from typing import Any

from scheduler.exporter.simulated.faults import Kind
from scheduler.exporter.simulated.machines import Profile
from scheduler.exporter.simulated.node import Instance, SimulatedNode
from tests.exporter.nvml.memory import Code, address, fill, point, put

INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7

INSTANCE_AT, MIG_AT = 0x100000, 0x200000
"""Addresses: 0x100 apart for GPUs, one apart for the instances on each."""

MOST_DEVICES = 7


class FakeMig:
    node: SimulatedNode

    def gpu(self, handle: Any) -> int:
        raise NotImplementedError

    def instances(self, gpu: int) -> list[Instance]:
        raise NotImplementedError

    def told(self, field: str, gpu: int) -> None:
        raise NotImplementedError

    def instance(self, pointer: Any) -> tuple[int, Instance]:
        gpu, at = divmod(address(pointer) - INSTANCE_AT, 0x100)
        return gpu, self.instances(gpu)[at]

    def mig(self, pointer: Any) -> tuple[int, Instance]:
        gpu, at = divmod(address(pointer) - MIG_AT, 0x100)
        return gpu, self.instances(gpu)[at]

    def profile(self, handle: Any, number: int) -> Profile:
        return next(p for p in self.node.machine.gpus[self.gpu(handle)].profiles if p.id == number)

    def do_nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> None:
        gpu = self.gpu(handle)
        self.told("mig_mode", gpu)
        if not self.node.machine.gpus[gpu].profiles:
            raise Code(NOT_SUPPORTED)
        put(current, int(gpu in self.node.divided))
        put(pending, int((gpu in self.node.divided) != bool(self.node.has(Kind.MIG, gpu))))

    def do_nvmlDeviceGetGpuInstanceProfileInfo(self, handle: Any, number: int, info: Any) -> None:
        profiles = self.node.machine.gpus[self.gpu(handle)].profiles
        if not profiles:
            raise Code(NOT_SUPPORTED)
        at, hole = divmod(number, 2)
        if at >= len(profiles):
            raise Code(INVALID_ARGUMENT)
        if hole:
            raise Code(NOT_SUPPORTED)
        one = profiles[at]
        fill(
            info,
            id=one.id,
            sliceCount=one.compute,
            instanceCount=one.most,
            multiprocessorCount=one.sm,
            copyEngineCount=one.copy,
            decoderCount=one.decoders,
            encoderCount=0,
            jpegCount=one.jpeg,
            ofaCount=one.ofa,
            memorySizeMB=one.memory_mib,
        )
        if hasattr(info._obj, "name"):
            info._obj.name = f"MIG {one.name}".encode()

    def do_nvmlDeviceGetGpuInstanceProfileInfoV(self, handle: Any, number: int, info: Any) -> None:
        assert info._obj.version == 0x02000098
        self.do_nvmlDeviceGetGpuInstanceProfileInfo(handle, number, info)

    def do_nvmlDeviceGetGpuInstancePossiblePlacements_v2(
        self, handle: Any, number: int, places: Any, count: Any
    ) -> None:
        profile = self.profile(handle, number)
        room = count._obj.value
        put(count, len(profile.starts))
        if places is None:
            return
        if room < len(profile.starts):
            raise Code(INSUFFICIENT_SIZE)
        pairs = ctypes.cast(places, ctypes.POINTER(ctypes.c_uint))
        for at, start in enumerate(profile.starts):
            pairs[2 * at], pairs[2 * at + 1] = start, profile.size

    def do_nvmlDeviceGetGpuInstances(self, handle: Any, number: int, found: Any, count: Any) -> None:
        gpu = self.gpu(handle)
        if gpu not in self.node.divided:
            raise Code(NOT_SUPPORTED)
        if found is None or count._obj.value < self.profile(handle, number).most:
            raise Code(INSUFFICIENT_SIZE)
        own = [at for at, one in enumerate(self.instances(gpu)) if one.profile.id == number]
        for i, at in enumerate(own):
            point(found, INSTANCE_AT + 0x100 * gpu + at, i)
        put(count, len(own))

    def do_nvmlGpuInstanceGetInfo(self, pointer: Any, info: Any) -> None:
        _, one = self.instance(pointer)
        fill(info, id=one.id, profileId=one.profile.id)
        info._obj.placement.start, info._obj.placement.size = one.start, one.profile.size

    def do_nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, count: Any) -> None:
        put(count, MOST_DEVICES if self.gpu(handle) in self.node.divided else 0)

    def do_nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: Any, device: Any) -> None:
        gpu, at = self.gpu(handle), MOST_DEVICES - 1 - index.value
        if at >= len(self.instances(gpu)):
            raise Code(NOT_FOUND)
        point(device, MIG_AT + 0x100 * gpu + at)

    def do_nvmlDeviceGetAttributes_v2(self, device: Any, attributes: Any) -> None:
        _, one = self.mig(device)
        fill(attributes, gpuInstanceSliceCount=one.profile.compute, computeInstanceSliceCount=one.profile.compute)

    def do_nvmlDeviceGetGpuInstanceId(self, device: Any, number: Any) -> None:
        put(number, self.mig(device)[1].id)
