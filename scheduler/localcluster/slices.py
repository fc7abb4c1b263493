"""Dividing a machine's GPUs into MIG slices."""

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.exporter.simulated.machines import Profile
from scheduler.localcluster.machines import Machine, profiles


class NoRoomError(ValueError):
    """The slices that are asked for cannot be made."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A MIG instance: on which GPU, of which profile, from which memory unit on, and how many units long."""

    gpu: int
    profile: str
    start: int
    size: int


def free_starts(profile: Profile, taken: Sequence[Slice]) -> list[int]:
    """Where an instance of `profile` could begin beside the `taken` ones of the same GPU."""
    units = {unit for one in taken for unit in range(one.start, one.start + one.size)}
    return [start for start in profile.starts if units.isdisjoint(range(start, start + profile.size))]


def divide(machine: Machine, wanted: Mapping[str, int]) -> list[Slice]:
    """Slices as `wanted`, how many of each profile, on as few of the last GPUs as first fit finds.

    Raises:
        NoRoomError: a profile is unknown, or the GPUs are too few.
    """
    known = profiles(machine)
    for name in wanted:
        if name not in known:
            allowed = ", ".join(known) or "none, its GPUs cannot be divided"
            raise NoRoomError(f'MIG profile "{name}" is unknown for {machine.product}; allowed: {allowed}')
    # The largest first, and of these the ones with the fewest places: 4g fits at one end only, 3g at either.
    order = sorted(wanted, key=lambda name: (-known[name].size, len(known[name].starts), name))
    made: dict[int, list[Slice]] = {}
    for name in [one for one in order for _ in range(wanted[one])]:
        profile = known[name]
        for gpu in reversed(range(machine.gpus)):
            starts = free_starts(profile, made.get(gpu, ()))
            if starts:
                made.setdefault(gpu, []).append(Slice(gpu=gpu, profile=name, start=starts[0], size=profile.size))
                break
        else:
            raise NoRoomError(f"{machine.gpus} GPUs have no room for the MIG slices {_said(wanted)}")
    return [one for gpu in sorted(made) for one in sorted(made[gpu], key=lambda s: s.start)]


def _said(wanted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in wanted.items())
