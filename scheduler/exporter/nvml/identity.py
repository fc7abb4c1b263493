"""What a GPU is: name, memory, address, the CPUs near to it."""

from pathlib import Path
from typing import Any

from scheduler.exporter.nvml.calls import Calls, bus_id, text
from scheduler.exporter.nvml.profiles import profiles_of
from scheduler.exporter.reading import DeviceFacts, DriverFacts, Told, Unread

MIB = 1 << 20

_ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada-lovelace",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}
"""nvml.h, NVML_DEVICE_ARCH_*; in the words of the label nvidia.com/gpu.family."""

_WORD_BITS = 64
_NODE_WORDS = 16
"""1024 NUMA nodes, the most that Linux has (CONFIG_NODES_SHIFT)."""
_SCOPE_NODE = 0


def driver_of(calls: Calls) -> DriverFacts:
    """The driver's versions."""
    return DriverFacts(
        version=calls.ask(text, "nvmlSystemGetDriverVersion"),
        cuda=calls.ask(_cuda, "nvmlSystemGetCudaDriverVersion_v2"),
        nvml=calls.ask(text, "nvmlSystemGetNVMLVersion"),
    )


def facts_of(calls: Calls, handle: object, uuid: str, sysfs: Path) -> DeviceFacts | Unread:
    """What does not change of a GPU; `sysfs` is where the kernel's /sys is."""
    index = calls.ask(int, "nvmlDeviceGetIndex", handle)
    if isinstance(index, Unread):
        return index
    pci_bus_id = calls.ask(bus_id, "nvmlDeviceGetPciInfo_v3", handle)
    return DeviceFacts(
        index=index,
        uuid=uuid,
        model=calls.ask(text, "nvmlDeviceGetName", handle),
        memory_mib=memory_mib(calls, handle, "total"),
        pci_bus_id=pci_bus_id,
        minor=calls.ask(int, "nvmlDeviceGetMinorNumber", handle),
        serial=calls.ask(text, "nvmlDeviceGetSerial", handle),
        numa_node=_numa_node(calls, handle, pci_bus_id, sysfs),
        architecture=calls.ask(_architecture, "nvmlDeviceGetArchitecture", handle),
        compute_capability=calls.ask(_pair, "nvmlDeviceGetCudaComputeCapability", handle),
        mig_profiles=profiles_of(calls, handle),
    )


def memory_mib(calls: Calls, handle: object, part: str) -> Told[int]:
    """The `total` or `used` memory of a GPU.

    Version 2 does not count what the driver keeps for itself as used; older drivers have version 1 only.
    """

    def read(info: Any) -> int:  # noqa: ANN401 - a structure of pynvml
        return int(getattr(info, part)) // MIB

    told = calls.ask(read, "nvmlDeviceGetMemoryInfo", handle, calls.module.nvmlMemory_v2)
    return calls.ask(read, "nvmlDeviceGetMemoryInfo", handle) if isinstance(told, Unread) else told


def _numa_node(calls: Calls, handle: object, pci_bus_id: Told[str], sysfs: Path) -> Told[int]:
    """From the kernel, as the device plugin does; where it does not know (-1), the only node of the memory affinity.

    `nvmlDeviceGetNumaNodeId` is something else: the node that the GPU's own memory is, on Grace.
    """
    if isinstance(pci_bus_id, str):
        try:
            node = int((sysfs / "bus/pci/devices" / pci_bus_id / "numa_node").read_text(encoding="ascii"))
        except (OSError, ValueError):
            node = -1
        if node >= 0:
            return node
    return calls.ask(_only_node, "nvmlDeviceGetMemoryAffinity", handle, _NODE_WORDS, _SCOPE_NODE)


def _only_node(words: Any) -> int:  # noqa: ANN401 - an array of ctypes
    nodes = [_WORD_BITS * i + bit for i, word in enumerate(words) for bit in range(_WORD_BITS) if int(word) >> bit & 1]
    if len(nodes) != 1:
        raise ValueError(f"near to {len(nodes)} NUMA nodes")
    return nodes[0]


def _architecture(number: int) -> str:
    if number not in _ARCHITECTURES:
        raise ValueError(f"architecture {number} is not known")
    return _ARCHITECTURES[number]


def _pair(numbers: Any) -> tuple[int, int]:  # noqa: ANN401 - a tuple or list
    major, minor = numbers
    return int(major), int(minor)


def _cuda(number: int) -> str:
    """1000 times the major version and 10 times the minor one (cuda.h, CUDA_VERSION)."""
    return f"{number // 1000}.{number % 1000 // 10}"
