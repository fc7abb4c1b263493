"""Dividing GPUs anew for what waits: what is known of them, what can be made of each, and what is asked.

GPUs in the same state count together. Whoever makes instances one by one (dynamic resource allocation) can leave some
where they are and make others beside them. NVIDIA's MIG manager cannot: it destroys all instances of a GPU whose
configuration changes and makes the new ones (mig-parted, `SetMigConfig`), so that such a GPU is remade as a whole.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import msgspec

from scheduler.model.mig import MigModel
from scheduler.model.plan import Proof
from scheduler.scoring.sharing.mig import EMPTY, Layout, free_starts, legal_layouts, place_mix, with_one

WHOLE = ""
"""Stands for a GPU that is not divided, where the profiles of instances are named."""

KEPT = 1 << 14
"""Answers remembered; only speed depends on it."""

Gives = tuple[tuple[str, int], ...]
"""Instances by profile, as the device plugin's resources name it (`1g.10gb.me`), sorted; WHOLE for whole GPUs."""


class Stock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Equal GPUs: how many, what stands on each and is in use, and what stands there and nobody holds.

    `remade`: a change destroys all of a GPU's instances, and a GPU without any may be whole. `divided`: MIG is on.
    `fixed`: nothing of it may change. `place`: GPUs of one place are on one node, or are of several and counted there.
    """

    model: MigModel
    count: int = 1
    used: Layout = EMPTY
    idle: Layout = EMPTY
    remade: bool = False
    divided: bool = True
    fixed: bool = False
    place: int = 0


class Wish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`count` equal pods that wait, each for `each` instances of a profile on one node.

    `weight`: what serving one is worth. `bundle`: wishes of one bundle are served all, or none. `places`: where they
    may be served; None for anywhere.
    """

    profile: str
    count: int = 1
    each: int = 1
    weight: int = 1
    bundle: int | None = None
    places: frozenset[int] | None = None


