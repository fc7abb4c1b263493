"""The solver's part in dividing GPUs anew: how many GPUs of each stock become what, and whom that serves.

Nothing is said of single GPUs: equal ones are counted. Importing this module takes half a second and 100 MiB.
"""

from collections.abc import Callable, Iterable

import msgspec
from ortools.sat.python import cp_model

from scheduler.model.plan import Proof
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.sharing.repack import (
    Change,
    Option,
    Repacked,
    RepackProblem,
    Wish,
    hosted_of,
    options_of,
    profile_name,
    wanted_of,
)
from scheduler.scoring.sharing.repack_greedy import greedy
from scheduler.scoring.solver import solver_within, spent_ms

FIRST_SHARE = 0.7
"""Of the budget, what serving most may take; the rest is for moving and losing least."""

Key = tuple[int | None, str]
"""A place, or None for all of them together, and a profile."""

Term = tuple[int, cp_model.IntVar]
SOLVED = frozenset({cp_model.OPTIMAL, cp_model.FEASIBLE})


def repack(problem: RepackProblem, limits: Limits) -> Repacked:
    """What serves most by weight; of that what moves fewest instances in use, then what destroys fewest idle ones.

    The proof is of the first. Without a budget the answer is that of `greedy`.
    """
    hint = greedy(problem)
    if limits.budget_ms <= 0 or not problem.wishes:
        return hint
    return _Model(problem).solve(limits, hint)


