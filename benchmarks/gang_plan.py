"""How long planning takes: gangs of 512 and 1,024 pods on 5,000 and 10,000 nodes, refusals, many single pods.

Clusters are 70 % full with random holes, in racks and blocks (`synthetic`), another one for every repetition. Figures
are for a whole `plan()` of a warm process; the first plan after a start, which also lays out labels and domains, is
told apart. Gangs of pods that differ may spend the solver's budget on top. The note has the planner's own processor
time as well, which other load on the machine does not touch. No cluster is needed:
`python -m benchmarks.gang_plan [--json] [--quick]`.
"""

import argparse
import gc
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks import synthetic, table
from scheduler.model.demand import Kind, Request
from scheduler.model.plan import Admit, Decision, Plan
from scheduler.model.policy import Policy
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape, Workload
from scheduler.planning.by_policy import keys
from scheduler.planning.candidate import candidate_of
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.desk import Desk
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.policies.free import request_of
from scheduler.scoring.room import Room
from scheduler.scoring.rules.check import broken_rules

NAME = "gang_plan"

SIZES = (5000, 10_000)
BUDGET_MS = {5000: 100.0, 10_000: 200.0}
CHECKED = 3
"""Plans of each row whose rules are checked."""

_SETTINGS = PlanSettings()


class _Gang(NamedTuple):
    """A gang to be planned: what it is called, its pods, and a required level."""

    what: str
    shapes: list[PodShape]
    required: str | None = None
    may_solve: bool = False

    def workload(self) -> Workload:
        return synthetic.gang("train", self.shapes, required=self.required)


def _equal(pods: int, gpus: int) -> _Gang:
    return _Gang(f"{pods} x {gpus} GPU", [synthetic.shape(gpus)] * pods)


GANGS = (
    *(_equal(pods, gpus) for pods in (512, 1024) for gpus in (1, 2, 4)),
    _equal(512, 8),
    _Gang("64 x 1 GPU in one rack", [synthetic.shape(1)] * 64, "rack"),
    _Gang("launcher + 511 x 4 GPU", [synthetic.shape(0), *[synthetic.shape(4)] * 511]),
    _Gang("256 x 8 + 256 x 4 GPU", [*[synthetic.shape(8)] * 256, *[synthetic.shape(4)] * 256], may_solve=True),
)


class _Timed(NamedTuple):
    took_ms: list[float]
    cpu_ms: list[float]
    first_ms: float
    plans: list[Plan]


def run(*, quick: bool = False) -> list[table.Row]:
    """All figures; `quick`: fewer repetitions."""
    repetitions = 5 if quick else 50
    rows: list[table.Row] = []
    for nodes in SIZES:
        rows += [_gang_row(nodes, gang, repetitions) for gang in GANGS]
    rows += [_refused_row(required) for required in (None, "rack")]
    rows += [_many_refused_row(), _singles_row(512), _singles_row(SIZES[-1])]
    # These take less than a millisecond; of fifty the 99th percentile would be the one that the collector hit.
    rows += [_filter_and_score_row(policy, 20 * repetitions) for policy in Policy]
    return rows


def _time(snapshots: Iterable[Snapshot]) -> _Timed:
    """Plan each, with one cache; the first one is apart. Each is made just before, which is not counted."""
    cache = PlanCache()
    took_ms: list[float] = []
    cpu_ms: list[float] = []
    plans: list[Plan] = []
    broken: list[str] = []
    for snapshot in snapshots:
        # What making the snapshot left behind is not the planner's to clear away.
        gc.collect()
        began, began_cpu = time.perf_counter(), time.thread_time()
        decided = plan(snapshot, now_s=0, settings=_SETTINGS, cache=cache)
        took_ms.append((time.perf_counter() - began) * 1000)
        cpu_ms.append((time.thread_time() - began_cpu) * 1000)
        if len(plans) < CHECKED:
            broken += broken_rules(snapshot, decided)
        plans.append(decided)
    if broken:
        raise AssertionError(f"a plan breaks the rules: {broken[0]}")
    return _Timed(took_ms[1:], cpu_ms[1:], took_ms[0], plans)


def _gang_row(nodes: int, gang: _Gang, repetitions: int) -> table.Row:
    workload = gang.workload()
    timed = _time(synthetic.snapshot(synthetic.holes(nodes, seed), [workload]) for seed in range(repetitions + 1))
    decisions = [p.decisions[0] for p in timed.plans]
    statuses = Counter(_status(decision) for decision in decisions)
    admitted = [d.placement for d in decisions if isinstance(d, Admit)]
    gap = max((placement.proof.gap for placement in admitted), default=0.0)
    return _row(
        f"plan {gang.what}, {nodes} nodes",
        timed,
        limit=table.Limit(most=BUDGET_MS[nodes] + (_SETTINGS.solver_budget_ms if gang.may_solve else 0)),
        note=", ".join(f"{count} {status}" for status, count in statuses.most_common()),
        detail={"gap": gap, "statuses": dict(statuses), "spread": _spread(admitted[0].spread) if admitted else {}},
    )


