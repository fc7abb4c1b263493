"""What a claim takes of a GPU that several claims may have a part of each (KEP-5075).

The rounding is that of kube-scheduler's allocator, `structured/internal/incubating/consumable_capacity.go` of
k8s.io/dynamic-resource-allocation v0.36.3; all amounts are whole units, as they are there where steps are counted.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import lcm

from scheduler.model.claims import Amounts, Capacity
from scheduler.model.resources import MILLI_GPU
from scheduler.model.workload import PodShape

KEPT = 256
"""Kinds of GPUs that are remembered; only speed depends on it."""

MOST_UNITS = 10**15
"""Where capacities have no smaller common multiple, parts are rounded up to so many to a GPU."""

_UNITS = ((1 << 30, "Gi"), (1 << 20, "Mi"))


def taken(capacities: Iterable[Capacity], asked: Amounts) -> Amounts | None:
    """What is taken of each capacity of an unused GPU by a claim that asks for so much; None where it cannot have it.

    Each capacity counts, whether the claim names it or not. A GPU without one that the claim names is none for it.
    """
    wanted = dict(asked)
    found: list[tuple[str, int]] = []
    for capacity in capacities:
        amount = _rounded(capacity, wanted.pop(capacity.name, None))
        if amount is None or amount > capacity.total:
            return None
        found.append((capacity.name, amount))
    return None if wanted or not found else tuple(found)


def _rounded(capacity: Capacity, asked: int | None) -> int | None:
    """What a claim takes of one capacity by its policy; None where the policy does not allow it."""
    if asked is None:
        return capacity.total if capacity.default is None else capacity.default
    if capacity.values:
        return next((value for value in capacity.values if value >= asked), None)
    if capacity.least is not None:
        above = max(asked - capacity.least, 0)
        asked = capacity.least + (-(-above // capacity.step) * capacity.step if capacity.step else above)
    return None if capacity.most is not None and asked > capacity.most else asked


def part_milli(capacities: Iterable[Capacity], amounts: Amounts) -> int:
    """How much of a GPU is taken with such amounts, in milli-GPU: of its capacity that is used most, rounded up.

    So claims whose parts come to no more than 1000 take no capacity twice. Where no amount of a capacity is told, all
    of it counts as taken; nothing counts as less than 1.
    """
    known = dict(amounts)
    return max([1, *(-(-MILLI_GPU * known.get(c.name, c.total) // c.total) for c in capacities if c.total)])


@lru_cache(maxsize=KEPT)
def whole_of(capacities: tuple[Capacity, ...]) -> int:
    """Units of a GPU in which parts of it are counted: milli-GPU, or so many that its capacities come out even."""
    if not capacities:
        return MILLI_GPU
    even = lcm(*(capacity.total for capacity in capacities if capacity.total))
    return min(even, MOST_UNITS)


def units(capacities: tuple[Capacity, ...], amounts: Amounts) -> int:
    """How much of a GPU is taken with such amounts, of `whole_of` it; otherwise as `part_milli`."""
    known, whole = dict(amounts), whole_of(capacities)
    return max([1, *(-(-whole * known.get(c.name, c.total) // c.total) for c in capacities if c.total)])


def share_units(capacities: tuple[Capacity, ...], shape: PodShape) -> int:
    """How much of each GPU of a kind a pod has that has parts of GPUs, of `whole_of` it; more than all: it cannot."""
    if not capacities:
        return shape.share_milli
    amounts = taken(capacities, shape.gpu_capacity)
    return whole_of(capacities) + 1 if amounts is None else units(capacities, amounts)


def portion_milli(capacities: tuple[Capacity, ...], asked: Amounts) -> int | None:
    """How much of an unused GPU a claim takes that asks for so much, in milli-GPU; None where it cannot have it."""
    amounts = taken(capacities, asked)
    return None if amounts is None else part_milli(capacities, amounts)


def suits(capacities: tuple[Capacity, ...], asked: Amounts, *, parts: bool) -> bool:
    """Whether a GPU is one for a claim: for `parts` a shared one that has so much, else one that it gets whole."""
    if parts:
        return bool(capacities) and taken(capacities, asked) is not None
    return not capacities or portion_milli(capacities, ()) == MILLI_GPU


def total_of(amounts: Iterable[Amounts]) -> Mapping[str, int]:
    """The sum of each capacity."""
    found: dict[str, int] = {}
    for each in amounts:
        for name, amount in each:
            found[name] = found.get(name, 0) + amount
    return found


def quantity(amount: int) -> str:
    """An amount as Kubernetes writes it: `10Gi`, `81559Mi`, `300`."""
    return next((f"{amount // unit}{suffix}" for unit, suffix in _UNITS if amount and amount % unit == 0), str(amount))
