"""`bayplan exporter`: one report as text and JSON, and what cannot be."""

import json
import subprocess
import sys

import pytest

from scheduler.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["exporter", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.long
def test_a_person_sees_what_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--machine", "hgx_h100", "--break", "nvlink:3", "--break", "xid:4=79", "--once")
    assert code == 0
    assert "GPUs:    8, of which healthy: 6" in out
    assert "GPU 3 is Suspect: all of its 18 NVLinks are down" in out
    assert "GPU 4 is Unhealthy: Xid 79, and no reset since: the GPU fell off the bus" in out
    row = next(line for line in out.splitlines() if line.startswith("3  NODE"))
    assert row.split() == ["3", "NODE", "NODE", "NODE", "-", "SYS", "SYS", "SYS", "SYS"]


@pytest.mark.parametrize("field", ["model", "numa-node:2", "level", "p2p-nvlink"])
def test_what_a_driver_does_not_tell_is_said(capsys: pytest.CaptureFixture[str], field: str) -> None:
    assert main(["exporter", "--machine", "hgx_h100", "--break", f"field:{field}", "--once"]) == 0
    assert "not known: " in capsys.readouterr().out


@pytest.mark.long
def test_a_lost_gpu_is_shown_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(run(capsys, "--machine", "dgx-a100", "--once", "--json")[1])
    broken = json.loads(run(capsys, "--machine", "dgx-a100", "--break", "lost:2", "--once", "--json")[1])
    assert [one["uuid"] for one in broken["devices"]] == [one["uuid"] for one in whole["devices"]]
    assert [one["health"]["state"] for one in broken["devices"]].count("Unhealthy") == 1
    assert (whole["source"], whole["healthyDeviceCount"], broken["healthyDeviceCount"]) == ("Simulated", 8, 7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--once", "--machine", "dgx_9"), '--machine: machine "dgx_9" is unknown; allowed: '),
        (("--once", "--machine", "hgx_h100", "--break", "fire:3"), '--break: fault "fire:3" is unknown; allowed: '),
        (("--once", "--machine", "hgx_h100", "--break", "lost:8"), "hgx_h100 has the GPUs 0 to 7"),
        (("--once", "--break", "lost:1"), "--break needs --machine"),
        (("--once", "--interval", "0"), "--interval is 0; allowed: 1 to 600 seconds"),
        (("--once", "--ignore-xids", "13,x"), "--ignore-xids has 'x'; it must be numbers up to 9999"),
        (("--machine", "hgx_h100"), "say where to publish, by --kubeconfig FILE or --in-cluster"),
        (("--machine", "hgx_h100", "--in-cluster", "--kubeconfig", "x"), "exclude each other"),
        (("--machine", "hgx_h100", "--in-cluster"), "say whose GPUNode it is, by --node-name NAME"),
        (("--machine", "hgx_h100", "--in-cluster", "--node-name", "n", "--json"), "--json goes with --once"),
        (
            ("--machine", "hgx_h100", "--in-cluster", "--node-name", "n", "--listen", "x"),
            "--listen is 'x'; it must be HOST:PORT",
        ),
        (
            ("--once", "--machine", "dgx1_v100", "--break", "rows:1"),
            "of GPU 1 of dgx1_v100 the driver does not tell rows",
        ),
        (("--once", "--machine", "dgx_a100", "--break", "fabric:1"), "does not tell a fabric that spans nodes"),
        (("--once", "--machine", "l40s_x4", "--break", "mig:1"), "GPU 1 of l40s_x4 cannot be divided"),
        (("--once", "--listen", ":1"), "--listen and --once exclude each other"),
        (("--machine", "hgx_h100", "--kubeconfig", "nowhere/x", "--node-name", "n"), "nowhere/x"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_neither_solver_nor_planner_is_loaded() -> None:
    """On a node everything that is loaded costs memory."""
    program = (
        "import sys; from scheduler.cli.main import main; main(['exporter', '--machine', 'hgx_h100', '--once']); "
        "print(sorted(m for m in sys.modules if m in {'numpy', 'ortools', 'rich', 'uvicorn'} "
        "or m.startswith(('scheduler.planning', 'scheduler.state', 'scheduler.quota'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
