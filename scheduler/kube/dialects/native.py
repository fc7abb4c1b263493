"""The Workload and PodGroup API of Kubernetes itself (scheduling.k8s.io), which pods name in their spec.

1.35: `workloadRef` names a Workload, one of its pod groups, and which replica of it. 1.36 and later: `schedulingGroup`
names a PodGroup (KEP-4671).
"""

from scheduler.kube.dialects.record import Hearing
from scheduler.kube.wire import PodSpec
from scheduler.model.workload import GangClaim

NAME = "Kubernetes"
PREFIX = "podgroup/"
WORKLOAD_PREFIX = "workload/"


def hear_spec(spec: PodSpec, hear: Hearing) -> bool:
    """The group that the pod names; whether it names one."""
    group, workload = spec.scheduling_group, spec.workload_ref
    if group is not None and group.pod_group_name:
        hear.say("gang", GangClaim(name=PREFIX + group.pod_group_name), "field spec.schedulingGroup")
    elif workload is not None and workload.name and workload.pod_group:
        whole = f"{WORKLOAD_PREFIX}{workload.name}"
        part = f"{whole}/{workload.pod_group}"
        replica = f"{part}/{workload.pod_group_replica_key}" if workload.pod_group_replica_key else part
        hear.say("gang", GangClaim(name=replica, group=whole), "field spec.workloadRef")
        hear.say("role", workload.pod_group, "field spec.workloadRef")
    else:
        return False
    return True
