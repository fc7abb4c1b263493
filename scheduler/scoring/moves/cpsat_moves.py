"""The solver's part in finding moves: which work moves, which nodes are opened, and where everything may stand.

Places are counts of pods per kind and class of equal nodes. What the model leaves out (which GPUs of a node are linked,
host ports, quota per flavor, exclusive domains) only allows more, so that its bound holds for the full problem; whether
an answer keeps those rules too is for the caller to check. Importing this module takes half a second and 100 MiB.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from ortools.sat.python import cp_model

from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.gangs.slices import sizes_for
from scheduler.scoring.moves.domains import by_domain
from scheduler.scoring.moves.frame import Frame, frame_of
from scheduler.scoring.moves.moves import (
    SEAT,
    Bundle,
    Choice,
    Kind,
    MoveProblem,
    NodeClass,
    Sum,
)
from scheduler.scoring.moves.seats import Counts, seats_of
from scheduler.scoring.solver import solver_within, spent_ms
from scheduler.scoring.topology import NO_DOMAIN

Literals = list[cp_model.IntVar | int]


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The cheapest choice found, a price that none goes below, and how it ended.

    `infeasible`: there is none at all, proved. `unknown`: none was found, which proves nothing.
    """

    outcome: Literal["optimal", "feasible", "infeasible", "unknown"]
    choice: Choice | None = None
    bound: int = 0
    spent_ms: float = 0.0


def choose(
    problem: MoveProblem, limits: Limits, *, resettle: bool, bound: int, forbidden: Sequence[Choice] = ()
) -> Chosen:
    """The cheapest choice but for the `forbidden` ones; `bound` is known not to be undercut.

    `resettle`: everything that moves has to find room elsewhere, as far as the model knows the rules.
    """
    left_ms, best = limits.budget_ms, Chosen(outcome="infeasible", bound=bound)
    bounds: list[int] = []
    for domain in by_domain(problem):
        price = None if best.choice is None else best.choice.price
        if price is not None and domain.bound >= price:
            bounds.append(domain.bound)
            continue
        # Half of what is left, so that one domain that is hard to judge leaves time for others.
        within = msgspec.structs.replace(limits, budget_ms=left_ms if price is None and not bounds else left_ms / 2)
        one = _choose_in(domain.problem, within, forbidden, resettle=resettle, bound=domain.bound)
        left_ms -= one.spent_ms
        bounds += [] if one.outcome == "infeasible" else [one.bound]
        cheaper = one.choice is not None and (price is None or one.choice.price < price)
        if cheaper or (best.choice is None and one.outcome != "infeasible"):
            best = one
    lowest = max(bound, min(bounds, default=bound))
    took_ms = limits.budget_ms - left_ms
    if best.choice is None:
        return Chosen(outcome=best.outcome, bound=lowest, spent_ms=took_ms)
    lowest = min(lowest, best.choice.price)
    outcome = "optimal" if best.choice.price <= lowest else "feasible"
    return Chosen(outcome=outcome, choice=best.choice, bound=lowest, spent_ms=took_ms)


def _choose_in(
    problem: MoveProblem, limits: Limits, forbidden: Sequence[Choice], *, resettle: bool, bound: int
) -> Chosen:
    """`choose` in one domain."""
    if limits.budget_ms <= 0:
        return Chosen(outcome="unknown", bound=bound)
    frame = frame_of(problem, resettle=resettle)
    left_out = set(range(len(problem.movers))) - set(frame.kept)
    model = _Model(problem, frame)
    model.forbid(forbidden)
    chosen = model.solve(bound, limits)
    if not left_out:
        return chosen
    # Whoever moves one of those left out pays at least this.
    beyond = min(problem.movers[at].price for at in left_out)
    if chosen.choice is None:
        return Chosen(outcome="unknown", bound=max(bound, min(beyond, chosen.bound)), spent_ms=chosen.spent_ms)
    lowest = max(bound, min(chosen.bound, beyond))
    outcome = "optimal" if chosen.choice.price <= lowest else "feasible"
    return Chosen(
        outcome=outcome, choice=chosen.choice, bound=min(lowest, chosen.choice.price), spent_ms=chosen.spent_ms
    )


