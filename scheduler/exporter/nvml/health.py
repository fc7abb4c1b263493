"""How a GPU does: memory errors, what it needs to recover, how busy it is."""

from typing import Any

from scheduler.exporter.nvml.calls import Calls
from scheduler.exporter.nvml.fields import field_values
from scheduler.exporter.reading import Ecc, RemappedRows, Told, Unread, Utilisation

_CORRECTED, _UNCORRECTED = 0, 1
_SINCE_LOADED = 0
"""nvml.h, nvmlMemoryErrorType_t and nvmlEccCounterType_t (volatile)."""

_RECOVERY_ACTION = 230
"""nvml.h, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION."""

_EXCLUSIVE_PROCESS = 3
"""nvml.h, nvmlComputeMode_t."""


def ecc_of(calls: Calls, handle: object) -> Told[Ecc]:
    """Memory errors since the driver was loaded; not supported where error correction is off."""
    corrected, uncorrected = (
        calls.ask(int, "nvmlDeviceGetTotalEccErrors", handle, kind, _SINCE_LOADED)
        for kind in (_CORRECTED, _UNCORRECTED)
    )
    if isinstance(corrected, Unread):
        return corrected
    if isinstance(uncorrected, Unread):
        return uncorrected
    return Ecc(corrected=corrected, uncorrected=uncorrected)


def remapped_of(calls: Calls, handle: object) -> Told[RemappedRows]:
    """Rows of memory that were replaced, on Ampere and later."""

    def read(rows: Any) -> RemappedRows:  # noqa: ANN401 - a tuple of pynvml
        correctable, uncorrectable, pending, failure = rows
        return RemappedRows(
            correctable=int(correctable), uncorrectable=int(uncorrectable), pending=bool(pending), failure=bool(failure)
        )

    return calls.ask(read, "nvmlDeviceGetRemappedRows", handle)


def recovery_of(calls: Calls, handle: object) -> Told[int]:
    """What the driver asks for, by its number."""
    return field_values(calls, handle, [(_RECOVERY_ACTION, 0)])[0]


def utilisation_of(calls: Calls, handle: object) -> Told[Utilisation]:
    """How busy a GPU is; not supported while it is divided."""
    return calls.ask(
        lambda rates: Utilisation(gpu_percent=int(rates.gpu), memory_percent=int(rates.memory)),
        "nvmlDeviceGetUtilizationRates",
        handle,
    )


def exclusive_process_of(calls: Calls, handle: object) -> Told[bool]:
    """Whether only one process may use the GPU, as under MPS."""
    return calls.ask(lambda mode: bool(mode == _EXCLUSIVE_PROCESS), "nvmlDeviceGetComputeMode", handle)
