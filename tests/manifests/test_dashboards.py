"""Dashboards show series that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scheduler import telemetry
from scheduler.exporter.metrics import Metrics, Moment
from tests.exporter.busy import busy_report
from tests.manifests.files import MANIFESTS

FILES = sorted((MANIFESTS / "dashboards").glob("*.json"))


def exported() -> set[str]:
    """Every series of the exporter on a node that has something of everything, and of the service."""
    moment = Moment()
    moment.report = busy_report()
    moment.looked_s = moment.held_s = moment.written_s = 0.0
    moment.errors["GPU-0", 79] += 1
    metrics = Metrics(lambda: moment)
    metrics.call("state", 0.1, "TIMED_OUT")
    metrics.publish_error("unreachable")
    told = set(re.findall(r"^(bayplan_\w+)", metrics.text().decode(), re.MULTILINE))
    own = [one for one in vars(telemetry).values() if hasattr(one, "labels") and hasattr(one, "help")]
    return told | {f"{telemetry.PREFIX}{one.name}" for one in own}


def expressions(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_series_of_a_dashboard_is_exported(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    named = {name for text in expressions(board) for name in re.findall(r"bayplan_\w+", text)}
    assert named
    assert named - exported() == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_panels_have_their_own_places(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in board["panels"])
    assert all(p["description"] for p in board["panels"])
