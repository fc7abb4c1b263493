"""How pods that stand alone are placed: the policies, by the names that people know."""

from enum import Enum


class Policy(Enum):
    """How a node is chosen among those with room."""

    TOPOLOGY_PRESERVING = "TopologyPreserving"
    """Nodes already in use first, so that whole ones stay whole; then the one with the fewest free GPUs."""
    MOST_ALLOCATED = "MostAllocated"
    """Bin-packing: the node with the largest part of its GPUs in use (of its CPU, for pods without GPUs)."""
    LEAST_ALLOCATED = "LeastAllocated"
    """Spreading: the node with the smallest part in use, and on it the device with the most free."""
    LEAST_FRAGMENTATION = "LeastFragmentation"
    """The node that loses least of what the requests of late could still be given."""


DEFAULT_POLICY = Policy.TOPOLOGY_PRESERVING

POLICY_NAMES = ", ".join(policy.value for policy in Policy)
"""All policies, as messages list them."""


def policy_named(name: str) -> Policy | None:
    """The policy of that name, in any case of letters; None where there is none."""
    return next((policy for policy in Policy if policy.value.lower() == name.lower()), None)
