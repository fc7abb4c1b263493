"""Topology levels and the domains that nodes stand in."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.scoring.fleet import Codes, Column, Fleet

NO_DOMAIN = -1
"""The code of a node that lacks a level's label: it stands in no domain of that level."""


class Tree(msgspec.Struct, frozen=True):
    """Levels made to nest, outermost first: a domain of a level is told apart by the domains around it as well.

    `codes[i][row]` is the domain of the node at level i, counted from 0 in the order of label values, outer levels
    first. A node that lacks the label is a domain of its own, so that it never counts as close to anything.
    `order` lists all rows so that the nodes of every domain of every level follow each other, by name inside.
    """

    levels: tuple[TopologyLevel, ...]
    codes: tuple[Codes, ...]
    order: Codes


def find_level(fleet: Fleet, topology: Sequence[TopologyLevel], name: str) -> TopologyLevel | None:
    """The level that `name` means: a level's name, or a label key that some node has; None where it means nothing."""
    for level in (*topology, NODE_LEVEL):
        if name in (level.name, level.label):
            return level
    if fleet.place(name).values:
        return TopologyLevel(name=name, label=name)
    return None


def domains(fleet: Fleet, level: TopologyLevel) -> Column:
    """The domain of each node at `level`, by label value; every node is its own domain at the node level."""
    if level == NODE_LEVEL:
        return fleet.remember(
            ("node level",), lambda: Column(np.arange(len(fleet), dtype=np.int64), tuple(str(n) for n in fleet.names))
        )
    column = fleet.place(level.label)
    if column.index_of("") is None:
        return column
    # An empty value names no domain; it sorts first.
    return fleet.remember(
        ("domains", level.label), lambda: Column(np.maximum(column.codes - 1, NO_DOMAIN), column.values[1:])
    )


PRODUCT_LEVEL = TopologyLevel(name="product", label="")
"""A level that no topology names: nodes with the same GPU product."""


def tree(fleet: Fleet, levels: Sequence[TopologyLevel]) -> Tree:
    """`levels`, outermost first, as a tree; `PRODUCT_LEVEL` may be among them, the node level is left out.

    A level that no node is in is passed over: it says nothing about the levels inside it.
    """
    kept = tuple(
        dict.fromkeys(
            level
            for level in levels
            if level != NODE_LEVEL and (level == PRODUCT_LEVEL or domains(fleet, level).values)
        )
    )
    return fleet.remember(("tree", kept), lambda: _tree(fleet, kept))


def levels_for(
    fleet: Fleet,
    topology: Sequence[TopologyLevel],
    required: TopologyLevel | None,
    preferred: TopologyLevel | None,
    more: Sequence[TopologyLevel] = (),
) -> tuple[TopologyLevel, ...]:
    """The levels that count for a gang, the most important first.

    A required level comes first, then the topology's. A preferred label, or one of `more`, that is no level of the
    topology is put where its number of domains belongs: more domains, further inside.
    """
    levels = list(topology)
    for wish in (preferred, *more):
        if wish is not None and wish != NODE_LEVEL and wish not in levels:
            fine = len(domains(fleet, wish).values)
            at = next((i for i, level in enumerate(levels) if len(domains(fleet, level).values) > fine), len(levels))
            levels.insert(at, wish)
    if required is not None and required != NODE_LEVEL:
        levels = [required, *(level for level in levels if level != required)]
    return tuple(levels)


def _tree(fleet: Fleet, levels: tuple[TopologyLevel, ...]) -> Tree:
    rows = np.arange(len(fleet), dtype=np.int64)
    outer = np.zeros(len(fleet), dtype=np.int64)
    codes: list[Codes] = []
    for level in levels:
        column = fleet.products if level == PRODUCT_LEVEL else domains(fleet, level)
        width = len(column.values)
        own = np.where(column.codes == NO_DOMAIN, width + rows, column.codes)
        _, outer = np.unique(outer * (width + len(fleet) + 1) + own, return_inverse=True)
        outer = outer.astype(np.int64).reshape(len(fleet))
        outer.setflags(write=False)
        codes.append(outer)
    order = np.lexsort((rows, outer))
    order.setflags(write=False)
    return Tree(levels, tuple(codes), order)
