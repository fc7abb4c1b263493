"""The solver's part: gangs of pods that differ, where packing group by group fails or is not proven best.

The model counts nodes: for each class of equal nodes in a domain, how many hold each of its patterns. Equal pods are
packed exactly without it (`cover`). Only the modules called `cpsat` know the solver. Importing them
takes half a second and 100 MiB.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, TypeVar

import msgspec
import numpy as np
from ortools.sat.python import cp_model

from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.gangs.greedy import Packing
from scheduler.scoring.gangs.knapsack import UNREACHABLE
from scheduler.scoring.gangs.patterns import NodeClass, Pattern, classes_of, fewest_classes
from scheduler.scoring.gangs.problem import Choice, Problem, limited
from scheduler.scoring.room import Room
from scheduler.scoring.solver import LARGEST_SUM, solver_within, spent_ms

Key = TypeVar("Key", bound=Hashable)
Outcome = Literal["optimal", "feasible", "budget hit", "infeasible", "unknown"]

MOST_VARIABLES = 1200
"""Pattern counts in one model. Where there would be more, nodes have to be left out, so that nothing is proved, and the
time runs out before anything is improved (measured): then the solver is asked only where no packing is known."""

MOST_ROWS = 500
"""Nodes looked at where not all can be."""


class Solved(msgspec.Struct, frozen=True, kw_only=True):
    """The best packing known, a bound for the whole problem, how it ended, and what was spent.

    `infeasible` is proved for the whole problem. `budget hit` and `unknown` (nothing found) may change with more time.
    """

    outcome: Outcome
    packing: Packing | None
    bound: int
    spent_ms: float


def solve(room: Room, problem: Problem, known: Packing | None, bound: int, limits: Limits) -> Solved:
    """Improve on `known`, or find a first packing; `bound` is a cost that no packing goes below."""
    left_ms, took_ms, best = limits.budget_ms, 0.0, known
    ends: list[Outcome] = []
    bounds: list[int] = []
    for choice in problem.choices:
        within = msgspec.structs.replace(limits, budget_ms=left_ms)
        one = _solve_on(room, problem, choice, best, bound, within)
        ends.append(one.outcome)
        bounds.append(one.bound)
        left_ms, took_ms = left_ms - one.spent_ms, took_ms + one.spent_ms
        if one.packing is not None and (best is None or one.packing.cost < best.cost):
            best = one.packing
    lowest = max(bound, min(bounds))
    return Solved(outcome=_outcome(ends, best, lowest), packing=best, bound=lowest, spent_ms=took_ms)


def _outcome(ends: Sequence[Outcome], best: Packing | None, bound: int) -> Outcome:
    if best is not None and best.cost <= bound:
        return "optimal"
    if best is None:
        return "infeasible" if all(end == "infeasible" for end in ends) else "unknown"
    return "budget hit" if any(end in {"budget hit", "unknown"} for end in ends) else "feasible"


def _solve_on(
    room: Room, problem: Problem, choice: Choice, known: Packing | None, bound: int, limits: Limits
) -> Solved:
    """`solve` on the nodes of one choice."""
    if limits.budget_ms <= 0:
        return Solved(outcome="unknown", packing=None, bound=bound, spent_ms=0.0)
    fits = limited(problem, choice)
    rows = np.flatnonzero(np.logical_or.reduce([f > 0 for f in fits]))
    nothing_new = Solved(outcome="feasible", packing=None, bound=bound, spent_ms=0.0)
    whole = fewest_classes(problem, fits, rows) <= MOST_VARIABLES
    if not whole:
        if known is not None:
            return nothing_new
        rows = _promising_rows(problem, fits, rows)
    found = classes_of(room, problem, fits, rows)
    kept = _promising(found.classes)
    whole = whole and found.complete and len(kept) == len(found.classes)
    if known is not None and not whole:
        return nothing_new
    model = _Model(problem, kept)
    if model.largest >= LARGEST_SUM:
        return Solved(outcome="unknown", packing=None, bound=bound, spent_ms=0.0)
    return model.solve(known, bound, limits, whole=whole)


def _promising_rows(problem: Problem, fits: Sequence[Codes], rows: Codes) -> Codes:
    """The nodes of the innermost domains with the most room."""
    codes = problem.charges.codes[-1][rows] if problem.charges.codes else np.zeros(len(rows), dtype=np.int64)
    pods = sum(np.minimum(f[rows], count) for f, (_, count) in zip(fits, problem.ask.groups, strict=True))
    room = np.bincount(codes, weights=pods)
    rank = np.empty(len(room), dtype=np.int64)
    rank[np.argsort(-room, kind="stable")] = np.arange(len(room))
    return np.sort(rows[np.lexsort((rows, rank[codes]))][:MOST_ROWS])


def _promising(classes: tuple[NodeClass, ...]) -> tuple[NodeClass, ...]:
    """Classes within the limit of variables: those of the innermost domains with the most room."""
    if sum(len(c.patterns) for c in classes) <= MOST_VARIABLES:
        return classes
    domains = _grouped(each.path for each in classes)
    room = {
        path: sum(max(map(sum, classes[i].patterns)) * len(classes[i].rows) for i in inside)
        for path, inside in domains.items()
    }
    kept: list[NodeClass] = []
    for path in sorted(domains, key=lambda path: (-room[path], path)):
        kept += (classes[i] for i in domains[path])
        if sum(len(c.patterns) for c in kept) > MOST_VARIABLES:
            break
    return tuple(kept)


class _Model:
    """Counts of nodes per class and pattern, and whether each domain is used."""

    def __init__(self, problem: Problem, classes: tuple[NodeClass, ...]) -> None:
        self._problem = problem
        self._classes = classes
        self._model = cp_model.CpModel()
        self._counts: list[list[cp_model.IntVar]] = []
        self._cost: list[tuple[int, cp_model.IntVar]] = []
        self.largest = 0
        self._used: dict[tuple[int, ...], cp_model.IntVar] = {}
        self._count_nodes()
        self._count_domains()
        self._choose_required()

    def _price(self, price: int, variable: cp_model.IntVar, most: int) -> None:
        self._cost.append((price, variable))
        self.largest += price * most

    def _count_nodes(self) -> None:
        groups = self._problem.ask.groups
        held: list[list[tuple[int, cp_model.IntVar]]] = [[] for _ in groups]
        for at, each in enumerate(self._classes):
            size = len(each.rows)
            counts = [self._model.new_int_var(0, size, f"n{at}p{p}") for p in range(len(each.patterns))]
            self._counts.append(counts)
            if len(counts) > 1:
                self._model.add(sum(counts) <= size)
            for pattern, count in zip(each.patterns, counts, strict=True):
                if not each.paid:
                    self._price(self._problem.charges.node_weight + each.units, count, size)
                for g, pods in enumerate(pattern):
                    if pods:
                        held[g].append((pods, count))
        for (_, wanted), terms in zip(groups, held, strict=True):
            self._model.add(sum(pods * count for pods, count in terms) >= wanted)

    def _count_domains(self) -> None:
        """A domain is used when any of its nodes is: its price, and no pods in it unless it is."""
        charges = self._problem.charges
        for depth, (codes, weight, units) in enumerate(
            zip(charges.codes, charges.level_weight, charges.domain_units, strict=True), start=1
        ):
            paid = set(codes[list(charges.paid)].tolist())
            for path, inside in _grouped(each.path[:depth] for each in self._classes).items():
                if path[-1] in paid:
                    continue
                used = self._model.new_bool_var("d" + "_".join(map(str, path)))
                self._used[path] = used
                self._price(weight + int(units[path[-1]]), used, 1)
                if path[:-1] in self._used:
                    self._model.add_implication(used, self._used[path[:-1]])
                self._limit(used, inside)

    def _choose_required(self) -> None:
        domains = _grouped(each.required for each in self._classes)
        if len(domains) < 2:
            return
        chosen = [self._model.new_bool_var(f"r{code}") for code in domains]
        self._model.add_exactly_one(chosen)
        for inside, used in zip(domains.values(), chosen, strict=True):
            self._limit(used, inside)

    def _limit(self, used: cp_model.IntVar, inside: Sequence[int]) -> None:
        """No nodes in a domain that is not used; per group as well, which makes the relaxation tight."""
        size = sum(len(self._classes[i].rows) for i in inside)
        self._model.add(sum(count for i in inside for count in self._counts[i]) <= size * used)
        for g, (_, wanted) in enumerate(self._problem.ask.groups):
            terms = [
                (min(pattern[g], wanted), count, len(self._classes[i].rows))
                for i in inside
                for pattern, count in zip(self._classes[i].patterns, self._counts[i], strict=True)
                if pattern[g]
            ]
            if terms:
                most = sum(pods * nodes for pods, _, nodes in terms)
                self._model.add(sum(pods * count for pods, count, _ in terms) <= most * used)

    def solve(self, known: Packing | None, bound: int, limits: Limits, *, whole: bool) -> Solved:
        """Solve within the limits; `whole`: the model leaves nothing of the problem out."""
        cost = sum(price * variable for price, variable in self._cost)
        self._model.minimize(cost)
        if self._cost and bound > 0:
            self._model.add(cost >= bound)
        if known is not None:
            self._hint(known)
        solver = solver_within(limits)
        status = solver.solve(self._model)
        took_ms = spent_ms(solver)
        if status == cp_model.INFEASIBLE:
            return Solved(
                outcome="infeasible" if whole else "unknown",
                packing=None,
                bound=UNREACHABLE if whole else bound,
                spent_ms=took_ms,
            )
        if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
            return Solved(outcome="unknown", packing=None, bound=bound, spent_ms=took_ms)
        packing = self._read(solver)
        proven = max(bound, round(solver.best_objective_bound)) if whole else bound
        ended: Outcome = "optimal" if status == cp_model.OPTIMAL and whole else "feasible"
        return Solved(
            outcome="budget hit" if status == cp_model.FEASIBLE else ended,
            packing=packing,
            bound=min(proven, packing.cost),
            spent_ms=took_ms,
        )

    def _hint(self, known: Packing) -> None:
        """Tell the solver of a packing: each node counted under the first pattern that contains what stands on it."""
        pods: dict[int, list[int]] = {}
        for g, (rows, counts) in enumerate(known.groups):
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                pods.setdefault(row, [0] * len(known.groups))[g] = count
        used: set[tuple[int, ...]] = set()
        for each, counts in zip(self._classes, self._counts, strict=True):
            tally = [0] * len(each.patterns)
            for row in each.rows:
                if row in pods:
                    used.update(each.path[:depth] for depth in range(1, len(each.path) + 1))
                    tally[_containing(each.patterns, pods[row])] += 1
            for count, hinted in zip(counts, tally, strict=True):
                self._model.add_hint(count, hinted)
        for path, variable in self._used.items():
            self._model.add_hint(variable, path in used)

    def _read(self, solver: cp_model.CpSolver) -> Packing:
        """The solution as rows and counts: the first nodes of each class, and no more pods than asked for."""
        charges = self._problem.charges
        chosen: dict[int, list[int]] = {}
        for each, counts in zip(self._classes, self._counts, strict=True):
            rows = iter(each.rows)
            for pattern, count in zip(each.patterns, counts, strict=True):
                for _ in range(solver.value(count)):
                    chosen[next(rows)] = list(pattern)
        places = {row: at for at, row in enumerate(charges.order.tolist())}
        groups: list[tuple[Codes, Codes]] = []
        for g, (_, wanted) in enumerate(self._problem.ask.groups):
            surplus = sum(pods[g] for pods in chosen.values()) - wanted
            for row in sorted(chosen, key=lambda row: (-int(charges.units[row]), row)):
                less = min(surplus, chosen[row][g])
                chosen[row][g] -= less
                surplus -= less
            rows = sorted((row for row, pods in chosen.items() if pods[g]), key=places.__getitem__)
            groups.append((np.array(rows, dtype=np.int64), np.array([chosen[row][g] for row in rows], dtype=np.int64)))
        used = np.array(sorted(row for row, pods in chosen.items() if any(pods)), dtype=np.int64)
        return Packing(tuple(groups), charges.cost_of(used))


def _grouped(keys: Iterable[Key]) -> dict[Key, list[int]]:
    """Positions by key, in the order in which keys first appear."""
    groups: dict[Key, list[int]] = {}
    for at, key in enumerate(keys):
        groups.setdefault(key, []).append(at)
    return groups


def _containing(patterns: Sequence[Pattern], pods: Sequence[int]) -> int:
    """The first pattern with room for `pods`."""
    return next((i for i, p in enumerate(patterns) if all(a >= b for a, b in zip(p, pods, strict=True))), 0)
