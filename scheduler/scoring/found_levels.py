"""Topology levels that are found by themselves in well-known node labels, where no Topology names any."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from scheduler.model.node import CLIQUE_LABEL, Node, TopologyLevel

Labels = Mapping[str, str]


class Source(msgspec.Struct, frozen=True):
    """Labels of one origin that describe the same thing: `levels` are (name, label key), outermost first."""

    origin: str
    levels: tuple[tuple[str, str], ...]


PLACES = Source("Kubernetes", (("region", "topology.kubernetes.io/region"), ("zone", "topology.kubernetes.io/zone")))
"""Always outermost (kubernetes.io, "Well-Known Labels, Annotations and Taints")."""

NETWORKS = (
    Source(
        "topograph before version 1",
        tuple((name, f"network.topology.nvidia.com/{name}") for name in ("core", "spine", "leaf")),
    ),
    Source("AWS", tuple((f"layer-{i}", f"topology.k8s.aws/network-node-layer-{i}") for i in (1, 2, 3))),
    Source(
        "Google Cloud", tuple((name, f"cloud.google.com/gce-topology-{name}") for name in ("block", "subblock", "host"))
    ),
    Source(
        "Oracle Cloud",
        (("block", "oci.oraclecloud.com/host.network_block_id"), ("rack", "oci.oraclecloud.com/host.rack_id")),
    ),
    Source("the provider", tuple((name, f"cloud.provider.com/topology-{name}") for name in ("block", "rack"))),
)
"""The network between machines; the one that is on most nodes is used, topograph's own tiers before these."""

TIER = re.compile(r"fabric\.topograph\.run/tier-(\d{1,2})\Z", re.ASCII)
"""topograph 1 (its docs/reference/node-labels.md): tier 0 is the switch next to the node."""

TIER_NAMES = ("leaf", "spine", "core")
"""What people call tiers 0, 1 and 2."""

CLIQUE_LEVEL = "clique"
"""GPUs of several nodes that are one NVLink domain, by exporters and GPU feature discovery."""

FABRICS = (
    Source(
        "topograph",
        (
            ("nvlink-domain", "accelerator.topograph.run/domain"),
            ("nvlink-sub-domain", "accelerator.topograph.run/sub-domain"),
        ),
    ),
    Source("topograph before version 1", (("nvlink-domain", "network.topology.nvidia.com/accelerator"),)),
    Source("GPU feature discovery", ((CLIQUE_LEVEL, CLIQUE_LABEL),)),
)
"""NVLink between machines; the one that is on most nodes is used."""


def found_levels(nodes: Iterable[Node]) -> tuple[TopologyLevel, ...]:
    """The levels that the nodes' labels and reports tell of, outermost first, without the node level, which follows.

    Regions and zones, then one source's network, then one source's NVLink domains, which stand outside those network
    levels of which they contain several domains.
    """
    labels = [node.places for node in nodes]
    seen = Counter(key for each in labels for key, value in each.items() if value)
    network = _most_seen((_tiers(seen), *NETWORKS), seen)
    levels = list(_levels(network, seen))
    for level in _levels(_most_seen(FABRICS, seen), seen):
        levels.insert(_place(levels, level, labels), level)
    return (*_levels(PLACES, seen), *levels)


def unused_sources(levels: Sequence[TopologyLevel], nodes: Iterable[Node]) -> list[str]:
    """Well-known label keys that nodes have and that none of `levels` uses, sorted."""
    seen = {key for node in nodes for key, value in node.places.items() if value}
    known = {key for source in (PLACES, *NETWORKS, *FABRICS) for _, key in source.levels}
    known |= {key for key in seen if TIER.match(key)}
    return sorted((known & seen) - {level.label for level in levels})


def _tiers(seen: Mapping[str, int]) -> Source:
    """The tiers of topograph among the labels, outermost first."""
    numbers = sorted((int(found[1]) for key in seen if (found := TIER.match(key))), reverse=True)
    named = tuple(
        (TIER_NAMES[n] if n < len(TIER_NAMES) else f"tier-{n}", f"fabric.topograph.run/tier-{n}") for n in numbers
    )
    return Source("topograph", named)


def _most_seen(sources: Sequence[Source], seen: Mapping[str, int]) -> Source:
    """The source with a label on most nodes; the first of equal ones."""
    return max(sources, key=lambda source: max((seen.get(key, 0) for _, key in source.levels), default=0))


def _levels(source: Source, seen: Mapping[str, int]) -> Iterable[TopologyLevel]:
    return (TopologyLevel(name=name, label=key) for name, key in source.levels if seen.get(key))


def _place(levels: Sequence[TopologyLevel], level: TopologyLevel, labels: Sequence[Labels]) -> int:
    """Where among `levels` one belongs: outside those that lie within its domains, inside the others."""
    at = len(levels)
    while at > 0 and _within(levels[at - 1], level, labels) and not _within(level, levels[at - 1], labels):
        at -= 1
    return at


def _within(inner: TopologyLevel, outer: TopologyLevel, labels: Sequence[Labels]) -> bool:
    """Whether every domain of `inner` lies within one domain of `outer`, as far as nodes have both labels."""
    around: dict[str, str] = {}
    for each in labels:
        a, b = each.get(inner.label), each.get(outer.label)
        if a and b and around.setdefault(a, b) != b:
            return False
    return True
