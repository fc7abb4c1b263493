"""MIG slices that come and go at random: how many find a place, by where they are put and by what may be moved.

256 GPUs of one model. Slices come as a Poisson process, the profile drawn from a mix, and stay for an exponentially
distributed time; who finds no place leaves again. A profile's weight is the inverse of its size, so that each profile
asks for the same amount of memory; the load is what is asked for altogether, by the memory of the GPUs. What is
counted is the part of the memory asked for that is given: by their number, small slices would hide the large ones.

- first fit: the first GPU with a place, and its first place, as the DRA allocator of kube-scheduler takes devices in
  the order of their names.
- Bayplan: the planner's rule (`scoring.sharing.mig.loss`), on a GPU that is divided already where there is a place.
- with repartition: the same, and where a slice finds no place, `scoring.sharing.cpsat_repack` says which instances
  would have to move, at most 0.4 % of those that stand.
- free repack: who comes is taken if all that stands and the new one can be packed anew, whatever has to move.

All see the same slices come, for the same times. Counted from when the fleet has filled up. The budgets hold for the
steady state (`LOAD`); what comes of a fleet that is asked for all it has is told beside it. No cluster is needed:
`python -m benchmarks mig_arrivals`.
"""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from benchmarks import table
from scheduler.model.mig import MigModel
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.sharing.cpsat_repack import repack
from scheduler.scoring.sharing.mig import EMPTY, Layout, free_starts, is_legal, loss, with_one
from scheduler.scoring.sharing.mig_tables import mig_models
from scheduler.scoring.sharing.repack import RepackProblem, Stock, Wish, profile_name

NAME = "mig_arrivals"

MODELS = ("A100-80GB", "H100-80GB", "A30-24GB", "RTX-PRO-6000-96GB")
GPUS = 256
ARRIVALS = 20_000
LOAD = 0.9
DRAWS = 3
"""Sequences of arrivals that are drawn at that load: what is refused is little, and differs from one to the next."""

FULL_LOAD = 0.95
FULL_ARRIVALS = 8_000
MEAN_STAY = 1.0
WARM_UP = 0.2

MOST_IN_ROUND = 0.004
"""Of the instances that stand, what one repartition may move."""

MOST_MOVED = 0.01
"""Of all instances that are placed, what may be moved altogether."""

LEAST_CLOSED = 0.8
"""Of the gap between placing alone and a free repack, what repartition has to close."""

LIMITS = Limits(budget_ms=1000)


class Slice(NamedTuple):
    """Comes at a time for so long, and asks for the profile of that index."""

    at: float
    stays: float
    profile: int


class Figures(NamedTuple):
    """Memory units of slices that came, and of those that found a place, after the warm-up.

    `number`: slices that found one. `rounds`: repartitions; what they moved, and the largest as a part of what stood.
    """

    came: int
    placed: int
    number: int = 0
    rounds: int = 0
    moved: int = 0
    largest: float = 0.0

    @property
    def accepted(self) -> float:
        """The part of the memory asked for that was given."""
        return self.placed / self.came


Place = Callable[[MigModel, Sequence[Layout], int], tuple[int, int] | None]
"""Where an instance of a profile goes: GPU and start."""


def run(*, quick: bool = False) -> list[table.Row]:
    """Acceptance by model and way to place, and what repartition does about the rest."""
    rows: list[table.Row] = []
    for name in MODELS[2:3] if quick else MODELS:
        rows += _compared(name, LOAD, 1500 if quick else ARRIVALS, judged=not quick)
        if not quick:
            rows += _compared(name, FULL_LOAD, FULL_ARRIVALS, judged=False)
    return rows


def _compared(name: str, load: float, count: int, *, judged: bool) -> list[table.Row]:
    model = mig_models()[name]
    drawn = [slices(model, count, load=load, seed=seed) for seed in range(1, 1 + (DRAWS if judged else 1))]
    first, ours = ([play(model, came, way) for came in drawn] for way in (first_fit, least_loss))
    began = time.perf_counter()
    moving = [play(model, came, least_loss, moves=MOST_IN_ROUND) for came in drawn]
    took_s = time.perf_counter() - began
    freely = [play_free(model, came) for came in drawn]
    each = ", ".join(f"{100 * part_closed(*some):.0f} %" for some in zip(ours, moving, freely, strict=True))
    first, ours, again, free = (together(some) for some in (first, ours, moving, freely))
    where = f"{name}, load {load:g}"
    found = {"first fit": first, "Bayplan": ours, "with repartition": again, "free repack": free}
    rows = [
        table.Row(
            benchmark=NAME, what=f"memory given of that asked for, {way}, {where}", unit="%", value=100 * f.accepted
        )
        for way, f in found.items()
    ]
    closed = table.Row(
        benchmark=NAME,
        what=f"gap to a free repack that repartition closes, {where}",
        unit="%",
        value=100 * part_closed(ours, again, free),
        limit=table.Limit(least=100 * LEAST_CLOSED) if judged else None,
        note=f"each draw: {each}; of that between first fit and a free repack "
        f"{100 * part_closed(first, again, free):.0f} %",
    )
    moved = table.Row(
        benchmark=NAME,
        what=f"instances moved of those placed, {where}",
        unit="%",
        value=100 * again.moved / again.number,
        limit=table.Limit(most=100 * MOST_MOVED) if judged else None,
        note=f"{again.rounds} repartitions in {took_s:.0f} s with all else, the largest {100 * again.largest:.2f} % of "
        "what stood",
        detail={"rounds": again.rounds, "moved": again.moved, "placed": again.number},
    )
    return [*rows, closed, moved]


