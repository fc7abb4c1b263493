"""What is odd about the topology levels of a cluster, and what is assumed instead: for people, said once.

The same of how the GPUs of its nodes are connected, where no exporter reports, and of what labels of nodes say wrongly.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from scheduler.model.node import CLIQUE_LABEL, Node, TopologyLevel
from scheduler.model.snapshot import Snapshot
from scheduler.scoring.found_levels import unused_sources

NAMED = 3
"""Nodes or domains listed by name in a sentence."""


def level_notes(snapshot: Snapshot) -> tuple[str, ...]:
    """Sentences on levels that were found rather than named, and on labels that are missing or not used."""
    nodes = [snapshot.nodes[name] for name in snapshot.columns.names]
    notes: list[str] = []
    if snapshot.topology_found:
        listed = ", ".join(f"{level.name} ({level.label})" for level in snapshot.topology)
        notes.append(f"there is no Topology; levels are taken from node labels, outermost first: {listed}")
        if unused := unused_sources(snapshot.topology, nodes):
            notes.append(f"labels of topology that other labels tell better are not used: {', '.join(unused)}")
    notes += (note for level in snapshot.topology if (note := _missing(level, nodes)) is not None)
    pairs = pairwise(snapshot.topology)
    notes += (note for outer, inner in pairs if (note := _spanning(outer, inner, nodes)) is not None)
    return (*notes, *_otherwise(nodes), *_assumed(nodes), *_wrong(nodes))


def _wrong(nodes: Sequence[Node]) -> Sequence[str]:
    """What labels say wrongly, with the first nodes that have them."""
    saying: dict[str, list[str]] = {}
    for node in nodes:
        for note in node.notes:
            saying.setdefault(note, []).append(node.name)
    return [f"{note}: {_named(names)}" for note, names in sorted(saying.items())]


def _otherwise(nodes: Sequence[Node]) -> Iterator[str]:
    """Of which nodes label and report name another clique."""
    found = [one for one in nodes if one.clique and one.labels.get(CLIQUE_LABEL, one.clique) != one.clique]
    if found:
        names = _named([f"{one.name} ({one.labels[CLIQUE_LABEL]}, reported {one.clique})" for one in found])
        yield (
            f"the label {CLIQUE_LABEL} of {len(found)} nodes names another clique than their exporter reports: {names}"
            "; the reported one counts"
        )


def _assumed(nodes: Sequence[Node]) -> Sequence[str]:
    """The machine types that nodes are taken for, and by what; how many nodes is left open, as that comes and goes."""
    kinds = {(node.product, len(node.devices), node.machine) for node in nodes if node.links_assumed}
    return [
        f"no exporter reports from nodes with {gpus} GPUs {product}; these are taken to be connected as in machines of "
        f"type {machine}"
        for product, gpus, machine in sorted(kinds)
    ]


def _missing(level: TopologyLevel, nodes: Sequence[Node]) -> str | None:
    """Which nodes with devices lack the level's label. Nodes without devices seldom have such labels, and need none."""
    matter = [node for node in nodes if node.allocatable.wants_devices]
    without = [node.name for node in matter if not node.place(level.label)]
    if not without:
        return None
    if len(without) == len(matter):
        return f"no node with devices has the label {level.label} of the level {level.name}; the level is passed over"
    return (
        f"{len(without)} of {len(matter)} nodes with devices lack the label {level.label} of the level {level.name}: "
        f"{_named(without)}; each is taken to be close to no other node, and is not used where that level is required"
    )


def _spanning(outer: TopologyLevel, inner: TopologyLevel, nodes: Sequence[Node]) -> str | None:
    """Which domains of a level reach over several of the level outside it."""
    around: dict[str, set[str]] = {}
    for node in nodes:
        inside, outside = node.place(inner.label), node.place(outer.label)
        if inside and outside:
            around.setdefault(inside, set()).add(outside)
    spanning = sorted(value for value, places in around.items() if len(places) > 1)
    if not spanning:
        return None
    return (
        f"{len(spanning)} of {len(around)} domains of the level {inner.name} ({inner.label}) reach over several of the "
        f"level {outer.name}: {_named(spanning)}; each is taken for one where {inner.name} is required, and else for "
        f"one in each {outer.name}"
    )


def _named(names: Sequence[str]) -> str:
    """The first of these, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