class _Model:
    """Who moves, which nodes of each class are opened, and how many pods of each kind stand on each class."""

    def __init__(self, problem: MoveProblem, frame: Frame) -> None:
        self._problem = problem
        self._bundles, self._kinds, self._at, self._classes = frame.bundles, frame.kinds, frame.at, frame.classes
        self._model = cp_model.CpModel()
        self._moves = {at: self._model.new_bool_var(f"m{at}") for at in frame.in_question}
        self._opened: dict[int, cp_model.IntVar] = {}
        self._domains: dict[int, cp_model.IntVar] = {}
        self._loose: dict[tuple[int, int], cp_model.IntVar] = {}
        self._bound: dict[tuple[int, int, int], cp_model.IntVar] = {}
        self._on: dict[int, list[tuple[Kind, cp_model.IntVar]]] = {}
        self._give_places()
        self._open()
        self._keep_capacity()
        for some in problem.sums:
            self._keep_sum(some)

    def _keep_sum(self, some: Sum) -> None:
        total = sum((n * self._moves[at] for at, n in some.terms if at in self._moves), self._model.new_constant(0))
        if some.least is not None:
            self._model.add(total >= some.least)
        if some.most is not None:
            self._model.add(total <= some.most)

    # Places

    def _give_places(self) -> None:
        loose: dict[int, list[tuple[int, cp_model.IntVar | int]]] = {}
        for at, bundle in self._bundles.items():
            present = self._moves.get(at, 1)
            if bundle.is_bound:
                self._place_bound(at, bundle, present)
                continue
            for kind, count in bundle.kinds:
                loose.setdefault(self._at[id(kind)], []).append((count, present))
        for k, wanted in loose.items():
            most = sum(count for count, _ in wanted)
            terms: Literals = []
            for c, each in enumerate(self._classes):
                if each.room[k]:
                    size = min(most, each.room[k] * len(each.rows))
                    count = self._model.new_int_var(0, size, f"y{k}c{c}")
                    self._loose[k, c] = count
                    self._on.setdefault(c, []).append((self._kinds[k], count))
                    terms.append(count)
            self._model.add(sum(terms) == sum(count * present for count, present in wanted))

    def _place_bound(self, at: int, bundle: Bundle, present: cp_model.IntVar | int) -> None:
        """Pods that depend on each other's places: each count by itself, limited by the domains that are used."""
        chosen = [self._model.new_bool_var(f"x{at}o{i}") for i in range(len(bundle.choices))]
        if chosen:
            self._model.add(sum(chosen) == present)
        homes: dict[int, cp_model.IntVar] = {}
        if bundle.required is not None:
            codes = sorted({int(bundle.required[each.rows[0]]) for each in self._classes} - {NO_DOMAIN})
            homes = {code: self._model.new_bool_var(f"x{at}d{code}") for code in codes}
            self._model.add(sum(homes.values()) == present)
        for g, (kind, count) in enumerate(bundle.kinds):
            k = self._at[id(kind)]
            inside: dict[int, Literals] = {code: [] for code in homes}
            terms: Literals = []
            for c, each in enumerate(self._classes):
                home = NO_DOMAIN if bundle.required is None else int(bundle.required[each.rows[0]])
                outside = bundle.required is not None and home == NO_DOMAIN
                if not each.room[k] or outside or any(codes[each.rows[0]] == NO_DOMAIN for codes, _ in bundle.slices):
                    continue
                most = min(count, each.room[k] * len(each.rows))
                pods = self._model.new_int_var(0, most, f"y{at}g{g}c{c}")
                self._bound[at, g, c] = pods
                self._on.setdefault(c, []).append((kind, pods))
                terms.append(pods)
                if home != NO_DOMAIN:
                    inside[home].append(pods)
                if chosen and bundle.choosy[g]:
                    on = [x for x, mask in zip(chosen, bundle.choices, strict=True) if mask[each.rows[0]]]
                    self._model.add(pods <= most * sum(on))
            self._model.add(sum(terms) == count * present)
            for code, home in homes.items():
                self._model.add(sum(inside[code]) == count * home)
            self._slice(at, g, bundle, count, present)

    def _slice(self, at: int, g: int, bundle: Bundle, count: int, present: cp_model.IntVar | int) -> None:
        """Whole slices in every domain of their level, and in one of them the last, shorter one."""
        sizes = sizes_for([size for _, size in bundle.slices], count)
        for layer, ((codes, _), size) in enumerate(zip(bundle.slices, sizes, strict=True)):
            inside: dict[int, Literals] = {}
            for c, each in enumerate(self._classes):
                if (at, g, c) in self._bound:
                    inside.setdefault(int(codes[each.rows[0]]), []).append(self._bound[at, g, c])
            lasts: Literals = []
            for code, terms in inside.items():
                whole = self._model.new_int_var(0, count // size, f"s{at}g{g}l{layer}d{code}")
                last = self._model.new_bool_var(f"r{at}g{g}l{layer}d{code}")
                self._model.add(sum(terms) == size * whole + (count % size) * last)
                lasts.append(last)
            self._model.add(sum(lasts) == (present if count % size else 0))

    # What is opened

    def _open(self) -> None:
        opening = self._problem.opening
        if opening is None:
            return
        inside: dict[int, list[int]] = {}
        for c, each in enumerate(self._classes):
            if each.opens != NO_DOMAIN:
                inside.setdefault(each.opens, []).append(c)
                self._opened[c] = self._model.new_int_var(0, len(each.rows), f"o{c}")
        self._domains = {code: self._model.new_bool_var(f"d{code}") for code in inside}
        self._model.add_exactly_one(self._domains.values())
        for code, members in inside.items():
            for c in members:
                size = len(self._classes[c].rows)
                if opening.count is None:
                    self._model.add(self._opened[c] == size * self._domains[code])
                else:
                    self._model.add(self._opened[c] <= size * self._domains[code])
                for at, _ in self._classes[c].content:
                    if self._problem.movers[at].holds.intersection(self._classes[c].rows):
                        self._model.add(self._opened[c] <= size * self._moves[at])
        if opening.count is not None:
            self._model.add(sum(self._opened.values()) == opening.count)

    # What nodes hold

    def _keep_capacity(self) -> None:
        for c, pods in self._on.items():
            each, size = self._classes[c], len(self._classes[c].rows)
            for column, free in each.free:
                asked = [(dict(kind.demand).get(column, 0), count) for kind, count in pods]
                if not any(n for n, _ in asked):
                    continue
                left = [(n, self._moves[at]) for at, use in each.content for col, n in use if col == column]
                held = sum(
                    n
                    for at, use in each.content
                    for col, n in use
                    if col == column and self._problem.movers[at].holds.intersection(each.rows)
                )
                closed = (free + held) * self._opened[c] if c in self._opened else 0
                self._model.add(
                    sum(n * count for n, count in asked if n)
                    <= size * free + size * sum(n * moves for n, moves in left) - closed
                )
            if size > 1 or each.content:
                self._keep_pieces(each, pods)

    def _keep_pieces(self, each: NodeClass, pods: Sequence[tuple[Kind, cp_model.IntVar]]) -> None:
        """What the nodes hold of each kind, and in pieces of each size, while any one mover stays.

        For equal nodes this says that no pod is spread over two of them; for a single one it tightens the relaxation.
        """
        size = len(each.rows)
        by_kind: dict[int, list[cp_model.IntVar]] = {}
        for kind, count in pods:
            by_kind.setdefault(self._at[id(kind)], []).append(count)
        most = dict(each.free)
        for _, use in each.content:
            for column, n in use:
                most[column] = most.get(column, 0) + n
        cases: list[tuple[dict[int, int], cp_model.IntVar | int]] = [
            ({**most, **{column: most[column] - n for column, n in use}}, self._moves[at]) for at, use in each.content
        ] or [(most, 1)]
        for rest, moves in cases:
            for k, counts in by_kind.items():
                demand = self._kinds[k].demand
                stays = min([each.room[k], *(rest.get(column, 0) // n for column, n in demand)])
                self._model.add(sum(counts) <= size * stays + size * (each.room[k] - stays) * moves)
            column = next((kind.gpu_column for kind, _ in pods if kind.gpu_column is not None), None)
            if len(by_kind) == 1 or column is None:
                continue
            for piece in sorted({kind.gpus for kind, _ in pods} - {0, 1}):
                stays = rest.get(column, 0) // piece
                more = most.get(column, 0) // piece - stays
                counts = [(kind.gpus // piece, count) for kind, count in pods if kind.gpus >= piece]
                self._model.add(sum(n * count for n, count in counts) <= size * stays + size * more * moves)

    # Solving

    def forbid(self, choices: Sequence[Choice]) -> None:
        """None of these again: other movers, or other nodes opened by the same."""
        for choice in choices:
            moved = set(choice.moved)
            if not moved <= self._moves.keys():
                continue
            other: list[cp_model.LiteralT] = [~m if at in moved else m for at, m in self._moves.items()]
            opens = {each.opens for each in self._classes if set(each.rows) & set(choice.opened)} - {NO_DOMAIN}
            if choice.opened and not opens:
                continue
            other += [~self._domains[code] for code in opens]
            self._model.add_bool_or(other)

    def solve(self, bound: int, limits: Limits) -> Chosen:
        price = sum(self._problem.movers[at].price * moves for at, moves in self._moves.items())
        self._model.minimize(price)
        if bound > 0 and self._moves:
            self._model.add(price >= bound)
        solver = solver_within(limits)
        # Who has to move for a node is said by implications, which the relaxation has only from this level on.
        solver.parameters.linearization_level = 2
        status = solver.solve(self._model)
        took_ms = spent_ms(solver)
        if status == cp_model.INFEASIBLE:
            return Chosen(outcome="infeasible", bound=bound, spent_ms=took_ms)
        if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
            return Chosen(outcome="unknown", bound=bound, spent_ms=took_ms)
        choice = self._read(solver)
        optimal = status == cp_model.OPTIMAL
        lowest = choice.price if optimal else max(bound, round(solver.best_objective_bound))
        return Chosen(outcome="optimal" if optimal else "feasible", choice=choice, bound=lowest, spent_ms=took_ms)

    def _read(self, solver: cp_model.CpSolver) -> Choice:
        moved = tuple(at for at, moves in self._moves.items() if solver.value(moves))
        opened = [
            each.rows[: solver.value(self._opened[c])] for c, each in enumerate(self._classes) if c in self._opened
        ]
        bound: Counts = {}
        for (at, g, c), count in self._bound.items():
            if solver.value(count):
                bound.setdefault((at, g), []).append((c, solver.value(count)))
        pools = self._pools(solver)
        for at, bundle in self._bundles.items():
            if not bundle.is_bound and (at == SEAT or at in moved):
                for g, (kind, count) in enumerate(bundle.kinds):
                    bound[at, g] = _drawn(pools[self._at[id(kind)]], count)
        rows = tuple(row for some in opened for row in some)
        return Choice(
            moved=moved,
            opened=tuple(sorted(rows)),
            price=sum(self._problem.movers[at].price for at in moved),
            seats=seats_of(self._problem, self._classes, self._bundles, bound, moved, rows),
        )

    def _pools(self, solver: cp_model.CpSolver) -> Mapping[int, list[list[int]]]:
        """For each kind of loose pods how many of all stand on each class."""
        pools: dict[int, list[list[int]]] = {k: [] for k in range(len(self._kinds))}
        for (k, c), count in self._loose.items():
            if solver.value(count):
                pools[k].append([c, solver.value(count)])
        return pools


def _drawn(pool: list[list[int]], count: int) -> list[tuple[int, int]]:
    """`count` pods out of a pool of classes and counts, which has them no more."""
    drawn: list[tuple[int, int]] = []
    while count and pool:
        c, there = pool[0]
        some = min(there, count)
        drawn.append((c, some))
        count -= some
        pool[0][1] -= some
        if not pool[0][1]:
            del pool[0]
    return drawn
