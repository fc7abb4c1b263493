"""A quick answer to how GPUs are divided anew, without the solver: one pod after the other, nothing taken back."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from scheduler.model.plan import Proof
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

TRIES = (24, 8, 4)
"""Ways to move instances that are tried, fewest moves first: for a pod, for one that moves for it, and for a third."""


def greedy(problem: RepackProblem) -> Repacked:
    """What waits is served by weight, by the GPU that loses least for it; where that fails, by moving what is few.

    Wishes of a bundle are left out.
    """
    search = _Search(problem)
    served = [0] * len(problem.wishes)
    for at in sorted(range(len(served)), key=lambda at: (-problem.wishes[at].weight, at)):
        wish = problem.wishes[at]
        while wish.bundle is None and served[at] < wish.count and (search.serve(wish) or search.move_for(wish)):
            served[at] += 1
    unserved = sum(wish.weight * (wish.count - n) for wish, n in zip(problem.wishes, served, strict=True))
    made = search.state.made
    return Repacked(
        changes=tuple(Change(stock=stock, count=n, option=option) for (stock, option), n in made.items()),
        served=tuple(served),
        moved=search.state.moved,
        lost=sum(option.lost * n for (_, option), n in made.items()),
        proof=Proof(status="feasible" if unserved else "optimal", cost=unserved, bound=0),
    )


class _State(msgspec.Struct):
    """How many GPUs of each stock are as they were, what is free where, what was changed and how many moved."""

    left: list[int]
    free: Counter[tuple[int, str]]
    made: Counter[tuple[int, Option]]
    moved: int = 0

    def copy(self) -> "_State":
        return _State(left=self.left.copy(), free=self.free.copy(), made=self.made.copy(), moved=self.moved)


class _Search:
    def __init__(self, problem: RepackProblem) -> None:
        self._problem = problem
        wanted, hosted = wanted_of(problem), hosted_of(problem)
        self._options = [options_of(stock, wanted, hosted, problem.most_moves) for stock in problem.stocks]
        self.state = _State(left=[stock.count for stock in problem.stocks], free=Counter(), made=Counter())
        for stock, options in zip(problem.stocks, self._options, strict=True):
            for name, number in options[0].gives:
                self.state.free[stock.place, name] += number * stock.count

    def serve(self, wish: Wish) -> bool:
        """Give one pod what it asks for, changing one GPU at most and moving nothing; whether that was possible."""
        state = self.state
        for stock in self._problem.stocks:
            key = (stock.place, wish.profile)
            if state.free[key] >= wish.each and (wish.places is None or stock.place in wish.places):
                state.free[key] -= wish.each
                return True
        ways = [
            (option.lost, sum(n for _, n in option.gives), at, number)
            for at, number, option in self._ways(wish)
            if not option.leaving
        ]
        if not ways:
            return False
        _, _, at, number = min(ways)
        self._change(at, self._options[at][number], wish)
        return True

    def move_for(self, wish: Wish, depth: int = 0) -> bool:
        """Give one pod what it asks for where instances have to move, as few as possible.

        `depth`: how many moves this one is for.
        """
        if depth == len(TRIES):
            return False
        most = self._problem.most_moves - self.state.moved
        ways = sorted(
            (len(option.leaving), option.lost, at, number)
            for at, number, option in self._ways(wish)
            if 0 < len(option.leaving) <= most
        )
        for _, _, at, number in ways[: TRIES[depth]]:
            before, option = self.state.copy(), self._options[at][number]
            self._change(at, option, wish)
            self.state.moved += len(option.leaving)
            model = self._problem.stocks[at].model
            # The largest first: they have the fewest places.
            homeless = [Wish(profile=profile_name(model, profile)) for profile, _ in option.leaving]
            if all(self.serve(one) or self.move_for(one, depth + 1) for one in homeless):
                return True
            self.state = before
        return False

    def _ways(self, wish: Wish) -> Iterator[tuple[int, int, Option]]:
        """Changes of one GPU that alone give what a pod asks for, and take nothing that was given."""
        for at, (stock, options) in enumerate(zip(self._problem.stocks, self._options, strict=True)):
            if not self.state.left[at] or (wish.places is not None and stock.place not in wish.places):
                continue
            if any(self.state.free[stock.place, name] < n for name, n in options[0].gives):
                continue
            for number, option in enumerate(options):
                if option.changed and dict(option.gives).get(wish.profile, 0) >= wish.each:
                    yield at, number, option

    def _change(self, at: int, option: Option, wish: Wish) -> None:
        state, place = self.state, self._problem.stocks[at].place
        state.left[at] -= 1
        state.made[at, option] += 1
        for name, n in self._options[at][0].gives:
            state.free[place, name] -= n
        for name, n in option.gives:
            state.free[place, name] += n
        state.free[place, wish.profile] -= wish.each
