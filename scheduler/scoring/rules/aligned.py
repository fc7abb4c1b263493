"""Whether the kubelet would take a pod with these GPUs, for the checker: plain searches over NUMA nodes, no tables."""

from collections.abc import Collection, Iterable
from itertools import combinations

from scheduler.model.alignment import NumaPolicy
from scheduler.model.node import Allocator, Node
from scheduler.model.workload import PodShape


def broken_alignment(shape: PodShape, node: Node, devices: Iterable[int]) -> list[str]:
    """What is wrong with exactly these GPUs for a pod, as far as they are named."""
    chosen = set(devices)
    if not chosen or not _rejects(shape, node) or _takes(shape, node, chosen, exactly=True):
        return []
    return [f"GPUs {', '.join(map(str, sorted(chosen)))} are on more NUMA nodes than the kubelet allows"]


def too_few_aligned(shape: PodShape, node: Node, devices: Iterable[int]) -> list[str]:
    """Why the kubelet would take a pod with no set among `devices`; empty where it would with one."""
    if not _rejects(shape, node) or _takes(shape, node, set(devices), exactly=False):
        return []
    return [f"it has no {shape.requests.gpus} GPUs on as few NUMA nodes as the kubelet allows"]


def _rejects(shape: PodShape, node: Node) -> bool:
    by_plugin = node.allocator is Allocator.DEVICE_PLUGIN and node.replicas == 1 and not shape.by_claim
    strict = node.alignment.policy in {NumaPolicy.RESTRICTED, NumaPolicy.SINGLE_NUMA_NODE}
    known = node.links is not None and any(numa >= 0 for numa in node.links.numa)
    return by_plugin and strict and known and shape.requests.gpus > 1


def _takes(shape: PodShape, node: Node, devices: Collection[int], *, exactly: bool) -> bool:
    counts = shape.gpu_steps if shape.gpu_steps and not node.alignment.by_pod else (shape.requests.gpus,)
    return _served(node, frozenset(devices), counts, exactly=exactly)


def _served(node: Node, devices: frozenset[int], counts: tuple[int, ...], *, exactly: bool) -> bool:
    """Whether each container can be given so many; `exactly`: and nothing is left."""
    if not counts:
        return not exactly or not devices
    allowed = _allowed(node, counts[0])
    return any(
        _spans(node, some) <= allowed and _served(node, devices.difference(some), counts[1:], exactly=exactly)
        for some in combinations(sorted(devices), counts[0])
    )


def _allowed(node: Node, count: int) -> int:
    """Over how many NUMA nodes `count` GPUs may be: one, or as few as would do if all GPUs were free."""
    if node.alignment.policy is NumaPolicy.SINGLE_NUMA_NODE or node.links is None:
        return 1
    sizes = sorted((node.links.numa.count(numa) for numa in {*node.links.numa} if numa >= 0), reverse=True)
    return next((most for most in range(1, len(sizes) + 1) if sum(sizes[:most]) >= count), 0)


def _spans(node: Node, some: Iterable[int]) -> int:
    """Over how many NUMA nodes these are; more than any machine has where one of them is near none."""
    numa = [node.links.numa[index] if node.links is not None else -1 for index in some]
    return len({*numa}) if all(each >= 0 for each in numa) else len(numa) + 1
