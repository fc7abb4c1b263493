"""Dividing GPUs anew, against a search over everything that a few small GPUs could become."""

from collections import Counter
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.mig import MigModel
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.sharing.cpsat_repack import repack
from scheduler.scoring.sharing.mig import EMPTY, Layout, is_legal, legal_layouts
from scheduler.scoring.sharing.mig_tables import mig_models
from scheduler.scoring.sharing.repack import WHOLE, Option, Repacked, RepackProblem, Stock, Wish, profile_name
from scheduler.scoring.sharing.repack_greedy import greedy

A30 = mig_models()["A30-24GB"]
A100 = mig_models()["A100-80GB"]
LIMITS = Limits(budget_ms=5000)


def layout(model: MigModel, *some: tuple[str, int]) -> Layout:
    names = [p.name for p in model.profiles]
    return tuple(sorted((names.index(name), start) for name, start in some))


def counted(model: MigModel, some: Layout) -> Counter[str]:
    return Counter(profile_name(model, profile) for profile, _ in some)


def wrong(problem: RepackProblem, answer: Repacked) -> list[str]:
    """Everything that an answer promises and does not keep."""
    said: list[str] = []
    free: Counter[tuple[int, str]] = Counter()
    homeless: Counter[str] = Counter()
    changed: Counter[int] = Counter()
    for change in answer.changes:
        stock, option = problem.stocks[change.stock], change.option
        changed[change.stock] += change.count
        stays = [one for one in stock.used if one not in option.leaving]
        said += wrong_change(stock, option, stays)
        new = Counter({WHOLE: 1}) if option.whole else counted(stock.model, option.layout)
        new.subtract(counted(stock.model, tuple(stays)))
        for name, n in new.items():
            free[stock.place, name] += n * change.count
        for name, n in counted(stock.model, option.leaving).items():
            homeless[name] += n * change.count
    for at, stock in enumerate(problem.stocks):
        if changed[at] > stock.count:
            said.append(f"{changed[at]} of {stock.count} GPUs change")
        whole = stock.remade and not stock.divided
        for name, n in (Counter({WHOLE: 1}) if whole else counted(stock.model, stock.idle)).items():
            free[stock.place, name] += n * (stock.count - changed[at])
    said += [f"{name} is promised more often than it is there" for name in short(problem, answer, free, homeless)]
    if answer.moved != homeless.total() or answer.moved > problem.most_moves:
        said.append(f"{answer.moved} moves")
    return said


def wrong_change(stock: Stock, option: Option, stays: list[tuple[int, int]]) -> list[str]:
    """What of one GPU cannot become what it is to become."""
    said: list[str] = []
    if not set(option.leaving) <= set(stock.used) or (option.leaving and stock.fixed):
        said.append(f"{option.leaving} cannot leave")
    if not set(stays) <= set(option.layout) or not is_legal(stock.model, option.layout):
        said.append(f"{option.layout} cannot stand")
    if stock.remade and stays:
        said.append("something stays on a GPU that is remade")
    return said


def short(
    problem: RepackProblem, answer: Repacked, free: Counter[tuple[int, str]], homeless: Counter[str]
) -> list[str]:
    """Profiles of which there is too little; where pods need several on one node, by giving them out one by one."""
    left = Counter(free)
    missing: list[str] = []
    asked = [(w, w.each) for w, n in zip(problem.wishes, answer.served, strict=True) for _ in range(n)]
    asked += [(Wish(profile=name), 1) for name, n in homeless.items() for _ in range(n)]
    for wish, each in sorted(asked, key=lambda a: (a[0].places is None, -a[1])):
        places = [at for (at, name), n in left.items() if name == wish.profile and n >= each]
        places = [at for at in places if wish.places is None or at in wish.places]
        if places:
            left[min(places), wish.profile] -= each
        else:
            missing.append(wish.profile)
    return missing


def best_by_trying(problem: RepackProblem) -> tuple[int, int]:
    """The largest weight that can be served, and the fewest moves for it; every wish asks for one, anywhere."""
    best = (-1, 0)
    gpus = [stock for stock in problem.stocks for _ in range(stock.count)]
    ways = [list(becomes(stock)) for stock in gpus]
    asked = [(wish.profile, wish.weight) for wish in problem.wishes for _ in range(wish.count)]
    for some in product(*ways):
        moved = sum(len(leaving) for leaving, _ in some)
        if moved > problem.most_moves:
            continue
        left: Counter[str] = Counter()
        for stock, (leaving, gives) in zip(gpus, some, strict=True):
            left.update(gives)
            left.subtract(counted(stock.model, leaving))
        if any(n < 0 for n in left.values()):
            continue
        worth = 0
        for profile, weight in sorted(asked, key=lambda a: -a[1]):
            if left[profile] > 0:
                left[profile] -= 1
                worth += weight
        best = max(best, (worth, -moved))
    return best


def becomes(stock: Stock) -> set[tuple[Layout, tuple[str, ...]]]:
    """Who leaves a GPU, and what is free there then."""
    found = {(EMPTY, tuple(counted(stock.model, stock.idle).elements()))}
    for number in range(len(stock.used) + 1):
        for leaving in combinations(stock.used, number):
            stays = set(stock.used) - set(leaving)
            for after in legal_layouts(stock.model):
                if stays <= set(after):
                    made = tuple(one for one in after if one not in stays)
                    found.add((leaving, tuple(sorted(counted(stock.model, made).elements()))))
    return found


