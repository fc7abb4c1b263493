"""What a model of moves is made over: who has to be placed, and on which classes of equal nodes."""

from collections.abc import Sequence

from scheduler.scoring.moves.moves import SEAT, Bundle, MoveProblem, cheapest_first, classes_of, told_apart
from scheduler.scoring.topology import NO_DOMAIN

MOST_PLACES = 20_000
"""Counts of pods in one model. Where there would be more, movers are left out, the dearest first."""

FEW_PLACES = 1500
"""Up to so many counts every node is a class of its own, so that pods of different sizes are packed exactly."""


class Frame:
    """What a model is made over: bundles that have to be placed, their kinds of pods, and classes of equal nodes."""

    def __init__(self, problem: MoveProblem, kept: Sequence[int], *, resettle: bool) -> None:
        self.kept = kept
        self.bundles: dict[int, Bundle] = {} if problem.seat is None else {SEAT: problem.seat}
        if resettle:
            self.bundles.update((at, problem.movers[at].bundle) for at in kept)
        self.kinds = list({id(kind): kind for b in self.bundles.values() for kind, _ in b.kinds}.values())
        self.at = {id(kind): at for at, kind in enumerate(self.kinds)}
        levels = list({id(codes): codes for b in self.bundles.values() for codes in told_apart(b)}.values())
        few = len(problem.free) * len(self.kinds) <= FEW_PLACES
        self.classes = classes_of(problem, self.kinds, levels, kept, merge=not few)
        on_them = {at for each in self.classes for at, _ in each.content}
        on_them |= {at for some in problem.sums if some.least is not None for at, _ in some.terms}
        self.in_question = [at for at in kept if at in on_them]
        """Movers that leave room where it is of use, or that a condition may need; no others need to move."""
        self.bundles = {at: bundle for at, bundle in self.bundles.items() if at == SEAT or at in on_them}

    @property
    def places(self) -> int:
        """How many counts of pods a model over it has."""
        nodes = [sum(each.room[k] > 0 for each in self.classes) for k in range(len(self.kinds))]
        loose = {self.at[id(kind)] for b in self.bundles.values() if not b.is_bound for kind, _ in b.kinds}
        bound = (self.at[id(kind)] for b in self.bundles.values() if b.is_bound for kind, _ in b.kinds)
        return sum(nodes[k] for k in loose) + sum(nodes[k] for k in bound)


def frame_of(problem: MoveProblem, *, resettle: bool) -> Frame:
    """All movers, or where that is too much the cheapest; those on nodes that may be opened first, if they are few."""
    order = cheapest_first(problem.movers)
    if problem.opening is not None:
        opens = problem.opening.codes != NO_DOMAIN
        on_them = [at for at in order if any(opens[row] for row in problem.movers[at].holds)]
        if len(on_them) <= len(order) // 2:
            order = list(dict.fromkeys([*on_them, *order]))
    while True:
        frame = Frame(problem, sorted(order), resettle=resettle)
        if frame.places <= MOST_PLACES or len(order) <= 1:
            return frame
        order = order[: len(order) // 2]
