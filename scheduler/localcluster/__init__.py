"""A real Kubernetes control plane on this machine: etcd, apiserver, controllers, two kube-schedulers, KWOK, Bayplan."""

from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.errors import InputError, LocalClusterError, PartFailedError
from scheduler.localcluster.options import ClusterOptions
from scheduler.localcluster.progress import Console, Progress, Quiet

__all__ = [
    "ClusterOptions",
    "Console",
    "InputError",
    "LocalCluster",
    "LocalClusterError",
    "PartFailedError",
    "Progress",
    "Quiet",
]
