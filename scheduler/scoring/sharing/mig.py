"""MIG on one GPU: which instances can stand beside each other, and where one goes so that large ones stay possible.

Instances are legal together where no two take the same memory unit, no profile has more of them than the GPU allows,
and the engines that they take (decoders, JPEG, OFA, copy) are not more than the GPU has. That compute slices suffice
follows from where instances may begin (NVIDIA MIG user guide, "Supported MIG Profiles").

A GPU has at most 12 memory units and 25 placements, so that all of this is counted exactly.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from scheduler.model.mig import MigModel, Profile

Layout = tuple[tuple[int, int], ...]
"""The instances on a GPU: (index of the profile in the model's list, start), sorted."""

EMPTY: Layout = ()
KEPT = 1 << 16
"""Answers remembered for each question; only speed depends on it."""


def is_legal(model: MigModel, layout: Layout) -> bool:
    """Whether these instances can stand on one GPU."""
    rest: Layout = EMPTY
    for profile, start in layout:
        if start not in free_starts(model, rest, profile):
            return False
        rest = with_one(rest, profile, start)
    return True


@lru_cache(maxsize=64)
def legal_layouts(model: MigModel) -> tuple[Layout, ...]:
    """Every layout that can stand on a GPU, the empty one too, in a fixed order: some thousands at most."""
    spots = [(profile, start) for profile, each in enumerate(model.profiles) for start in each.starts]
    found: list[Layout] = [EMPTY]
    for profile, start in spots:
        found += [(*one, (profile, start)) for one in found if start in _open_starts(model, one, profile)]
    return tuple(found)


@lru_cache(maxsize=KEPT)
def free_starts(model: MigModel, layout: Layout, profile: int) -> tuple[int, ...]:
    """Where one more instance of a profile can be made, ascending."""
    return _open_starts(model, layout, profile)


def _open_starts(model: MigModel, layout: Layout, profile: int) -> tuple[int, ...]:
    """`free_starts`, without remembering the answer."""
    wanted = model.profiles[profile]
    if _left(model, layout, profile) < 1:
        return ()
    taken = _units(model, layout)
    return tuple(start for start in wanted.starts if not taken & _span(wanted, start))


@lru_cache(maxsize=KEPT)
def most(model: MigModel, layout: Layout, profile: int) -> int:
    """How many more instances of one profile can be made beside those on the GPU.

    They are all of one size, so taking the first free place again and again gives the most.
    """
    wanted = model.profiles[profile]
    taken, count = _units(model, layout), 0
    for start in wanted.starts:
        span = _span(wanted, start)
        if not taken & span:
            taken |= span
            count += 1
    return min(count, _left(model, layout, profile))


def outlook(model: MigModel, layout: Layout) -> tuple[int, ...]:
    """For each profile, the largest first, how many of it could still be made: more, read in order, is better."""
    return tuple(most(model, layout, profile) for profile in range(len(model.profiles)))


@lru_cache(maxsize=KEPT)
def loss(model: MigModel, layout: Layout, profile: int, start: int) -> tuple[int, ...]:
    """What an instance takes from the outlook, the largest profile first: less, read in order, is better."""
    after = outlook(model, with_one(layout, profile, start))
    return tuple(a - b for a, b in zip(outlook(model, layout), after, strict=True))


@lru_cache(maxsize=KEPT)
def best_start(model: MigModel, layout: Layout, profile: int) -> int | None:
    """Where an instance goes: where it takes least from the outlook; among equals furthest back.

    So a lone 1g goes to 6 of an A100, where 4g, 3g at 0 and three 2g stay possible. None where there is no place.
    """
    starts = free_starts(model, layout, profile)
    return min(starts, key=lambda start: (loss(model, layout, profile, start), -start), default=None)


def in_the_way(model: MigModel, layout: Layout, profile: int) -> Iterator[tuple[int, Layout]]:
    """Where one more instance could begin if others went, and which: those on its place, and one more if need be."""
    wanted = model.profiles[profile]
    for start in wanted.starts:
        span = _span(wanted, start)
        gone = tuple(one for one in layout if _span(model.profiles[one[0]], one[1]) & span)
        rest = _less(layout, gone)
        for more in ((), *((one,) for one in rest)):
            if start in free_starts(model, _less(rest, more), profile):
                yield start, gone + more
                break


@lru_cache(maxsize=KEPT)
def place_mix(model: MigModel, layout: Layout, wanted: tuple[int, ...]) -> Layout | None:
    """The layout with `wanted[i]` more instances of each profile i; None where they do not fit together.

    All ways are tried, the best place by `best_start` first.
    """
    profile = next((i for i, count in enumerate(wanted) if count), None)
    if profile is None:
        return layout
    if any(count > most(model, layout, i) for i, count in enumerate(wanted) if count):
        return None
    rest = (*wanted[:profile], wanted[profile] - 1, *wanted[profile + 1 :])
    starts = free_starts(model, layout, profile)
    for start in sorted(starts, key=lambda start: (loss(model, layout, profile, start), -start)):
        found = place_mix(model, with_one(layout, profile, start), rest)
        if found is not None:
            return found
    return None


def with_one(layout: Layout, profile: int, start: int) -> Layout:
    """The layout with one more instance."""
    return tuple(sorted((*layout, (profile, start))))


def _less(layout: Layout, gone: Layout) -> Layout:
    return tuple(one for one in layout if one not in gone)


def memory_units(model: MigModel, layout: Layout) -> int:
    """How many memory units the instances take."""
    return _units(model, layout).bit_count()


def _left(model: MigModel, layout: Layout, profile: int) -> int:
    """How many more of a profile its own limit and the GPU's engines allow."""
    wanted = model.profiles[profile]
    least = wanted.most - sum(index == profile for index, _ in layout)
    for have, each, used in zip(model.engines, wanted.takes, _engines(model, layout), strict=True):
        if each:
            least = min(least, (have - used) // each)
    return max(least, 0)


def _engines(model: MigModel, layout: Layout) -> Sequence[int]:
    takes = [model.profiles[index].takes for index, _ in layout]
    return [sum(counts) for counts in zip(*takes, strict=True)] if takes else [0] * len(model.engines)


def _units(model: MigModel, layout: Layout) -> int:
    """The memory units taken, as bits."""
    taken = 0
    for index, start in layout:
        taken |= _span(model.profiles[index], start)
    return taken


def _span(profile: Profile, start: int) -> int:
    return ((1 << profile.size) - 1) << start
