"""`bayplan snapshot` and `bayplan simulate --snapshot` as they are typed."""

import json
import stat
from pathlib import Path

import msgspec
import pytest

from scheduler.cli.main import main
from scheduler.config import Settings
from scheduler.model.workload import Pod
from scheduler.simulate.snapshot import SnapshotFile, read_snapshot, write_snapshot
from scheduler.state.cluster import ClusterState
from tests.state.build import node, pod, queue, state_of


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reading the cluster gives: two gangs, room for one."""
    pods = [pod(f"{gang}-{i}", gpus=8, gang=gang, size=2) for gang in ("first", "second") for i in range(2)]
    state = state_of(node("node-a"), node("node-b"), queue("default", "a"), *pods)

    def read(kubeconfig: Path | None, settings: Settings) -> tuple[ClusterState, list[Pod]]:
        assert (kubeconfig, settings) == (Path("k"), Settings())
        return state, pods

    monkeypatch.setattr("scheduler.cli.snapshot.read_cluster", read)


def snapshot(out: Path, *more: str) -> int:
    return main(["snapshot", "--kubeconfig", "k", "--out", str(out), *more])


@pytest.mark.parametrize("name", ["s.json", "s.json.gz"])
def test_the_plan_of_the_file_is_the_plan_of_the_cluster(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snapshot(tmp_path / name, "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {"file": str(tmp_path / name), "nodes": 2, "waiting": 2, "planSha256": written["planSha256"]}
    assert main(["simulate", "--snapshot", str(tmp_path / name), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["planSha256"], made["sameAsWritten"]) == (written["planSha256"], True)
    kinds = {d["workload"]: d["kind"] for d in made["plan"]["decisions"]}
    assert kinds == {"gang:a/first": "Admit", "gang:a/second": "Wait"}
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b" if name.endswith(".gz") else b"{")
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_people_read_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshot(tmp_path / "s") == 0
    assert capsys.readouterr().out.startswith(f"wrote {tmp_path / 's'}: 2 nodes, 2 workloads that wait\nplan ")
    assert main(["simulate", "--snapshot", str(tmp_path / "s")]) == 0
    shown = capsys.readouterr().out
    assert "a/first starts: 2 pods on 2 nodes." in shown
    assert "a/second waits: " in shown
    assert shown.endswith("This is the plan that was made when the file was written.\n")


def test_a_masked_file_has_no_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshot(tmp_path / "s", "--mask") == 0
    text = (tmp_path / "s").read_bytes()
    assert not [name for name in (b"first", b"node-", b"second") if name in text]
    assert main(["simulate", "--snapshot", str(tmp_path / "s")]) == 0
    assert "This is the plan" in capsys.readouterr().out


def test_another_plan_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshot(tmp_path / "s") == 0
    file = read_snapshot((tmp_path / "s").read_bytes())
    assert isinstance(file, SnapshotFile)
    newer = msgspec.structs.replace(file, plan_sha256="0" * 64, written_by="9.9")
    (tmp_path / "s").write_bytes(write_snapshot(newer, compress=False))
    capsys.readouterr()
    assert main(["simulate", "--snapshot", str(tmp_path / "s")]) == 0
    assert "another plan than the one made when the file was written: 000" in capsys.readouterr().out
    assert main(["simulate", "--snapshot", str(tmp_path / "s"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sameAsWritten"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulate"], "simulate takes a scenario file or --snapshot FILE, one of the two"),
        (
            ["simulate", "a.yaml", "--snapshot", "b"],
            "simulate takes a scenario file or --snapshot FILE, one of the two",
        ),
        (["simulate", "--snapshot", "nowhere"], "cannot read 'nowhere': No such file or directory"),
        (["simulate", "--snapshot", __file__], f"{__file__}: no snapshot file: "),
        (["snapshot", "--out", "x", "--config", "nowhere"], "cannot read the settings file 'nowhere'"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"bayplan: {said}")


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshot(tmp_path / "no" / "s") == 1
    assert capsys.readouterr().err.startswith(f"bayplan: cannot write '{tmp_path / 'no' / 's'}': No such file")
