"""Which of its own conditions keep a gang from starting now, and without which of them it could start.

The first is a smallest set: found by leaving out one condition after the other as long as the gang still finds no room,
so that without any one of those left, and without all others, it finds room. The second is what people may do: each
condition whose loss alone lets the gang start, or else a smallest set of them. Both are tried by placing the gang, on
the room and quota that it was refused on.
"""

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec

from scheduler.model.plan import Blocker
from scheduler.model.workload import Linked, PodShape, Toleration
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import listed
from scheduler.scoring.devices.choosers import linked_size
from scheduler.scoring.filters import UNSCHEDULABLE, taint_mask, tolerates
from scheduler.scoring.gangs.gang import Layout

MOST_NAMED = 3
"""Conditions named as ways out."""


class Wish(msgspec.Struct, frozen=True):
    """A condition of a gang's own beside amounts; `text`: the level, the label, the models, or the links asked for."""

    kind: Literal["topology", "slices", "linked", "models", "selector", "affinity", "taints"]
    text: str
    selector: tuple[str, str] = ("", "")


class Way(msgspec.Struct, frozen=True):
    """`blocking`: a smallest set of conditions that keeps the gang from starting. `out`: what it could do without.

    Each of `out` by itself where there are `several`, else all of them together; the layout is what it would get.
    """

    blocking: tuple[Wish, ...]
    out: tuple[tuple[Wish, Layout], ...]
    several: bool


def way_out(desk: Desk, candidate: Candidate) -> Way | None:
    """None where the gang has no conditions, or where it does not depend on them whether it finds room."""
    wishes = wishes_of(desk, candidate)
    tries = _Tries(desk, candidate, wishes)
    if not wishes or tries.layout(()) is None or tries.layout(wishes) is not None:
        return None
    blocking = list(wishes)
    for wish in reversed(wishes):
        fewer = [other for other in blocking if other != wish]
        if tries.layout(fewer) is None:
            blocking = fewer
    alone = [
        (wish, layout)
        for wish in blocking
        if (layout := tries.layout([other for other in wishes if other != wish])) is not None
    ]
    if alone:
        return Way(tuple(blocking), tuple(alone[:MOST_NAMED]), several=True)
    kept: list[Wish] = []
    # What is easiest to do without comes first in the list, and is kept only where all behind it can be.
    for wish in reversed(wishes):
        if tries.layout([*kept, wish]) is not None:
            kept.append(wish)
    layout = tries.layout(kept)
    out = tuple((wish, layout) for wish in wishes if wish not in kept and layout is not None)
    return Way(tuple(blocking), out, several=False)


class _Tries:
    """Layouts with some of the conditions, each tried once."""

    def __init__(self, desk: Desk, candidate: Candidate, wishes: Sequence[Wish]) -> None:
        self._desk = desk
        self._candidate = candidate
        self._wishes = wishes
        self._known: dict[frozenset[Wish], Layout | None] = {}
        # Where some stand, slices are filled one by one, which is not tried here again.
        self._in_slices = bool(candidate.standing)

    def layout(self, kept: Sequence[Wish]) -> Layout | None:
        key = frozenset(kept)
        if self._in_slices and any(wish.kind == "slices" for wish in kept):
            return None
        if key not in self._known:
            fewer = without(self._desk, self._candidate, [wish for wish in self._wishes if wish not in key])
            self._known[key] = self._desk.could_place(fewer, self._desk.ask(fewer))
        return self._known[key]


def wishes_of(desk: Desk, candidate: Candidate) -> list[Wish]:
    """The conditions that a gang could do without, the easiest first."""
    workload = candidate.workload
    shapes = [shape for shape, _ in candidate.groups]
    found: list[Wish] = []
    if workload.topology_required is not None:
        found.append(Wish("topology", workload.topology_required))
    if workload.topology_slices:
        found.append(Wish("slices", " and ".join(level for level, _ in workload.topology_slices)))
    if any(map(linked_size, shapes)):
        found.append(Wish("linked", " or ".join(str(size) for size in sorted({*map(linked_size, shapes)} - {0}))))
    models = dict.fromkeys(model for shape in shapes if shape.requests.wants_devices for model in shape.models)
    if models:
        found.append(Wish("models", listed(list(models), "or")))
    pairs = dict.fromkeys(pair for shape in shapes for pair in shape.node_selector)
    found += [Wish("selector", f"{key}={value}", (key, value)) for key, value in pairs]
    if any(shape.affinity for shape in shapes):
        found.append(Wish("affinity", "node affinity"))
    if any(not taint_mask(desk.fleet, shape.tolerations).all() for shape in shapes):
        found.append(Wish("taints", "taints"))
    return found


