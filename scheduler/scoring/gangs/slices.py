"""Slices: every so many consecutive pods in one domain of a level, in up to three layers, each within the one outside.

Pods are counted among those of their kind (equal shapes), by rank. The last slice may be shorter.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.model.workload import Pod, PodShape
from scheduler.scoring.fleet import Codes, Fleet
from scheduler.scoring.topology import NO_DOMAIN, domains


def kind_of(pod: Pod) -> tuple[str, PodShape]:
    """What tells pods of a gang apart: a role with a level of its own, and what they ask for."""
    return (pod.role if pod.role_required is not None else "", pod.shape)


Slice = tuple[TopologyLevel, int]
"""A level, and how many consecutive pods stand in one domain of it."""


def binding(fleet: Fleet, slices: Sequence[Slice], required: TopologyLevel | None) -> list[Slice]:
    """The layers that say more than a required level does: not those of which its domains lie within one each."""
    if required is None:
        return list(slices)
    return [each for each in slices if not _within(fleet, required, each[0])]


def _within(fleet: Fleet, inner: TopologyLevel, outer: TopologyLevel) -> bool:
    """Whether every domain of `inner` lies within one of `outer`, as far as nodes are in both."""
    if outer == NODE_LEVEL:
        return inner == NODE_LEVEL

    def find() -> bool:
        a, b = domains(fleet, inner).codes, domains(fleet, outer).codes
        both = (a != NO_DOMAIN) & (b != NO_DOMAIN)
        return len(np.unique(np.stack([a[both], b[both]]), axis=1).T) == len(np.unique(a[both]))

    return fleet.remember(("within", inner, outer), find)


def sizes_for(slices: Sequence[int], pods: int) -> tuple[int, ...]:
    """Slice sizes, outermost first, for a group of `pods`: a group smaller than a slice is one slice of its own."""
    capped = tuple(min(size, pods) for size in slices)
    nested = all(outer % inner == 0 for outer, inner in pairwise(capped))
    return capped if nested else tuple(slices)


def gathered(fleet: Fleet, fits: Codes, slices: Sequence[Slice], pods: int) -> Codes:
    """Pods of a group of `pods` that fit in whole slices: the sum of each outermost domain stands at one of its nodes.

    Nodes in no domain of a layer's level count for nothing.
    """
    sizes = sizes_for([size for _, size in slices], pods)
    amount = fits
    for (level, _), size in reversed(list(zip(slices, sizes, strict=True))):
        if level == NODE_LEVEL:
            amount = amount // size * size
            continue
        codes = domains(fleet, level).codes
        inside = np.flatnonzero((codes != NO_DOMAIN) & (amount > 0))
        totals = np.bincount(codes[inside], weights=amount[inside]).astype(np.int64)
        places, first = np.unique(codes[inside], return_index=True)
        amount = np.zeros_like(fits)
        amount[inside[first]] = totals[places] // size * size
    return amount


def in_slices(fleet: Fleet, fits: Codes, slices: Sequence[Slice]) -> Codes:
    """`fits` without nodes that are in no domain of a layer's level."""
    for level, _ in slices:
        if level != NODE_LEVEL:
            fits = np.where(domains(fleet, level).codes == NO_DOMAIN, 0, fits)
    return fits


def whole(slices: Sequence[Slice], pods: int) -> int:
    """How many of `pods` stand in whole slices of the outermost layer."""
    sizes = sizes_for([size for _, size in slices], pods)
    return pods // sizes[0] * sizes[0] if sizes else pods
