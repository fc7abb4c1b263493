"""How good plans of big gangs are, how sure that is, and how long they take: 200 cases of each size.

Every case is another cluster of whole-GPU nodes in racks and blocks, 70 % full with random holes (`synthetic`), and a
gang of 64, 512 or 1,024 equal pods of 1, 2, 4 or 8 GPUs in turn, as far as the largest fit. Three figures of each size:
the time of the whole `plan()` in a warm process (p99; the note has the processor's time, which other load hardly
touches); the share of plans that are proven optimal, with gap 0; and the domains used, divided by the fewest there
could be: blocks by a count of this module's own, racks as the proof has them.
For comparison: DCM, a scheduler that solves batches with the same solver, published 690 ms (p99, 5,000 nodes) and 1.6 s
(10,000 nodes) a batch ("Building Scalable and Flexible Cluster Managers Using Declarative Programming", OSDI 2020).
No cluster is needed: `python -m benchmarks gang_cases [--quick]`.
"""

import gc
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import synthetic, table
from scheduler.model.plan import Admit, Plan, Proof
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules

NAME = "gang_cases"

PODS = (64, 512, 1024)
GPUS = (1, 2, 4, 8)
CASES = 200
CHECKED = 8
"""Plans of each size whose rules are checked."""


class Size(NamedTuple):
    """A size of cluster: the most that a plan may take, and what was published for another scheduler."""

    nodes: int
    most_ms: float
    published: str


SIZES = (Size(5000, 100.0, "DCM published 690 ms"), Size(10_000, 200.0, "DCM published 1.6 s"))
LEAST_OPTIMAL = 0.99
MOST_SPREAD = 1.0


class Case(NamedTuple):
    """What came of one plan: its time, by the clock and of the processor, its proof, and domains used by the fewest."""

    took_ms: float
    cpu_ms: float
    proof: Proof
    spread: tuple[float, ...]


def run(*, quick: bool = False) -> list[table.Row]:
    """All figures; `quick`: fewer cases."""
    rows: list[table.Row] = []
    for size in SIZES:
        for pods in PODS:
            found = cases(size.nodes, pods, 8 if quick else CASES)
            rows += _rows(size, pods, found)
    return rows


def cases(nodes: int, pods: int, count: int) -> list[Case]:
    """Plan so many cases; the first plan of the process, which also lays out labels, is made before and not counted.

    Raises:
        AssertionError: a gang that fits was not placed, or a plan breaks a rule.
    """
    cache = PlanCache()
    found: list[Case] = []
    for case in range(-1, count):
        busy = synthetic.holes(nodes, case + 1)
        gpus = _largest(busy, pods, GPUS[case % len(GPUS)])
        gang = synthetic.gang("train", [synthetic.shape(gpus)] * pods)
        snapshot = synthetic.snapshot(busy, [gang])
        # What making the snapshot left behind is not the planner's to clear away.
        gc.collect()
        began, began_cpu = time.perf_counter(), time.thread_time()
        decided = plan(snapshot, now_s=0, settings=PlanSettings(), cache=cache)
        cpu_ms = (time.thread_time() - began_cpu) * 1000
        took_ms = (time.perf_counter() - began) * 1000
        if case < CHECKED and (broken := broken_rules(snapshot, decided)):
            raise AssertionError(f"a plan breaks the rules: {broken[0]}")
        if case >= 0:
            found.append(_case(decided, (took_ms, cpu_ms), busy, pods, gpus))
    return found


def _largest(busy: Sequence[int], pods: int, gpus: int) -> int:
    """`gpus`, or as many fewer that so many pods fit."""
    while sum((synthetic.NODE_GPUS - each) // gpus for each in busy) < pods:
        gpus //= 2
    return gpus


def _case(decided: Plan, took_ms: tuple[float, float], busy: Sequence[int], pods: int, gpus: int) -> Case:
    (decision,) = decided.decisions
    if not isinstance(decision, Admit):
        raise AssertionError(f"{pods} pods of {gpus} GPUs fit and were not placed")  # noqa: TRY004  no input's fault
    uses = {use.level: use for use in decision.placement.spread}
    block, rack = uses["block"], uses["rack"]
    spread = (block.used / fewest_blocks(busy, pods, gpus), rack.used / rack.fewest)
    return Case(*took_ms, decision.placement.proof, spread)


def fewest_blocks(busy: Sequence[int], pods: int, gpus: int) -> int:
    """The fewest blocks that hold the pods: the roomiest ones."""
    rooms = [
        sum((synthetic.NODE_GPUS - each) // gpus for each in busy[start : start + synthetic.BLOCK_NODES])
        for start in range(0, len(busy), synthetic.BLOCK_NODES)
    ]
    blocks = 0
    for room in sorted(rooms, reverse=True):
        if pods <= 0:
            break
        pods -= room
        blocks += 1
    return blocks


def _rows(size: Size, pods: int, found: Sequence[Case]) -> list[table.Row]:
    what = f"{pods} pods, {size.nodes} nodes"
    times = sorted(case.took_ms for case in found)
    statuses = Counter(case.proof.status for case in found)
    proven = sum(case.proof.status == "optimal" and case.proof.gap == 0 for case in found) / len(found)
    blocks, racks = (max(case.spread[level] for case in found) for level in (0, 1))
    at = -(-len(times) * 99 // 100) - 1
    p99, cpu = times[at], sorted(case.cpu_ms for case in found)[at]
    return [
        table.Row(
            benchmark=NAME,
            what=f"plan {what}, p99",
            unit="ms",
            value=p99,
            limit=table.Limit(most=size.most_ms),
            note=f"{len(found)} cases, p50 {table.figure(times[len(times) // 2])} ms, cpu p99 {table.figure(cpu)} ms; "
            f"{size.published}",
            detail={"times_ms": times, "cpu_p99_ms": cpu},
        ),
        table.Row(
            benchmark=NAME,
            what=f"plan {what}, proven optimal",
            unit="",
            value=proven,
            limit=table.Limit(least=LEAST_OPTIMAL),
            note=", ".join(f"{count} {status}" for status, count in statuses.most_common())
            + f"; largest gap {max(case.proof.gap for case in found):.4f}",
        ),
        table.Row(
            benchmark=NAME,
            what=f"plan {what}, domains by fewest",
            unit="",
            value=max(blocks, racks),
            limit=table.Limit(most=MOST_SPREAD),
            note=f"worst case: blocks {blocks:.2f}, racks {racks:.2f}",
        ),
    ]
