"""The solver's part where several gangs share what is free: how many pods of each gang on each class of equal nodes.

For each class the model counts the nodes that are shared in each of its patterns; for each gang and class the pods
and the nodes; for each gang and domain whether it is used. Which node of a class a pod gets is settled afterwards.
The count of a gang's nodes is exact where gangs share no node, and a lower bound where they do: `apart` forbids that.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from ortools.sat.python import cp_model

from scheduler.scoring.fleet import Codes
from scheduler.scoring.gangs.batch import Part
from scheduler.scoring.gangs.batch_classes import BatchClass, BatchClasses, Seat, batch_classes
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.gangs.greedy import Packing
from scheduler.scoring.room import Room
from scheduler.scoring.solver import LARGEST_SUM, solver_within, spent_ms

MOST_COUNTS = 1000
"""Counts in one model. With more of them the time runs out before anything is found (measured), so it is not built."""


class BatchSolved(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A packing of each part or none, how it ended, and what was spent.

    `infeasible` holds for the nodes that were asked about, and where gangs share no node if that was asked.
    """

    outcome: Literal["optimal", "budget hit", "infeasible", "unknown"]
    packings: tuple[Packing, ...] | None = None
    spent_ms: float = 0.0


def solve_batch(
    room: Room, parts: Sequence[Part], rows: Codes, known: Sequence[Packing] | None, limits: Limits, *, apart: bool
) -> BatchSolved:
    """The cheapest packing of all parts into `rows` of `room`, in which none of them stands; `known` is a hint."""
    if limits.budget_ms <= 0:
        return BatchSolved(outcome="unknown")
    found = batch_classes(room, parts, rows)
    if sum(len(each.holds) + len(each.patterns) for each in found.classes) > MOST_COUNTS:
        return BatchSolved(outcome="unknown")
    model = _Model(parts, found, apart=apart)
    if model.largest >= LARGEST_SUM:
        return BatchSolved(outcome="unknown")
    return model.solve(known, limits)


