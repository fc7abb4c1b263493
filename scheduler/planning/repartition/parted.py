"""Proposals as configurations of NVIDIA's MIG manager: a name for the node's label, and what stands under that name.

The manager (mig-parted, format v1) takes how many instances of which profile each GPU has, and places them itself; GPUs
that are as their entry says it leaves alone. It knows GPUs by index, in the order of PCI addresses as reports do.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from scheduler.planning.repartition.proposal import GpuLayout, NodeChange

CONFIG_PREFIX = "bayplan-"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One of the list under a name in `mig-configs`; `counts`: instances by profile, None where MIG is off."""

    devices: tuple[int, ...]
    counts: tuple[tuple[str, int], ...] | None

    @property
    def document(self) -> dict[str, object]:
        """As it stands in the file."""
        plain: dict[str, object] = {"devices": list(self.devices), "mig-enabled": self.counts is not None}
        return plain if self.counts is None else {**plain, "mig-devices": dict(self.counts)}


def config_of(gpus: Sequence[GpuLayout]) -> list[Entry]:
    """What the MIG manager is told of these GPUs; those that are divided alike share an entry."""
    alike: dict[tuple[tuple[str, int], ...] | None, list[int]] = {}
    for gpu in sorted(gpus, key=lambda gpu: gpu.device):
        counts = tuple(sorted(Counter(one.profile for one in gpu.instances).items())) if gpu.divided else None
        alike.setdefault(counts, []).append(gpu.device)
    return [Entry(devices=tuple(devices), counts=counts) for counts, devices in alike.items()]


def config_name(gpus: Sequence[GpuLayout]) -> str:
    """The name of the configuration, as the value of a label: the same for nodes that are divided alike."""
    text = _yaml_entries(config_of(gpus))
    return CONFIG_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:10]


def configs_of(nodes: Iterable[NodeChange]) -> dict[str, list[Entry]]:
    """All configurations that the nodes need, by name."""
    return {config_name(node.gpus): config_of(node.gpus) for node in nodes}


def config_yaml(configs: Mapping[str, Sequence[Entry]]) -> str:
    """A whole configuration file of the MIG manager with these configurations."""
    lines = ["version: v1", "mig-configs:"]
    for name in sorted(configs):
        lines.append(f"  {name}:")
        lines += [f"    {line}" for line in _yaml_entries(configs[name]).splitlines()]
    return "\n".join(lines) + "\n"


def _yaml_entries(entries: Sequence[Entry]) -> str:
    lines: list[str] = []
    for entry in entries:
        lines.append(f"- devices: [{', '.join(map(str, entry.devices))}]")
        lines.append(f"  mig-enabled: {str(entry.counts is not None).lower()}")
        if entry.counts is not None:
            lines.append("  mig-devices:" if entry.counts else "  mig-devices: {}")
            lines += [f'    "{profile}": {count}' for profile, count in entry.counts]
    return "\n".join(lines)
