"""Resources of other schedulers and their device plugins, and what to ask for instead."""

from collections.abc import Mapping

BEGINNINGS = ("volcano.sh/", "koordinator.sh/", "hami.io/")
NAMES = {"nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores", "nvidia.com/priority"}
"""HAMi's."""

NO_DEVICE = "no device that Bayplan plans is called so"
PARTS = "parts of GPUs are those that the device plugin makes: nvidia.com/gpu.shared, or a MIG slice"

WHY: Mapping[str, str] = dict.fromkeys(
    (
        "volcano.sh/gpu-memory",
        "volcano.sh/gpu-number",
        "volcano.sh/vgpu-number",
        "volcano.sh/vgpu-memory",
        "volcano.sh/vgpu-memory-percentage",
        "volcano.sh/vgpu-cores",
        "nvidia.com/gpumem",
        "nvidia.com/gpumem-percentage",
        "nvidia.com/gpucores",
        "koordinator.sh/gpu",
        "koordinator.sh/gpu.shared",
        "koordinator.sh/gpu-core",
        "koordinator.sh/gpu-memory",
        "koordinator.sh/gpu-memory-ratio",
    ),
    PARTS,
)
"""What to ask for instead."""


def is_foreign(resource: str) -> bool:
    """Whether a resource is one that only another scheduler, or its device plugin, knows."""
    return resource in NAMES or resource.startswith(BEGINNINGS)
