"""`bayplan migrate` as it is typed."""

import io
import json
from pathlib import Path

import pytest
import yaml

from scheduler.cli.main import main
from tests.migrate.samples import KAI, KUEUE, VOLCANO

SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: s}}"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "kai.yaml").write_text(KAI)
    (tmp_path / "kueue.yml").write_text(f"{KUEUE}---\n{SERVICE}")
    (tmp_path / "notes.txt").write_text("{")
    return tmp_path


def test_the_output_is_a_report_and_can_be_applied(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(files)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# 3 of 8 manifests will behave the same; 4 differ; ")
    assert "\n#   - spec.resources.gpu.limit: 0: in KAI this is no GPU beyond the quota" in shown
    assert "Not looked at, since they say nothing of queues or pods: 1 of Service." in shown
    queues = list(yaml.safe_load_all(shown.partition("\n---\n")[2]))
    assert [queue["kind"] for queue in queues] == ["Queue"] * 6
    assert {queue["metadata"]["name"] for queue in queues} == {
        "research",
        "vision",
        "org",
        "alone",
        "vision-kueue",
        "lq",
    }


def test_queues_go_to_a_folder(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "new" / "folder"
    assert main(["migrate", str(files / "kai.yaml"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"\n\nThe Queues are in {out}/queues.yaml.\n")
    assert [queue["spec"]["nominal"] for queue in yaml.safe_load_all((out / "queues.yaml").read_text())] == [16, 8]


def test_json_says_everything(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(files / "kai.yaml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["manifests"], told["same"], [queue["metadata"]["name"] for queue in told["queues"]]) == (
        2,
        1,
        ["research", "vision"],
    )
    (note,) = [note for note in told["found"][1]["notes"] if note["kind"] == "differs"]
    assert (note["path"], note["value"]) == ("spec.resources.gpu.limit", "0")


def test_standard_input_with_nothing_of_interest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SERVICE))
    assert main(["migrate", "-"]) == 0
    assert capsys.readouterr().out == (
        "No manifest says anything of queues or pods.\n\n"
        "Not looked at, since they say nothing of queues or pods: 1 of Service.\n"
    )


def test_one_queue_is_told_in_the_singular(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(VOLCANO))
    assert main(["migrate", "-"]) == 0
    assert capsys.readouterr().out.startswith(
        "# 1 of 2 manifests will behave the same; 1 holds values that nothing here stands for. "
        "1 Queue stands for the queues in them.\n"
    )


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", [], "migrate takes FILEs or --from-cluster"),
        ("", ["absent.yaml"], "cannot read 'absent.yaml': No such file or directory"),
        ("", ["-", "--kubeconfig", "k"], "--kubeconfig goes with --from-cluster"),
        ("{", ["-"], "standard input: not YAML: while parsing"),
        ("- 1", ["-"], "standard input[1]: it is [1]; allowed: a Kubernetes object"),
        ("a: 1", ["-"], "standard input[1]: kind is missing; allowed: a Kubernetes object"),
    ],
)
def test_bad_input_is_one_line(
    text: str,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["migrate", *arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith(f"bayplan: {said}")


def test_a_folder_that_cannot_be_made_is_a_failure(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(files / "kai.yaml"), "--out", str(files / "notes.txt" / "x")]) == 1
    assert capsys.readouterr().err.startswith(f"bayplan: cannot write '{files}/notes.txt/x/queues.yaml': ")


def test_a_cluster_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "k"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    assert main(["migrate", "--from-cluster", "--kubeconfig", str(kubeconfig)]) == 1
    assert capsys.readouterr().err.startswith("bayplan: the cluster cannot be read: ")