def together(draws: Sequence[Figures]) -> Figures:
    """The sums over several draws, and the largest repartition of all."""
    return Figures(
        came=sum(each.came for each in draws),
        placed=sum(each.placed for each in draws),
        number=sum(each.number for each in draws),
        rounds=sum(each.rounds for each in draws),
        moved=sum(each.moved for each in draws),
        largest=max(each.largest for each in draws),
    )


def part_closed(before: Figures, after: Figures, free: Figures) -> float:
    """Of the gap between `before` and `free`, the part that `after` closes; all of it where there is none."""
    gap = free.accepted - before.accepted
    return 1.0 if gap <= 0 else (after.accepted - before.accepted) / gap


def plain_profiles(model: MigModel) -> list[int]:
    """Profiles without media engines or graphics of their own, by index."""
    return [i for i, p in enumerate(model.profiles) if p.name.endswith("gb")]


def slices(model: MigModel, count: int, *, gpus: int = GPUS, load: float = LOAD, seed: int = 1) -> list[Slice]:
    """What comes, in order."""
    chance = Random(seed)
    profiles = plain_profiles(model)
    weights = [1 / model.profiles[i].size for i in profiles]
    mean_units = len(profiles) / sum(weights)
    rate = load * gpus * model.units / (mean_units * MEAN_STAY)
    now = 0.0
    found: list[Slice] = []
    for profile in chance.choices(profiles, weights, k=count):
        now += chance.expovariate(rate)
        found.append(Slice(now, chance.expovariate(1 / MEAN_STAY), profile))
    return found


def units_of(model: MigModel, some: Sequence[Slice]) -> int:
    """The memory units that slices ask for."""
    return sum(model.profiles[one.profile].size for one in some)


def first_fit(model: MigModel, gpus: Sequence[Layout], profile: int) -> tuple[int, int] | None:
    """The first GPU and the first start."""
    for gpu, layout in enumerate(gpus):
        starts = free_starts(model, layout, profile)
        if starts:
            return gpu, starts[0]
    return None


def least_loss(model: MigModel, gpus: Sequence[Layout], profile: int) -> tuple[int, int] | None:
    """The planner's rule: no GPU is opened without need, and least is taken from what larger ones could be given."""
    ways = [
        (not layout, loss(model, layout, profile, start), gpu, -start)
        for gpu, layout in enumerate(gpus)
        for start in free_starts(model, layout, profile)
    ]
    if not ways:
        return None
    _, _, gpu, start = min(ways)
    return gpu, -start


def play(model: MigModel, came: Sequence[Slice], place: Place, *, gpus: int = GPUS, moves: float = 0.0) -> Figures:
    """Place slices one after the other; `moves`: of what stands, the part that a repartition may move."""
    fleet = _Fleet(model, gpus)
    placed, count, rounds, moved, largest = 0, 0, 0, 0, 0.0
    warm = int(len(came) * WARM_UP)
    for number, one in enumerate(came):
        fleet.leave_until(one.at)
        standing = len(fleet.homes)
        spot = place(model, fleet.gpus, one.profile)
        if spot is None and moves:
            went = fleet.make_room(one.profile, int(moves * standing))
            if went:
                rounds += number >= warm
                moved += went * (number >= warm)
                largest = max(largest, went / standing)
                spot = place(model, fleet.gpus, one.profile)
        if spot is not None:
            fleet.put(number, one, spot)
            count += number >= warm
            placed += (number >= warm) * model.profiles[one.profile].size
    return Figures(units_of(model, came[warm:]), placed, count, rounds, moved, largest)


