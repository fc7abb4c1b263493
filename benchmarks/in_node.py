"""Which GPUs of a node a pod gets: the bottleneck of the chosen set beside the best possible, and the time it takes.

Every machine type that is known, every set of free GPUs and every number of GPUs from two on. The bottleneck of a set
is the slowest pair on its best ring. The best possible one is found by trying every set and every ring, without any of
the planner's tables. Beside it stands the worst that NVIDIA's device plugin may give where nobody guides it (the column
DEFAULT). `python -m benchmarks in_node`.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import combinations, pairwise, permutations
from random import Random
from typing import NamedTuple

import msgspec

from benchmarks import synthetic, table
from scheduler.model.links import LinkGraph
from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.model.plan import Admit
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.devices.choose import Chooser, indexes
from scheduler.scoring.devices.links import all_equal
from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.scoring.devices.plugin import PluginChooser
from scheduler.scoring.devices.table import LARGEST, DeviceTable

NAME = "in_node"

LEAST_RATIO = 0.97
MOST_US = 50.0

NODES = 5000
PODS = 2000

Query = tuple[int, int]
"""The free GPUs as a set, and how many are wanted."""


class _Machine(NamedTuple):
    name: str
    graph: LinkGraph

    @property
    def queries(self) -> list[Query]:
        """Every state and number of GPUs from two on."""
        states = range(1, 1 << self.graph.size)
        return [(free, count) for free in states for count in range(2, free.bit_count() + 1)]


def run(*, quick: bool = False) -> list[table.Row]:
    """All figures; `quick`: fewer repetitions of what is timed."""
    known = [_Machine(name, graph) for name in machine_types() if (graph := machine_graph(name)) is not None]
    repetitions = 2 if quick else 20
    return [*(_quality(machine) for machine in known), *_times(known, repetitions), _plan_row(repetitions)]


def bottlenecks(graph: LinkGraph) -> Mapping[int, int]:
    """Of every set of two GPUs or more the slowest pair of the best ring, by trying every ring."""
    found: dict[int, int] = {}
    for some in range(1 << graph.size):
        first, *rest = indexes(some) or (0,)
        if rest:
            rings = ((first, *order, first) for order in permutations(rest) if order[0] <= order[-1])
            found[some] = max(min(graph.mbps[a][b] for a, b in pairwise(ring)) for ring in rings)
    return found


def best_possible(graph: LinkGraph, speeds: Mapping[int, int], query: Query) -> int:
    """The highest bottleneck of a set of that many free GPUs."""
    free, count = query
    bits = [1 << i for i in range(graph.size) if free >> i & 1]
    return max(speeds[sum(some)] for some in combinations(bits, count))


def _quality(machine: _Machine) -> table.Row:
    speeds = bottlenecks(machine.graph)
    chooser, plugin = Chooser(machine.graph), PluginChooser(machine.graph)
    ours: list[float] = []
    theirs: list[float] = []
    for query in machine.queries:
        best = best_possible(machine.graph, speeds, query)
        ours.append(speeds[chooser.best(*query)] / best)
        theirs.append(min(speeds[some] for some in plugin.picks(*query)) / best)
    return table.Row(
        benchmark=NAME,
        what=f"bottleneck ÷ best possible, least: {machine.name}",
        unit="",
        value=min(ours),
        baseline=min(theirs),
        limit=table.Limit(least=LEAST_RATIO),
        note=f"{len(ours)} states; mean {table.figure(statistics.mean(ours))}, "
        f"the plugin's worst {table.figure(statistics.mean(theirs))}",
        detail={"mean": statistics.mean(ours), "plugin mean": statistics.mean(theirs), "states": len(ours)},
    )


def _times(known: Sequence[_Machine], repetitions: int) -> list[table.Row]:
    largest = [machine for machine in known if machine.graph.size == max(m.graph.size for m in known)]
    warm: list[float] = []
    cold: list[float] = []
    tables: list[float] = []
    for machine in largest:
        tables.append(_took_us(lambda graph=machine.graph: DeviceTable(graph)))
        chooser = Chooser(machine.graph)
        cold += _each_us(chooser, machine.queries)
        for _ in range(repetitions):
            warm += _each_us(chooser, machine.queries)
    return [
        _time_row("a choice, after warm-up", warm, MOST_US),
        _time_row("a choice that is made for the first time", cold, None),
        _once_row("tables of a machine type of 8 GPUs", tables),
        _once_row(f"tables of a machine type of {LARGEST} GPUs", [_took_us(lambda: DeviceTable(all_equal(LARGEST)))]),
    ]


def _each_us(chooser: Chooser, queries: Sequence[Query]) -> list[float]:
    def ask(free: int, count: int) -> float:
        return _took_us(lambda: chooser.best(free, count, Linked.PREFERRED))

    return [ask(free, count) for free, count in queries]


def _took_us(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1e6


def _time_row(what: str, took_us: list[float], most_us: float | None) -> table.Row:
    ranked = sorted(took_us)
    p99 = ranked[len(ranked) * 99 // 100]
    return table.Row(
        benchmark=NAME,
        what=f"{what}, p99",
        unit="µs",
        value=p99,
        limit=None if most_us is None else table.Limit(most=most_us),
        note=f"median {table.figure(statistics.median(ranked))}, longest {table.figure(ranked[-1])} "
        f"of {len(ranked)} on machines of 8 GPUs",
        detail={"median": statistics.median(ranked), "longest": ranked[-1], "queries": len(ranked)},
    )


def _once_row(what: str, took_us: list[float]) -> table.Row:
    return table.Row(
        benchmark=NAME,
        what=what,
        unit="µs",
        value=statistics.median(took_us),
        note=f"longest {table.figure(max(took_us))}" if len(took_us) > 1 else "",
        detail={"each": took_us},
    )


def _plan_row(repetitions: int) -> table.Row:
    """Pods of two GPUs over a cluster that is 70 % full, whose links are a mesh: with links required, and without."""
    took_ms: dict[Linked, list[float]] = {}
    for wish in (Linked.REQUIRED, Linked.ANY):
        layouts = PlanCache()
        snapshots = [_meshes(seed, wish) for seed in range(repetitions + 1)]
        # The first plan also lays out labels and tables.
        took_ms[wish] = [_took_us(partial(_planned, seen, layouts)) / 1000 for seen in snapshots][1:]
    value, baseline = (statistics.median(took_ms[wish]) for wish in (Linked.REQUIRED, Linked.ANY))
    return table.Row(
        benchmark=NAME,
        what=f"plan {PODS} pods of 2 linked GPUs, {NODES} nodes",
        unit="ms",
        value=value,
        baseline=baseline,
        ratio=table.ratio(value, baseline),
        note="beside the same without links required",
        detail={wish.value: each for wish, each in took_ms.items()},
    )


def _planned(seen: Snapshot, layouts: PlanCache) -> None:
    made = plan(seen, now_s=0, settings=PlanSettings(), cache=layouts)
    placed = sum(isinstance(decision, Admit) for decision in made.decisions)
    if placed != PODS:
        raise AssertionError(f"{placed} of {PODS} pods got GPUs")


def _meshes(seed: int, wish: Linked) -> Snapshot:
    chance = Random(seed)
    busy = synthetic.holes(NODES, seed)
    each = msgspec.structs.replace(synthetic.shape(2), linked=wish)
    seen = synthetic.snapshot(busy, synthetic.singles(PODS, each))
    taken = {name: frozenset(chance.sample(range(8), n)) for name, n in zip(seen.columns.names, busy, strict=True) if n}
    return msgspec.structs.replace(seen, nodes=_meshed_nodes(), devices_used=taken)


@cache
def _meshed_nodes() -> Mapping[NodeName, Node]:
    links = machine_graph("dgx1_v100")
    made, _ = synthetic.nodes(NODES)
    return {name: msgspec.structs.replace(node, links=links) for name, node in made.items()}