@st.composite
def problems(draw: st.DrawFn) -> RepackProblem:
    """Two or three A30, what stands on them, and what waits."""
    plain = [one for one in legal_layouts(A30) if all("+" not in A30.profiles[i].name for i, _ in one)]
    stocks: list[Stock] = []
    for place in range(2):
        standing = draw(st.sampled_from(plain))
        used = tuple(one for one in standing if draw(st.booleans()))
        idle = tuple(one for one in standing if one not in used)
        stocks.append(Stock(model=A30, count=draw(st.integers(1, 1 + (place == 0))), used=used, idle=idle, place=place))
    profiles = draw(st.lists(st.sampled_from(["1g.6gb", "2g.12gb", "4g.24gb"]), min_size=1, max_size=3, unique=True))
    wishes = [Wish(profile=p, count=draw(st.integers(1, 3)), weight=draw(st.integers(1, 4))) for p in profiles]
    return RepackProblem(stocks=tuple(stocks), wishes=tuple(wishes), most_moves=draw(st.integers(0, 3)))


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_solver_serves_as_much_with_as_few_moves_as_trying_everything(problem: RepackProblem) -> None:
    answer = repack(problem, LIMITS)
    assert wrong(problem, answer) == []
    worth = sum(wish.weight * n for wish, n in zip(problem.wishes, answer.served, strict=True))
    assert (worth, -answer.moved) == best_by_trying(problem)
    assert answer.proof.status == "optimal"
    assert answer.proof.cost == sum(wish.weight * wish.count for wish in problem.wishes) - worth


@settings(max_examples=150, deadline=None)
@given(problems())
def test_the_quick_answer_keeps_what_it_promises(problem: RepackProblem) -> None:
    answer = greedy(problem)
    assert wrong(problem, answer) == []
    assert answer == repack(problem, Limits(budget_ms=0))


FULL = layout(A100, *(("1g.10gb", start) for start in range(7)))


@pytest.mark.parametrize(
    ("stocks", "wishes", "most", "want"),
    [
        pytest.param(
            [Stock(model=A100, used=layout(A100, ("1g.10gb", 0)))],
            [Wish(profile="4g.40gb")],
            0,
            (0, 0),
            id="in the way",
        ),
        pytest.param(
            [Stock(model=A100, used=layout(A100, ("1g.10gb", 0)))],
            [Wish(profile="4g.40gb")],
            1,
            (1, 1),
            id="moved on the same GPU",
        ),
        pytest.param(
            [
                Stock(model=A100, used=layout(A100, ("3g.40gb", 0)), place=0),
                Stock(model=A100, used=layout(A100, ("3g.40gb", 4), ("2g.20gb", 0), ("1g.10gb", 2)), place=1),
                Stock(model=A100, used=layout(A100, ("4g.40gb", 0), ("2g.20gb", 4)), place=2),
            ],
            [Wish(profile="7g.80gb")],
            4,
            (0, 0),
            id="no home for a 3g",
        ),
        pytest.param(
            [
                Stock(model=A100, used=layout(A100, ("3g.40gb", 0)), place=0),
                Stock(model=A100, used=layout(A100, ("1g.10gb", 6), ("4g.40gb", 0)), place=1),
                Stock(model=A100, used=layout(A100, ("4g.40gb", 0), ("2g.20gb", 4)), place=2),
            ],
            [Wish(profile="7g.80gb")],
            4,
            (1, 2),
            id="a chain: the 1g makes way for the 3g",
        ),
        pytest.param(
            [Stock(model=A100, idle=FULL, remade=True)], [Wish(profile="3g.40gb", count=3)], 0, (2, 0), id="remade"
        ),
        pytest.param(
            [Stock(model=A100, idle=FULL[1:], used=FULL[:1], remade=True)],
            [Wish(profile="3g.40gb")],
            0,
            (0, 0),
            id="in use",
        ),
        pytest.param([Stock(model=A100, idle=FULL, remade=True)], [Wish(profile=WHOLE)], 0, (1, 0), id="whole again"),
        pytest.param([Stock(model=A100, idle=FULL, fixed=True)], [Wish(profile="2g.20gb")], 9, (0, 0), id="fixed"),
        pytest.param(
            [Stock(model=A100, remade=True, divided=False, count=2)],
            [Wish(profile=WHOLE, weight=7), Wish(profile="1g.10gb", count=9)],
            0,
            (1 + 7, 0),
            id="a whole GPU is divided, the other kept",
        ),
        pytest.param(
            [Stock(model=A100, idle=FULL, remade=True, place=at) for at in range(2)],
            [Wish(profile="3g.40gb", count=2, each=2, places=frozenset({1}))],
            0,
            (1, 0),
            id="two on one node, and that one only",
        ),
        pytest.param(
            [Stock(model=A100, idle=FULL, remade=True)],
            [Wish(profile="3g.40gb", count=3, bundle=0, weight=9), Wish(profile="2g.20gb")],
            0,
            (1, 0),
            id="a gang whole or not at all",
        ),
    ],
)
def test_what_is_served_and_moved(stocks: list[Stock], wishes: list[Wish], most: int, want: tuple[int, int]) -> None:
    problem = RepackProblem(stocks=tuple(stocks), wishes=tuple(wishes), most_moves=most)
    answer = repack(problem, LIMITS)
    assert wrong(problem, answer) == []
    assert (sum(answer.served), answer.moved) == want
    assert answer.proof.status == "optimal"


def test_the_same_problem_has_the_same_answer() -> None:
    stocks = [
        Stock(model=A100, count=40, used=layout(A100, ("1g.10gb", at), ("2g.20gb", 4)), place=at) for at in (0, 6)
    ]
    problem = RepackProblem(stocks=tuple(stocks), wishes=(Wish(profile="4g.40gb", count=50),), most_moves=10)
    assert len({repack(problem, LIMITS).changes for _ in range(3)}) == 1
    assert repack(problem, LIMITS).served == (50,)
