"""How full GPUs get on the openb trace: Bayplan's policies beside published ones, on the same lists of arrivals.

The trace (alibaba/clusterdata, cluster-trace-gpu-v2023) comes with "Beware of Fragmentation" (USENIX ATC 2023); its
files are read where they lie. As in the paper, the pods of a list come in random order, then further ones drawn from
it, until 130 % of all GPUs were asked for; pods that fit nowhere are dropped, nothing moves. The figure is the part of
all GPUs that is unallocated then, as a mean over the seeds. Every placement is checked by code that knows no policy;
with `--openb-tool` both lists and checks come from that program.
"""

import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, cast

import msgspec
from rich.console import Console
from rich.progress import Progress

from benchmarks import table
from benchmarks.openb_rivals import BestFit, DotProduct, Fgd, GpuClustering, GpuPacking, RandomFit, Rival
from scheduler.model.policy import Policy
from scheduler.model.resources import MILLI_GPU
from scheduler.simulate.refusal import Refused
from scheduler.simulate.replay import Placed, replay, table_of
from scheduler.simulate.replay_read import TraceNode, TracePod, read_nodes, read_pods

NAME = "openb"

DEFAULT, VARIANTS = "default", ("multigpu20", "gpushare40", "gpuspec20")
SEEDS = tuple(range(1, 11))
INFLATE = 1.3

OURS, RIVAL = Policy.LEAST_FRAGMENTATION.value, "FGD"

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "default": {"FGD": 95.39, "BestFit": 93.08, "DotProduct": 90.85, "GpuPacking": 92.0, "GpuClustering": 91.88},
    "multigpu20": {"FGD": 95.65, "BestFit": 93.93, "DotProduct": 92.06, "GpuPacking": 93.71, "GpuClustering": 93.56},
    "gpushare40": {"FGD": 94.15, "BestFit": 91.69, "DotProduct": 89.56, "GpuPacking": 90.03, "GpuClustering": 90.02},
    "gpuspec20": {"FGD": 94.84, "BestFit": 93.3, "DotProduct": 89.97, "GpuPacking": 92.94, "GpuClustering": 92.24},
}
"""Percent allocated, as means of the paper's ten runs (hkust-adsl/kubernetes-scheduler-simulator,
experiments/analysis/expected_results/analysis_allo_discrete.csv, column 130)."""

MOST_PART = 0.9
"""Of what FGD leaves unallocated, on the default list and on the mean of the variants."""

MOST_S = 30.0


class Trace(NamedTuple):
    """One list of pods, and the nodes."""

    name: str
    nodes: list[TraceNode]
    pods: list[TracePod]
    folder: Path

    @property
    def capacity_milli_gpu(self) -> int:
        """Of all nodes."""
        return MILLI_GPU * sum(node.gpus for node in self.nodes)

    @property
    def nodes_file(self) -> Path:
        """Where the nodes were read."""
        return self.folder / "openb_node_list_gpu_node.csv"

    @property
    def pods_file(self) -> Path:
        """Where the pods were read."""
        return self.folder / f"openb_pod_list_{self.name}.csv"


class Run(NamedTuple):
    """What a policy left of all GPUs, in percent, and how long it took over one list."""

    unallocated: float
    took_s: float


Runs = dict[tuple[str, str], list[Run]]
"""By list and policy, one entry a seed."""


def run(folder: Path, *, tool: Path | None = None, quick: bool = False) -> list[table.Row]:
    """All figures of the lists in `folder`; `quick`: one seed instead of ten.

    Raises:
        ValueError: a file cannot be read.
    """
    seeds = SEEDS[:1] if quick else SEEDS
    traces = [read_trace(folder, name) for name in (DEFAULT, *VARIANTS)]
    runs: Runs = {}
    with Progress(console=Console(file=sys.stderr)) as progress:
        bar = progress.add_task("openb", total=len(traces) * len(seeds) * len(POLICIES))
        for trace in traces:
            for seed in seeds:
                pods = arrivals(trace, seed) if tool is None else _arrivals_of(tool, trace, seed)
                for policy in POLICIES:
                    progress.update(bar, description=f"{trace.name}, seed {seed}, {policy}")
                    began = time.perf_counter()
                    placed = place(policy, trace, pods, seed)
                    took_s = time.perf_counter() - began
                    allocated = (
                        check(trace.nodes, pods, placed) if tool is None else _check_by(tool, trace, seed, placed)
                    )
                    left = 100 - 100 * allocated / trace.capacity_milli_gpu
                    runs.setdefault((trace.name, policy), []).append(Run(left, took_s))
                    progress.advance(bar)
    return list(_rows(runs))


