"""`bayplan defrag` as it is typed."""

import json
from pathlib import Path

import pytest

from scheduler.cli.defrag import BY_HAND, WITH_APPLY
from scheduler.cli.main import main
from scheduler.config import Settings
from scheduler.model.workload import Pod
from scheduler.planning.defrag.text import gpu_time, some, span
from scheduler.planning.settings import PlanSettings
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.snapshot import SnapshotFile, write_snapshot
from scheduler.simulate.start import at_start
from scheduler.simulate.world import World
from scheduler.state.cluster import ClusterState

SCENARIO = """
name: two racks
topology:
  - {name: rack, label: rack}
nodes:
  - {name: a, count: 2, gpus: 8, model: H100, labels: {rack: r0}}
  - {name: b, count: 2, gpus: 8, model: H100, labels: {rack: r1}}
queues:
  - {name: team, nominal: 32}
workloads:
  - {name: old, queue: team, gang: true, started: -90000, pods: [{count: 1, gpus: 2, nodes: [b-0]}]}
  - {name: young, queue: team, gang: true, started: -600, pods: [{count: 1, gpus: 4, nodes: [a-0]}]}
  - {name: train, queue: team, gang: true, submitted: -60, topology: {required: rack}, pods: [{count: 2, gpus: 8}]}
"""

FOR_TRAIN = """\
To make room for default/train, 1 workload moves and 0.7 GPU-hours are lost. No moves are cheaper (proven).

MOVES          QUEUE  PODS  GPUS  RUNNING  LOSES          FROM  TO
default/young  team   1     4     10m      0.7 GPU-hours  a-0   b-0

Then there is room for default/train: 2 pods on a-0 a-1.
Nothing was moved. Cordon these nodes before anything is, or other waiting work takes them.
"""

OLD = """\
To open rack r1, 1 workload moves and 50.0 GPU-hours are lost. No moves are cheaper (proven).

MOVES        QUEUE  PODS  GPUS  RUNNING  LOSES           FROM  TO
default/old  team   1     2     1d 1h    50.0 GPU-hours  b-0   a-0

Then 2 nodes of rack r1 are open, with 16 GPUs: b-0 b-1.
Nothing was moved. Cordon these nodes before anything is, or other waiting work takes them.
"""

