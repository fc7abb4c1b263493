"""The MIG profiles that a GPU offers.

Profiles go by the `id` that the driver answers, which is not the number by which they are counted through.
"""

import ctypes
from collections.abc import Iterator
from typing import Any

from scheduler.exporter.nvml.calls import (
    FUNCTION_NOT_FOUND,
    INSUFFICIENT_SIZE,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    CallError,
    Calls,
    text,
)
from scheduler.exporter.reading import MigProfile, Told, Unread, Why

_MOST_PROFILES = 64
"""Where counting through ends at the latest. NVML_GPU_INSTANCE_PROFILE_COUNT was 10, 13 and 18 in turn."""

_MOST_LISTED = 1024
"""More placements or instances than any profile has."""

_INFO = "nvmlDeviceGetGpuInstanceProfileInfo"
_PLACEMENTS = "nvmlDeviceGetGpuInstancePossiblePlacements"


class _Placement(ctypes.Structure):
    """`nvmlGpuInstancePlacement_t`."""

    _fields_ = (("start", ctypes.c_uint), ("size", ctypes.c_uint))


def profiles_of(calls: Calls, handle: object) -> Told[tuple[MigProfile, ...]]:
    """The profiles that the GPU offers, which works while MIG is off; none where it cannot be divided."""
    try:
        return tuple(_profile(calls, handle, info) for info in profile_infos(calls, handle))
    except CallError as err:
        return err.unread()


def profile_infos(calls: Calls, handle: object) -> Iterator[Any]:
    """What the driver tells of each profile. Not supported: this GPU lacks it. Invalid argument: there are no more."""
    version = 2
    number = 0
    while number < _MOST_PROFILES:
        try:
            yield calls.call(_INFO, handle, number, version)
        except CallError as err:
            if err.code == FUNCTION_NOT_FOUND and version > 1:
                version = 1
                continue
            if err.code == INVALID_ARGUMENT:
                return
            if err.code != NOT_SUPPORTED:
                raise
        number += 1


def _profile(calls: Calls, handle: object, info: Any) -> MigProfile:  # noqa: ANN401 - a structure of pynvml
    size: Told[int]
    starts: Told[tuple[int, ...]]
    try:
        places = listed(calls, _Placement, 0, _PLACEMENTS, handle, info.id)
    except CallError as err:
        size = starts = err.unread()
    else:
        starts = tuple(sorted(int(place.start) for place in places))
        sizes = {int(place.size) for place in places}
        size = sizes.pop() if len(sizes) == 1 else Unread(why=Why.NO_DATA, call=_PLACEMENTS)
    return MigProfile(
        id=int(info.id),
        name=profile_name(info),
        most=int(info.instanceCount),
        slices=int(info.sliceCount),
        memory_mib=int(info.memorySizeMB),
        sm=int(info.multiprocessorCount),
        decoders=int(info.decoderCount),
        encoders=int(info.encoderCount),
        jpeg=int(info.jpegCount),
        ofa=int(info.ofaCount),
        copy_engines=int(info.copyEngineCount),
        size=size,
        starts=starts,
    )


def profile_name(info: Any) -> Told[str]:  # noqa: ANN401 - a structure of pynvml
    """The profile's name, before which the driver may write MIG; the first version of the structure has none."""
    raw = getattr(info, "name", None)
    if raw is None:
        return Unread(why=Why.OLD_DRIVER, call=_INFO)
    try:
        return text(raw).removeprefix("MIG ")
    except ValueError as err:
        return Unread(why=Why.FAILED, call=_INFO, said=str(err))


def listed(calls: Calls, kind: Any, room: int, name: str, *args: object) -> list[Any]:  # noqa: ANN401 - ctypes
    """The answers of a call that fills a buffer of the caller's.

    With no `room` given the call is made without a buffer first, to learn how many there are. Where the room does not
    do, because there are more by now, it is made again with more.
    """
    count = ctypes.c_uint(room)
    if not room:
        calls.call(name, *args, None, ctypes.byref(count))
        room = count.value
    while room:
        buffer = (kind * room)()
        count.value = room
        try:
            calls.call(name, *args, ctypes.byref(buffer), ctypes.byref(count))
        except CallError as err:
            if err.code != INSUFFICIENT_SIZE or room >= _MOST_LISTED:
                raise
            room = min(max(count.value, 2 * room), _MOST_LISTED)
        else:
            return list(buffer[: count.value])
    return []
