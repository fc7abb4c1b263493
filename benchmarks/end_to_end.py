"""From creating pods to all of them bound, on a real control plane: the default scheduler and others on the same nodes.

Every scheduler has the same pods, one scheduler at a time, in alternating order; between two runs all pods are deleted
and the machine has settled. Medians are compared.
"""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.end_to_end_client import Load
from benchmarks.end_to_end_machine import CORES, SETTLE_S, busy_s, cpu_s, settle, writes, writes_since
from benchmarks.table import Limit, Row, ratio
from benchmarks.workloads import NAMESPACE, Case, Dialect, batch, own_dialect, read_cases, setup_objects
from scheduler.localcluster import ClusterOptions, Console, LocalCluster
from scheduler.localcluster import fleet as fleets

NAME = "end_to_end"
BASELINE = "default-scheduler"
_TIMEOUT_S = 300.0
_WARM_PODS = 32
_QUICK_SETTLE_S = 2.0
_DISTURBED = 0.10
"""A run during which others used more of the machine than this share is done again."""

_TRIES = 4


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure and where.

    Attributes:
        quick: small cases once, to see that all works.
        kubeconfig: a cluster that runs already, None for one of our own.
        rival: the scheduler beside the default one; None for Bayplan.
        cases: names of cases to measure, none for all.
        state_dir: where our own cluster's files lie.
        service_arguments: more arguments for `bayplan serve` on our own cluster.
    """

    quick: bool = False
    kubeconfig: Path | None = None
    rival: Dialect | None = None
    cases: Sequence[str] = ()
    repetitions: int = 0
    state_dir: Path
    service_arguments: Sequence[str] = ()


class _Lab(NamedTuple):
    """The cluster that is measured, the processes of its parts, and how long and how often a quiet moment is sought."""

    load: Load
    pids: Mapping[str, int]
    settle_s: float
    tries: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one scheduler; `cpu_s` by part of the cluster, `writes` by kind, both of the measured time alone.

    `others` is the share of the machine, from 0 to 1, that went to processes which are no part of this.
    """

    pods: int
    bound: int
    created_s: float
    all_bound_s: float
    spread_s: float
    rate: float
    cpu_s: Mapping[str, float]
    writes: Mapping[str, int]
    others: float


def run(options: Options) -> list[Row]:
    """Measure and compare."""
    cases = read_cases(quick=options.quick)
    unknown = sorted(set(options.cases) - {case.name for case in cases})
    if unknown:
        raise ValueError(f'there is no case "{unknown[0]}"; known: {", ".join(case.name for case in cases)}')
    wanted = [case for case in cases if not options.cases or case.name in options.cases]
    with _cluster(options) as (kubeconfig, cluster):
        return asyncio.run(_measure_all(wanted, options, kubeconfig, cluster))


@contextlib.contextmanager
def _cluster(options: Options) -> Generator[tuple[Path, LocalCluster | None]]:
    if options.kubeconfig is not None:
        yield options.kubeconfig, None
        return
    wanted = ClusterOptions(service_arguments=options.service_arguments)
    with LocalCluster.running(options.state_dir, wanted, Console()) as cluster:
        yield cluster.kubeconfig(), cluster


