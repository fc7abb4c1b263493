"""Which GPUs of a node are taken, as far as it is known, and where it is not, as it is expected."""

from collections.abc import Collection, Iterable

from scheduler.model.node import Device, Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, Resources
from scheduler.model.snapshot import Ailing, Unsure
from scheduler.model.workload import Pod


def devices_taken(
    devices: Iterable[Device], pods: Iterable[Pod], flights: Iterable[tuple[Assignment, Resources]]
) -> frozenset[int]:
    """Indexes of the GPUs that are held, or expected to be.

    What the exporter reported counts first, then what plans in flight chose. Pods of which neither is known are
    expected on the lowest free indexes, healthy ones first: the set depends only on how many GPUs they ask for, so it
    is the same in whatever order they came.
    """
    order = [d.index for d in sorted(devices, key=lambda d: (not d.healthy, d.index)) if not d.mig_enabled]
    taken: set[int] = set()
    unknown = 0
    for pod in pods:
        taken.update(pod.devices)
        unknown += max(0, pod.shape.requests.gpus - len(pod.devices))
    for assignment, requests in flights:
        chosen = [i for i in assignment.devices if i not in taken]
        taken.update(chosen)
        unknown += max(0, requests.gpus - len(chosen))
    taken.update([i for i in order if i not in taken][:unknown])
    return frozenset(taken)


def unsure_of(
    taken: frozenset[int], pods: Collection[Pod], flights: Iterable[tuple[Assignment, Resources]]
) -> Unsure | None:
    """What of `taken` is no more than expected; None where all is told. The plugin may give what no plan chose."""
    known = {index for pod in pods for index in pod.devices}
    counts = [pod.shape.requests.gpus - len(pod.devices) for pod in pods] + [requests.gpus for _, requests in flights]
    sizes = tuple(sorted((n for n in counts if n > 0), reverse=True))
    return Unsure(devices=taken - known, sizes=sizes) if sizes else None


def ailing_of(devices: Collection[Device]) -> Ailing | None:
    """What of a node's GPUs is not healthy, or suspect; None where all are as they should be."""
    if all(d.healthy and not d.suspect for d in devices):
        return None
    return Ailing(
        unhealthy=frozenset(d.index for d in devices if not d.healthy),
        suspect=frozenset(d.index for d in devices if d.healthy and d.suspect),
    )


def healthy_gpus(node: Node) -> int:
    """Whole GPUs of the node that may be planned on.

    The device plugin takes GPUs that it finds unhealthy off allocatable by itself; the exporter's word counts for those
    that it did not. Where GPUs are divided on demand, they are what counts, whatever is advertised.
    """
    if node.on_demand:
        return sum(d.healthy and not d.mig_enabled for d in node.devices)
    allocatable = node.allocatable.count(GPU)
    unhealthy = node.unhealthy_devices
    if not unhealthy:
        return allocatable
    already = max(0, sum(not d.mig_enabled for d in node.devices) - allocatable)
    return max(0, allocatable - max(0, unhealthy - already))