NOTHING = """\
Nothing has to move to open 1 whole node of any rack.
Now 1 node of rack r0 is open, with 8 GPUs: a-1.
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


@pytest.fixture
def snapshot_file(tmp_path: Path) -> str:
    doc = read_scenario(SCENARIO)
    assert isinstance(doc, ScenarioDoc)
    snapshot, now_s = at_start(doc)
    path = tmp_path / "snapshot"
    path.write_bytes(
        write_snapshot(SnapshotFile(now_s=now_s, settings=PlanSettings(), snapshot=snapshot), compress=True)
    )
    return str(path)


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        (["--for", "train"], FOR_TRAIN),
        (["--for", "default/train-1"], FOR_TRAIN.replace("default/train", "default/train-1")),
        (["--open", "rack=r1"], OLD),
        (["--open", "rack", "--nodes", "1"], NOTHING),
    ],
)
def test_a_scenario_and_a_snapshot_file_give_the_same_answer(
    question: list[str], shown: str, scenario: str, snapshot_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["defrag", *question, "--scenario", scenario]) == 0
    assert capsys.readouterr().out == shown
    assert main(["defrag", *question, "--snapshot", snapshot_file]) == 0
    assert capsys.readouterr().out == shown


def test_the_live_cluster_gives_the_same_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doc = read_scenario(SCENARIO)
    assert isinstance(doc, ScenarioDoc)
    world, state = World(doc), ClusterState()
    for event in world.seen_at_start():
        state.apply(event)

    def read(kubeconfig: Path | None, settings: Settings) -> tuple[ClusterState, list[Pod]]:
        assert (kubeconfig, settings) == (Path("k"), Settings())
        return state, []

    monkeypatch.setattr("scheduler.cli.defrag.read_cluster", read)
    monkeypatch.setattr("scheduler.cli.defrag.time.time", lambda: world.now_s + 0.5)
    assert main(["defrag", "--for", "default/train", "--kubeconfig", "k"]) == 0
    assert capsys.readouterr().out == FOR_TRAIN.replace(BY_HAND, WITH_APPLY)


def test_what_may_wait_is_told_to_wait(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(scenario)
    path.write_text(
        SCENARIO.replace("count: 2, gpus: 8, model: H100, labels: {rack: r1}", "gpus: 2, model: H100"), "utf-8"
    )
    path.write_text(path.read_text("utf-8").replace("name: b,", "name: b-0,").replace("b-0-0", "b-0"), "utf-8")
    assert main(["defrag", "--open", "rack=r0", "--scenario", scenario]) == 1
    said = capsys.readouterr().err
    assert said == (
        "bayplan: no moves open rack r0 and leave a place for all that moves. "
        "It can be done if work may be left waiting: default/young would leave.\n"
    )
    assert main(["defrag", "--open", "rack=r0", "--scenario", scenario, "--let-wait"]) == 0
    shown = capsys.readouterr().out
    assert "a-0   waits" in shown
    assert "What has no place elsewhere waits.\nNothing was moved. Cordon " in shown


def test_json_has_all_of_it(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defrag", "--for", "train", "--scenario", scenario, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["possible"], found["target"], found["lost_gpu_seconds"]) == (True, "room for default/train", 2400)
    assert found["proof"] == {"status": "optimal", "cost": 2400, "bound": 2400}
    (move,) = found["moves"]
    assert (move["workload"], move["kind"], move["waits"], move["running_s"]) == ("default/young", "gang", False, 600)
    (pod,) = move["pods"]
    assert (pod["name"], pod["source"], pod["target"]) == ("young-0", "a-0", "b-0")
    assert [seat["node"] for seat in found["starts"]] == ["a-0", "a-1"]


def test_json_says_why_not(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defrag", "--open", "rack=r0", "--nodes", "3", "--scenario", scenario, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["possible"], found["proved"]) == (False, True)
    assert found["why"].startswith("rack r0 has 2 of 3 nodes that moves can empty")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "defrag takes --open LEVEL[=DOMAIN] or --for [NAMESPACE/]NAME, one of the two"),
        (["--open", "rack", "--for", "x"], "defrag takes --open LEVEL[=DOMAIN] or --for [NAMESPACE/]NAME, one of"),
        (["--open", "rack="], "--open is 'rack='; allowed: LEVEL or LEVEL=DOMAIN, as rack=r3"),
        (["--open", "=r0"], "--open is '=r0'; allowed: LEVEL or LEVEL=DOMAIN, as rack=r3"),
        (["--for", "a/b", "--nodes", "2"], "--nodes goes with --open"),
        (["--open", "rack", "--nodes", "0"], "the number of nodes is 0; allowed: 1 or more"),
        (["--open", "rack", "--budget-ms", "0"], "--budget-ms is 0; allowed: 1 or more"),
        (["--open", "rack", "--snapshot", "f"], "--server, --snapshot and --scenario exclude each other"),
        (["--open", "row"], "the level is 'row'; allowed: rack, node, or the key of a label that nodes have"),
        (["--open", "rack=r7"], "no node is in rack 'r7'; there are r0, r1"),
        (["--for", "a/b/c"], "the workload is 'a/b/c'; allowed: NAMESPACE/NAME"),
        (["--for", "nobody"], "nothing called 'default/nobody' is planned by Bayplan"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["defrag", *arguments, "--scenario", scenario]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"bayplan: {said}")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_settings_do_not_go_with_a_snapshot_file(snapshot_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defrag", "--open", "rack", "--snapshot", snapshot_file, "--config", "c"]) == 2
    assert "--config does not go with --snapshot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(59, "59s"), (60, "1m"), (3599, "59m"), (3660, "1h 1m"), (90_000, "1d 1h")]
)
def test_spans(seconds: int, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 GPU-seconds"), (1, "1 GPU-second"), (360, "0.1 GPU-hours"), (3_600_000_0, "10,000.0 GPU-hours")],
)
def test_gpu_time(seconds: int, text: str) -> None:
    assert gpu_time(seconds) == text


def test_long_lists_are_cut() -> None:
    assert some(["a", "b", "a", "c", "d", "e", "f"]) == "a b c d and 2 more"
