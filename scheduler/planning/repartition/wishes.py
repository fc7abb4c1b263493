"""Who waits for MIG slices and whole GPUs that no node has free, as wishes of a repartition."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.names import NodeName, WorkloadKey
from scheduler.model.plan import Decision, Reason, Wait
from scheduler.model.resources import MIG_COMPUTE_SLICES, MILLI_GPU, mig_milli_gpu
from scheduler.model.snapshot import Snapshot, amount_of
from scheduler.model.workload import PodShape, Workload
from scheduler.scoring.filters import static_mask
from scheduler.scoring.fleet import Fleet, Mask
from scheduler.scoring.sharing.repack import WHOLE, Wish

NO_ROOM = frozenset(
    {Reason.NO_NODE_MATCHES, Reason.INSUFFICIENT_RESOURCES, Reason.FRAGMENTED, Reason.TOPOLOGY_UNSATISFIED}
)
"""Reasons to wait that other layouts of GPUs may help against."""

TIER = 8
"""Work of the next higher priority counts so many times as much; of more than `TIERS` the lowest count alike."""

TIERS = 4

OWN_PLACES = 128
"""Nodes that are told apart for pods that ask for several slices or GPUs of one node; those with most to give."""


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What one pod asks for of one node; empty profile: whole GPUs."""

    profile: str
    each: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Pods of workloads that wait alike, in their order: (workload, pods); `bundle` as in `Wish`."""

    want: Want
    shape: PodShape
    workloads: tuple[tuple[WorkloadKey, int], ...]
    weight: int
    bundle: int | None

    @property
    def pods(self) -> int:
        """How many there are."""
        return sum(n for _, n in self.workloads)


def want_of(shape: PodShape) -> Want | None:
    """What a pod asks for; None where it is not one thing alone that a repartition can give."""
    requests = shape.requests
    if requests.shared_gpus or len(requests.mig_slices) + bool(requests.gpus) != 1:
        return None
    if requests.gpus:
        return Want(profile=WHOLE, each=requests.gpus)
    ((profile, each),) = requests.mig_slices
    return Want(profile=profile, each=each)


def waiting_of(snapshot: Snapshot, decisions: Sequence[Decision]) -> list[Waiting]:
    """Who waits for room, by what they ask for; gangs are served whole or not at all."""
    keys = [each.workload for each in decisions if isinstance(each, Wait) and each.reason in NO_ROOM]
    workloads = [snapshot.workloads[key] for key in keys if key in snapshot.workloads]
    ranks = sorted({workload.priority for workload in workloads}, reverse=True)[: TIERS - 1]
    alone: dict[tuple[Want, PodShape, int], list[tuple[WorkloadKey, int]]] = {}
    found: list[Waiting] = []
    for bundle, workload in enumerate(workloads):
        wants = _wants(workload)
        tier = ranks.index(workload.priority) if workload.priority in ranks else len(ranks)
        for (want, shape), pods in wants.items():
            if sum(wants.values()) == 1:
                alone.setdefault((want, shape, tier), []).append((workload.key, pods))
            else:
                weight = _weight(want, tier)
                mine = ((workload.key, pods),)
                found.append(Waiting(want=want, shape=shape, workloads=mine, weight=weight, bundle=bundle))
    found += [
        Waiting(want=want, shape=shape, workloads=tuple(mine), weight=_weight(want, tier), bundle=None)
        for (want, shape, tier), mine in alone.items()
    ]
    return found


def _wants(workload: Workload) -> dict[tuple[Want, PodShape], int]:
    """What its waiting pods ask for; nothing where one of them asks for what cannot be given here."""
    found: dict[tuple[Want, PodShape], int] = {}
    for pod in workload.pending:
        want = want_of(pod.shape)
        if want is None:
            if pod.shape.requests.wants_devices:
                return {}
            continue
        found[want, pod.shape] = found.get((want, pod.shape), 0) + 1
    return found


def _weight(want: Want, tier: int) -> int:
    """Compute slices that a pod asks for, more of higher priority."""
    each = MILLI_GPU if want.profile == WHOLE else mig_milli_gpu(want.profile)
    return max(round(each * want.each * MIG_COMPUTE_SLICES / MILLI_GPU), 1) * TIER ** (TIERS - 1 - tier)


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that serve the same pods count as one place, but where pods need several of one node."""

    of_node: Mapping[NodeName, int]
    wishes: tuple[Wish, ...]


def places_of(snapshot: Snapshot, waiting: Sequence[Waiting], worth: Mapping[NodeName, int]) -> Places:
    """Which nodes stand for one another, and the wishes with the places that each may be served at.

    `worth`: how many GPUs or free slices each node could give; nodes that are not named are left out.
    """
    fleet = Fleet(snapshot)
    names = sorted(worth, key=lambda name: (-worth[name], name))
    rows = [snapshot.columns.row_of[name] for name in names]
    masks = [_fits(snapshot, fleet, each.shape)[rows] for each in waiting]
    several = [mask for each, mask in zip(waiting, masks, strict=True) if each.want.each > 1]
    apart = np.flatnonzero(np.logical_or.reduce(several)).tolist() if several else []
    own = set(apart[:OWN_PLACES])
    for mask in several:
        mask[apart[OWN_PLACES:]] = False
    codes: dict[tuple[object, ...], int] = {}
    of_node: dict[NodeName, int] = {}
    for at, name in enumerate(names):
        signature = (*(bool(mask[at]) for mask in masks), name if at in own else None)
        of_node[name] = codes.setdefault(signature, len(codes))
    wishes = tuple(
        _wish(each, frozenset(of_node[name] for at, name in enumerate(names) if mask[at]), len(codes))
        for each, mask in zip(waiting, masks, strict=True)
    )
    return Places(of_node=of_node, wishes=wishes)


def _wish(each: Waiting, places: frozenset[int], every: int) -> Wish:
    return Wish(
        profile=each.want.profile,
        count=each.pods,
        each=each.want.each,
        weight=each.weight,
        bundle=each.bundle,
        places=None if len(places) == every and each.want.each == 1 else places,
    )


def _fits(snapshot: Snapshot, fleet: Fleet, shape: PodShape) -> Mask:
    """The nodes that take one such pod, GPUs and slices aside."""
    columns = snapshot.columns
    mask = static_mask(fleet, shape) & columns.usable
    free = columns.free
    for column, resource in enumerate(columns.resources[:4]):
        mask &= free[:, column] >= amount_of(shape.requests, resource)
    return mask
