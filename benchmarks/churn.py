"""How far gangs spread out after long use: arrivals and departures on 320 nodes in racks of 16, at 85 % load.

Gangs take 1 to 32 whole nodes, each number as likely. While less than 85 % of the nodes are in use the next gang comes,
otherwise one that runs, each as likely, leaves; so every way to place them sees the same gangs come and go. A gang's
spread is the racks that it stands in, divided by the fewest that it would fill on an empty cluster; the mean is over
all gangs that came. The gangs ask for no level; Bayplan's nodes are those of its planner. Beside it: the first free
nodes by name; kube-scheduler's MostAllocated, to which all free nodes are equal, so that it takes any of them; and free
nodes of the fullest racks. No cluster is needed: `python -m benchmarks churn [--quick]`.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec

from benchmarks import synthetic, table
from scheduler.model.plan import Admit
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings

NAME = "churn"

NODES = 320
RACK_NODES = synthetic.RACK_NODES
LARGEST = 32
LOAD = 0.85
EVENTS = 20_000
MOST_SPREAD = 1.10

Choose = Callable[[Sequence[bool], int], Sequence[int]]
"""Which of the free nodes a gang of so many nodes gets."""


class Event(NamedTuple):
    """Gang number `gang` comes and takes `nodes`, or leaves, where that is 0."""

    gang: int
    nodes: int


class Outcome(NamedTuple):
    """Over all gangs that came: racks used by the fewest on an empty cluster, and by the fewest on what was free."""

    spread: float
    of_possible: float
    worst: float
    gangs: int
    took_ms: float


def run(*, quick: bool = False) -> list[table.Row]:
    """Mean spreads; `quick`: fewer events."""
    happened = list(events(EVENTS // 20 if quick else EVENTS, seed=1))
    rows: list[table.Row] = []
    for name, choose in ways().items():
        found = play(happened, choose)
        rows.append(_row(name, found, len(happened)))
    return rows


def ways() -> dict[str, Choose]:
    """Every way to place gangs, ours first."""
    return {"Bayplan": planner(), "first fit": first_fit, "MostAllocated": most_allocated(1), "fullest rack": fullest}


def events(count: int, *, seed: int) -> Iterator[Event]:
    """Arrivals and departures."""
    chance = Random(seed)
    running: dict[int, int] = {}
    busy = came = 0
    size = chance.randint(1, LARGEST)
    for _ in range(count):
        if busy < LOAD * NODES and busy + size <= NODES:
            yield Event(came, size)
            running[came] = size
            busy, came = busy + size, came + 1
            size = chance.randint(1, LARGEST)
        else:
            gone = chance.choice(list(running))
            busy -= running.pop(gone)
            yield Event(gone, 0)


def play(happened: Sequence[Event], choose: Choose) -> Outcome:
    """Let gangs come and go.

    Raises:
        AssertionError: a gang was given nodes that are not free, or another number of them.
    """
    free = [True] * NODES
    stands: dict[int, Sequence[int]] = {}
    spreads: list[float] = []
    possible: list[float] = []
    took_s = 0.0
    for gang, count in happened:
        if not count:
            for node in stands.pop(gang):
                free[node] = True
            continue
        began = time.perf_counter()
        nodes = choose(free, count)
        took_s += time.perf_counter() - began
        if len(set(nodes)) != count or not all(free[node] for node in nodes):
            raise AssertionError(f"{count} free nodes were asked for, and the answer is {nodes}")
        racks = len({node // RACK_NODES for node in nodes})
        spreads.append(racks / -(-count // RACK_NODES))
        possible.append(racks / _fewest(free, count))
        stands[gang] = nodes
        for node in nodes:
            free[node] = False
    return Outcome(
        statistics.fmean(spreads), statistics.fmean(possible), max(spreads), len(spreads), 1000 * took_s / len(spreads)
    )


def _fewest(free: Sequence[bool], count: int) -> int:
    """The fewest racks whose free nodes are enough."""
    racks = 0
    for room in sorted(_rooms(free), reverse=True):
        if count <= 0:
            break
        count -= room
        racks += 1
    return racks


def _rooms(free: Sequence[bool]) -> list[int]:
    """Free nodes of each rack."""
    return [sum(free[start : start + RACK_NODES]) for start in range(0, NODES, RACK_NODES)]


def planner() -> Choose:
    """Bayplan's planner, asked about one gang at a time."""
    cache = PlanCache()
    settings = PlanSettings()
    shape = synthetic.shape(synthetic.NODE_GPUS)
    row_of = synthetic.nodes(NODES)[1].row_of

    def choose(free: Sequence[bool], count: int) -> Sequence[int]:
        gang = synthetic.gang("g", [shape] * count)
        busy = [0 if each else synthetic.NODE_GPUS for each in free]
        snapshot = msgspec.structs.replace(synthetic.snapshot(busy, [gang]), topology=synthetic.LEVELS[1:])
        (decision,) = plan(snapshot, now_s=0, settings=settings, cache=cache).decisions
        if not isinstance(decision, Admit):
            return ()
        return [row_of[assignment.node] for assignment in decision.placement.assignments]

    return choose


def first_fit(free: Sequence[bool], count: int) -> Sequence[int]:
    """The first free nodes."""
    return [node for node, each in enumerate(free) if each][:count]


def most_allocated(seed: int) -> Choose:
    """Any free nodes: none is allocated more than another, and of equal ones kube-scheduler takes one by chance."""
    chance = Random(seed)

    def choose(free: Sequence[bool], count: int) -> Sequence[int]:
        return chance.sample([node for node, each in enumerate(free) if each], count)

    return choose


def fullest(free: Sequence[bool], count: int) -> Sequence[int]:
    """Free nodes of the racks with the fewest of them."""
    rooms = _rooms(free)
    open_nodes = [node for node, each in enumerate(free) if each]
    return sorted(open_nodes, key=lambda node: (rooms[node // RACK_NODES], node))[:count]


def _row(name: str, found: Outcome, count: int) -> table.Row:
    ours = name == "Bayplan"
    detail: dict[str, Any] = found._asdict()
    return table.Row(
        benchmark=NAME,
        what=f"spread after {count} events, {name}",
        unit="",
        value=found.spread,
        limit=table.Limit(most=MOST_SPREAD) if ours else None,
        note=f"{found.gangs} gangs; {found.of_possible:.2f} of the fewest racks possible then; "
        f"worst {table.figure(found.worst)}; {table.figure(found.took_ms)} ms a gang",
        detail=detail,
    )
