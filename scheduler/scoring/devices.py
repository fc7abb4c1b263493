"""Which GPUs of a node a pod is expected to get."""

from collections.abc import Set as AbstractSet

from scheduler.model.node import Node


def choose_devices(node: Node, taken: AbstractSet[int], count: int) -> tuple[int, ...]:
    """The lowest `count` indexes of healthy whole GPUs that are not taken.

    With the classic device plugin this is a prediction: kubelet chooses. Empty where the node's devices are not known,
    or where fewer are free than its counts say (the report and the pods are then of different moments).
    """
    if not count:
        return ()
    free = [d.index for d in node.devices if d.healthy and not d.mig_enabled and d.index not in taken]
    return tuple(sorted(free)[:count]) if len(free) >= count else ()
