"""Values that the driver tells by a number (field values), each with a return code of its own."""

from collections.abc import Sequence
from typing import Any

from scheduler.exporter.nvml.calls import SUCCESS, CallError, Calls
from scheduler.exporter.reading import Told, Unread, Why

_CALL = "nvmlDeviceGetFieldValues"
_MEMBERS = {1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
"""nvml.h, nvmlValueType_t: which member of the union holds a whole number; 0 is a floating-point one."""


def field_values(calls: Calls, handle: object, fields: Sequence[tuple[int, int]]) -> Sequence[Told[int]]:
    """The whole numbers of fields, each asked for by its number and its scope (such as a link)."""
    try:
        values = calls.call(_CALL, handle, list(fields))
    except CallError as err:
        return [err.unread()] * len(fields)
    return [_value(value) for value in values]


def _value(value: Any) -> Told[int]:  # noqa: ANN401 - a structure of pynvml
    code = int(value.nvmlReturn)
    if code != SUCCESS:
        return CallError(_CALL, code, f"field {value.fieldId} returned {code}").unread()
    member = _MEMBERS.get(int(value.valueType))
    if member is None:
        return Unread(why=Why.FAILED, call=_CALL, said=f"field {value.fieldId} is no whole number")
    return int(getattr(value.value, member))
