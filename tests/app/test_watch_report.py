"""What metrics say of watches."""

from typing import TYPE_CHECKING, cast

import msgspec

from scheduler.app.watch_report import WatchReport
from scheduler.telemetry import Telemetry

if TYPE_CHECKING:
    from scheduler.kube.watch import Watcher


class Kind(msgspec.Struct):
    name: str


class Stand(msgspec.Struct):
    """What the report reads of a watcher."""

    kind: Kind
    relists: int
    contact_s: float | None


def test_relists_after_the_first_are_counted_and_silence_is_told() -> None:
    pods, nodes = Stand(Kind("pods"), 1, 90.0), Stand(Kind("nodes"), 1, None)
    telemetry = Telemetry()
    report = WatchReport([cast("Watcher", pods), cast("Watcher", nodes)], telemetry)
    report.tell(100.0)
    pods.relists += 2
    report.tell(100.5)
    report.tell(101.0)
    lines = telemetry.exposition().decode().splitlines()
    assert 'bayplan_watch_relists_total{kind="pods"} 2.0' in lines
    assert 'bayplan_watch_relists_total{kind="nodes"} 0.0' in lines
    assert [line for line in lines if line.startswith("bayplan_watch_silence_seconds{")] == [
        'bayplan_watch_silence_seconds{kind="pods"} 11.0'
    ]
