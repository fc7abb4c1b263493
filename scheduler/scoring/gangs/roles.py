"""Roles: groups of a gang that have to share one domain of a level of their own. Which domains to try, best first."""

from collections.abc import Sequence
from math import prod

import msgspec
import numpy as np

from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.gangs.cost import Charges
from scheduler.scoring.gangs.gang import Ask, Together
from scheduler.scoring.topology import NO_DOMAIN, domains

MOST_CHOICES = 16
"""Where there are no more ways than this to give every role a domain, all are tried, and the answer is exact."""

BEAM = 8
"""Otherwise so many are tried that use the fewest and fullest domains, and so many that put all roles into one."""

FULL_MILLI = 1000
OVERFULL = 1 << 61
"""Goes behind all others: roles share a domain that seems too small for them together."""


class Domains(msgspec.Struct, frozen=True):
    """One domain for every role: its codes, in the order of `Ask.together`."""

    chosen: tuple[int, ...]

    def masks(self, fleet: Fleet, ask: Ask) -> tuple[Mask | None, ...]:
        """For each group of the ask the nodes that it is kept to; None where any will do."""
        found: list[Mask | None] = [None] * len(ask.groups)
        for role, code in zip(ask.together, self.chosen, strict=True):
            mask = domains(fleet, role.level).codes == code
            for g in role.groups:
                found[g] = mask
        return tuple(found)


def large_enough(fleet: Fleet, ask: Ask, role: Together, fits: Sequence[Codes]) -> Codes:
    """Domains of the role's level with room for each of its groups by itself; where members stand, only theirs."""
    codes = domains(fleet, role.level).codes
    inside = codes != NO_DOMAIN
    large = np.ones(int(codes.max(initial=0)) + 1, dtype=np.bool_)
    for g in role.groups:
        count = ask.groups[g][1]
        held = np.bincount(codes[inside], weights=np.minimum(fits[g][inside], count), minlength=len(large))
        large &= held >= count
    own = np.unique(codes[list(role.standing)])
    if own.size:
        only = np.zeros_like(large)
        only[own] = own.size == 1 and own[0] != NO_DOMAIN
        large &= only
    return np.flatnonzero(large)


def within_roles(fleet: Fleet, ask: Ask, fits: Sequence[Codes]) -> tuple[Codes, ...]:
    """`fits` with nothing left for a role's groups in domains that are too small for it."""
    kept = list(fits)
    for role in ask.together:
        mask = np.isin(domains(fleet, role.level).codes, large_enough(fleet, ask, role, fits))
        for g in role.groups:
            kept[g] = np.where(mask, kept[g], 0)
    return tuple(kept)


class _Priced(msgspec.Struct, frozen=True):
    """A domain for a role: the domains around it with their prices, and how much of it the role fills, in 1/1000."""

    place: tuple[str, int]
    around: tuple[tuple[tuple[int, int], int], ...]
    filled_milli: int


class _Way(msgspec.Struct, frozen=True):
    """Domains for the first roles; `used` domains are paid for, those in `filled` have so much of their room given."""

    chosen: tuple[int, ...]
    price: int
    used: frozenset[tuple[int, int]]
    filled: dict[tuple[str, int], int]

    def with_next(self, each: _Priced) -> "_Way":
        new = [(key, price) for key, price in each.around if key not in self.used]
        filled = self.filled.get(each.place, 0) + each.filled_milli
        price = self.price + sum(price for _, price in new) + (OVERFULL if filled > FULL_MILLI else 0)
        return _Way(
            (*self.chosen, each.place[1]),
            price,
            self.used.union(key for key, _ in new),
            {**self.filled, each.place: filled},
        )


def role_choices(fleet: Fleet, ask: Ask, fits: Sequence[Codes], charges: Charges) -> tuple[tuple[Domains, ...], bool]:
    """Ways to give every role a domain, the most promising first; and whether these are all.

    Roles with the fewest domains to choose from are given theirs first. Domains that hold all roles together are looked
    at besides: the fullest ones for one role alone seldom have room for another.
    """
    listed = [_priced(fleet, ask, role, fits, charges) for role in ask.together]
    whole = prod(len(some) for some in listed) <= MOST_CHOICES
    order = sorted(range(len(listed)), key=lambda at: len(listed[at]))
    beam = [_Way((), 0, frozenset(), {})]
    for at in order:
        beam = sorted((way.with_next(each) for way in beam for each in listed[at]), key=_rank)
        if not whole:
            beam = beam[:BEAM]
    if not whole:
        beam = sorted([*_shared([listed[at] for at in order]), *beam], key=_rank)
    turns = [order.index(at) for at in range(len(order))]
    ways = dict.fromkeys(Domains(tuple(way.chosen[turn] for turn in turns)) for way in beam)
    return tuple(ways), whole


def _shared(listed: Sequence[Sequence[_Priced]]) -> list[_Way]:
    """The best ways to put all roles into one domain, if their levels are the same."""
    at_place = [{each.place: each for each in some} for some in listed]
    ways: list[_Way] = []
    for place in at_place[0]:
        if all(place in each for each in at_place):
            way = _Way((), 0, frozenset(), {})
            for each in at_place:
                way = way.with_next(each[place])
            ways.append(way)
    return [way for way in sorted(ways, key=_rank)[:BEAM] if way.price < OVERFULL]


def _rank(way: _Way) -> tuple[int, tuple[int, ...]]:
    return (way.price, way.chosen)


def _priced(fleet: Fleet, ask: Ask, role: Together, fits: Sequence[Codes], charges: Charges) -> list[_Priced]:
    """The domains that are large enough for a role, with the prices of all domains that contain them."""
    codes = domains(fleet, role.level).codes
    large = large_enough(fleet, ask, role, fits)
    rows = np.flatnonzero(np.isin(codes, large))
    at = codes[rows]
    size = int(codes.max(initial=0)) + 1
    around: dict[int, list[tuple[tuple[int, int], int]]] = {
        code: [((-1, code), price)]
        for code, price in zip(large.tolist(), _summed(at, charges.units[rows], size)[large].tolist(), strict=True)
    }
    for i, (inside, weight, units) in enumerate(
        zip(charges.codes, charges.level_weight, charges.domain_units, strict=True)
    ):
        low, high = np.full(size, len(fleet), dtype=np.int64), np.full(size, -1, dtype=np.int64)
        np.minimum.at(low, at, inside[rows])
        np.maximum.at(high, at, inside[rows])
        paid = set(inside[list(charges.paid)].tolist())
        for code in large[low[large] == high[large]].tolist():
            outer = int(low[code])
            around[code].append(((i, outer), 0 if outer in paid else weight + int(units[outer])))
    filled = np.zeros(size, dtype=np.int64)
    for g in role.groups:
        filled += FULL_MILLI * ask.groups[g][1] // np.maximum(_summed(at, fits[g][rows], size), 1)
    return [_Priced((role.level.label, code), tuple(around[code]), int(filled[code])) for code in large.tolist()]


def _summed(at: Codes, amounts: Codes, size: int) -> Codes:
    return np.bincount(at, weights=amounts, minlength=size).astype(np.int64)