def read_trace(folder: Path, name: str) -> Trace:
    """One list and the nodes.

    Raises:
        ValueError: a file cannot be read.
    """
    trace = Trace(name, [], [], folder)
    nodes, pods = read_nodes(_text(trace.nodes_file)), read_pods(_text(trace.pods_file))
    if isinstance(nodes, Refused):
        raise ValueError(f"{trace.nodes_file}: {nodes}")  # noqa: TRY004  the content, not the kind
    if isinstance(pods, Refused):
        raise ValueError(f"{trace.pods_file}: {pods}")  # noqa: TRY004
    return trace._replace(nodes=nodes, pods=pods)


def arrivals(trace: Trace, seed: int) -> list[TracePod]:
    """The list in random order, then draws from it, until `INFLATE` times all GPUs were asked for."""
    random = Random(seed)
    pods = list(trace.pods)
    random.shuffle(pods)
    wanted = INFLATE * trace.capacity_milli_gpu
    asked = sum(pod.request.milli_gpu for pod in pods)
    while asked < wanted:
        pod = random.choice(trace.pods)
        asked += pod.request.milli_gpu
        pods.append(msgspec.structs.replace(pod, name=f"{pod.name}-r{len(pods)}"))
    while asked > wanted:
        asked -= pods.pop().request.milli_gpu
    return pods


def place(policy: str, trace: Trace, pods: Sequence[TracePod], seed: int) -> list[Placed]:
    """Where a policy puts the pods."""
    own = next((each for each in Policy if each.value == policy), None)
    if own is not None:
        return list(replay(trace.nodes, pods, policy=own).placements)
    rival = _rival(policy, trace, seed)
    found = ((pod.name, rival.place(pod.request)) for pod in pods)
    return [
        Placed(pod=name) if at is None else Placed(pod=name, node=trace.nodes[at[0]].name, devices=at[1])
        for name, at in found
    ]


def check(nodes: Sequence[TraceNode], pods: Sequence[TracePod], placed: Sequence[Placed]) -> int:
    """The milli-GPU allocated.

    Raises:
        AssertionError: a placement breaks a rule.
    """
    left = {node.name: [node.milli_cpu, node.memory_mib, *[MILLI_GPU] * node.gpus] for node in nodes}
    model = {node.name: node.model for node in nodes}
    allocated = 0
    for pod, at in zip(pods, placed, strict=True):
        if at.node is None:
            continue
        want, have = pod.request, left[at.node]
        have[0] -= want.milli_cpu
        have[1] -= want.memory
        for device in set(at.devices):
            have[2 + device] -= want.share_milli
        right = len(set(at.devices)) == want.devices and (not want.models or model[at.node] in want.models)
        if at.pod != pod.name or not right or min(have) < 0 or min(at.devices, default=0) < 0:
            raise AssertionError(f"{pod.name} does not fit on {at.node}, devices {at.devices}")
        allocated += want.milli_gpu
    return allocated


RIVALS = (RIVAL, "BestFit", "DotProduct", "GpuPacking", "GpuClustering", "Random")
POLICIES = (OURS, *RIVALS, *(policy.value for policy in Policy if policy.value != OURS))


def _rival(policy: str, trace: Trace, seed: int) -> Rival:
    nodes = table_of(trace.nodes)
    match policy:
        case "FGD":
            return Fgd(nodes, [pod.request for pod in trace.pods])
        case "BestFit":
            return BestFit(nodes)
        case "DotProduct":
            return DotProduct(nodes)
        case "GpuPacking":
            return GpuPacking(nodes)
        case "GpuClustering":
            return GpuClustering(nodes)
        case _:
            return RandomFit(nodes, Random(seed))


