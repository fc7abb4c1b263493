"""What a local cluster is to consist of."""

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.localcluster.fleet import Fleet


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to start beside etcd, the API server, the controllers, the default kube-scheduler and KWOK.

    Attributes:
        with_manifests: apply manifests/base (CRDs, RBAC, policies, PriorityClasses); the rest below needs them.
        with_scheduler: start Bayplan's own kube-scheduler instance, pointed at the service's address.
        with_service: start `bayplan serve`; False leaves its address free for a service of the caller's own.
        replicas: how many instances of the service there are; one leads, and its address leads to that one.
        apiserver_arguments: more arguments for kube-apiserver.
        service_arguments: more arguments for `bayplan serve`.
        service_environment: more environment variables for it.
        fleet: the nodes to create; None for none.
        survive: let the processes live on when this process ends; else they end with it, however it ends.
    """

    with_manifests: bool = True
    with_scheduler: bool = True
    with_service: bool = True
    replicas: int = 1
    apiserver_arguments: Sequence[str] = ()
    service_arguments: Sequence[str] = ()
    service_environment: Mapping[str, str] = {}
    fleet: Fleet | None = None
    survive: bool = False


BARE = ClusterOptions(with_manifests=False, with_scheduler=False, with_service=False)
"""A plain control plane with nothing of Bayplan in it."""
