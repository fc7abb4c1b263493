"""Having idle nodes divided anew step by step: what is to be done next is read from the nodes alone.

A node is closed and marked with the configuration that it is to take; when it is still idle, the MIG manager is told;
when that has succeeded, the node is opened. Whoever takes over in between goes on from what stands on the nodes.
"""

from collections.abc import Collection, Iterator

import msgspec

from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.model.resources import GPU, is_divided
from scheduler.model.snapshot import Snapshot
from scheduler.planning.repartition.parted import config_name
from scheduler.planning.repartition.proposal import NodeChange, Proposal

MOST_AT_ONCE = 4
"""Nodes that are divided anew at a time."""


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """Write the configuration, close the node to new pods and mark it."""

    node: NodeName
    change: NodeChange


class Tell(msgspec.Struct, frozen=True, kw_only=True):
    """The node is closed and idle: have the MIG manager apply the configuration."""

    node: NodeName
    config: str


class TakeBack(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody came to the node before it was closed: open it as it is."""

    node: NodeName


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """It is done: open the node."""

    node: NodeName


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """The MIG manager failed: a person has to look; the node stays closed and is not tried again."""

    node: NodeName


Step = Begin | Tell | TakeBack | Finish | GiveUp


def under_way(snapshot: Snapshot) -> list[Node]:
    """The nodes that are marked."""
    return [node for node in snapshot.nodes.values() if node.mig_wanted]


def next_steps(snapshot: Snapshot, settled: Collection[str]) -> Iterator[Step]:
    """What is next for nodes that are marked. `settled`: configurations that the MIG manager surely can read by now."""
    for node in sorted(under_way(snapshot), key=lambda node: node.name):
        if node.mig_config != node.mig_wanted:
            if not is_idle(snapshot, node):
                yield TakeBack(node=node.name)
            elif node.mig_wanted in settled:
                yield Tell(node=node.name, config=node.mig_wanted)
        elif node.mig_state == "success":
            yield Finish(node=node.name)
        elif node.mig_state == "failed":
            yield GiveUp(node=node.name)


def first_steps(proposal: Proposal) -> list[Begin]:
    """The idle nodes of a proposal that begin now."""
    idle = [change for change in proposal.nodes if change.idle]
    return [Begin(node=change.node, change=change) for change in idle[:MOST_AT_ONCE]]


def wanted_config(begin: Begin) -> str:
    """The name of the configuration that a node is to take."""
    return config_name(begin.change.gpus)


def is_idle(snapshot: Snapshot, node: Node) -> bool:
    """Whether nobody has, or is about to get, anything of the node's GPUs."""
    columns = snapshot.columns
    row = columns.row_of[node.name]
    used = any(
        columns.used[row, at] > 0
        for at, resource in enumerate(columns.resources)
        if resource == GPU or is_divided(resource)
    )
    return not used and not any(one.in_use for one in node.mig_instances)
