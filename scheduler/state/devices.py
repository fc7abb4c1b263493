"""Which GPUs of a node are taken, as far as it is known, and where it is not, as it is expected."""

from collections.abc import Collection, Iterable

from scheduler.model.node import Allocator, Device, Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, Resources
from scheduler.model.snapshot import Ailing, Closed, Unsure
from scheduler.model.workload import Pod, PodShape


def devices_taken(
    devices: Iterable[Device],
    pods: Iterable[Pod],
    flights: Iterable[tuple[Assignment, Resources]],
    claimed: Iterable[int] = (),
) -> frozenset[int]:
    """Indexes of the GPUs that are held, or expected to be.

    What claims of nobody here have (`claimed`) and what the exporter reported counts first, then what plans in flight
    chose. Pods of which neither is known are expected on the lowest free indexes, healthy ones first: the set depends
    only on how many GPUs they ask for, so it is the same in whatever order they came.
    """
    order = [d.index for d in sorted(devices, key=lambda d: (not d.healthy, d.index)) if not d.mig_enabled]
    taken: set[int] = set(claimed)
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


def unsure_of(taken: frozenset[int], pods: Collection[Pod], flights: Iterable[PodShape]) -> Unsure | None:
    """What of `taken` is no more than expected; None where all is told. The plugin may give what no plan chose.

    `flights`: shapes of the pods that plans in flight place. Containers count each by itself, and claims are exact.
    """
    known = {index for pod in pods for index in pod.devices}
    shapes = [*(pod.shape for pod in pods if not pod.devices), *flights]
    counts = [n for shape in shapes if not shape.by_claim for n in shape.gpu_steps or (shape.requests.gpus,)]
    counts += [pod.shape.requests.gpus - len(pod.devices) for pod in pods if pod.devices]
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


def closed_to(
    node: Node, pods: Collection[Pod], flights: Collection[tuple[Assignment, PodShape]], claimed: Collection[int]
) -> Closed | None:
    """Who gets no GPUs of a node that pods can claim devices of; None where everybody may.

    What gives out GPUs to pods that do not claim them knows nothing of claims: so claims wait as long as it is not told
    which GPUs such pods have, or what the claims of a pod are, and where GPUs are given out of which nothing is told;
    and such pods do not come where claims have any.
    """
    if not node.claimable:
        return None
    blind = any(not _all_told(pod) or any(c.waits == "missing" for c in pod.claims) for pod in pods)
    blind = blind or any(shape.requests.wants_devices and not shape.by_claim for _, shape in flights)
    named = sum(d.claimed_as is not None for d in node.devices)
    partly = any(d.healthy and d.claimed_as is None for d in node.devices) or node.allocatable.gpus > named
    partly = partly and not node.claims_only
    # kube-scheduler knows what claims have, but not what plans are about to give them.
    held = any(shape.by_claim for _, shape in flights)
    if node.allocator is not Allocator.SCHEDULER:
        held = held or bool(claimed) or any(pod.shape.by_claim for pod in pods)
    closed = Closed(to_claims=blind or partly, to_others=held and not node.claims_only)
    return closed if closed.to_claims or closed.to_others else None


def _all_told(pod: Pod) -> bool:
    """Whether it is known which GPUs a pod has that does not claim them."""
    requests = pod.shape.requests
    if pod.shape.by_claim or not requests.wants_devices:
        return True
    return len(pod.devices) >= requests.gpus + requests.shared_gpus and len(pod.slices) >= sum(
        count for _, count in requests.mig_slices
    )


def healthy_gpus(node: Node) -> int:
    """Whole GPUs of the node that may be planned on.

    The device plugin takes GPUs that it finds unhealthy off allocatable by itself; the exporter's word counts for those
    that it did not. Where GPUs are divided on demand, they are what counts, whatever is advertised.
    """
    if node.claims_only:
        return sum(d.healthy and not d.mig_enabled and d.claimed_as is not None for d in node.devices)
    if node.on_demand:
        return sum(d.healthy and not d.mig_enabled for d in node.devices)
    allocatable = node.allocatable.count(GPU)
    unhealthy = node.unhealthy_devices
    if not unhealthy:
        return allocatable
    already = max(0, sum(not d.mig_enabled for d in node.devices) - allocatable)
    return max(0, allocatable - max(0, unhealthy - already))
