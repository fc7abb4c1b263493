"""What a gang's placement costs, as one whole number; lower is better.

In this order: domains used per level (outermost first), nodes used, domains broken into (nothing is in use there, and
they are larger than the gang), and the free capacity of everything touched, so that of equal choices the fullest nodes
and domains are taken and whole ones stay whole. Each of the first terms outweighs all that follow it together. What the
gang's standing members already use is free.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.topology import Tree

LARGEST = 1 << 60
"""Costs stay below, so that sums of them fit into 64 bits."""


class Use(msgspec.Struct, frozen=True):
    """`busy`: nodes with something in use. `wanted`: how much free capacity the gang takes."""

    busy: Mask
    wanted: int


class Charges(msgspec.Struct, frozen=True):
    """The price of using a domain or a node for the first time.

    `codes[i]` are domains of level i as in `Tree`, `level_weight[i]` what one of them costs beside `domain_units[i]`,
    its free capacity, and more than all there is for one broken into; likewise for nodes. `levels` says which of
    the tree's levels these are: a level that divides the nodes in question no further than the one outside it says
    nothing new and is left out.
    `paid`: nodes of standing members. `slices`: for each level, and last for nodes, how many consecutive pods stand in
    one domain of it; 1 where any may stand apart, empty where that is everywhere.
    """

    levels: tuple[int, ...]
    codes: tuple[Codes, ...]
    order: Codes
    level_weight: tuple[int, ...]
    node_weight: int
    units: Codes
    domain_units: tuple[Codes, ...]
    paid: tuple[int, ...] = ()
    slices: tuple[int, ...] = ()

    def parts_of(self, rows: Codes) -> tuple[int, ...]:
        """Domains newly used per level, nodes newly used, the rest of their price: in the order of importance."""
        new = np.setdiff1d(rows, np.array(self.paid, dtype=np.int64))
        counts: list[int] = []
        free = int(self.units[new].sum())
        for codes, units in zip(self.codes, self.domain_units, strict=True):
            touched = np.setdiff1d(codes[new], codes[list(self.paid)])
            counts.append(len(touched))
            free += int(units[touched].sum())
        return (*counts, len(new), free)

    def cost_of(self, rows: Codes) -> int:
        """The cost of standing on `rows` besides the paid ones."""
        *counts, nodes, free = self.parts_of(rows)
        weighted = sum(weight * count for weight, count in zip(self.level_weight, counts, strict=True))
        return weighted + self.node_weight * nodes + free


def charges(
    tree: Tree,
    candidates: Mask,
    units: Codes,
    pods: int,
    paid: Sequence[int] = (),
    slices: Mapping[TopologyLevel, int] | None = None,
    use: Use | None = None,
) -> Charges:
    """Prices for a gang of `pods` that may use `candidates`; `units` is each node's free capacity.

    `use`: what tells which domains would be broken into; None where that is left open. `slices`: how many consecutive
    pods stand in one domain of a level; these levels are never left out.

    Where the weights would not fit into 64 bits, free capacity is counted more coarsely, then inner levels are
    left out.
    """
    rows = np.flatnonzero(candidates)
    free = units = np.where(candidates, np.maximum(units, 0), 0)
    slices = slices or {}
    kept: list[int] = []
    sizes: list[int] = []
    for i, codes in enumerate(tree.codes):
        size = len(np.unique(codes[rows]))
        told = size > (sizes[-1] if sizes else 1) and size < len(rows)
        if told or tree.levels[i] in slices:
            kept.append(i)
            sizes.append(size)
    while True:
        total = int(units.sum())
        weights = _weights(sizes, len(rows), total, pods)
        if weights[0] * (min(sizes[0] if sizes else len(rows), pods) + 1) < LARGEST:
            break
        if units.any():
            units = units >> 1
        else:
            last = max(at for at, i in enumerate(kept) if tree.levels[i] not in slices)
            del kept[last], sizes[last]
    codes_kept = tuple(tree.codes[i] for i in kept)
    totals = tuple(_totals(codes, units) + (total + 1) * _broken(codes, free, use) for codes in codes_kept)
    *level_weight, node_weight = weights
    return Charges(
        levels=tuple(kept),
        codes=codes_kept,
        order=tree.order,
        level_weight=tuple(level_weight),
        node_weight=node_weight,
        units=units,
        domain_units=totals,
        paid=tuple(sorted(set(paid))),
        slices=tuple(slices.get(level, 1) for level in (*(tree.levels[i] for i in kept), NODE_LEVEL)) if slices else (),
    )


def fewest(capacities: Codes, pods: int) -> int:
    """The fewest of `capacities` that hold `pods` together; one more than there are where all are too few."""
    if pods <= 0:
        return 0
    filled = np.cumsum(np.sort(capacities)[::-1])
    return int(np.searchsorted(filled, pods)) + 1


def _weights(sizes: Sequence[int], nodes: int, units: int, pods: int) -> list[int]:
    """Weights of the levels and of a node, each larger than all that follows can sum to."""
    whole = (units + 1) * sum(min(size, pods) for size in sizes)
    weights = [units * (len(sizes) + 1) + whole + 1]
    for inner in reversed([*sizes, nodes][1:] if sizes else []):
        weights.insert(0, weights[0] * (min(inner, pods) + 1))
    return weights


def _broken(codes: Codes, free: Codes, use: Use | None) -> Codes:
    """1 for domains that the gang would break into, 0 for others."""
    capacity = _totals(codes, free)
    if use is None:
        return np.zeros_like(capacity)
    return ((capacity > use.wanted) & (np.bincount(codes, weights=use.busy) == 0)).astype(np.int64)


def _totals(codes: Codes, units: Codes) -> Codes:
    return np.bincount(codes, weights=units).astype(np.int64)
