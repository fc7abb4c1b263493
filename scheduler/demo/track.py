"""What became of each workload over the whole demo, gathered from one look after another."""

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.demo.sight import UNSEEN, Sight, State
from scheduler.demo.story import Story, WorkName


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A workload looks different from the look before. `evicted`: it had nodes, and had to leave them."""

    name: WorkName
    at_s: float
    sight: Sight
    evicted: bool = False


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The course of one workload, in seconds since the demo's first submission; None where it did not come to that.

    Attributes:
        submitted_s: when it was submitted.
        first_placed_s: when its first pod was seen with a node.
        started_s: when all its pods were.
        lost_s: when any of them had none again, before its end, or another.
        completed_s: when all its pods had succeeded.
        nodes: where it stood when it started, and `latest_nodes` when it was seen to stand last.
        reasons: what it waited for, each reason with its first sentence, in order.
    """

    submitted_s: float | None = None
    first_placed_s: float | None = None
    started_s: float | None = None
    lost_s: float | None = None
    completed_s: float | None = None
    nodes: tuple[str, ...] = ()
    latest_nodes: tuple[str, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()
    state: State = "expected"

    @property
    def wait_s(self) -> float | None:
        """From submission to start."""
        return None if self.submitted_s is None or self.started_s is None else self.started_s - self.submitted_s

    @property
    def spread_s(self) -> float | None:
        """From its first pod's node to its last's."""
        if self.first_placed_s is None or self.started_s is None:
            return None
        return self.started_s - self.first_placed_s


class Tracker:
    """Gathers looks into traces."""

    def __init__(self, story: Story) -> None:
        self.traces: dict[WorkName, Trace] = dict.fromkeys(story.work, Trace())
        self.latest: dict[WorkName, Sight] = dict.fromkeys(story.work, UNSEEN)

    def submitted(self, name: WorkName, at_s: float) -> None:
        """A workload was submitted."""
        self.traces[name] = msgspec.structs.replace(self.traces[name], submitted_s=at_s)

    def saw(self, sights: Mapping[WorkName, Sight], at_s: float) -> Sequence[Change]:
        """Take in one look; what changed since the last one."""
        for name, sight in sights.items():
            self.traces[name] = _after(self.traces[name], sight, at_s)
        changes = [
            Change(name=name, at_s=at_s, sight=sight, evicted=self.traces[name].lost_s is not None)
            for name, sight in sights.items()
            if sight != self.latest[name]
        ]
        self.latest = dict(sights)
        return changes


def _after(trace: Trace, sight: Sight, at_s: float) -> Trace:
    replace = msgspec.structs.replace
    moved = sight.state == "running" and not {*sight.nodes} <= {*trace.latest_nodes}
    if trace.state == "running" and (moved or sight.state not in ("running", "completed")) and trace.lost_s is None:
        trace = replace(trace, lost_s=at_s)
    trace = replace(trace, state=sight.state)
    if sight.placed and trace.first_placed_s is None:
        trace = replace(trace, first_placed_s=at_s)
    if sight.state in ("running", "completed") and trace.started_s is None:
        trace = replace(trace, started_s=at_s, nodes=sight.nodes)
    if sight.state == "running":
        trace = replace(trace, latest_nodes=sight.nodes)
    if sight.state == "completed" and trace.completed_s is None:
        trace = replace(trace, completed_s=at_s)
    if sight.reason and all(sight.reason != reason for reason, _ in trace.reasons):
        trace = replace(trace, reasons=(*trace.reasons, (sight.reason, sight.message)))
    return trace
