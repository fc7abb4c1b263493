"""How long it takes to decide whether running work makes way, and which: clusters full of pods that run alone.

Part of the benchmark `refuse`. Before the first plan the running work was taken in while nothing waited, as the service
does; "unprepared" is the first plan of a process in which it was not. Between two plans one running pod changes, as
something always does.
"""

import gc
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from benchmarks import synthetic, table
from scheduler.model.names import QueueName
from scheduler.model.plan import Decision, Reclaim
from scheduler.model.queue import Queue, Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.planning.warm import warm

NOW_S = 100_000
LENDERS = (QueueName("a"), QueueName("b"))
"""The queues that run pods on every other node each."""

ASKS = QueueName("c")
_SETTINGS = PlanSettings(reclaim=True)


class Case(NamedTuple):
    """`pods` pods with 8 GPUs wait in `queue`, priority `priority`; the others have so much nominal quota, in GPUs.

    `limit_ms`: the most that a plan may take, where there is such a limit.
    """

    what: str
    nodes: int
    pods: int
    queue: QueueName
    nominal: tuple[int, int, int]
    priority: int = 0
    limit_ms: float | None = None


def cases(nodes: int, limit_ms: float | None) -> tuple[Case, ...]:
    """Work that may not, and work that may be reclaimed."""
    gpus = synthetic.NODE_GPUS * nodes
    owned, lent = (gpus, gpus, 0), (0, gpus, gpus // 2)
    return (
        Case("refuse 64 x 8 GPU, nobody borrows", nodes, 64, ASKS, owned, limit_ms=limit_ms),
        Case("refuse 64 x 8 GPU, equal priority", nodes, 64, LENDERS[0], owned, limit_ms=limit_ms),
        Case("reclaim 1 x 8 GPU", nodes, 1, ASKS, lent),
        Case("reclaim 64 x 8 GPU", nodes, 64, ASKS, lent),
        Case("preempt for 1 x 8 GPU", nodes, 1, LENDERS[0], owned, priority=1),
    )


def rows(repetitions: int, *, benchmark: str, limit_ms: float, nodes: int = 5000) -> list[table.Row]:
    """A row for each case."""
    running = _running(nodes)
    return [_row(case, running, repetitions, benchmark) for case in cases(nodes, limit_ms)]


def _running(nodes: int) -> list[Workload]:
    """A pod with one GPU on every GPU."""
    names, _ = synthetic.nodes(nodes)
    alone = synthetic.singles(synthetic.NODE_GPUS * nodes, synthetic.shape(1))
    places = [name for name in names for _ in range(synthetic.NODE_GPUS)]
    found: list[Workload] = []
    for at, (workload, name) in enumerate(zip(alone, places, strict=True)):
        (pod,) = workload.members
        stands = msgspec.structs.replace(pod, node=name, bound_s=NOW_S - 100 - 7919 * at % 5000)
        queue = LENDERS[at // synthetic.NODE_GPUS % len(LENDERS)]
        found.append(msgspec.structs.replace(workload, members=(stands,), queue=queue))
    return found


def _row(case: Case, running: Sequence[Workload], repetitions: int, benchmark: str) -> table.Row:
    asks = synthetic.gang("train", [synthetic.shape(synthetic.NODE_GPUS)] * case.pods)
    asks = msgspec.structs.replace(asks, queue=case.queue, priority=case.priority)
    queues = [
        Queue(name=name, total=Quota(nominal_milli_gpu=1000 * gpus, given=True))
        for name, gpus in zip((*LENDERS, ASKS), case.nominal, strict=True)
    ]
    full = synthetic.snapshot([synthetic.NODE_GPUS] * case.nodes, [*running, asks])
    full = msgspec.structs.replace(full, queues={queue.name: queue for queue in queues})
    (unprepared_ms, _), _ = _planned(full, PlanCache())
    cache, took_ms, cpu_ms = PlanCache(), list[float](), list[float]()
    idle = {workload.key: workload for workload in running}
    warm(msgspec.structs.replace(full, generation=0, workloads=idle), now_s=NOW_S, settings=_SETTINGS, cache=cache)
    victims = 0
    for snapshot in _changing(full, running, repetitions + 1):
        (took, cpu), decided = _planned(snapshot, cache)
        took_ms.append(took)
        cpu_ms.append(cpu)
        victims = sum(len(v.pods) for v in decided.victims) if isinstance(decided, Reclaim) else 0
    told = f"{victims} pods leave; " if victims else ""
    limit = None if case.limit_ms is None else table.Limit(most=case.limit_ms)
    return table.Row(
        benchmark=benchmark,
        what=f"{case.what}, {case.nodes} nodes full of {len(running)} pods that may be evicted, slowest",
        unit="ms",
        value=max(took_ms),
        limit=limit,
        note=f"{told}p50 {table.figure(statistics.median(took_ms))}, cpu at most {table.figure(max(cpu_ms))}, "
        f"first {table.figure(took_ms[0])}, unprepared {table.figure(unprepared_ms)} ms",
        detail={"took_ms": took_ms, "cpu_ms": cpu_ms, "unprepared_ms": unprepared_ms, "victims": victims},
    )


def _planned(snapshot: Snapshot, cache: PlanCache) -> tuple[tuple[float, float], Decision]:
    """One plan: how long it took, in milliseconds of time and of this thread's CPU, and what it decided."""
    # What making the snapshot left behind is not the planner's to clear away.
    gc.collect()
    began, began_cpu = time.perf_counter(), time.thread_time()
    (decided,) = plan(snapshot, now_s=NOW_S, settings=_SETTINGS, cache=cache).decisions
    took_ms, cpu_ms = (time.perf_counter() - began) * 1000, (time.thread_time() - began_cpu) * 1000
    return (took_ms, cpu_ms), decided


def _changing(full: Snapshot, running: Sequence[Workload], count: int) -> list[Snapshot]:
    """Snapshots that follow each other; in each another running pod is a new record."""
    found = [full]
    for at, _ in enumerate(pairwise(range(count))):
        changed = msgspec.structs.replace(running[at * 37 % len(running)])
        workloads = {**found[-1].workloads, changed.key: changed}
        found.append(msgspec.structs.replace(full, generation=at + 2, workloads=workloads))
    return found
