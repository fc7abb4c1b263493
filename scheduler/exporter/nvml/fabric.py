"""Membership in the NVLink fabric that spans nodes.

The structures are declared here: pynvml names them otherwise in each release, and before 13 it declares the UUID as
text, which ends at the first byte that is zero.
"""

import ctypes
import uuid

from scheduler.exporter.nvml.calls import FUNCTION_NOT_FOUND, INVALID_ARGUMENT, SUCCESS, CallError, Calls
from scheduler.exporter.reading import Fabric, FabricState, Told, Unread, Why

_VERSION_MISMATCH = 25
_STATES = {
    0: FabricState.NOT_SUPPORTED,
    1: FabricState.NOT_STARTED,
    2: FabricState.IN_PROGRESS,
    3: FabricState.COMPLETED,
}
"""nvml.h, NVML_GPU_FABRIC_STATE_*."""

_TRUE = 1
_FLAWS = (0, 2, 4, 6)
"""nvml.h, NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_*: where two bits of the mask say 1 for bandwidth that is degraded, a route
that recovers, a route that is unhealthy, a timeout that is recovered from."""
_CONFIGURATION, _CONFIGURATION_BITS, _CONFIGURED = 8, 0xF, 1
"""Four bits that name what is wrong with the configuration: 0 cannot tell, 1 nothing."""
_PARTITION, _UNASSIGNED = 12, 2
"""Two bits that say 2 where the GPU belongs to no partition; drivers before 580 leave them 0."""
_SICK = {2, 3}
"""nvml.h, NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY and _LIMITED_CAPACITY."""


class _V1(ctypes.Structure):
    """`nvmlGpuFabricInfo_t`."""

    _fields_ = (
        ("cluster_uuid", ctypes.c_uint8 * 16),
        ("status", ctypes.c_uint),
        ("clique", ctypes.c_uint32),
        ("state", ctypes.c_uint8),
    )


class _V2(ctypes.Structure):
    """`nvmlGpuFabricInfo_v2_t`."""

    _fields_ = (("version", ctypes.c_uint), *_V1._fields_, ("health_mask", ctypes.c_uint32))


class _V3(ctypes.Structure):
    """`nvmlGpuFabricInfo_v3_t`."""

    _fields_ = (*_V2._fields_, ("health_summary", ctypes.c_uint8))


def fabric_of(calls: Calls, handle: object) -> Told[Fabric]:
    """What a GPU is in the fabric, in the newest form that the driver has."""
    error = Unread(why=Why.OLD_DRIVER, call="nvmlDeviceGetGpuFabricInfoV")
    for name, kind, number in (
        ("nvmlDeviceGetGpuFabricInfoV", _V3, 3),
        ("nvmlDeviceGetGpuFabricInfoV", _V2, 2),
        ("nvmlDeviceGetGpuFabricInfo", _V1, 0),
    ):
        info = kind()
        if number:
            info.version = ctypes.sizeof(kind) | number << 24
        try:
            calls.call(name, handle, ctypes.byref(info))
        except CallError as err:
            error = err.unread()
            if err.code not in {_VERSION_MISMATCH, INVALID_ARGUMENT, FUNCTION_NOT_FOUND}:
                return error
        else:
            return _fabric(info)
    return error


def _fabric(info: _V1 | _V2 | _V3) -> Told[Fabric]:
    state = _STATES.get(int(info.state))
    if state is None:
        return Unread(
            why=Why.FAILED, call="nvmlDeviceGetGpuFabricInfoV", said=f"fabric state {info.state} is not known"
        )
    mask = int(getattr(info, "health_mask", 0))
    sick = (
        any(mask >> shift & 3 == _TRUE for shift in _FLAWS)
        or mask >> _CONFIGURATION & _CONFIGURATION_BITS > _CONFIGURED
        or mask >> _PARTITION & 3 == _UNASSIGNED
        or int(getattr(info, "health_summary", 0)) in _SICK
    )
    return Fabric(
        state=state,
        cluster_uuid=str(uuid.UUID(bytes=bytes(info.cluster_uuid))),
        clique=int(info.clique),
        healthy=int(info.status) == SUCCESS and not sick,
    )
