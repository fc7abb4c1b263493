"""An ask made ready for packing: capacity per node and group, domains, prices."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.model.plan import DomainUse
from scheduler.model.resources import GPU
from scheduler.model.snapshot import IntTable
from scheduler.model.workload import PodShape
from scheduler.scoring.filters import model_mask
from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.gangs.cost import Charges, Use, charges, fewest
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.roles import role_choices, within_roles
from scheduler.scoring.gangs.slices import Slice, binding, gathered, in_slices, whole
from scheduler.scoring.room import Room
from scheduler.scoring.topology import NO_DOMAIN, PRODUCT_LEVEL, domains, levels_for, tree

WHOLE_CPU_NODE = 1000
"""Fragmentation of nodes without devices is counted in pods of the largest shape, at most this many a node."""


Choice = tuple[Mask | None, ...]
"""For each group the nodes that it is kept to; None where it may use any."""


class Problem(msgspec.Struct, frozen=True):
    """`fits[g][row]`: pods of group g that a node takes, 0 where it may not be used.

    `required`: the domain of each node at the required level, all of them large enough for each group by itself;
    None where nothing is required. `choices`: of which one has to be kept: for each group the nodes that it may use
    then (those of a GPU model, and of a domain for its role); None where any will do. `whole`: these are all choices.
    Otherwise they are the most promising ones, and `models` are those of GPU models alone, which bound all.
    """

    ask: Ask
    fits: tuple[Codes, ...]
    charges: Charges
    required: Codes | None
    choices: tuple[Choice, ...]
    models: tuple[Choice, ...]
    whole: bool = True


def prepare(room: Room, ask: Ask) -> Problem | None:
    """The problem that `ask` poses in `room`; None where it is plain that there is no answer."""
    fleet = room.fleet
    slices = binding(fleet, ask.slices, ask.required)
    fits = tuple(in_slices(fleet, f, ask.slices) for f in usable(room, ask))
    models = _for_groups(ask, model_choices(room, [shape for shape, _ in ask.groups], ask.standing))
    fits = within_roles(fleet, ask, fits)
    required = None
    if ask.required is not None:
        required = domains(fleet, ask.required).codes
        fits = _in_large_domains(fleet, fits, required, ask, slices)
    holds = [int(gathered(fleet, f, slices, n).sum()) for f, (_, n) in zip(fits, ask.groups, strict=True)]
    if any(held < whole(slices, n) for held, (_, n) in zip(holds, ask.groups, strict=True)) or not models:
        return None
    if any(int(f.sum()) < count for f, (_, count) in zip(fits, ask.groups, strict=True)):
        return None
    candidates = np.logical_or.reduce([f > 0 for f in fits])
    sliced = dict(slices)
    levels = levels_for(fleet, ask.topology, ask.required, ask.preferred, [*sliced, *(r.level for r in ask.together)])
    if ask.groups[0][0].requests.gpus:
        at = 0 if ask.required is None else 1
        inside = [i + 1 for i, level in enumerate(levels) if level in sliced and _mixed(fleet, level, candidates)]
        at = max([at, *inside])
        levels = (*levels[:at], PRODUCT_LEVEL, *levels[at:])
    units, use = _units(room, ask, fits)
    prices = charges(tree(fleet, levels), candidates, units, ask.pods, ask.standing, sliced, use)
    ways, every = role_choices(fleet, ask, fits, prices)
    choices = tuple(_both(model, way.masks(fleet, ask)) for model in models for way in ways)
    return Problem(ask, fits, prices, required, choices, models, every)


def _for_groups(ask: Ask, masks: Sequence[Mask | None]) -> tuple[Choice, ...]:
    """Each GPU model's nodes as a choice: it concerns groups with devices that accept several models."""
    concerned = [shape.requests.wants_devices and len(shape.models) > 1 for shape, _ in ask.groups]
    return tuple(tuple(mask if each else None for each in concerned) for mask in masks)


def _both(one: Choice, other: Choice) -> Choice:
    """Nodes that two choices allow."""
    return tuple(b if a is None else a if b is None else a & b for a, b in zip(one, other, strict=True))


def limited(problem: Problem, choice: Choice) -> list[Codes]:
    """Capacity of each group where it is kept to a choice."""
    return [f if mask is None else np.where(mask, f, 0) for f, mask in zip(problem.fits, choice, strict=True)]


def _mixed(fleet: Fleet, level: TopologyLevel, candidates: Mask) -> bool:
    """Whether a domain of the level has candidates of several GPU products."""
    rows = np.flatnonzero(candidates)
    places, products = domains(fleet, level).codes[rows], fleet.products.codes[rows]
    return len(np.unique(np.stack([places, products]), axis=1).T) > len(np.unique(places))


def usable(room: Room, ask: Ask, more: IntTable | None = None) -> tuple[Codes, ...]:
    """Pods of each group that each allowed node takes; a required level rules out nodes outside its domains.

    `more`: amounts that are to count as free as well.
    """
    views = [room.view(shape) for shape, _ in ask.groups]
    return _allowed(room, ask, [v.fits if more is None else v.fits_with(more) for v in views])