class _Model:
    """Counts per class; prices in which each of the first terms outweighs all that follow, as for one gang."""

    def __init__(self, parts: Sequence[Part], found: BatchClasses, *, apart: bool) -> None:
        self._parts = parts
        self._found = found
        self._model = cp_model.CpModel()
        self._price = _prices(parts)
        self.largest = 0
        self._terms: list[tuple[int, cp_model.IntVar]] = []
        self._shared = [self._patterns(at, each) for at, each in enumerate(found.classes)]
        self._pods: dict[tuple[Seat, int], cp_model.IntVar] = {}
        self._nodes: dict[tuple[int, int], cp_model.IntVar] = {}
        self._used: dict[tuple[int, int, int], cp_model.IntVar] = {}
        for at in range(len(parts)):
            self._count(at)
            self._count_domains(at)
        for at, each in enumerate(found.classes):
            self._fit(at, each, apart=apart)

    def _patterns(self, at: int, each: BatchClass) -> list[cp_model.IntVar]:
        """How many nodes of a class are shared in each pattern; none is left out, since an empty one loses nothing."""
        if len(each.patterns) == 1:
            return []
        size = len(each.rows)
        counts = [self._model.new_int_var(0, size, f"s{at}p{p}") for p in range(len(each.patterns))]
        self._model.add(sum(counts) <= size)
        return counts

    def _charge(self, price: int, variable: cp_model.IntVar, most: int) -> None:
        if price:
            self._terms.append((price, variable))
            self.largest += price * most

    def _count(self, at: int) -> None:
        """Pods of one part on each class, and the nodes they take at least."""
        part = self._parts[at]
        wanted = [count for _, count in part.problem.ask.groups]
        sums: list[list[cp_model.IntVar]] = [[] for _ in wanted]
        for c, each in enumerate(self._found.classes):
            inside = [(g, each.holds[at, g]) for g in range(len(wanted)) if (at, g) in each.holds]
            if not inside:
                continue
            size = len(each.rows)
            nodes = self._nodes[at, c] = self._model.new_int_var(0, size, f"g{at}n{c}")
            self._charge(self._price.node + int(part.problem.charges.units[each.rows[0]]), nodes, size)
            for g, holds in inside:
                most = min(wanted[g], holds * size)
                pods = self._pods[(at, g), c] = self._model.new_int_var(0, most, f"g{at}q{g}c{c}")
                self._model.add(pods <= holds * nodes)
                sums[g].append(pods)
        for count, some in zip(wanted, sums, strict=True):
            self._model.add(sum(some) == count)
        if part.most is not None:
            self._model.add(sum(n for (a, _), n in self._nodes.items() if a == at) <= part.most[-1])

    def _count_domains(self, at: int) -> None:
        part = self._parts[at]
        charges = part.problem.charges
        for level, (codes, units) in enumerate(zip(charges.codes, charges.domain_units, strict=True)):
            used = self._domains(at, codes, f"g{at}l{level}d")
            for code, (variable, row) in used.items():
                self._used[at, level, code] = variable
                self._charge(self._price.level[len(charges.codes) - 1 - level] + int(units[code]), variable, 1)
                if level:
                    self._model.add_implication(variable, self._used[at, level - 1, int(charges.codes[level - 1][row])])
            if part.most is not None:
                self._model.add(sum(variable for variable, _ in used.values()) <= part.most[level])
        if part.problem.required is not None:
            required = self._domains(at, part.problem.required, f"g{at}r")
            self._model.add_at_most_one(variable for variable, _ in required.values())

    def _domains(self, at: int, codes: Codes, name: str) -> dict[int, tuple[cp_model.IntVar, int]]:
        """Whether the part stands in each domain, and one of the domain's rows.

        No pods are in a domain unless it does; that is said of each group, which makes the relaxation tight.
        """
        inside: dict[int, list[int]] = {}
        for c, each in enumerate(self._found.classes):
            if (at, c) in self._nodes:
                inside.setdefault(int(codes[each.rows[0]]), []).append(c)
        used: dict[int, tuple[cp_model.IntVar, int]] = {}
        for code, classes in inside.items():
            variable = self._model.new_bool_var(f"{name}{code}")
            used[code] = variable, self._found.classes[classes[0]].rows[0]
            for g, (_, wanted) in enumerate(self._parts[at].problem.ask.groups):
                some = [c for c in classes if ((at, g), c) in self._pods]
                holds = sum(self._found.classes[c].holds[at, g] * len(self._found.classes[c].rows) for c in some)
                self._model.add(sum(self._pods[(at, g), c] for c in some) <= min(holds, wanted) * variable)
        return used

    def _fit(self, c: int, each: BatchClass, *, apart: bool) -> None:
        """Pods of one kind are no more than the class has room for, as its nodes are shared."""
        size = len(each.rows)
        seats = [seat for seat in each.holds if (seat, c) in self._pods]
        for kind in sorted({self._found.kinds[seat] for seat in seats}):
            pods = sum(self._pods[seat, c] for seat in seats if self._found.kinds[seat] == kind)
            if self._shared[c]:
                self._model.add(
                    pods <= sum(p[kind] * n for p, n in zip(each.patterns, self._shared[c], strict=True) if p[kind])
                )
            else:
                self._model.add(pods <= each.patterns[0][kind] * size)
        if apart:
            self._model.add(sum(n for (_, at), n in self._nodes.items() if at == c) <= size)

    def solve(self, known: Sequence[Packing] | None, limits: Limits) -> BatchSolved:
        self._model.minimize(sum(price * variable for price, variable in self._terms))
        if known is not None:
            self._hint(known)
        solver = solver_within(limits)
        status = solver.solve(self._model)
        took_ms = spent_ms(solver)
        if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
            return BatchSolved(outcome="infeasible" if status == cp_model.INFEASIBLE else "unknown", spent_ms=took_ms)
        return BatchSolved(
            outcome="optimal" if status == cp_model.OPTIMAL else "budget hit",
            packings=self._read(solver),
            spent_ms=took_ms,
        )

    def _hint(self, known: Sequence[Packing]) -> None:
        class_of = {row: c for c, each in enumerate(self._found.classes) for row in each.rows}
        pods: dict[tuple[Seat, int], int] = {}
        nodes: dict[tuple[int, int], int] = {}
        used: set[tuple[int, int, int]] = set()
        for at, packing in enumerate(known):
            for g, (rows, counts) in enumerate(packing.groups):
                for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                    key = ((at, g), class_of[row])
                    pods[key] = pods.get(key, 0) + count
            for row in packing.rows.tolist():
                nodes[at, class_of[row]] = nodes.get((at, class_of[row]), 0) + 1
            codes = self._parts[at].problem.charges.codes
            used.update((at, level, int(c)) for level, some in enumerate(codes) for c in some[packing.rows])
        for key, variable in self._pods.items():
            self._model.add_hint(variable, pods.get(key, 0))
        for place, variable in self._nodes.items():
            self._model.add_hint(variable, nodes.get(place, 0))
        for domain, variable in self._used.items():
            self._model.add_hint(variable, domain in used)

    def _read(self, solver: cp_model.CpSolver) -> tuple[Packing, ...]:
        """The solution as rows and counts: in each class, node by node, gangs in order, each on few nodes."""
        placed: dict[Seat, dict[int, int]] = {seat: {} for seat in self._found.kinds}
        for c, each in enumerate(self._found.classes):
            room = self._open(solver, c, each)
            for at in range(len(self._parts)):
                own: set[int] = set()
                for seat in (seat for seat in each.holds if seat[0] == at and (seat, c) in self._pods):
                    kind = self._found.kinds[seat]
                    left = solver.value(self._pods[seat, c])
                    while left:
                        row = _next_row(room, kind, left, own)
                        taken = min(left, room[row][kind])
                        room[row][kind] -= taken
                        left -= taken
                        own.add(row)
                        placed[seat][row] = taken
        return tuple(
            _packing(part, [placed[at, g] for g in range(len(part.problem.ask.groups))])
            for at, part in enumerate(self._parts)
        )

    def _open(self, solver: cp_model.CpSolver, c: int, each: BatchClass) -> dict[int, list[int]]:
        """Pods of each kind that each node of a class takes, as the solution shares them."""
        if not self._shared[c]:
            return {row: list(each.patterns[0]) for row in each.rows}
        rows = iter(each.rows)
        return {
            next(rows): list(pattern)
            for pattern, count in zip(each.patterns, self._shared[c], strict=True)
            for _ in range(solver.value(count))
        }


