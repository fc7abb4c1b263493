"""Who has the devices that a plan gives out: looked up once more before they are given."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from scheduler.model.claims import ClaimKey, DeviceName, Grant, Offered
from scheduler.model.workload import Pod
from scheduler.scoring.sharing.portions import total_of
from scheduler.state.claims import ClaimBook, Pool
from scheduler.state.offers import OfferBook

Grants = Mapping[str, Collection[Grant]]
"""What claims are to get, by their uid."""


class _Place(NamedTuple):
    """Where a device is: all of a GPU, or a slice of one, in these memory units where that is told."""

    gpu: str
    whole: bool
    units: range | None = None


class Holders:
    """Claims and what they have, to look at."""

    def __init__(self, claims: ClaimBook, offers: OfferBook) -> None:
        """As these books are whenever it is asked."""
        self._claims = claims
        self._offers = offers

    def guarded(self) -> list[tuple[ClaimKey, Collection[Pod]]]:
        """The claims that were given devices for plans whose pods may not all stand; the pods that name each."""
        return self._claims.guarded()

    def clash(self, wanted: Grants, *, of: str | None = None) -> str | None:
        """Why claims cannot all get what a plan gives them, by what other claims have; None: nothing is in the way.

        A GPU and its slices lie on each other, whatever their names are (KEP-4815); of a shared one several claims have
        parts, together no more than there is. `of`: only what this claim has is looked at.
        """
        places: dict[Pool, Mapping[str, _Place]] = {}
        held: dict[Pool, Mapping[str, tuple[DeviceName, ...]]] = {}
        for uid, grant in ((uid, grant) for uid, grants in wanted.items() for grant in grants):
            pool = (grant.device.driver, grant.device.pool)
            if pool not in held:
                known = self._claims.in_pools([pool])
                held[pool] = known if of is None else {other: names for other, names in known.items() if other == of}
                places[pool] = _places(self._offers.in_pool(pool)) if held[pool] else {}
            for other, names in held[pool].items():
                if other != uid and (found := self._in_the_way(grant, other, names, places[pool])):
                    return f"{found.device} of {found.pool} was given to another claim"
        return self._overdrawn(wanted, {name for each in held.values() for names in each.values() for name in names})

    def _in_the_way(
        self, grant: Grant, other: str, names: Iterable[DeviceName], places: Mapping[str, _Place]
    ) -> DeviceName | None:
        """A device of another claim that lies on what is granted; parts of one GPU do not lie on each other."""
        wanted = grant.device
        parts = {part.device for part in self._claims.parts_of(other)} if grant.consumed else set[DeviceName]()
        lying = (n for n in names if n == wanted or _overlap(places.get(wanted.device), places.get(n.device)))
        return min((name for name in lying if name not in parts), key=_by_name, default=None)

    def _overdrawn(self, wanted: Grants, touched: Collection[DeviceName]) -> str | None:
        """Of which GPU the parts that claims are to get, and those that others have, are more than there is."""
        parts: dict[DeviceName, list[tuple[tuple[str, int], ...]]] = {}
        for grant in (grant for grants in wanted.values() for grant in grants if grant.consumed):
            if grant.device in touched:
                parts.setdefault(grant.device, []).append(grant.consumed)
        if not parts:
            return None
        others = self._claims.in_pools({(name.driver, name.pool) for name in parts}).keys() - wanted.keys()
        for part in (part for uid in others for part in self._claims.parts_of(uid)):
            if part.device in parts:
                parts[part.device].append(part.amounts)
        for name, amounts in sorted(parts.items(), key=lambda each: _by_name(each[0])):
            used = total_of(amounts)
            offered = (d for d in self._offers.in_pool((name.driver, name.pool)) if d.name == name.device)
            if any(used.get(c.name, 0) > c.total for device in offered for c in device.capacities):
                return f"too much of {name.device} of {name.pool} was given to other claims"
        return None


def _places(offered: Iterable[Offered]) -> Mapping[str, _Place]:
    """Where the devices of a pool are, by name."""
    devices = list(offered)
    named = {gpu.uuid: gpu.name for gpu in devices if gpu.kind == "gpu" and gpu.uuid}
    return dict(_placed(devices, named))


def _placed(devices: Iterable[Offered], named: Mapping[str, str]) -> Iterator[tuple[str, _Place]]:
    for device in devices:
        if device.kind == "gpu":
            yield device.name, _Place(device.name, whole=True)
        elif device.parent:
            units = range(device.start, device.start + device.size) if device.start >= 0 else None
            yield device.name, _Place(named.get(device.parent, device.parent), whole=False, units=units)


def _overlap(one: _Place | None, other: _Place | None) -> bool:
    """Whether two devices lie on each other. Slices that were made beforehand do not."""
    if one is None or other is None or one.gpu != other.gpu:
        return False
    if one.whole or other.whole:
        return True
    if one.units is None or other.units is None:
        return False
    return max(one.units.start, other.units.start) < min(one.units.stop, other.units.stop)


def _by_name(name: DeviceName) -> tuple[str, str]:
    return name.pool, name.device
