"""How long it takes to say why a gang waits, in clusters that are full of running work; and to look for room together.

Figures are for a whole `plan()` of a warm process in which nothing else waits. The answer names the conditions in the
way, what is missing where it is nearest, and the work that would have to end. `gang_plan` has refusals in clusters of
which only the free amounts are known. No cluster is needed.
"""

import gc
import statistics
import time
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import msgspec

from benchmarks import claims, synthetic, table
from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Decision, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings

NAME = "refuse"

LIMIT_MS = 100.0
KAI_S = {100: 38.0, 500: 124.0}
"""Seconds that KAI's own benchmark of one 80-GPU gang takes which reclaim cannot serve, by nodes, on a machine of the
same kind."""

_SETTINGS = PlanSettings()


class Case(NamedTuple):
    """Running gangs of `pods` with `gpus` GPUs each fill all nodes; one of `wanted` pods with 8 GPUs waits."""

    nodes: int
    pods: int
    gpus: int
    wanted: int
    required: str | None = None

    @property
    def what(self) -> str:
        """What is measured, with its sizes."""
        work = f"{self.nodes} nodes full of gangs of {self.pods} x {self.gpus} GPU"
        where = "" if self.required is None else f" in one {self.required}"
        return f"refuse {self.wanted} x 8 GPU{where}, {work}"


CASES = (
    Case(100, 8, 8, 10),
    Case(500, 8, 8, 10),
    Case(5000, 64, 8, 10),
    Case(5000, 64, 1, 64),
    Case(5000, 64, 1, 10, "rack"),
    Case(5000, 8, 4, 10, "block"),
)


def run(*, quick: bool = False) -> list[table.Row]:
    """All figures; `quick`: fewer repetitions."""
    repetitions = 3 if quick else 30
    evicting = claims.rows(repetitions, benchmark=NAME, limit_ms=LIMIT_MS)
    return [*refusals(repetitions), *evicting, _together_row(repetitions)]


def refusals(repetitions: int) -> list[table.Row]:
    """A row for each case."""
    return [_row(case, repetitions) for case in CASES]


def _row(case: Case, repetitions: int) -> table.Row:
    waits = synthetic.gang("train", [synthetic.shape(8)] * case.wanted, required=case.required)
    workloads = [*filling(case), waits]
    cache = PlanCache()
    snapshot = synthetic.snapshot([synthetic.NODE_GPUS] * case.nodes, workloads)
    timed = [_timed(msgspec.structs.replace(snapshot, generation=at), cache) for at in range(repetitions + 1)]
    took_ms = [each.took_ms for each in timed]
    cpu_ms = max(each.cpu_ms for each in timed[1:])
    (said,) = (decision for decision in timed[-1].decisions if isinstance(decision, Wait))
    reference = KAI_S.get(case.nodes)
    beside = f"KAI's own benchmark: {table.figure(reference)} s; " if reference is not None else ""
    return table.Row(
        benchmark=NAME,
        what=f"{case.what}, slowest",
        unit="ms",
        value=max(took_ms[1:]),
        limit=table.Limit(most=LIMIT_MS),
        note=f"{beside}p50 {table.figure(statistics.median(took_ms[1:]))}, cpu at most {table.figure(cpu_ms)}, "
        f"first {table.figure(took_ms[0])} ms",
        detail={
            "took_ms": took_ms,
            "cpu_ms": cpu_ms,
            "detail": said.detail,
            "unblock": said.unblock,
            "kai_s": reference,
        },
    )


def filling(case: Case) -> list[Workload]:
    """Running gangs that leave no GPU free."""
    names, _ = synthetic.nodes(case.nodes)
    places = [name for name in names for _ in range(synthetic.NODE_GPUS // case.gpus)]
    parts = (places[start : start + case.pods] for start in range(0, len(places), case.pods))
    return [
        _standing(synthetic.gang(f"run-{i:05}", [synthetic.shape(case.gpus)] * len(some)), some)
        for i, some in enumerate(parts)
    ]


def _standing(gang: Workload, places: Sequence[NodeName]) -> Workload:
    members = (msgspec.structs.replace(pod, node=name) for pod, name in zip(gang.members, places, strict=True))
    return msgspec.structs.replace(gang, members=tuple(members))


def _together_row(repetitions: int) -> table.Row:
    """Many gangs that wait at once where most but not all fit: each in order, and others anew for the sake of one."""
    timed: list[_Timed] = []
    for seed in range(max(repetitions // 3, 1)):
        chance = Random(seed)
        gangs = [
            synthetic.gang(
                f"train-{i:02}",
                [synthetic.shape(chance.choice([1, 2, 4, 8]))] * chance.randint(8, 64),
                required=chance.choice([None, "block"]),
                created_s=i,
            )
            for i in range(40)
        ]
        cache = PlanCache()
        busy = synthetic.holes(5000, seed)
        _timed(synthetic.snapshot(busy, []), cache)
        timed.append(_timed(synthetic.snapshot(busy, gangs), cache))
    took_ms = [each.took_ms for each in timed]
    admitted = sum(isinstance(decision, Admit) for each in timed for decision in each.decisions)
    cpu_ms = max(each.cpu_ms for each in timed)
    return table.Row(
        benchmark=NAME,
        what="plan 40 gangs of 8 to 64 pods at once, 5000 nodes, slowest",
        unit="ms",
        value=max(took_ms),
        note=f"{admitted} of {40 * len(took_ms)} start; p50 {table.figure(statistics.median(took_ms))}, "
        f"cpu at most {table.figure(cpu_ms)} ms",
        detail={"took_ms": took_ms, "cpu_ms": cpu_ms},
    )


class _Timed(NamedTuple):
    took_ms: float
    cpu_ms: float
    decisions: Sequence[Decision]


def _timed(snapshot: Snapshot, cache: PlanCache) -> _Timed:
    # What making the snapshot left behind is not the planner's to clear away.
    gc.collect()
    began, began_cpu = time.perf_counter(), time.thread_time()
    decided = plan(snapshot, now_s=0, settings=_SETTINGS, cache=cache)
    took_ms, cpu_ms = (time.perf_counter() - began) * 1000, (time.thread_time() - began_cpu) * 1000
    return _Timed(took_ms, cpu_ms, decided.decisions)
