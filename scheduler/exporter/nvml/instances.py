"""How a GPU is divided now (MIG).

MIG device handles die with their instance, so they are asked for anew each time.
"""

from scheduler.exporter.nvml.calls import INVALID_ARGUMENT, NOT_FOUND, CallError, Calls, text
from scheduler.exporter.nvml.profiles import listed, profile_infos, profile_name
from scheduler.exporter.reading import MigInstance, MigMode, Told, Unread, Why

_INSTANCES = "nvmlDeviceGetGpuInstances"
_MIG_DEVICE = "nvmlDeviceGetMigDeviceHandleByIndex"


def mode_of(calls: Calls, handle: object) -> Told[MigMode]:
    """Whether the GPU is divided."""
    return calls.ask(
        lambda modes: MigMode(current=bool(modes[0]), pending=bool(modes[1])), "nvmlDeviceGetMigMode", handle
    )


def instances_of(calls: Calls, handle: object, mode: Told[MigMode]) -> Told[tuple[MigInstance, ...]]:
    """The GPU instances that exist, by where they start."""
    if isinstance(mode, Unread):
        return () if mode.why in {Why.NOT_SUPPORTED, Why.OLD_DRIVER} else mode
    if not mode.current:
        return ()
    try:
        found = [
            (calls.call("nvmlGpuInstanceGetInfo", instance), profile_name(profile))
            for profile in profile_infos(calls, handle)
            for instance in listed(
                calls, calls.module.c_nvmlGpuInstance_t, int(profile.instanceCount), _INSTANCES, handle, profile.id
            )
        ]
    except CallError as err:
        return err.unread()
    uuids = _uuids(calls, handle) if found else {}
    none = Unread(why=Why.NO_DATA, call=_MIG_DEVICE)
    made = [
        MigInstance(
            gpu_instance=int(info.id),
            profile_id=int(info.profileId),
            profile=name,
            start=int(info.placement.start),
            size=int(info.placement.size),
            uuid=uuids if isinstance(uuids, Unread) else uuids.get(int(info.id), none),
        )
        for info, name in found
    ]
    return tuple(sorted(made, key=lambda one: (one.start, one.gpu_instance)))


def _uuids(calls: Calls, handle: object) -> dict[int, str] | Unread:
    """UUIDs of the MIG devices that are a whole GPU instance, by its number; the indexes of MIG devices have gaps."""
    try:
        found: dict[int, str] = {}
        for index in range(int(calls.call("nvmlDeviceGetMaxMigDeviceCount", handle))):
            try:
                device = calls.call(_MIG_DEVICE, handle, index)
                attributes = calls.call("nvmlDeviceGetAttributes_v2", device)
                if attributes.computeInstanceSliceCount == attributes.gpuInstanceSliceCount:
                    number = int(calls.call("nvmlDeviceGetGpuInstanceId", device))
                    found[number] = text(calls.call("nvmlDeviceGetUUID", device))
            except CallError as err:
                if err.code not in {NOT_FOUND, INVALID_ARGUMENT}:
                    raise
    except CallError as err:
        return err.unread()
    return found
