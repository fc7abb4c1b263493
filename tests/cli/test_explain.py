"""`bayplan explain` plans as the service's settings say, own rules included."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scheduler.cli.main import main
from scheduler.config import Settings
from scheduler.kube.translate_eviction import ToldEviction
from scheduler.model.names import pod_key
from scheduler.model.workload import Pod
from scheduler.scoring.own_rules import OwnRule, OwnRules
from scheduler.state.cluster import ClusterState
from tests.state.build import node, pod, queue, state_of


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """For which schedulerName the cluster is read: a waiting pod, and a node that the filter `never` refuses."""
    names: list[str] = []
    waiting = pod("waiting", gated=True)

    def read(
        kubeconfig: Path | None, settings: Settings, scheduler_name: str | None = None
    ) -> tuple[ClusterState, list[Pod]]:
        name, user_label = scheduler_name or settings.scheduler_name, settings.user_label
        names.append(name if user_label is None else f"{name}, users by {user_label}")
        return state_of(node("n1"), queue("default", "a"), waiting), [waiting]

    def load(filters: list[str] | None, _scores: list[str] | None) -> OwnRules:
        never = OwnRule("never", lambda question: np.zeros(len(question.names), dtype=np.bool_))
        return OwnRules(filters=(never,) if filters is None or "never" in filters else ())

    monkeypatch.setattr("scheduler.cli.explain.read_cluster", read)
    monkeypatch.setattr("scheduler.cli.chosen.load_rules", load)
    return names


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*more: str, config: str = "") -> str:
        if config:
            (tmp_path / "c.yaml").write_text(config, encoding="utf-8")
            more = (*more, "--config", str(tmp_path / "c.yaml"))
        assert main(["explain", "waiting", "-n", "a", "--kubeconfig", "k", *more]) == 0
        return capsys.readouterr().out

    return run


def test_the_settings_choose_the_rules(said: Callable[..., str]) -> None:
    assert "no node has the approval of the filter never" in said()
    assert "starts: 1 pod on 1 node" in said(config="filters: []\n")


def test_the_settings_name_the_scheduler_unless_it_is_given(said: Callable[..., str], asked: list[str]) -> None:
    said(config="schedulerName: plans\n")
    said("--scheduler-name", "other", config="schedulerName: plans\n")
    said()
    said(config="userLabel: team.example/owner\n")
    assert asked == ["plans", "other", "bayplan", "bayplan, users by team.example/owner"]


def test_work_that_was_evicted_is_told_why(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def read(kubeconfig: Path | None, namespace: str) -> list[ToldEviction]:
        assert (kubeconfig, namespace) == (Path("k"), "a")
        return [ToldEviction(workload=pod_key("a", "waiting"), text="1 pod evicted for a/b", at_s=int(time.time()))]

    monkeypatch.setattr("scheduler.cli.explain.read_evictions", read)
    assert "1 pod evicted for a/b" in said()


@pytest.mark.parametrize("option", ["--config", "--scheduler-name"])
def test_a_service_has_settings_of_its_own(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "waiting", "-n", "a", "--server", "localhost:1", option, "x"]) == 2
    assert capsys.readouterr().err.startswith("bayplan: --config and --scheduler-name go without --server")
