"""Whether GPUs are connected as a pod asks, for the checker: plain searches over the links, no tables."""

from collections.abc import Iterable

from scheduler.model.links import LinkGraph
from scheduler.model.node import Node
from scheduler.model.workload import Linked, PodShape


def broken_links(shape: PodShape, node: Node, devices: Iterable[int]) -> list[str]:
    """What is wrong with these GPUs for a pod that needs linked ones."""
    if not _must_link(shape):
        return []
    chosen = set(devices)
    if not chosen:
        return ["it needs GPUs connected by NVLink, and none are named"]
    if node.links is None or _parts(node.links, chosen) != [chosen]:
        return [f"GPUs {', '.join(map(str, sorted(chosen)))} are not connected by NVLink"]
    return []


def too_few_linked(shape: PodShape, node: Node, devices: Iterable[int]) -> list[str]:
    """Why no set among `devices` would do for a pod that needs linked GPUs; empty where one would."""
    if not _must_link(shape):
        return []
    gpus = shape.requests.gpus
    if node.links is None:
        return [f"{gpus} GPUs connected by NVLink are asked for, and its links are not known"]
    if any(len(part) >= gpus for part in _parts(node.links, devices)):
        return []
    return [f"it has no {gpus} GPUs connected by NVLink"]


def _must_link(shape: PodShape) -> bool:
    return shape.linked is Linked.REQUIRED and shape.requests.gpus > 1


def _parts(links: LinkGraph, devices: Iterable[int]) -> list[set[int]]:
    """`devices` in parts within which each reaches each over NVLinks between devices of the part.

    A part of n GPUs has connected sets of every size up to n: leaves of a spanning tree can be left out.
    """
    left = {index for index in devices if index < len(links.nvlinks)}
    parts: list[set[int]] = []
    while left:
        part: set[int] = set()
        edge = {min(left)}
        while edge:
            part |= edge
            edge = {b for a in edge for b in left - part if links.nvlinks[a][b] > 0}
        parts.append(part)
        left -= part
    return parts
