import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.end_to_end import BASELINE, Run, compare
from benchmarks.end_to_end_client import Timeline
from benchmarks.end_to_end_machine import cpu_s, resident_mib, writes, writes_since
from benchmarks.workloads import Case, CaseLimits

GANG = Case(
    name="c",
    what="gang",
    nodes=4,
    pods=4,
    gpus=8,
    gang=True,
    repetitions=3,
    limits=CaseLimits(time_ratio_most=1.5, spread_most_s=2),
)
ALONE = Case(name="c", what="pods", nodes=4, pods=4, gpus=1, repetitions=1, limits=CaseLimits(rate_ratio_least=0.5))


def run(all_bound_s: float, *, bound: int = 4, others: float = 0.0) -> Run:
    return Run(
        pods=4,
        bound=bound,
        created_s=0.1,
        all_bound_s=all_bound_s,
        spread_s=0.5,
        rate=4 / all_bound_s,
        cpu_s={},
        writes={},
        others=others,
    )


def test_a_timeline_knows_when_all_were_bound() -> None:
    seen = Timeline(pods=3, created_s=0.5, bound_s=[1.0, 1.5, 3.0])
    assert (seen.complete, seen.all_bound_s, seen.spread_s, seen.rate) == (True, 3.0, 2.0, 1.0)
    assert not Timeline(pods=3, created_s=0.5, bound_s=[1.0]).complete


def test_medians_are_compared() -> None:
    time_row, spread_row = compare(GANG, [run(1), run(9), run(2)], [run(3), run(1), run(9)], "bayplan")
    assert (time_row.value, time_row.baseline, time_row.ratio) == (3, 2, 1.5)
    assert time_row.verdict == "ok"
    assert time_row.note == "median of 3, 1 to 9 s"
    assert set(time_row.detail["runs"]) == {BASELINE, "bayplan"}
    assert (spread_row.value, spread_row.verdict) == (0.5, "ok")


def test_pods_alone_are_compared_by_their_rate() -> None:
    (row,) = compare(ALONE, [run(1)], [run(4)], "bayplan")
    assert (row.value, row.baseline, row.ratio, row.verdict) == (1.0, 4.0, 0.25, "over")


def test_a_run_that_did_not_bind_all_has_no_figure() -> None:
    rows = compare(GANG, [run(1)], [run(1, bound=3)], "bayplan")
    assert [row.value for row in rows] == [None, None]
    assert all(row.verdict == "over" for row in rows)
    assert rows[0].note == "only 3 of 4 pods were bound within 300 s"


def test_a_disturbed_machine_is_told_of() -> None:
    (row,) = compare(ALONE, [run(1)], [run(1, others=0.3)], "bayplan")
    assert row.note == "one run; others used up to 30% of the machine"


def test_writes_are_counted_by_kind() -> None:
    metrics = """
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="pods",subresource="status",verb="PATCH",group=""} 7
apiserver_request_total{code="201",resource="pods",subresource="",verb="POST",group=""} 3
apiserver_request_total{code="409",resource="pods",subresource="",verb="POST",group=""} 1
apiserver_request_total{code="200",resource="pods",subresource="",verb="LIST",group=""} 99
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT",group="coordination.k8s.io"} 99
"""
    assert writes(metrics) == {"PATCH pods/status": 7, "POST pods": 4}


async def test_bindings_that_the_api_server_has_not_counted_yet_are_waited_for() -> None:
    def metrics(bindings: int) -> str:
        return f'apiserver_request_total{{resource="pods",subresource="binding",verb="POST"}} {bindings}\n'

    left = [metrics(n) for n in (9, 10, 12, 13)]

    async def read() -> str:
        return left.pop(0)

    assert await writes_since(writes(metrics(8)), read, bound=4) == {"POST pods/binding": 4}
    assert len(left) == 1


def test_processor_time_and_memory_of_a_process() -> None:
    own = os.getpid()
    before_s, deadline_s = cpu_s(own), time.monotonic() + 30
    while cpu_s(own) == before_s and time.monotonic() < deadline_s:
        sum(range(10_000))
    assert cpu_s(own) > before_s
    assert 1 < resident_mib(own) <= resident_mib(own, "VmHWM") < 10_000
    assert cpu_s(2**22 + 1) == 0.0


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], 'there is no benchmark "nothing"; known: '),
        (["--scheduler-name", "volcano"], "give the cluster's --kubeconfig too"),
        (["end_to_end", "--case", "none"], 'there is no case "none"; known: gang-512-nodes'),
        (["end_to_end", "--kubeconfig", "/", "--dialect", "/nowhere.yaml"], "cannot read '/nowhere.yaml'"),
        (["end_to_end", "--kubeconfig", "/nowhere"], "cannot read the kubeconfig '/nowhere'"),
    ],
)
def test_bad_input_is_one_line_that_quotes_it(arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.cluster
def test_the_quick_benchmark_binds_every_pod_with_both_schedulers(tmp_path: Path) -> None:
    found = tmp_path / "figures.json"
    where = ["--json", str(found), "--state-dir", str(tmp_path / "cluster")]
    command = [sys.executable, "-m", "benchmarks", "end_to_end", "--quick", *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(found.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 3
    assert all(row["value"] and row["baseline"] and row["ratio"] for row in rows)
    ours = rows[0]["detail"]["runs"]["bayplan"][0]
    assert ours["bound"] == ours["pods"] == 32
    assert ours["writes"]["POST pods/binding"] == 32
