"""`bayplan mig plan` as it is typed."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from scheduler.cli import mig
from scheduler.cli.main import main
from scheduler.cli.snapshot_plan import open_snapshot
from scheduler.kube.mig_configs import SETTLE_S
from scheduler.planning.repartition.proposal import Proposal
from scheduler.planning.settings import PlanSettings
from scheduler.simulate.snapshot import SnapshotFile, write_snapshot
from tests.planning.build import shape, single
from tests.planning.repartition.drawing import cluster, drawn


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """Two pods wait for 3g.40gb; n1 has only small slices, one GPU of n2 has some in use."""
    work = [single(f"w{i}", shape(mig="3g.40gb")) for i in range(2)]
    snap = cluster([drawn("n1", "1111111", "."), drawn("n2", "1#111111")], *work)
    path = tmp_path / "snapshot"
    file = SnapshotFile(now_s=100, settings=PlanSettings(), snapshot=snap)
    path.write_bytes(write_snapshot(file, compress=True))
    return str(path)


def test_what_people_read(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mig", "plan", "--snapshot", waiting]) == 0
    shown = capsys.readouterr().out
    assert "2 pods wait for slices or GPUs that are not free. Dividing 1 GPU on 1 node anew gives all of them" in shown
    assert "n1    1    whole  2x 3g.40gb  0" in shown
    assert "kubectl label --overwrite node n1 nvidia.com/mig.config=bayplan-" in shown
    assert "1 free slice or GPU of another size is no more then." in shown
    assert "Nothing was changed." in shown
    config = yaml.safe_load(shown[shown.index("version: v1") : shown.index("and the label")])
    (entries,) = config["mig-configs"].values()
    assert entries == [
        {"devices": [0], "mig-enabled": True, "mig-devices": {"1g.10gb": 7}},
        {"devices": [1], "mig-enabled": True, "mig-devices": {"3g.40gb": 2}},
    ]


def test_what_programs_read(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mig", "plan", "--snapshot", waiting, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["waiting"], shown["moved"], shown["starts"]) == (2, 0, ["team/w0", "team/w1"])
    assert shown["proof"]["status"] == "optimal"
    ((name, config),) = shown["labels"]["n1"].items()
    assert name == "nvidia.com/mig.config"
    assert [entry["devices"] for entry in shown["migConfigs"][config]] == [[0], [1]]
    assert [each["workload"] for each in shown["served"]] == ["team/w0", "team/w1"]


def test_one_node_alone_and_slices_in_use(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mig", "plan", "--snapshot", waiting, "--node", "n2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == []
    assert main(["mig", "plan", "--snapshot", waiting, "--node", "n2", "--move", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["moved"], [each["node"] for each in shown["nodes"]]) == (1, ["n2"])
    assert main(["mig", "plan", "--snapshot", waiting, "--node", "n2", "--move"]) == 0
    assert "1 slice is in use and has to be given back first, by a pod that nobody named" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--move", "-1"], "--move is -1; allowed: 0 or more"),
        (["--budget-ms", "0"], "--budget-ms is 0; allowed: 1 or more"),
        (["--snapshot", "x", "--apply"], "--snapshot goes with none of --apply and --kubeconfig"),
        (["--snapshot", "x", "--kubeconfig", "y"], "--snapshot goes with none of --apply and --kubeconfig"),
        (["--apply"], "--apply needs --config-map NAMESPACE/NAME"),
        (["--apply", "--config-map", "x"], "--config-map is 'x'; allowed: NAMESPACE/NAME"),
        (["--apply", "--config-map", "a/b", "--move"], "does not go with --move"),
        (["--yes"], "--yes, --config-map and --settle go with --apply"),
        (["--settle", "5"], "--yes, --config-map and --settle go with --apply"),
    ],
)
def test_what_does_not_go_together(typed: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mig", "plan", *typed]) == 2
    assert said in capsys.readouterr().err


def test_a_node_that_is_not_there_is_quoted(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mig", "plan", "--snapshot", waiting, "--node", "n9"]) == 2
    assert "--node is 'n9', which is no node of the cluster" in capsys.readouterr().err


@pytest.fixture
def live(waiting: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The same as a live cluster, on which nothing is changed: what would be, and how long it would be waited."""
    snapshot = open_snapshot(Path(waiting)).snapshot
    asked: list[tuple[str, float]] = []

    def applied(
        proposal: Proposal, config_map: str, kubeconfig: Path | None, *, settle_s: float, came: Callable[[], str | None]
    ) -> str:
        assert proposal.nodes
        assert came() is None
        asked.append((config_map, settle_s))
        return "Done."

    def read(*_: object) -> tuple[SimpleNamespace, None]:
        return SimpleNamespace(snapshot=lambda: snapshot), None

    monkeypatch.setattr(mig, "default_kubeconfig", lambda: None)
    monkeypatch.setattr(mig, "read_cluster", read)
    monkeypatch.setattr(mig, "apply", applied)
    return asked


APPLY = ["mig", "plan", "--apply", "--yes", "--config-map", "a/b"]


def test_what_is_made_is_not_said_to_be_left(live: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(APPLY) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("\nDone.\n")
    assert "Nothing was changed" not in shown
    assert main([*APPLY, "--settle", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["applied"] == "Done."
    assert live == [("a/b", SETTLE_S), ("a/b", 5)]


def test_where_nothing_has_to_be_made_that_is_the_answer(
    live: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*APPLY, "--node", "n2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == []
    assert main([*APPLY, "--node", "n2"]) == 0
    assert "no other layout of the GPUs that may be divided anew gives any of them room" in capsys.readouterr().out
    assert live == []