def _spread(uses: Sequence[Any]) -> dict[str, list[int]]:
    """Domains used and fewest, of one plan."""
    return {use.level: [use.used, use.fewest] for use in uses}


def _status(decision: Decision) -> str:
    return decision.placement.proof.status if isinstance(decision, Admit) else type(decision).__name__


def _refused_row(required: str | None) -> table.Row:
    """A gang on nodes that are all full: what it costs to say why."""
    gang = synthetic.gang("train", [synthetic.shape(8)] * 64, required=required)
    timed = _time([synthetic.snapshot([synthetic.NODE_GPUS] * SIZES[0], [gang])] * 20)
    where = "" if required is None else f" in one {required}"
    return _row(f"refuse 64 x 8 GPU{where}, {SIZES[0]} full nodes", timed, limit=table.Limit(most=100.0))


def _many_refused_row() -> table.Row:
    gangs = [synthetic.gang(f"train-{i}", [synthetic.shape(8)] * (2 + i % 100), created_s=i) for i in range(10_000)]
    timed = _time([synthetic.snapshot([synthetic.NODE_GPUS] * SIZES[0], gangs)] * 4)
    return _row(f"refuse 10000 gangs of 100 kinds, {SIZES[0]} full nodes", timed)


def _singles_row(nodes: int) -> table.Row:
    pods = synthetic.singles(2000, synthetic.shape(1))
    busy = [0] * nodes if nodes == 512 else synthetic.holes(nodes, 1)
    timed = _time([synthetic.snapshot(busy, pods)] * 30)
    limit = table.Limit(most=100.0) if nodes == 512 else None
    return _row(f"plan 2000 pods of 1 GPU, {nodes} nodes", timed, limit=limit)


def _filter_and_score_row(policy: Policy, repetitions: int) -> table.Row:
    """One pod against all nodes: labels, taints and capacity, and the order of what is left by a policy.

    Prices of LeastFragmentation follow the use of nodes: each time that of a hundred has changed since the last time.
    """
    nodes = SIZES[-1]
    mix = tuple(Kind(request_of(synthetic.shape(gpus)) or Request(), 1 << (20 - gpus)) for gpus in (1, 2, 4, 8))
    busy = synthetic.holes(nodes, 1)
    other = [synthetic.NODE_GPUS - gpus if at % 100 == 0 else gpus for at, gpus in enumerate(busy)]
    snapshots = [msgspec.structs.replace(synthetic.snapshot(each, []), demand=mix) for each in (busy, other)]
    cache = PlanCache()
    fleet, ledger = cache.fleet(snapshots[0]), cache.ledger(snapshots[0])
    shape = synthetic.shape(2)
    candidate = next(c for c in map(candidate_of, synthetic.singles(1, shape)) if c is not None)
    desk = Desk(snapshots[0], fleet, ledger, now_s=0, settings=_SETTINGS)

    def once() -> None:
        snapshots.reverse()
        desk.room = Room(snapshots[0], fleet)
        rows = np.flatnonzero(desk.room.view(shape).fits)
        np.argmin(keys(desk, candidate, policy, rows, desk.room.free.shape[1] - 1))

    what = f"filter and score a pod by {policy.value}, {nodes} nodes"
    return _row(what, _time_calls(once, repetitions), limit=table.Limit(most=1.0))


def _time_calls(call: Callable[[], None], repetitions: int) -> _Timed:
    took_ms: list[float] = []
    cpu_ms: list[float] = []
    for _ in range(repetitions + 1):
        began, began_cpu = time.perf_counter(), time.thread_time()
        call()
        took_ms.append((time.perf_counter() - began) * 1000)
        cpu_ms.append((time.thread_time() - began_cpu) * 1000)
    return _Timed(took_ms[1:], cpu_ms[1:], took_ms[0], [])


def _row(
    what: str, timed: _Timed, *, limit: table.Limit | None = None, note: str = "", detail: dict[str, Any] | None = None
) -> table.Row:
    median, most = statistics.median(timed.took_ms), _p99(timed.took_ms)
    cpu = _p99(timed.cpu_ms)
    figures = f"p50 {table.figure(median)}, cpu p99 {table.figure(cpu)}, first {table.figure(timed.first_ms)} ms"
    return table.Row(
        benchmark=NAME,
        what=f"{what}, p99",
        unit="ms",
        value=most,
        limit=limit,
        note="; ".join(filter(None, [note, figures])),
        detail={
            "p50_ms": median,
            "p99_ms": most,
            "cpu_p99_ms": cpu,
            "first_ms": timed.first_ms,
            "n": len(timed.took_ms),
            **(detail or {}),
        },
    )


def _p99(values: Sequence[float]) -> float:
    """The value that 99 % are not above; the largest of fewer than 100."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it by itself."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gang_plan", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args(argv)
    facts, rows = table.machine(), run(quick=arguments.quick)
    if arguments.json:
        sys.stdout.buffer.write(table.document(facts, rows))
    else:
        print(table.text(facts, rows))
    return 1 if any(row.verdict == "over" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