def _rows(runs: Runs) -> Iterator[table.Row]:
    for name in (DEFAULT, *VARIANTS):
        limit = table.Limit(most=MOST_PART if name == DEFAULT else 1.0, of_ratio=True)
        own, fgd = runs[name, OURS], runs[name, RIVAL]
        more = sum(a.unallocated > b.unallocated for a, b in zip(own, fgd, strict=True))
        yield _row(
            f"{name}: GPUs left, {OURS}",
            _mean(own),
            _mean(fgd),
            limit,
            note=f"beside FGD, which leaves less on {more} of {len(own)} lists",
            detail={"each": [each.unallocated for each in own], "fgd": [each.unallocated for each in fgd]},
        )
    ours, theirs = (statistics.fmean(_mean(runs[name, policy]) for name in VARIANTS) for policy in (OURS, RIVAL))
    limit = table.Limit(most=MOST_PART, of_ratio=True)
    yield _row(f"mean of the variants: GPUs left, {OURS}", ours, theirs, limit, note="beside FGD")
    longest = max(each.took_s for (_, policy), some in runs.items() if policy == OURS for each in some)
    yield table.Row(
        benchmark=NAME,
        what=f"one list, {OURS}, longest",
        unit="s",
        value=longest,
        limit=table.Limit(most=MOST_S),
        detail={f"{name}, {policy}": [each.took_s for each in some] for (name, policy), some in runs.items()},
    )
    for name in (DEFAULT, *VARIANTS):
        for policy in POLICIES:
            if policy != OURS:
                known = PUBLISHED[name].get(policy)
                note = "" if known is None else f"published: {100 - known:.2f} %"
                some = runs[name, policy]
                yield _row(f"{name}: GPUs left, {policy}", _mean(some), note=note, detail={"each": list(some)})


def _row(
    what: str,
    value: float,
    baseline: float | None = None,
    limit: table.Limit | None = None,
    *,
    note: str = "",
    detail: Mapping[str, object] | None = None,
) -> table.Row:
    return table.Row(
        benchmark=NAME,
        what=what,
        unit="%",
        value=value,
        baseline=baseline,
        ratio=table.ratio(value, baseline),
        limit=limit,
        note=note,
        detail=detail or {},
    )


def _mean(runs: Sequence[Run]) -> float:
    return statistics.fmean(each.unallocated for each in runs)


def _arrivals_of(tool: Path, trace: Trace, seed: int) -> list[TracePod]:
    """The tool's list."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "arrivals.csv")
        _make(tool, trace, seed, file)
        pods = read_pods(_text(file))
    if isinstance(pods, Refused):
        raise ValueError(f"{tool}: {pods}")  # noqa: TRY004
    return pods


def _check_by(tool: Path, trace: Trace, seed: int, placed: Sequence[Placed]) -> float:
    """The milli-GPU allocated, as the tool counts them; it refuses what breaks a rule."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "arrivals.csv"), Path(folder, "placements.csv")
        _make(tool, trace, seed, file)
        with out.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(("pod", "node", "devices"))
            writer.writerows((at.pod, at.node or "", "|".join(map(str, at.devices))) for at in placed)
        said = _ask(tool, "check", "--nodes", trace.nodes_file, "--arrivals", file, "--placements", out)
    figures = cast("dict[str, float]", json.loads(said))
    return figures["allocated_at_end"] / 100 * trace.capacity_milli_gpu


def _make(tool: Path, trace: Trace, seed: int, file: Path) -> None:
    lists = ("--nodes", trace.nodes_file, "--pods", trace.pods_file)
    _ask(tool, "arrivals", *lists, "--seed", seed, "--inflate", INFLATE, "--out", file)


def _ask(tool: Path, *arguments: object) -> str:
    asked = subprocess.run(
        [sys.executable, str(tool), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise ValueError(f"{tool}: {asked.stderr.strip()}")
    return asked.stdout


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as err:
        raise ValueError(f"cannot read {path}: {err.strerror}") from err