class _Model:
    def __init__(self, problem: RepackProblem) -> None:
        self._problem = problem
        self._model = cp_model.CpModel()
        wanted, hosted = wanted_of(problem), hosted_of(problem)
        self._options = [options_of(stock, wanted, hosted, problem.most_moves) for stock in problem.stocks]
        self._counts = [
            [self._model.new_int_var(0, stock.count, f"n{s}o{o}") for o in range(len(options))]
            for s, (stock, options) in enumerate(zip(problem.stocks, self._options, strict=True))
        ]
        for stock, counts in zip(problem.stocks, self._counts, strict=True):
            self._model.add(sum(counts) == stock.count)
        self._served = [self._model.new_int_var(0, wish.count, f"w{w}") for w, wish in enumerate(problem.wishes)]
        self._moved = self._total(lambda option: len(option.leaving))
        if problem.most_moves:
            self._model.add(self._moved <= problem.most_moves)
        self._bundle()
        self._balance()

    def _total(self, of_each: Callable[[Option], int]) -> cp_model.LinearExpr:
        return _sum((of_each(option), count) for _, option, count in self._each())

    def _each(self) -> Iterable[tuple[int, Option, cp_model.IntVar]]:
        for s, (options, counts) in enumerate(zip(self._options, self._counts, strict=True)):
            for option, count in zip(options, counts, strict=True):
                yield s, option, count

    def _bundle(self) -> None:
        """Wishes that are served all, or none."""
        chosen: dict[int, cp_model.IntVar] = {}
        for wish, served in zip(self._problem.wishes, self._served, strict=True):
            if wish.bundle is not None:
                if wish.bundle not in chosen:
                    chosen[wish.bundle] = self._model.new_bool_var(f"b{wish.bundle}")
                self._model.add(served == wish.count * chosen[wish.bundle])

    def _balance(self) -> None:
        """Of each profile no more is taken at a place than is there; where nobody is choosy, of all together."""
        choosy = {wish.profile for wish in self._problem.wishes if wish.each > 1 or wish.places is not None}
        given: dict[Key, list[Term]] = {}
        homeless: dict[str, list[Term]] = {}
        for s, option, count in self._each():
            stock = self._problem.stocks[s]
            for name, number in option.gives:
                given.setdefault((stock.place if name in choosy else None, name), []).append((number, count))
            for profile, _ in option.leaving:
                homeless.setdefault(profile_name(stock.model, profile), []).append((1, count))
        taken: dict[Key, list[Term]] = {}
        for at, (wish, served) in enumerate(zip(self._problem.wishes, self._served, strict=True)):
            if wish.profile in choosy:
                self._share_out(f"w{at}", wish, [(1, served)], given, taken)
            else:
                taken.setdefault((None, wish.profile), []).append((1, served))
        for name, leaving in homeless.items():
            if name in choosy:
                self._share_out(f"h{name}", Wish(profile=name, count=self._problem.most_moves), leaving, given, taken)
            else:
                taken.setdefault((None, name), []).extend(leaving)
        for key, terms in taken.items():
            self._model.add(_sum(terms) <= _sum(given.get(key, [])))

    def _share_out(
        self, name: str, wish: Wish, pods: list[Term], given: dict[Key, list[Term]], taken: dict[Key, list[Term]]
    ) -> None:
        """How many of the pods get what they ask for at which place."""
        places = [at for at, profile in given if profile == wish.profile and at is not None]
        allowed = sorted(at for at in places if wish.places is None or at in wish.places)
        shares = [self._model.new_int_var(0, wish.count, f"{name}p{place}") for place in allowed]
        self._model.add(_sum((1, share) for share in shares) == _sum(pods))
        for place, share in zip(allowed, shares, strict=True):
            taken.setdefault((place, wish.profile), []).append((wish.each, share))

    def solve(self, limits: Limits, hint: Repacked) -> Repacked:
        """The two goals one after the other; what `hint` says stays where nothing better is found in time."""
        found, took_ms = hint, 0.0
        wishes = self._problem.wishes
        worth = _sum((wish.weight, served) for wish, served in zip(wishes, self._served, strict=True))
        whole = sum(wish.weight * wish.count for wish in wishes)
        self._hint(hint)
        if hint.proof.cost:
            self._model.maximize(worth)
            solver = solver_within(msgspec.structs.replace(limits, budget_ms=limits.budget_ms * FIRST_SHARE))
            status = solver.solve(self._model)
            took_ms = spent_ms(solver)
            if status not in SOLVED:
                proof = Proof(status="budget hit", cost=hint.proof.cost)
                return msgspec.structs.replace(hint, proof=proof, spent_ms=took_ms)
            cost = whole - round(solver.objective_value)
            bound = max(whole - round(solver.best_objective_bound), 0)
            proof = Proof(status="optimal" if cost <= bound else "budget hit", cost=cost, bound=min(bound, cost))
            found = msgspec.structs.replace(self._read(solver), proof=proof)
            self._model.clear_hints()
            self._hint(found)
        if found.changes:
            self._model.add(worth >= whole - found.proof.cost)
            self._model.minimize(self._harm())
            solver = solver_within(msgspec.structs.replace(limits, budget_ms=max(limits.budget_ms - took_ms, 1.0)))
            if solver.solve(self._model) in SOLVED:
                found = msgspec.structs.replace(self._read(solver), proof=found.proof)
            took_ms += spent_ms(solver)
        return msgspec.structs.replace(found, spent_ms=took_ms)

    def _harm(self) -> cp_model.LinearExpr:
        """Moves count first, then GPUs that change and idle instances on them, then those that are not made again."""
        most = sum(stock.count * (len(stock.idle) + 1) for stock in self._problem.stocks) + 1
        return _sum(
            (most * (most * len(option.leaving) + self._touched(s, option)) + option.lost, count)
            for s, option, count in self._each()
        )

    def _touched(self, s: int, option: Option) -> int:
        """A GPU that changes, and what of it is destroyed on the way, even if the like is made again."""
        stock = self._problem.stocks[s]
        return 1 + (len(stock.idle) if stock.remade else option.lost) if option.changed else 0

    def _hint(self, hint: Repacked) -> None:
        left = [stock.count for stock in self._problem.stocks]
        chosen: dict[tuple[int, Option], int] = {}
        for change in hint.changes:
            chosen[change.stock, change.option] = change.count
            left[change.stock] -= change.count
        for s, option, count in self._each():
            self._model.add_hint(count, chosen.get((s, option), 0) if option.changed else left[s])
        for served, number in zip(self._served, hint.served, strict=True):
            self._model.add_hint(served, number)

    def _read(self, solver: cp_model.CpSolver) -> Repacked:
        changes = tuple(
            Change(stock=s, count=number, option=option)
            for s, option, count in self._each()
            if option.changed and (number := solver.value(count))
        )
        return Repacked(
            changes=changes,
            served=tuple(solver.value(served) for served in self._served),
            moved=sum(len(change.option.leaving) * change.count for change in changes),
            lost=sum(change.option.lost * change.count for change in changes),
        )


def _sum(terms: Iterable[Term]) -> cp_model.LinearExpr:
    numbers: list[int] = []
    variables: list[cp_model.IntVar] = []
    for number, variable in terms:
        if number:
            numbers.append(number)
            variables.append(variable)
    return cp_model.LinearExpr.weighted_sum(variables, numbers)  # pyright: ignore[reportUnknownMemberType]  untyped
