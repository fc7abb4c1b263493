"""What the year is compared with: first come first served, skip-ahead, and EASY backfill, each in its plain form.

All three pack alike: a job that shares a node goes to the fullest node that has room for it, the first of equal ones.
EASY: the first job that finds no room is promised the earliest start that the told ends allow; a job behind it may
start if it ends before, or if the first one still finds its room at that time.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.year_jobs import GPUS, NODES, Job, Waits

Seat = tuple[tuple[int, int], ...]
"""Nodes, and GPUs taken of each."""


class Cluster:
    """Free GPUs by node, and who runs where until when, as told."""

    def __init__(self) -> None:
        self.free = [GPUS] * NODES
        self.running: dict[int, tuple[int, Seat]] = {}

    def seat(self, job: Job) -> Seat | None:
        """Where the job goes now; None where there is no room."""
        if job.nodes:
            whole = [node for node, free in enumerate(self.free) if free == GPUS]
            return tuple((node, GPUS) for node in whole[: job.nodes]) if len(whole) >= job.nodes else None
        return next(self.seats(job), None)

    def seats(self, job: Job) -> Iterator[Seat]:
        """All nodes that a job which shares one could go to, the fullest first."""
        fits = [(free, node) for node, free in enumerate(self.free) if free >= job.gpus]
        for _, node in sorted(fits):
            yield ((node, job.gpus),)

    def start(self, job: Job, seat: Seat, now_s: int) -> None:
        """The job takes its place."""
        for node, gpus in seat:
            self.free[node] -= gpus
        self.running[job.number] = (now_s + job.says_s, seat)

    def end(self, number: int) -> None:
        """The job is gone."""
        for node, gpus in self.running.pop(number)[1]:
            self.free[node] += gpus


Policy = Callable[[Cluster, list[Job], int], list[Job]]
"""Given what waits in order and the time: those that start now, each of which has taken its place."""


def fifo(cluster: Cluster, waiting: list[Job], now_s: int) -> list[Job]:
    """Nobody passes anybody."""
    started: list[Job] = []
    for job in waiting:
        seat = cluster.seat(job)
        if seat is None:
            break
        cluster.start(job, seat, now_s)
        started.append(job)
    return started


def skip_ahead(cluster: Cluster, waiting: list[Job], now_s: int) -> list[Job]:
    """Whoever fits starts, in order of coming."""
    started: list[Job] = []
    refused: set[int] = set()
    for job in waiting:
        seat = None if job.gpus in refused else cluster.seat(job)
        if seat is None:
            refused.add(job.gpus)
            continue
        cluster.start(job, seat, now_s)
        started.append(job)
    return started


def easy(cluster: Cluster, waiting: list[Job], now_s: int) -> list[Job]:
    """One promise, for the first that waits; others may start where that does not put it off."""
    started = fifo(cluster, waiting, now_s)
    rest = waiting[len(started) :]
    if not rest:
        return started
    head = rest[0]
    start_s, then = _promise(cluster, head, now_s)
    refused: set[tuple[int, bool]] = set()
    for job in rest[1:]:
        short = now_s + job.says_s <= start_s
        if (job.gpus, short) in refused:
            continue
        seat = cluster.seat(job) if short or job.nodes else None
        if not short:
            options = cluster.seats(job) if not job.nodes else iter([] if seat is None else [seat])
            seat = next((each for each in options if _leaves(then, each, head)), None)
        if seat is None:
            refused.add((job.gpus, short))
            continue
        if not short:
            for node, gpus in seat:
                then[node] -= gpus
        cluster.start(job, seat, now_s)
        started.append(job)
    return started


def _promise(cluster: Cluster, head: Job, now_s: int) -> tuple[int, list[int]]:
    """When the head starts by what running jobs told, and what is free then; overdue jobs are taken to end at once."""
    then = list(cluster.free)
    for told_s, seat in sorted(cluster.running.values()):
        for node, gpus in seat:
            then[node] += gpus
        if _fits(then, head):
            return max(told_s, now_s + 1), then
    raise AssertionError(f"a job of {head.gpus} GPUs does not fit on the empty cluster")


def _fits(free: Sequence[int], job: Job) -> bool:
    return free.count(GPUS) >= job.nodes if job.nodes else max(free) >= job.gpus


def _leaves(then: list[int], seat: Seat, head: Job) -> bool:
    """Whether the head still fits at its start if this is taken then."""
    for node, gpus in seat:
        then[node] -= gpus
    found = _fits(then, head)
    for node, gpus in seat:
        then[node] += gpus
    return found


def play(work: Sequence[Job], policy: Policy) -> Waits:
    """Let jobs come and end; the policy is asked whenever any did."""
    cluster = Cluster()
    waiting: list[Job] = []
    ends: list[tuple[int, int]] = []
    waits: dict[int, int] = {}
    at = 0
    while at < len(work) or ends:
        now_s = min([*(job.comes_s for job in work[at : at + 1]), *(end_s for end_s, _ in ends[:1])])
        while ends and ends[0][0] <= now_s:
            cluster.end(heapq.heappop(ends)[1])
        while at < len(work) and work[at].comes_s <= now_s:
            waiting.append(work[at])
            at += 1
        for job in policy(cluster, waiting, now_s):
            waits[job.number] = now_s - job.comes_s
            heapq.heappush(ends, (now_s + job.runs_s, job.number))
        waiting = [job for job in waiting if job.number not in waits]
    return waits


RIVALS: Mapping[str, Callable[[Sequence[Job]], Waits]] = {
    "FIFO": lambda work: play(work, fifo),
    "skip-ahead": lambda work: play(work, skip_ahead),
    "EASY": lambda work: play(work, easy),
}
