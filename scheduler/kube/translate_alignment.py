"""How a node's kubelet gathers devices by NUMA nodes, as its labels say."""

from collections.abc import Mapping

from scheduler.kube import keys
from scheduler.model.alignment import ANYHOW, Alignment, NumaPolicy

SCOPES = ("container", "pod")
"""Source: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/#topology-manager-scopes."""


def read_alignment(labels: Mapping[str, str]) -> tuple[Alignment, tuple[str, ...]]:
    """What the labels of a node say, and in sentences what they say wrongly; the kubelet's defaults are taken then."""
    policy, scope = labels.get(keys.NUMA_POLICY_LABEL), labels.get(keys.NUMA_SCOPE_LABEL)
    if policy is None and scope is None:
        return ANYHOW, ()
    known = {each.value: each for each in NumaPolicy}
    wrong = [
        f"label {key} is {told!r}; allowed: {', '.join(allowed)}; {allowed[0]} is assumed"
        for key, told, allowed in (
            (keys.NUMA_POLICY_LABEL, policy, (*known,)),
            (keys.NUMA_SCOPE_LABEL, scope, SCOPES),
        )
        if told is not None and told not in allowed
    ]
    return Alignment(policy=known.get(policy or "", NumaPolicy.NONE), by_pod=scope == "pod"), tuple(wrong)
