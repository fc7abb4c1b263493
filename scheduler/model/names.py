"""Kinds of names, so that a queue cannot stand where a node is meant."""

from typing import NewType

NodeName = NewType("NodeName", str)
PodUid = NewType("PodUid", str)
QueueName = NewType("QueueName", str)
WorkloadKey = NewType("WorkloadKey", str)
"""`namespace/name` of a gang, or `namespace/name` of a pod that stands alone, prefixed by its kind.

`gang:a/b`, `pod:a/b`.
"""


def gang_key(namespace: str, gang: str) -> WorkloadKey:
    """The key of the gang `gang` in `namespace`."""
    return WorkloadKey(f"gang:{namespace}/{gang}")


def pod_key(namespace: str, pod: str) -> WorkloadKey:
    """The key of a pod that is a gang of one."""
    return WorkloadKey(f"pod:{namespace}/{pod}")


def people_name(key: WorkloadKey) -> str:
    """`namespace/name` without the kind, as people know the workload."""
    return key.partition(":")[2]
