"""What a node's kubelet makes of the NUMA nodes that its devices are near to."""

from enum import Enum

import msgspec


class NumaPolicy(Enum):
    """The policies of the kubelet's topology manager, by the names of its setting `topologyManagerPolicy`.

    Source: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/.
    """

    NONE = "none"
    BEST_EFFORT = "best-effort"
    """Devices of as few NUMA nodes as have enough free ones."""

    RESTRICTED = "restricted"
    """The same; pods are rejected for which these are more than would do if nobody had any of the devices."""

    SINGLE_NUMA_NODE = "single-numa-node"
    """Devices of one NUMA node; pods are rejected for which none has enough."""


class Alignment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the kubelet gathers devices by NUMA nodes. `by_pod`: for all containers of a pod together."""

    policy: NumaPolicy = NumaPolicy.NONE
    by_pod: bool = False

    @property
    def rejects(self) -> bool:
        """Whether pods are rejected on the node, after they were bound, whose devices are not near each other."""
        return self.policy in {NumaPolicy.RESTRICTED, NumaPolicy.SINGLE_NUMA_NODE}


ANYHOW = Alignment()
"""The kubelet's default."""