class RepackProblem(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs, what waits, and how many instances in use may be moved at most."""

    stocks: tuple[Stock, ...]
    wishes: tuple[Wish, ...]
    most_moves: int = 0


class Option(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What can be made of one GPU: what of its instances in use leaves, and all that stands there afterwards.

    `gives`: what is free for pods then. `lost`: instances that nobody holds, or a whole GPU, which are not there any
    more. `changed`: anything is different. `whole`: it is not divided.
    """

    leaving: Layout = EMPTY
    layout: Layout = EMPTY
    gives: Gives = ()
    lost: int = 0
    changed: bool = False
    whole: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """So many GPUs of a stock become what the option says."""

    stock: int
    count: int
    option: Option


class Repacked(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the GPUs that change, and how many pods of each wish find what they ask for then.

    `moved`: instances in use that leave; there is room for all of them. `lost`: as in `Option`, altogether. `proof`:
    its cost is what is not served, by weight.
    """

    changes: tuple[Change, ...] = ()
    served: tuple[int, ...] = ()
    moved: int = 0
    lost: int = 0
    proof: Proof = Proof()
    spent_ms: float = 0.0


def profile_name(model: MigModel, profile: int) -> str:
    """The profile as resources name it."""
    return model.profiles[profile].resource


def options_of(stock: Stock, wanted: frozenset[str], hosted: frozenset[str], most_leaving: int) -> tuple[Option, ...]:
    """What can be made of one GPU of the stock, leaving it as it is first.

    `wanted`: profiles that anybody waits for; `hosted`: those of instances that may have to move.
    """
    most = 0 if stock.fixed else most_leaving
    return _options(stock.model, stock.used, stock.idle, stock.remade, stock.divided, stock.fixed, wanted, hosted, most)


@lru_cache(maxsize=KEPT)
def _options(  # noqa: PLR0913, PLR0917  what of a stock counts, so that equal ones are remembered
    model: MigModel,
    used: Layout,
    idle: Layout,
    remade: bool,  # noqa: FBT001
    divided: bool,  # noqa: FBT001
    fixed: bool,  # noqa: FBT001
    wanted: frozenset[str],
    hosted: frozenset[str],
    most_leaving: int,
) -> tuple[Option, ...]:
    whole = remade and not divided
    standing = tuple(sorted((*used, *idle)))
    stays = Option(layout=standing, gives=((WHOLE, 1),) if whole else _gives(model, idle), whole=whole)
    if fixed:
        return (stays,)
    if remade:
        if len(used) > most_leaving:
            return (stays,)
        return (stays, *_remade(model, used, idle, wanted | hosted if most_leaving else wanted, whole=whole))
    found = [stays]
    for number in range(min(most_leaving, len(used)) + 1):
        for leaving in combinations(used, number):
            rest = tuple(one for one in used if one not in leaving)
            for option in _beside(model, rest, leaving, idle, wanted | hosted):
                if not any(_no_worse(model, other, option) for other in found):
                    found.append(option)
    return tuple(found)


def _no_worse(model: MigModel, one: Option, other: Option) -> bool:
    """Whether an option gives at least as much for no more moves and losses; who leaves takes from what it gives."""
    if len(one.leaving) > len(other.leaving) or one.lost > other.lost:
        return False
    gives, wanted = dict(one.gives), dict(other.gives)
    for sign, leaving in ((1, one.leaving), (-1, other.leaving)):
        for profile, _ in leaving:
            name = profile_name(model, profile)
            wanted[name] = wanted.get(name, 0) + sign
    return all(gives.get(name, 0) >= number for name, number in wanted.items())


def _remade(model: MigModel, used: Layout, idle: Layout, asked: frozenset[str], *, whole: bool) -> Iterator[Option]:
    """All instances go; others are made, or the GPU is whole."""
    if WHOLE in asked and not whole:
        yield Option(leaving=used, gives=((WHOLE, 1),), lost=len(idle), changed=True, whole=True)
    seen: set[Gives] = set()
    for mix in mixes(model, asked):
        layout = place_mix(model, EMPTY, mix)
        full = filled(model, layout or EMPTY, idle)
        gives = _gives(model, full)
        if gives not in seen:
            seen.add(gives)
            yield Option(leaving=used, layout=full, gives=gives, lost=_lost(idle, full) + whole, changed=True)


def _beside(model: MigModel, rest: Layout, leaving: Layout, idle: Layout, asked: frozenset[str]) -> Iterator[Option]:
    """Some stay where they are, others are made beside them."""
    for layout in largest_beside(model, rest, asked):
        made = tuple(one for one in layout if one not in rest)
        if made or leaving:
            yield Option(
                leaving=leaving, layout=layout, gives=_gives(model, made), lost=_lost(idle, made), changed=True
            )


@lru_cache(maxsize=KEPT)
def mixes(model: MigModel, wanted: frozenset[str]) -> tuple[tuple[int, ...], ...]:
    """Every number of instances of each profile that can stand on one GPU, of wanted profiles and at least one."""
    profiles = range(len(model.profiles))
    allowed = [profile_name(model, i) in wanted for i in profiles]
    found = {tuple(sum(at == i for at, _ in layout) for i in profiles) for layout in legal_layouts(model)}
    return tuple(sorted(mix for mix in found if any(mix) and all(allowed[i] or not mix[i] for i in profiles)))


@lru_cache(maxsize=KEPT)
def largest_beside(model: MigModel, rest: Layout, wanted: frozenset[str]) -> tuple[Layout, ...]:
    """Layouts with as many instances of wanted profiles beside `rest` as can be, one for each such mix."""
    indexes = [i for i in range(len(model.profiles)) if profile_name(model, i) in wanted]
    known: dict[tuple[int, ...], Layout] = {}
    edge = {(0,) * len(indexes): {rest}}
    while edge:
        grown: dict[tuple[int, ...], set[Layout]] = {}
        for mix, layouts in edge.items():
            full = True
            for layout in layouts:
                for at, profile in enumerate(indexes):
                    for start in free_starts(model, layout, profile):
                        more = (*mix[:at], mix[at] + 1, *mix[at + 1 :])
                        grown.setdefault(more, set()).add(with_one(layout, profile, start))
                        full = False
            if full:
                known[mix] = min(layouts)
        edge = grown
    return tuple(
        layout
        for mix, layout in sorted(known.items())
        if not any(other != mix and all(a <= b for a, b in zip(mix, other, strict=True)) for other in known)
    )


@lru_cache(maxsize=KEPT)
def filled(model: MigModel, layout: Layout, before: Layout) -> Layout:
    """The layout with the rest of the GPU divided too: as it was before as far as that goes, then the largest first."""
    again = [profile for profile, _ in before]
    plain = [i for i, profile in enumerate(model.profiles) if profile.name.partition("gb")[2] == ""]
    for profile in [*again, *plain * model.units]:
        starts = free_starts(model, layout, profile)
        if starts:
            layout = with_one(layout, profile, starts[-1])
    return layout


def hosted_of(problem: RepackProblem) -> frozenset[str]:
    """The profiles of instances that may have to move."""
    if not problem.most_moves:
        return frozenset()
    return frozenset(profile_name(s.model, p) for s in problem.stocks if not s.fixed for p, _ in s.used)


def wanted_of(problem: RepackProblem) -> frozenset[str]:
    """The profiles that anybody waits for."""
    return frozenset(wish.profile for wish in problem.wishes)


def _gives(model: MigModel, layout: Layout) -> Gives:
    return tuple(sorted(Counter(profile_name(model, profile) for profile, _ in layout).items()))


def _lost(idle: Layout, after: Layout) -> int:
    """How many of the instances that nobody holds have no like any more."""
    return sum((Counter(profile for profile, _ in idle) - Counter(profile for profile, _ in after)).values())
