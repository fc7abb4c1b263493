"""Which machine type a node is taken for by what its labels say, where nobody reported how its GPUs are connected.

A statement about what is sold under these names, and no measurement: bridges between PCIe cards, which may be there or
not, are assumed only where the machine is known by its own name.
"""

from collections.abc import Collection
from functools import cache, lru_cache
from importlib.resources import files

import msgspec

from scheduler.model.links import LinkGraph
from scheduler.scoring.devices.links import part
from scheduler.scoring.devices.machines import machine_graph


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node is of type `machine` if it has `gpus` GPUs whose product has all words of `product`, in order.

    None of its words is in `without`. `types`: beginnings of the names under which the machine as a whole is known, one
    of which has to be told; empty: any will do.
    """

    machine: str
    product: str
    gpus: int
    without: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


@cache
def profiles() -> tuple[Profile, ...]:
    """All of them; the first that a node is like counts."""
    raw = files("scheduler.scoring.devices").joinpath("profiles.json").read_bytes()
    return msgspec.json.decode(raw, type=tuple[Profile, ...])


@lru_cache(maxsize=1024)
def assumed_links(
    product: str, gpus: int, of: int, names: Collection[str] = frozenset()
) -> tuple[str, LinkGraph] | None:
    """The machine type that a node is taken for, and how its GPUs are connected; None where nothing can be said.

    `product`: of its GPUs, as GPU feature discovery names it. `gpus`: how many may be used, and `of` how many the
    machine is said to have; where some are missing nobody knows which, so that links are told only where all are alike.
    `names`: under which the machine is known (its maker's, its cloud's).
    """
    if 0 < of < gpus:
        # Only one of several models is counted.
        return None
    for each in profiles():
        if each.gpus == max(gpus, of) and _is_product(product, each) and (not each.types or _named(each, names)):
            graph = machine_graph(each.machine)
            if graph is None or (gpus < graph.size and not _alike(graph)):
                return None
            return each.machine, part(graph, gpus) if gpus < graph.size else graph
    return None


def _is_product(product: str, profile: Profile) -> bool:
    words = product.upper().split("-")
    if any(word.upper() in words for word in profile.without):
        return False
    for wanted in profile.product.upper().split("-"):
        if wanted not in words:
            return False
        words = words[words.index(wanted) + 1 :]
    return True


def _named(profile: Profile, names: Collection[str]) -> bool:
    return any(name.startswith(profile.types) for name in names)


def _alike(graph: LinkGraph) -> bool:
    """Whether every two GPUs are connected by as many NVLinks."""
    counts = {graph.nvlinks[a][b] for a in range(graph.size) for b in range(graph.size) if a != b}
    return len(counts) == 1 and 0 not in counts