def without(desk: Desk, candidate: Candidate, wishes: Sequence[Wish]) -> Candidate:
    """The gang as it would be without some of its conditions."""
    workload = candidate.workload
    groups = list(candidate.groups)
    for wish in wishes:
        match wish.kind:
            case "topology":
                workload = msgspec.structs.replace(workload, topology_required=None)
            case "slices":
                workload = msgspec.structs.replace(workload, topology_slices=())
            case _:
                groups = [(_shape_without(desk, shape, wish), count) for shape, count in groups]
    return msgspec.structs.replace(candidate, workload=workload, groups=tuple(groups))


def _shape_without(desk: Desk, shape: PodShape, wish: Wish) -> PodShape:
    match wish.kind:
        case "linked":
            return msgspec.structs.replace(shape, linked=Linked.ANY)
        case "models":
            return msgspec.structs.replace(shape, models=())
        case "selector":
            rest = tuple(pair for pair in shape.node_selector if pair != wish.selector)
            return msgspec.structs.replace(shape, node_selector=rest)
        case "affinity":
            return msgspec.structs.replace(shape, affinity=())
        case "taints":
            more = tuple(
                Toleration(key=taint.key, operator="Exists", effect=taint.effect)
                for taint in dict.fromkeys(taint for taints in desk.fleet.hard_taints[1] for taint in taints)
                # To tolerate this one is to be let onto cordoned nodes.
                if taint.key != UNSCHEDULABLE.key
            )
            return msgspec.structs.replace(shape, tolerations=(*shape.tolerations, *more))
        case "topology" | "slices":
            return shape
        case _:
            assert_never(wish.kind)


def blocker(wish: Wish) -> Blocker:
    """The condition as a thing in the way."""
    match wish.kind:
        case "topology":
            return Blocker(kind="request", subject=f"one {wish.text} for all its pods")
        case "slices":
            return Blocker(kind="request", subject=f"slices by {wish.text}")
        case "linked":
            return Blocker(kind="selector", subject=f"{wish.text} GPUs connected by NVLink")
        case "models":
            return Blocker(kind="selector", subject=f"GPU model {wish.text}")
        case "selector" | "affinity":
            return Blocker(kind="selector", subject=wish.text)
        case "taints":
            return Blocker(kind="selector", subject="taints that it does not tolerate")
        case _:
            assert_never(wish.kind)


def in_words(desk: Desk, candidate: Candidate, way: Way) -> str:
    """What would let it start now, in a sentence."""
    phrases = [_phrase(desk, candidate, wish, layout) for wish, layout in way.out]
    return f"It could start now {listed(phrases, 'or' if way.several else 'and')}."


def _phrase(desk: Desk, candidate: Candidate, wish: Wish, layout: Layout) -> str:
    match wish.kind:
        case "topology" if any(pod.one_clique and pod.topology_required is None for pod in candidate.workload.members):
            return "without claiming channels of a ComputeDomain, which reach no farther than one clique"
        case "topology":
            return "without that level (bayplan.dev/topology-preferred instead of -required)"
        case "slices":
            return "without slices (bayplan.dev/topology-slices)"
        case "linked":
            return "with linked GPUs as a preference (bayplan.dev/linked)"
        case "models":
            models = _models(desk, layout)
            return f"with GPU model {listed(models, 'or')}" if models else "without its GPU models"
        case "selector":
            return f"without the node selector {wish.text}"
        case "affinity":
            return "without its required node affinity"
        case "taints":
            taints = _taints(desk, candidate, layout)
            return f"if it tolerated {listed(taints)}" if taints else "if it tolerated more taints"
        case _:
            assert_never(wish.kind)


def _models(desk: Desk, layout: Layout) -> list[str]:
    """GPU products of the nodes of a layout."""
    products = desk.fleet.products
    codes = {code for rows, _ in layout.groups for code in products.codes[rows].tolist()}
    return [products.values[code] for code in sorted(codes) if code >= 0]


def _taints(desk: Desk, candidate: Candidate, layout: Layout) -> list[str]:
    """Taints on the nodes of a layout that the pods do not tolerate: `spot:NoSchedule`."""
    codes, taints_of = desk.fleet.hard_taints
    found: dict[str, None] = {}
    for (shape, _), (rows, _) in zip(candidate.groups, layout.groups, strict=True):
        for taint in {taint for code in set[int](codes[rows].tolist()) for taint in taints_of[code]}:
            if not any(tolerates(toleration, taint) for toleration in shape.tolerations):
                found[f"{taint.key}:{taint.effect}"] = None
    return sorted(found)
