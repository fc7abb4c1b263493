"""What people see while the demo runs: a live table on a terminal, one plain line for each change elsewhere."""

from collections.abc import Sequence
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scheduler.demo.report import WorkReport
from scheduler.demo.sight import Sight, State
from scheduler.demo.story import Story, Work
from scheduler.demo.track import Change, Tracker

_COLOURS: dict[State, str] = {
    "expected": "dim",
    "waiting": "yellow",
    "starting": "magenta",
    "running": "green",
    "completed": "cyan",
}
_GROUPS_SHOWN = 4


class View(Protocol):
    """Somebody who watches."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """Show no more."""
        ...

    def show(self, tracker: Tracker, changes: Sequence[Change], at_s: float) -> None:
        """A look was taken."""
        ...


class LiveView:
    """A table that is drawn anew in its place."""

    def __init__(self, story: Story, console: Console) -> None:
        self._story = story
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the table away."""
        self._live.__exit__(None, None, None)

    def show(self, tracker: Tracker, changes: Sequence[Change], at_s: float) -> None:
        """Draw what stands now."""
        del changes
        table = Table(box=None, pad_edge=False, expand=True)
        for head in ("QUEUE", "WORKLOAD", "ASKS FOR", "STATE", "NODES"):
            table.add_column(head, no_wrap=True)
        table.add_column("WHY IT WAITS", ratio=1)
        for name, work in self._story.work.items():
            sight = tracker.latest[name]
            state = Text(sight.state, _COLOURS[sight.state])
            short = name.partition("/")[2]
            why = _why(sight, work, evicted=tracker.traces[name].lost_s is not None)
            table.add_row(work.team, short, work.asks, state, nodes_text(sight.nodes), Text(why))
        clock = Text(f"{at_s:5.0f} s   three teams, 24 nodes; Ctrl-C ends everything", "dim")
        self._live.update(Group(table, clock), refresh=True)


class PlainView:
    """One line for each change; for logs, pipes and `--json`."""

    def __init__(self, story: Story, console: Console) -> None:
        self._story = story
        self._console = console

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def show(self, tracker: Tracker, changes: Sequence[Change], at_s: float) -> None:
        """Write what changed."""
        del tracker, at_s
        for change in changes:
            line = plain_line(change, self._story.work[change.name])
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def plain_line(change: Change, work: Work) -> str:
    """As in "  12.3 s  language/finetune  waiting  TopologyUnsatisfied: …"."""
    sight = change.sight
    state = f"{sight.state} {sight.placed}/{work.pods}" if sight.state == "starting" else sight.state
    tail = nodes_text(sight.nodes) if sight.nodes else _why(sight, work, evicted=change.evicted)
    return f"{change.at_s:6.1f} s  {change.name:<20}  {state:<12}  {tail}".rstrip()


def _why(sight: Sight, work: Work, *, evicted: bool) -> str:
    said = f"{sight.reason}: {sight.message}" if sight.reason else ""
    if not evicted or sight.state not in ("expected", "waiting") or not work.leaves:
        return said
    return f"{work.leaves}; {said}" if said else work.leaves


def nodes_text(nodes: Sequence[str]) -> str:
    """The nodes, neighbours drawn together, as in "h100-a-0..3 l40s-1"; of many groups the first few."""
    runs: list[list[str]] = []
    for node in nodes:
        if runs and _follows(runs[-1][-1], node):
            runs[-1].append(node)
        else:
            runs.append([node])
    shown = [run[0] if len(run) == 1 else f"{run[0]}..{run[-1].rpartition('-')[2]}" for run in runs[:_GROUPS_SHOWN]]
    return " ".join([*shown, *(["..."] if len(runs) > _GROUPS_SHOWN else [])])


def _follows(before: str, node: str) -> bool:
    """Whether `node` has the next number of the same name."""
    (stem, _, low), (other, _, high) = before.rpartition("-"), node.rpartition("-")
    return stem == other and low.isdecimal() and high.isdecimal() and int(high) == int(low) + 1


def closing_table(reports: Sequence[WorkReport], console: Console) -> None:
    """How everything went, and below it what was waited for."""
    table = Table(box=None, pad_edge=False)
    for head in ("WORKLOAD", "WHAT"):
        table.add_column(head)
    table.add_column("WAITED", justify="right", no_wrap=True)
    for head in ("GPUS", "STATE", "NODES", "CONNECTED BY"):
        table.add_column(head)
    for work in reports:
        waited = "" if work.wait_s is None else f"{work.wait_s:.1f} s"
        amount = str(work.gpus) if work.gpus else f"{work.slices} slices"
        state = Text(work.state, _COLOURS[work.state])
        table.add_row(work.name, work.what, waited, amount, state, nodes_text(work.nodes), work.connectedness)
    console.print(table)
    told = [(work.name, Text(line)) for work in reports for line in _told(work)]
    if told:
        why = Table(box=None, pad_edge=False)
        why.add_column("WAITED FOR", no_wrap=True)
        why.add_column("", ratio=1)
        for row in told:
            why.add_row(*row)
        console.print()
        console.print(why)


def _told(work: WorkReport) -> list[str]:
    left = "" if work.lost_s is None else f"{work.left} after {work.lost_s:.1f} s"
    return [*([left] if left else []), *(f"{reason}: {message}" for reason, message in work.reasons)]
