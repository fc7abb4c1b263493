"""What `bayplan defrag --apply` asks before it does anything."""

from pathlib import Path

import pytest

from scheduler.cli.main import main


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--apply", "--scenario", "x.yaml"], "--apply goes with a live cluster alone"),
        (["--apply", "--server", "localhost:1"], "--apply goes with a live cluster alone"),
        (["--apply", "--snapshot", "x.json"], "--apply goes with a live cluster alone"),
        (["--yes"], "--yes goes with --apply"),
    ],
)
def test_what_does_not_go_together(typed: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defrag", "--open", "rack=r0", *typed]) == 2
    assert said in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none")
    assert main(["defrag", "--open", "rack=r0", "--apply", "--yes", "--kubeconfig", missing]) == 2
    assert missing in capsys.readouterr().err
