"""The openb benchmark: its lists, its checks and the published policies."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import openb
from benchmarks.openb_rivals import BestFit, DotProduct, Fgd, GpuClustering, GpuPacking
from scheduler.model.demand import Request
from scheduler.scoring.policies.free import FreeTable
from scheduler.simulate.replay import Placed
from scheduler.simulate.replay_read import TraceNode, TracePod

SHARED = Path(__file__).parents[3] / "shared"
DATA, TOOL = SHARED / "data" / "openb", SHARED / "tools" / "openb"
TRACE = pytest.mark.skipif(not DATA.is_dir(), reason="the openb trace is not at hand")

NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"n{i},16000,65536,{1 + i % 4},T4\n" for i in range(6))
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n" + "".join(
    f"p{i},{1000 * (i % 5)},1024,{gpus},{share},\n"
    for i, (gpus, share) in enumerate([(1, 1000), (1, 500), (1, 300), (2, 1000), (0, 0), (1, 700)] * 3)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "openb_node_list_gpu_node.csv").write_text(NODES, encoding="utf-8")
    for name in (openb.DEFAULT, *openb.VARIANTS):
        (tmp_path / f"openb_pod_list_{name}.csv").write_text(PODS, encoding="utf-8")
    return tmp_path


def test_rows_of_a_small_trace(folder: Path) -> None:
    rows = openb.run(folder, quick=True)
    whats = [row.what for row in rows]
    assert "default: GPUs left, LeastFragmentation" in whats
    assert "gpushare40: GPUs left, FGD" in whats
    for row in rows:
        assert row.value is not None
        assert row.unit == "s" or 0 <= row.value < 100


def test_arrivals_end_below_the_limit_and_repeat_for_a_seed(folder: Path) -> None:
    trace = openb.read_trace(folder, openb.DEFAULT)
    first, again, other = (openb.arrivals(trace, seed) for seed in (1, 1, 2))
    asked = sum(pod.request.milli_gpu for pod in first)
    assert openb.INFLATE * trace.capacity_milli_gpu - 2000 < asked <= openb.INFLATE * trace.capacity_milli_gpu
    assert first == again != other
    assert len({pod.name for pod in first}) == len(first)


def test_files_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / "openb_pod_list_gpuspec20.csv").unlink()
    with pytest.raises(ValueError, match=r"cannot read .*openb_pod_list_gpuspec20\.csv"):
        openb.run(folder, quick=True)


@pytest.mark.parametrize(
    "at",
    [
        Placed(pod="p", node="n", devices=()),
        Placed(pod="p", node="n", devices=(0, 0)),
        Placed(pod="p", node="n", devices=(-1, 0)),
        Placed(pod="p", node="small", devices=(0, 1)),
        Placed(pod="p", node="other", devices=(0, 1)),
        Placed(pod="q", node="n", devices=(0, 1)),
    ],
)
def test_the_check_refuses_what_breaks_a_rule(at: Placed) -> None:
    nodes = [
        TraceNode(name="n", milli_cpu=4000, memory_mib=10, gpus=2, model="T4"),
        TraceNode(name="other", milli_cpu=4000, memory_mib=10, gpus=2, model="G2"),
        TraceNode(name="small", milli_cpu=3999, memory_mib=10, gpus=2, model="T4"),
    ]
    pod = TracePod(name="p", request=Request(milli_cpu=4000, memory=10, devices=2, share_milli=1000, models=("T4",)))
    assert openb.check(nodes, [pod], [Placed(pod="p", node="n", devices=(0, 1))]) == 2000
    with pytest.raises(AssertionError, match="p does not fit"):
        openb.check(nodes, [pod], [at])


def _table(*rows: tuple[int, list[int]]) -> FreeTable:
    """Nodes with so many free cores, and so much free of each of their GPUs; all GPUs were whole once."""
    devices = np.array([free + [0] * (4 - len(free)) for _, free in rows], dtype=np.int64)
    milli_cpu = np.array([1000 * cores for cores, _ in rows], dtype=np.int64)
    return FreeTable(
        milli_cpu=milli_cpu,
        memory=np.full(len(rows), 1 << 20, dtype=np.int64),
        devices=devices,
        product=np.zeros(len(rows), dtype=np.int64),
        products=["T4"],
        capacity=(milli_cpu, np.array([1000 * len(free) for _, free in rows], dtype=np.int64)),
    )


HALF = Request(milli_cpu=4000, devices=1, share_milli=500)
WHOLE = Request(milli_cpu=4000, devices=1)


def test_best_fit_leaves_least() -> None:
    assert BestFit(_table((96, [1000]), (8, [600, 200]), (8, [1000]))).place(HALF) == (1, (0,))


def test_dot_product_takes_the_smallest() -> None:
    assert DotProduct(_table((64, [600]), (16, [1000, 1000]), (16, [1000]))).place(WHOLE) == (2, (0,))


def test_packing_goes_by_use_of_gpus_then_of_nodes() -> None:
    nodes = _table((64, [1000, 1000]), (64, [1000, 700]), (64, [400, 1000]))
    policy = GpuPacking(nodes)
    assert [policy.place(WHOLE), policy.place(HALF), policy.place(WHOLE)] == [(1, (0,)), (1, (1,)), (2, (1,))]


def test_clustering_keeps_kinds_together() -> None:
    policy = GpuClustering(_table((64, [1000, 1000]), (64, [1000, 1000]), (64, [1000])))
    assert [policy.place(HALF), policy.place(WHOLE), policy.place(WHOLE)] == [(2, (0,)), (0, (0,)), (0, (1,))]
    assert policy.place(HALF) == (2, (0,))


def test_fgd_goes_down_the_gradient() -> None:
    """By hand: only the node with 500 left loses nothing that the workload of whole GPUs could use."""
    policy = Fgd(_table((64, [1000, 1000]), (64, [500, 1000]), (64, [1000])), [WHOLE] * 9 + [HALF])
    assert policy.place(HALF) == (1, (0,))


def test_fgd_counts_fragments_as_its_paper_defines_them() -> None:
    draw = random.Random(5)  # noqa: S311  drawn cases, no secrets
    kinds = [
        Request(milli_cpu=1000 * draw.randrange(9), devices=n, share_milli=share if n == 1 else 1000)
        for n, share in [(0, 1000), (1, 500), (1, 300), (1, 1000), (2, 1000), (1, 810)]
    ]
    nodes = [(draw.randrange(12), [draw.randrange(0, 1001, 10) for _ in range(4)]) for _ in range(50)]
    table = _table(*nodes)
    policy = Fgd(table, kinds)
    found = policy.fragments(np.arange(50), table.milli_cpu, table.devices)
    for row, (cores, free) in enumerate(nodes):
        lost = 0.0
        for kind in kinds:
            enough = sum(f >= kind.share_milli for f in free)
            if not kind.devices or enough < kind.devices or 1000 * cores < kind.milli_cpu:
                lost += sum(free)
            else:
                lost += sum(f for f in free if f < kind.share_milli)
        assert found[row] == pytest.approx(lost / len(kinds))


@pytest.mark.long
@pytest.mark.skipif(not TOOL.is_file(), reason="the independent tool is not at hand")
def test_a_tool_that_makes_the_lists_and_checks_gives_the_same_figures(folder: Path) -> None:
    own, theirs = openb.run(folder, quick=True), openb.run(folder, quick=True, tool=TOOL)
    for one, other in zip(own, theirs, strict=True):
        assert one.what == other.what
        assert one.unit == "s" or one.value == pytest.approx(other.value, abs=0.001)


@pytest.mark.long
@TRACE
def test_lists_and_figures_are_those_of_the_independent_tool(tmp_path: Path) -> None:
    trace = openb.read_trace(DATA, "gpuspec20")
    pods = openb.arrivals(trace, 7)
    placed = openb.place("BestFit", trace, pods, 7)
    theirs, out = tmp_path / "arrivals.csv", tmp_path / "placements.csv"
    lists = ["--nodes", str(trace.nodes_file), "--pods", str(trace.pods_file)]
    subprocess.run([sys.executable, str(TOOL), "arrivals", *lists, "--seed", "7", "--out", str(theirs)], check=True)
    with theirs.open(encoding="utf-8", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [pod.name for pod in pods]
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("pod", "node", "devices"))
        writer.writerows((at.pod, at.node or "", "|".join(map(str, at.devices))) for at in placed)
    checked = subprocess.run(
        [sys.executable, str(TOOL), "check", *lists[:2], "--arrivals", str(theirs), "--placements", str(out)],
        check=True,
        capture_output=True,
        text=True,
    )
    allocated = 100 * openb.check(trace.nodes, pods, placed) / trace.capacity_milli_gpu
    assert json.loads(checked.stdout)["allocated_at_end"] == pytest.approx(allocated, abs=0.001)
