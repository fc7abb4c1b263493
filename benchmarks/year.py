"""A year of arrivals at load 0.88: how long jobs wait under FIFO, skip-ahead, EASY backfill, and Bayplan's own planner.

72 nodes of 8 GPUs, 20,000 jobs over 365 days. The shape follows Jeon et al., "Analysis of Large-Scale Multi-Tenant GPU
Clusters for DNN Training Workloads" (USENIX ATC 2019): most jobs ask for one GPU and few for 32 or more, and run times
have a heavy tail, here log-normal and cut at twenty times the median. The weights of sizes are in `SIZES`. Run times
are stretched together so that the jobs make up the load over the year; only their relation to each other matters. Jobs
of up to 8 GPUs are one pod; larger ones are gangs of pods with 8 GPUs each, which start together on whole nodes.

All policies see the same jobs come, and are told the same lengths: the true ones, or such as users give, too long by a
factor drawn evenly from 1 to 3 for each job. Figures are the mean wait of all jobs and the 95th percentile of those of
8 GPUs and more. Waits are counted from the arrival to the start; nothing is evicted, and no length of a rival is given
in another way. Bayplan is the service's state and planner: events in, snapshot, `plan`, once for each second in which
jobs come or end. It runs with its defaults, and with the one setting that is advised where users tell how long work
takes (`SETTINGS`). No cluster is needed: `python -m benchmarks year [--jobs N] [--draws N]`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import fmean

from benchmarks import table
from benchmarks.year_jobs import GPUS, NODES, Job, Waits
from benchmarks.year_planner import play as play_planner
from benchmarks.year_rivals import RIVALS
from scheduler.planning.settings import PlanSettings

NAME = "year"

JOBS = 20_000
LOAD = 0.88
YEAR_S = 365 * 86_400
SIGMA = 1.6
LONGEST = 20.0

SIZES: Mapping[int, float] = {1: 70, 2: 10, 4: 10, 8: 6, 16: 2, 32: 1.3, 64: 0.7}
"""GPUs of a job, and how many of a hundred jobs ask for so many."""

SETTINGS: Mapping[str, PlanSettings] = {
    "Bayplan": PlanSettings(order="relativeWait", solver_budget_ms=0, explained=0),
    "Bayplan, defaults": PlanSettings(solver_budget_ms=0, explained=0),
}
"""Gangs of equal nodes leave the solver nothing to do, and nobody reads why jobs wait."""

Play = Callable[[Sequence[Job]], Waits]


def jobs(count: int, *, seed: int = 1, factor: float = 1.0) -> list[Job]:
    """The first jobs of the year in the order in which they come; `factor`: users say up to so much too much."""
    chance = Random(seed)
    span_s = YEAR_S * count / JOBS
    sizes = chance.choices(list(SIZES), list(SIZES.values()), k=count)
    lengths = [min(chance.lognormvariate(0.0, SIGMA), LONGEST) for _ in range(count)]
    comes = sorted(chance.uniform(0.0, span_s) for _ in range(count))
    work = sum(size * length for size, length in zip(sizes, lengths, strict=True))
    unit_s = LOAD * NODES * GPUS * span_s / work
    runs = [max(1, round(length * unit_s)) for length in lengths]
    return [
        Job(number, int(at), gpus, run_s, round(run_s * chance.uniform(1.0, factor)))
        for number, (at, gpus, run_s) in enumerate(zip(comes, sizes, runs, strict=True))
    ]


def run(*, quick: bool = False, count: int = 0, draws: int = 1) -> list[table.Row]:
    """Waits by policy; `count`: jobs, all of the year where it is 0; `draws`: years that are drawn anew."""
    count = count or (JOBS // 40 if quick else JOBS)
    rows: list[table.Row] = []
    for seed in range(1, draws + 1):
        for said, factor in (("true lengths", 1.0), ("lengths up to 3 times too long", 3.0)):
            work = jobs(count, seed=seed, factor=factor)
            rows += _compared(work, f"{said}, year {seed}" if draws > 1 else said, judged=not quick)
    return rows


def _compared(work: Sequence[Job], said: str, *, judged: bool) -> list[table.Row]:
    """One year by all policies; judged is the first of `SETTINGS`, by the best of the others in each figure."""
    rows: list[table.Row] = []
    best: dict[str, float] = {}
    for name, play in RIVALS.items():
        found, _ = _played(work, play)
        for what, hours in _figures(work, found).items():
            best[what] = min(best.get(what, hours), hours)
            rows.append(_row(f"{what}, {name}, {said}", hours, len(work)))
    for name, settings in SETTINGS.items():
        found, took_s = _played(work, lambda each, chosen=settings: play_planner(each, chosen))
        for what, hours in _figures(work, found).items():
            limit = table.Limit(most=best[what]) if judged and name == "Bayplan" and what in JUDGED else None
            rows.append(_row(f"{what}, {name}, {said}", hours, len(work), limit, f"{took_s:.0f} s of planning"))
    return rows


JUDGED = ("mean wait", "p95 wait of 8 GPUs and more")


def _played(work: Sequence[Job], play: Play) -> tuple[Waits, float]:
    began = time.perf_counter()
    return play(work), time.perf_counter() - began


def _figures(work: Sequence[Job], waits: Waits) -> dict[str, float]:
    """In hours. The longest wait of all tells what a policy that starves somebody hides."""
    gangs = sorted(waits[job.number] for job in work if job.gpus >= GPUS)
    return {
        JUDGED[0]: fmean(waits.values()) / 3600,
        JUDGED[1]: gangs[int(0.95 * (len(gangs) - 1))] / 3600,
        "longest wait": max(waits.values()) / 3600,
    }


def _row(what: str, hours: float, count: int, limit: table.Limit | None = None, note: str = "") -> table.Row:
    return table.Row(benchmark=NAME, what=what, unit="h", value=hours, limit=limit, note=note, detail={"jobs": count})