def emptied(room: Room, ask: Ask) -> tuple[Codes, ...]:
    """As `usable`, if nothing stood on any node."""
    return _allowed(room, ask, [room.view(shape).when_empty for shape, _ in ask.groups])


def held_by(codes: Codes, fits: Codes) -> Codes:
    """How many pods each domain takes; nodes in no domain are left out."""
    inside = codes != NO_DOMAIN
    return np.bincount(codes[inside], weights=fits[inside], minlength=1).astype(np.int64)


def _allowed(room: Room, ask: Ask, fits: Sequence[Codes]) -> tuple[Codes, ...]:
    mask = ask.allowed
    if ask.required is not None:
        codes = domains(room.fleet, ask.required).codes
        inside = codes != NO_DOMAIN
        if ask.standing:
            own = codes[list(ask.standing)]
            inside = inside & (codes == own[0]) if (own == own[0]).all() else np.zeros_like(inside)
        mask = inside if mask is None else mask & inside
    return tuple(f.copy() if mask is None else np.where(mask, f, 0) for f in fits)


def model_choices(room: Room, shapes: Sequence[PodShape], standing: Sequence[int]) -> tuple[Mask | None, ...]:
    """Where pods accept several GPU models, the nodes of each model that all accept: the gang gets one of them.

    Standing members settle it. Shapes that name one model, or none, take no part in the choice.
    """
    lists = [s.models for s in shapes if s.requests.wants_devices and len(s.models) > 1]
    if not lists:
        return (None,)
    shared = [m for m in dict.fromkeys(lists[0]) if all(m in other for other in lists[1:])]
    masks = [model_mask(room.fleet, [m]) for m in shared]
    products = room.fleet.products.codes
    settled = [row for row in standing if products[row] != NO_DOMAIN]
    return tuple(mask for mask in masks if mask[settled].all())


def spread(room: Room, problem: Problem, rows: Codes, *, proven: bool) -> tuple[DomainUse, ...]:
    """Domains used per level by the gang on `rows` and its standing members, and the fewest that could hold it.

    Where the placement is `proven` best, a level's fewest is what it uses, given as few domains of the levels before
    it. Otherwise it is how many of the level's largest domains hold the gang, other levels apart.
    """
    ask = problem.ask
    standing = np.array(ask.standing, dtype=np.int64)
    everyone = np.union1d(rows, standing)
    uses: list[DomainUse] = []
    levels = dict.fromkeys([*ask.topology, *(x for x in (ask.required, ask.preferred) if x), NODE_LEVEL])
    for level in levels:
        codes = domains(room.fleet, level).codes
        if (codes == NO_DOMAIN).all():
            continue
        # A node in no domain is counted by itself.
        codes = np.where(codes == NO_DOMAIN, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)
        used = len(np.unique(codes[everyone]))
        least = used if proven else _fewest(problem, codes, np.unique(codes[standing]))
        uses.append(DomainUse(level=level.name, used=used, fewest=least))
    return tuple(uses)


def _fewest(problem: Problem, codes: Codes, stands: Codes) -> int:
    """The fewest domains that hold each group by itself, those where members stand included."""
    more = 0
    for f, (_, count) in zip(problem.fits, problem.ask.groups, strict=True):
        holds = np.bincount(codes, weights=np.minimum(f, count)).astype(np.int64)
        inside = int(holds[stands].sum())
        holds[stands] = 0
        more = max(more, fewest(holds, count - inside))
    return len(stands) + more


def _in_large_domains(
    fleet: Fleet, fits: tuple[Codes, ...], required: Codes, ask: Ask, slices: Sequence[Slice]
) -> tuple[Codes, ...]:
    """`fits` with nothing left in domains that are too small for any of the groups."""
    large = required != NO_DOMAIN
    for f, (_, count) in zip(fits, ask.groups, strict=True):
        large &= held_by(required, np.minimum(f, count))[required] >= count
        if slices:
            large &= held_by(required, gathered(fleet, f, slices, count))[required] >= whole(slices, count)
    return tuple(np.where(large, f, 0) for f in fits)


def _units(room: Room, ask: Ask, fits: Sequence[Codes]) -> tuple[Codes, Use | None]:
    """Free capacity per node as fragmentation counts it, and its use: GPUs, else the first device asked for, else pods.

    Use is None where no devices are asked for.
    """
    names = [name for shape, _ in ask.groups for name, _ in shape.requests.extended]
    name = GPU if GPU in names else names[0] if names else ""
    column = room.column(name)
    if column is None:
        return np.minimum(fits[0], WHOLE_CPU_NODE), None
    wanted = sum(shape.requests.count(name) * count for shape, count in ask.groups)
    return room.left(column), Use(room.free[:, column] < room.allocatable[:, column], wanted)
