"""What metrics say of the watches."""

from collections.abc import Sequence

from scheduler.kube.watch import Watcher
from scheduler.telemetry import WATCH_RELISTS, WATCH_SILENCE, Telemetry


class WatchReport:
    """Keeps the metrics of these watches; their first lists are not counted."""

    def __init__(self, watchers: Sequence[Watcher], telemetry: Telemetry) -> None:
        self._watchers = watchers
        self._telemetry = telemetry
        self._told = {watcher.kind.name: watcher.relists for watcher in watchers}

    def tell(self, loop_s: float) -> None:
        """Bring the metrics to this moment of the event loop's clock."""
        silence_s: dict[tuple[str, ...], float] = {}
        for watcher in self._watchers:
            kind = watcher.kind.name
            new, self._told[kind] = watcher.relists - self._told[kind], watcher.relists
            self._telemetry.count(WATCH_RELISTS, kind, by=new)
            if watcher.contact_s is not None:
                silence_s[(kind,)] = loop_s - watcher.contact_s
        self._telemetry.replace(WATCH_SILENCE, silence_s)
