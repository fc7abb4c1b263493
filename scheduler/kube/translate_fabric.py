"""The NVLink clique across nodes, out of a GPUNode."""

import sys

from scheduler.kube.wire_own import WireFabric

COMPLETED = "Completed"

_NO_UUID = frozenset("0-")


def read_clique(fabric: WireFabric | None) -> tuple[str, tuple[str, ...]]:
    """The clique as GPU feature discovery labels it, `<cluster UUID>.<clique id>`, and what is wrong with what is told.

    "" where there is none. As go-nvlib has it, GPUs belong to a clique once their fabric is completed and has a name:
    HGX machines complete one whose UUID is all zeros.
    """
    if fabric is None or not (fabric.cluster_uuid or fabric.clique_id):
        return "", ()
    cluster, clique = fabric.cluster_uuid or "", fabric.clique_id or ""
    if clique and set(cluster) - _NO_UUID and fabric.state == COMPLETED:
        return sys.intern(f"{cluster}.{clique}"), ()
    told = f"fabric has the clusterUuid {cluster!r}, the cliqueId {clique!r} and the state {fabric.state!r}"
    return "", (f"{told}; allowed together: both names, and {COMPLETED}; no clique is assumed",)
