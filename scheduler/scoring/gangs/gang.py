"""What is asked for a gang, and what an answer looks like."""

import msgspec

from scheduler.model.node import TopologyLevel
from scheduler.model.plan import DomainUse, Proof
from scheduler.model.workload import PodShape
from scheduler.scoring.fleet import Codes, Mask


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of an ask, by their places in it, that share one domain of `level`, with the members that `standing` are.

    They are those of one role of the gang. `standing`: rows.
    """

    level: TopologyLevel
    groups: tuple[int, ...]
    standing: tuple[int, ...] = ()


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Room for all of `groups` together: shapes, largest first, and how many pods of each.

    `allowed`: the nodes that may be used; None allows all. `standing`: rows of members that stand already.
    `required`: all members, standing ones included, in one domain of this level. `preferred` adds its level to those
    whose domains are counted. `topology`: the cluster's levels, outermost first. `slices`: levels with how many
    consecutive pods of a group stand in one domain of each, outermost first, each a multiple of the next. `together`:
    groups that share a domain, each in one of these at most.
    """

    groups: tuple[tuple[PodShape, int], ...]
    topology: tuple[TopologyLevel, ...] = ()
    required: TopologyLevel | None = None
    preferred: TopologyLevel | None = None
    slices: tuple[tuple[TopologyLevel, int], ...] = ()
    together: tuple[Together, ...] = ()
    standing: tuple[int, ...] = ()
    allowed: Mask | None = None

    @property
    def pods(self) -> int:
        """How many pods are asked room for."""
        return sum(count for _, count in self.groups)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the solver may spend: milliseconds of its deterministic clock; and its seed and workers."""

    budget_ms: float = 0.0
    seed: int = 1
    workers: int = 1


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """For each group of an ask the rows to use and how many pods on each, in the order in which ranks are laid out."""

    groups: tuple[tuple[Codes, Codes], ...]
    proof: Proof
    spread: tuple[DomainUse, ...] = ()


def size_of(shape: PodShape) -> tuple[int, int, int, int]:
    """How large a pod is: whole GPUs, then quota charge (parts of GPUs, MIG slices), CPU, memory."""
    requests = shape.requests
    return requests.gpus, shape.milli_gpu, requests.milli_cpu, requests.memory_bytes
