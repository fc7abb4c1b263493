"""How the nodes of a workload are connected, from node labels and what the exporter reported."""

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.demo.story import Json, Work
from scheduler.localcluster.api import Api
from scheduler.model.resources import GPU

_RACK_LABEL = "fabric.topograph.run/tier-0"
"""What data/teams.yaml calls the level "rack"."""


class Fabric(msgspec.Struct, frozen=True, kw_only=True):
    """`rack_of` and `switched` by node: the rack it stands in, and whether an NVSwitch joins its GPUs."""

    rack_of: Mapping[str, str]
    switched: Mapping[str, bool]

    def racks(self, nodes: Sequence[str]) -> list[str]:
        """The racks of these nodes, in order."""
        return sorted({self.rack_of[node] for node in nodes if node in self.rack_of})

    def connectedness(self, work: Work, nodes: Sequence[str]) -> str:
        """As in "1 rack, 4 nodes, NVSwitch inside each"; "" for no nodes."""
        if not nodes:
            return ""
        racks = self.racks(nodes)
        text = f"{_count(len(racks), 'rack')}, {_count(len(nodes), 'node')}" if racks else _count(len(nodes), "node")
        if work.device != GPU:
            return f"{text}, slices"
        if work.per_pod == 1:
            return text
        joined = "NVSwitch" if all(self.switched.get(node, False) for node in nodes) else "PCIe"
        return f"{text}, {joined} inside{' each' if len(nodes) > 1 else ''}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def read_fabric(api: Api) -> Fabric:
    """The fabric of a cluster.

    Raises:
        ApiError: the API server did not answer.
    """
    nodes: Sequence[Json] = api.get("/api/v1/nodes")["items"]
    reports: Sequence[Json] = api.get("/apis/bayplan.dev/v1alpha1/gpunodes")["items"]
    racks = {node["metadata"]["name"]: node["metadata"]["labels"].get(_RACK_LABEL) for node in nodes}
    return Fabric(
        rack_of={name: rack for name, rack in racks.items() if rack},
        switched={r["metadata"]["name"]: bool(r.get("status", {}).get("nvswitch")) for r in reports},
    )