class _Prices(msgspec.Struct, frozen=True):
    """Of a node, and of a domain by how far inside its level is: the innermost first."""

    node: int
    level: tuple[int, ...]


def _prices(parts: Sequence[Part]) -> _Prices:
    """Prices of which each outweighs what all nodes and domains further inside, and all free capacity, can sum to."""
    used = [part.most or _at_most(part) for part in parts]
    units = 1
    for part, counts in zip(parts, used, strict=True):
        charges = part.problem.charges
        each = (*charges.domain_units, charges.units)
        units += sum(n * int(some.max(initial=0)) for n, some in zip(counts, each, strict=True))
    price = units
    prices = [price]
    for inside in range(1, max(len(counts) for counts in used)):
        price *= 1 + sum(counts[-inside] for counts in used if inside <= len(counts))
        prices.append(price)
    return _Prices(prices[0], tuple(prices[1:]))


def _at_most(part: Part) -> tuple[int, ...]:
    """Domains of each level, and nodes, that a part can use at all."""
    charges, pods = part.problem.charges, part.problem.ask.pods
    return tuple(min(pods, len(some)) for some in (*charges.domain_units, charges.units))


def _next_row(room: dict[int, list[int]], kind: int, left: int, own: set[int]) -> int:
    """The node to go on with: one that the gang is on, else the tightest that takes all, else the roomiest."""
    return min(
        (row for row, some in room.items() if some[kind]),
        key=lambda row: (row not in own, room[row][kind] < left, abs(room[row][kind] - left), row),
    )


def _packing(part: Part, placed: Sequence[dict[int, int]]) -> Packing:
    charges = part.problem.charges
    places = {row: at for at, row in enumerate(charges.order.tolist())}
    groups: list[tuple[Codes, Codes]] = []
    for some in placed:
        rows = sorted(some, key=places.__getitem__)
        groups.append((np.array(rows, dtype=np.int64), np.array([some[row] for row in rows], dtype=np.int64)))
    return Packing(tuple(groups), charges.cost_of(np.unique(np.concatenate([rows for rows, _ in groups]))))