class _Fleet:
    """GPUs, and who stands where until when."""

    def __init__(self, model: MigModel, gpus: int) -> None:
        self._model = model
        self.gpus: list[Layout] = [EMPTY] * gpus
        self.homes: dict[int, tuple[int, int, int]] = {}
        self._ends: list[tuple[float, int]] = []

    def leave_until(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, number = heapq.heappop(self._ends)
            gpu, profile, start = self.homes.pop(number)
            self.gpus[gpu] = tuple(each for each in self.gpus[gpu] if each != (profile, start))

    def put(self, number: int, one: Slice, spot: tuple[int, int]) -> None:
        gpu, start = spot
        self.gpus[gpu] = with_one(self.gpus[gpu], one.profile, start)
        self.homes[number] = (gpu, one.profile, start)
        heapq.heappush(self._ends, (one.at + one.stays, number))

    def make_room(self, profile: int, most: int) -> int:
        """Move as few as possible for one more of a profile; how many moved, 0 where it cannot be."""
        alike: dict[Layout, list[int]] = {}
        for gpu, layout in enumerate(self.gpus):
            alike.setdefault(layout, []).append(gpu)
        stocks = tuple(
            Stock(model=self._model, count=len(some), used=layout, place=at)
            for at, (layout, some) in enumerate(alike.items())
        )
        wish = Wish(profile=profile_name(self._model, profile))
        if not most:
            return 0
        answer = repack(RepackProblem(stocks=stocks, wishes=(wish,), most_moves=most), LIMITS)
        if not answer.served[0]:
            return 0
        leaving: list[tuple[int, int, int]] = []
        spots: list[tuple[int, int, int]] = []
        for change in answer.changes:
            layout = stocks[change.stock].used
            for gpu in [alike[layout].pop() for _ in range(change.count)]:
                stays = tuple(each for each in layout if each not in change.option.leaving)
                leaving += [(gpu, *each) for each in change.option.leaving]
                spots += [(gpu, *each) for each in change.option.layout if each not in stays]
                self.gpus[gpu] = stays
        self._settle(leaving, spots)
        return len(leaving)

    def pack(self, layouts: Sequence[Layout], kept: int) -> None:
        """Everybody moves into these layouts, which have a place more of the profile `kept` than is needed."""
        spots: dict[int, list[tuple[int, int, int]]] = {}
        for gpu, layout in enumerate(layouts):
            for profile, start in layout:
                spots.setdefault(profile, []).append((gpu, profile, start))
        spots[kept].pop()
        self.gpus = [EMPTY] * len(self.gpus)
        for number, (_, profile, _) in self.homes.items():
            home = self.homes[number] = spots[profile].pop()
            self.gpus[home[0]] = with_one(self.gpus[home[0]], profile, home[2])

    def _settle(self, leaving: list[tuple[int, int, int]], spots: list[tuple[int, int, int]]) -> None:
        """Give those that leave the places that were made for them; the others stay free."""
        who = {home: number for number, home in self.homes.items()}
        for gone in leaving:
            spot = next(each for each in spots if each[1] == gone[1])
            spots.remove(spot)
            gpu, profile, start = spot
            self.gpus[gpu] = with_one(self.gpus[gpu], profile, start)
            self.homes[who[gone]] = spot
            if not is_legal(self._model, self.gpus[gpu]):
                raise AssertionError(f"{self.gpus[gpu]} cannot stand on one GPU")


def play_free(model: MigModel, came: Sequence[Slice], *, gpus: int = GPUS) -> Figures:
    """Who comes is taken if all together could be packed anew."""
    fleet = _Fleet(model, gpus)
    warm = int(len(came) * WARM_UP)
    placed = 0
    for number, one in enumerate(came):
        fleet.leave_until(one.at)
        spot = least_loss(model, fleet.gpus, one.profile)
        if spot is None:
            wanted = Counter([one.profile, *(profile for _, profile, _ in fleet.homes.values())])
            packed = packing(model, gpus, wanted)
            if packed is not None:
                fleet.pack(packed, one.profile)
                spot = least_loss(model, fleet.gpus, one.profile)
        if spot is not None:
            fleet.put(number, one, spot)
            placed += (number >= warm) * model.profiles[one.profile].size
    return Figures(units_of(model, came[warm:]), placed)


def packing(model: MigModel, gpus: int, wanted: Counter[int]) -> list[Layout] | None:
    """Layouts that hold so many instances of each profile; None where it is proved that there are none."""
    sizes = [model.profiles[profile].size * number for profile, number in wanted.items()]
    if sum(sizes) > gpus * model.units:
        return None
    stocks = (Stock(model=model, count=gpus),)
    wishes = tuple(Wish(profile=profile_name(model, i), count=n) for i, n in sorted(wanted.items()))
    answer = repack(RepackProblem(stocks=stocks, wishes=wishes), Limits(budget_ms=5000))
    if answer.proof.cost == 0:
        made = [change.option.layout for change in answer.changes for _ in range(change.count)]
        return made + [EMPTY] * (gpus - len(made))
    if answer.proof.bound == 0:
        raise AssertionError(f"the solver could not tell whether {dict(wanted)} fit on {gpus} GPUs")
    return None
