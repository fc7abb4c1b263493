"""`bayplan queues` and `bayplan queue NAME` as they are typed: a snapshot file, a live cluster, a service."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from scheduler.cli.main import main
from scheduler.cli.remote_queues import METHOD
from scheduler.config import Settings
from scheduler.model.workload import Pod
from scheduler.planning.overview.stands import queue_stands
from scheduler.planning.settings import PlanSettings
from scheduler.quota.usage import opening_ledger
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc.convert_queues import queues_response
from scheduler.simulate.snapshot import SnapshotFile, write_snapshot
from scheduler.state.cluster import ClusterState
from tests.cli.prepared import prepared
from tests.planning.overview.scene import TEAMS, teams
from tests.state.build import node, pod, queue, state_of

Answer = pb.QueuesResponse | tuple[grpc.StatusCode, str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    snapshot, now_s = teams()
    content = SnapshotFile(
        written_by="",
        now_s=now_s,
        masked=False,
        settings=PlanSettings(),
        filters=(),
        scores=(),
        plan_sha256="",
        snapshot=snapshot,
    )
    (tmp_path / "s.json").write_bytes(write_snapshot(content, compress=False))
    return str(tmp_path / "s.json")


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[pb.QueuesRequest], Answer]], str]]:
    with prepared(METHOD, pb.QueuesRequest, pb.QueuesResponse) as start:
        yield start


def test_a_file_as_a_tree(file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["queues", "--snapshot", file]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["QUEUE", "USED", "OWNS", "BORROWS", "LENDS", "WAITING", "FAIR", "SHARE"]
    assert [row.split()[0].lstrip("|`-├└─│") or row.split()[1] for row in rows[:4]] == [
        "alone",
        "org",
        "[A100]",
        "[H100]",
    ]
    assert max(map(len, rows[:-2])) <= 90


def test_a_file_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queues", "--snapshot", file, "--json"]) == 0
    queues = json.loads(capsys.readouterr().out)["queues"]
    vision = next(q for q in queues if q["name"] == "vision")
    assert (vision["parent"], vision["total"]["borrowed_milli_gpu"], vision["flavors"][0]["flavor"]) == (
        "org",
        4000,
        "H100",
    )


def test_one_queue_of_a_file(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "vision", "--snapshot", file]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "vision uses 20 GPUs: the 16 that it owns, and 4 that it borrows; what it borrows is lent by nlp (4 GPUs); "
        "40 GPUs of 1 workload wait.\n"
    )
    assert main(["queue", "vision", "--snapshot", file, "--json"]) == 0
    detail = json.loads(capsys.readouterr().out)
    assert detail["stand"]["name"] == "vision"
    assert [work["state"] for work in detail["work"]] == ["running"] * 4 + ["waiting"]


def test_a_scenario_as_it_stands_at_its_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(TEAMS, encoding="utf-8")
    assert main(["queue", "nlp", "--scenario", str(tmp_path / "s.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stand"]["total"]["used_milli_gpu"] == 6000
    (tmp_path / "s.yaml").write_text("nodes: 5", encoding="utf-8")
    assert main(["queues", "--scenario", str(tmp_path / "s.yaml")]) == 2
    assert capsys.readouterr().err.startswith(f"bayplan: {tmp_path / 's.yaml'}: nodes")


def test_a_live_cluster(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[Path | None, str]] = []

    def read(
        kubeconfig: Path | None, settings: Settings, scheduler_name: str | None = None
    ) -> tuple[ClusterState, list[Pod]]:
        asked.append((kubeconfig, scheduler_name or settings.scheduler_name))
        return state_of(node(), queue("team", "a"), pod("p")), []

    monkeypatch.setattr("scheduler.cli.queue_source.read_cluster", read)
    assert main(["queues", "--kubeconfig", "k", "--json"]) == 0
    assert main(["queue", "team", "--kubeconfig", "k", "--scheduler-name", "other"]) == 0
    assert asked == [(Path("k"), "bayplan"), (Path("k"), "other")]
    assert "1 GPU of 1 workload wait" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["queue", "visoin"], "there is no queue 'visoin'; there are vision and others"),
        (["queue", "zzz"], "there is no queue 'zzz'; there are alone, org, nlp and others"),
        (["queues", "--server", "h:1"], "--server, --snapshot and --scenario exclude each other"),
        (["queue", "vision", "--config", "c"], "--config and --scheduler-name go without --snapshot; the file has"),
    ],
)
def test_bad_input_is_one_line(file: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--snapshot", file]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"bayplan: {said}")
    assert told.err.count("\n") == 1


def test_a_service_is_asked(
    serve: Callable[[Callable[[pb.QueuesRequest], Answer]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def queues(request: pb.QueuesRequest) -> Answer:
        seen.append(request.queue)
        snapshot, _ = teams()
        return queues_response(queue_stands(snapshot, opening_ledger(snapshot)), None)

    where = serve(queues)
    assert main(["queues", "--server", where]) == 0
    assert "vision" in capsys.readouterr().out
    assert main(["queue", "visoin", "--server", where]) == 2
    assert seen == ["", "visoin"]
    assert "there are vision" in capsys.readouterr().err


def test_a_service_that_is_not_ready(
    serve: Callable[[Callable[[pb.QueuesRequest], Answer]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = serve(lambda _: (grpc.StatusCode.UNAVAILABLE, "not ready: standby"))
    assert main(["queues", "--server", where]) == 1
    assert capsys.readouterr().err == f"bayplan: {where} answers UNAVAILABLE: not ready: standby\n"


def test_a_newer_service_is_told_apart(
    serve: Callable[[Callable[[pb.QueuesRequest], Answer]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    stand = pb.QueueStand(name="a", total=pb.QueueAmounts(), order="Lottery")
    where = serve(lambda _: pb.QueuesResponse(queues=[stand]))
    assert main(["queues", "--server", where]) == 1
    assert capsys.readouterr().err.startswith(f"bayplan: {where} answers what this version cannot read: ")
