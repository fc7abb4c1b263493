"""How amounts and resources are called when people are told about them."""

from collections.abc import Sequence

from scheduler.model.queue import CPU, MEMORY
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX, MILLI_GPU
from scheduler.model.workload import PodShape
from scheduler.quota.tree import MIB, USER

_BASE = {
    "milli_cpu": ("CPU", 1000, "cores"),
    "memory_bytes": ("memory", 2**30, "GiB"),
    "ephemeral_bytes": ("ephemeral storage", 2**30, "GiB"),
    "pods": ("pod slots", 1, "pods"),
}


def resource_name(resource: str) -> str:
    """A column's resource as people call it: `GPUs`, `MIG slices 1g.10gb`, `memory`."""
    if resource == GPU:
        return "GPUs"
    if resource == GPU_SHARED:
        return "parts of GPUs"
    if resource.startswith(MIG_PREFIX):
        return f"MIG slices {resource.removeprefix(MIG_PREFIX)}"
    return _BASE[resource][0] if resource in _BASE else resource


def amount(resource: str, number: int) -> str:
    """`number` of a column's unit with a unit for people: `3 GPUs`, `12.5 GiB memory`, `1 MIG slice 1g.10gb`."""
    if resource not in _BASE:
        name = resource_name(resource)
        if resource == GPU_SHARED and number == 1:
            return "1 part of a GPU"
        return f"1 {name.replace('GPUs', 'GPU').replace('slices', 'slice')}" if number == 1 else f"{number} {name}"
    name, divisor, unit = _BASE[resource]
    return f"{number / divisor:.4g} {unit}" + ("" if unit in {"pods", "cores"} else f" {name}")


def asked(shape: PodShape) -> list[str]:
    """What a pod asks of each extended resource: `4 GPUs`, `0.25 of 2 GPUs`, `a 3g.40gb slice`."""
    return [_asked(name, number, shape.share_milli) for name, number in shape.requests.extended]


def _asked(resource: str, number: int, share_milli: int) -> str:
    if resource == GPU_SHARED and share_milli < MILLI_GPU:
        return f"{share_milli / MILLI_GPU:.4g} of {'a GPU' if number == 1 else f'{number} GPUs'}"
    if resource.startswith(MIG_PREFIX):
        profile = resource.removeprefix(MIG_PREFIX)
        return f"a {profile} slice" if number == 1 else f"{number} {profile} slices"
    return amount(resource, number)


def gpus(milli_gpu: int) -> str:
    """A quota amount in GPUs: `1 GPU`, `2.286 GPUs`."""
    return f"{milli_gpu / MILLI_GPU:.4g} GPU{'' if milli_gpu == MILLI_GPU else 's'}"


def quota_amount(flavor: str | None, number: int) -> str:
    """An amount of a queue's quota: `2 GPUs`, `2 GPUs of H100`, `12 cores`, `64 GiB memory`."""
    if flavor == CPU:
        return amount("milli_cpu", number)
    if flavor == MEMORY:
        return amount("memory_bytes", number * MIB)
    return gpus(number) if flavor is None or flavor.startswith(USER) else f"{gpus(number)} of {flavor}"


_UNITS = {CPU: "milli-CPU", MEMORY: "MiB"}


def quota_unit(flavor: str | None) -> str:
    """The unit in which a queue's quota counts."""
    return _UNITS.get(flavor or "", "milli-GPU")


def counted(unit: str, number: int) -> str:
    """An amount of quota in this unit: `2 GPUs`, `12 cores`, `64 GiB memory`."""
    return quota_amount(next((flavor for flavor, named in _UNITS.items() if named == unit), None), number)


def pods(count: int) -> str:
    """`1 pod`, `5 pods`."""
    return f"{count} pod{'' if count == 1 else 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`; nothing of nothing."""
    return "".join(words) if len(words) < 2 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def shortened(words: Sequence[str], most: int, rest: str) -> str:
    """The first of the words, listed, and how many there are besides: `a, b and 3 more` where `rest` is `{} more`."""
    more = len(words) - most
    return listed([*words[:most], *([rest.format(more)] if more > 0 else [])])


def lasting(seconds: int) -> str:
    """How long something lasts, in its two largest units: `45 s`, `2 h 10 min`, `3 d 4 h`."""
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for at, (name, size) in enumerate(units):
        if seconds >= size:
            rest = (seconds % size) // units[at + 1][1] if at + 1 < len(units) else 0
            return f"{seconds // size} {name}" + (f" {rest} {units[at + 1][0]}" if rest else "")
    return "0 s"