async def _measure_all(
    cases: Sequence[Case], options: Options, kubeconfig: Path, cluster: LocalCluster | None
) -> list[Row]:
    rival = options.rival or own_dialect("bayplan")
    dialects = (msgspec.structs.replace(own_dialect("default"), scheduler_name=BASELINE), rival)
    rows: list[Row] = []
    async with Load.on(kubeconfig) as load:
        await load.ensure({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for wanted in (o for dialect in dialects for o in setup_objects(dialect)):
            await load.ensure(wanted)
        if cluster is not None:
            await asyncio.to_thread(cluster.wait_namespace, NAMESPACE)
        nodes = 0
        for case in cases:
            if cluster is not None and case.nodes > nodes:
                say(f"creating {case.nodes - nodes} nodes")
                await asyncio.to_thread(_grow, cluster, nodes, case.nodes)
                nodes = case.nodes
            lab = _Lab(
                load=load,
                pids=_pids(cluster),
                settle_s=_QUICK_SETTLE_S if options.quick else SETTLE_S,
                tries=1 if options.quick else _TRIES,
            )
            found = await _measure(case, dialects, lab, options.repetitions)
            rows += compare(case, found[BASELINE], found[rival.scheduler_name], rival.scheduler_name)
    return rows


def _grow(cluster: LocalCluster, have: int, wanted: int) -> None:
    cluster.add_nodes(fleets.plain(wanted - have, name=f"n{wanted}"))
    # Bound is the end of what is measured. Playing kubelets would cost the same machine time with every scheduler.
    if any(part.name == "kwok" and part.state == "ready" for part in cluster.status()):
        cluster.stop_part("kwok")


def _pids(cluster: LocalCluster | None) -> Mapping[str, int]:
    parts = [] if cluster is None else cluster.status()
    return {part.name: part.pid for part in parts if part.pid is not None}


async def _measure(case: Case, dialects: Sequence[Dialect], lab: _Lab, repetitions: int) -> Mapping[str, Sequence[Run]]:
    found: dict[str, list[Run]] = {dialect.scheduler_name: [] for dialect in dialects}
    warm = msgspec.structs.replace(case, pods=min(case.pods, _WARM_PODS))
    for dialect in dialects:
        await _one(warm, dialect, lab, f"warm-{dialect.scheduler_name}")
    for repetition in range(repetitions or case.repetitions):
        for dialect in dialects if repetition % 2 == 0 else reversed(dialects):
            name = f"r{repetition}-{dialect.scheduler_name}"
            found[dialect.scheduler_name].append(await _quiet_one(case, dialect, lab, name))
    return found


async def _quiet_one(case: Case, dialect: Dialect, lab: _Lab, name: str) -> Run:
    """A run that others left alone; the quietest of a few where they never do."""
    tried: list[Run] = []
    while len(tried) < lab.tries and (not tried or tried[-1].others > _DISTURBED):
        done = await _one(case, dialect, lab, f"{name}-{len(tried)}")
        tried.append(done)
        say(
            f"{case.name} {name}: {done.bound} of {done.pods} bound in {done.all_bound_s:.2f} s, first to last "
            f"{done.spread_s:.2f} s, created in {done.created_s:.2f} s, others used {done.others:.0%} of the machine"
        )
    return min(tried, key=lambda run: run.others)


async def _one(case: Case, dialect: Dialect, lab: _Lab, name: str) -> Run:
    load, pids = lab.load, lab.pids
    work = batch(case, dialect, name)
    await settle(lab.settle_s)
    counted = writes(await load.text("/metrics"))
    used_s = {part: cpu_s(pid) for part, pid in pids.items()}
    own_s, all_s, began_s = cpu_s(os.getpid()), busy_s(), time.monotonic()
    seen = await load.measure(work, timeout_s=_TIMEOUT_S)
    took_s, all_s, own_s = time.monotonic() - began_s, busy_s() - all_s, cpu_s(os.getpid()) - own_s
    used_s = {part: round(cpu_s(pid) - used_s[part], 2) for part, pid in pids.items()}
    counted = await writes_since(counted, lambda: load.text("/metrics"), bound=len(seen.bound_s))
    await load.clear(work.objects)
    some = len(seen.bound_s) > 0
    others = (all_s - own_s - sum(used_s.values())) / took_s / CORES if pids else 0.0
    return Run(
        pods=seen.pods,
        bound=len(seen.bound_s),
        created_s=seen.created_s,
        all_bound_s=seen.all_bound_s if some else 0.0,
        spread_s=seen.spread_s if some else 0.0,
        rate=seen.rate if some else 0.0,
        cpu_s=used_s,
        writes=dict(counted.most_common()),
        others=round(max(others, 0.0), 3),
    )


def compare(case: Case, baseline: Sequence[Run], rival: Sequence[Run], who: str) -> list[Row]:
    """The rows of one case. A case in which a run did not bind every pod has no figure."""
    unbound = [f"{run.bound} of {run.pods}" for run in (*baseline, *rival) if run.bound < run.pods]
    limits = case.limits
    runs = {BASELINE: [msgspec.to_builtins(r) for r in baseline], who: [msgspec.to_builtins(r) for r in rival]}

    def row(what: str, unit: str, read: Callable[[Run], float], limit: Limit | None, **more: object) -> Row:
        values = [[read(r) for r in side] for side in (rival, baseline)]
        value, base = (None if unbound else statistics.median(side) for side in values)
        note = f"only {unbound[0]} pods were bound within {_TIMEOUT_S:g} s" if unbound else _range(values[0], unit)
        disturbed = max(run.others for run in (*baseline, *rival))
        if disturbed > _DISTURBED:
            note += f"; others used up to {disturbed:.0%} of the machine"
        return Row(
            benchmark=NAME,
            what=f"{case.what}: {what}",
            unit=unit,
            value=value,
            baseline=base,
            ratio=ratio(value, base),
            limit=limit,
            note=note,
            detail=more,
        )

    def at_most(most: float | None, *, of_ratio: bool) -> Limit | None:
        return None if most is None else Limit(most=most, of_ratio=of_ratio)

    if case.gang:
        return [
            row(
                "create to all bound",
                "s",
                lambda r: r.all_bound_s,
                at_most(limits.time_ratio_most, of_ratio=True),
                runs=runs,
            ),
            row("first to last bound", "s", lambda r: r.spread_s, at_most(limits.spread_most_s, of_ratio=False)),
        ]
    least = limits.rate_ratio_least
    limit = None if least is None else Limit(least=least, of_ratio=True)
    return [row("bound a second", "pods/s", lambda r: r.rate, limit, runs=runs)]


def _range(values: Sequence[float], unit: str) -> str:
    if len(values) < 2:
        return "one run"
    return f"median of {len(values)}, {min(values):.3g} to {max(values):.3g} {unit}"


def say(text: str) -> None:
    """How far it has come, on standard error."""
    print(text, file=sys.stderr, flush=True)
