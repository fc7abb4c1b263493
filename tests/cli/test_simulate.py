"""`bayplan simulate` as it is typed."""

import io
import json
from pathlib import Path

import pytest

from scheduler.cli.main import main

SCENARIO = """
name: a gang and what waits behind it
nodes: [{name: n, count: 6, gpus: 8, model: H100}]
queues: [{name: a, nominal: 48}]
workloads:
  - {name: train, queue: a, gang: true, submitted: -9, pods: [{count: 6, gpus: 8}]}
  - {name: late, queue: a, pods: [{gpus: 1}]}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def test_json_has_the_keys_of_the_format(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(scenario), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["scenario", "rounds", "stable", "pods", "workloads", "queues", "plans", "violations"]
    assert answer["pods"]["train-5"] == {
        "workload": "train",
        "node": "n-5",
        "devices": [0, 1, 2, 3, 4, 5, 6, 7],
        "state": "running",
    }
    assert answer["workloads"]["train"] == {
        "state": "running",
        "reason": None,
        "blocking": [],
        "evictions": 0,
        "ring": {"hops": 6, "fewest": 6},
    }
    assert answer["workloads"]["late"]["state"] == "pending"
    assert set(answer["workloads"]["late"]["blocking"][0]) == {"kind", "subject", "needed", "available", "unit"}
    assert answer["queues"]["a"] == {"used": 48.0, "borrowed": 0.0, "lent": 0, "fairShare": 48.0}
    assert [plan["round"] for plan in answer["plans"]] == [1, 2] == list(range(1, answer["rounds"] + 1))
    assert set(answer["plans"][0]) == {"round", "status", "gap", "elapsed_ms"}
    assert answer["plans"][0]["elapsed_ms"] > 0
    assert (answer["stable"], answer["violations"]) == (True, [])


def test_people_read_a_table(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(scenario)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a gang and what waits behind it"
    train, late = (next(line for line in lines if line.startswith(name)) for name in ("train", "late"))
    assert train.split()[:3] == ["train", "running", "6/6"]
    assert train.endswith("n-0 n-1 n-2 n-3 and 2 more")
    assert late.split()[:3] == ["late", "pending", "0/1"]
    assert "GPU" in late


def test_who_has_room_kept_is_told_when_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    kept = Path(__file__).parents[1] / "scenarios" / "reserve-short-work-uses-a-held-node.yaml"
    assert main(["simulate", str(kept)]) == 0
    (big,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("big ")]
    assert big.endswith("ended; reserved on n-0 n-1, starts in about 9m")


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SCENARIO))
    assert main(["simulate", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stable"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "not UTF-8 text, at byte 0"),
        (b"nodes: {}", "nodes: {}; allowed: a list"),
        (b"nodes: []\nworkload: []", "workload: unknown key"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    assert main(["simulate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(f"{path}: {said}\n")


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.endswith("cannot read 'nowhere.yaml': No such file or directory\n")
