"""`bayplan demo`: three teams' work on a local cluster of fake GPU nodes, watched live and judged at its end."""

import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO, cast

import msgspec
from rich.console import Console

from scheduler import localcluster
from scheduler.cli.output import FAILURE, BadInputError, CommandError, Commands, one_line, print_json
from scheduler.demo.report import Report, next_steps
from scheduler.demo.run import REPORT, DemoOptions, run
from scheduler.demo.story import Story
from scheduler.demo.view import LiveView, PlainView, View, closing_table

DESCRIPTION = (
    "Start a real control plane with 24 fake GPU nodes and Bayplan, run three teams' work on it and show what happens. "
    "Exit 0: everything came out as promised; 1: something did not, and one sentence says what. "
    "Ctrl-C at any moment ends everything that was started."
)
DEFAULT_STATE_DIR = Path("build/demo")
_FILE_COLUMNS = 200


def register(commands: Commands) -> None:
    """Add `bayplan demo`."""
    parser = commands.add_parser(
        "demo", help="run three teams' work on a local cluster of fake GPU nodes", description=DESCRIPTION
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster running and say what to try next")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, changes as lines on stderr")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE_DIR,
        metavar="DIR",
        help=f"folder for everything the demo writes; emptied first (default: {DEFAULT_STATE_DIR})",
    )
    parser.set_defaults(func=show)


def show(arguments: Namespace) -> int:
    """Run the demo and tell how it went."""
    as_json = cast("bool", arguments.json)
    out, err = _console(sys.stdout), _console(sys.stderr)
    options = DemoOptions(state_dir=cast("Path", arguments.state_dir), keep=cast("bool", arguments.keep))

    def view_of(story: Story) -> View:
        if as_json:
            return PlainView(story, err)
        return LiveView(story, out) if out.is_terminal else PlainView(story, out)

    try:
        with _interrupted_once():
            report = run(options, localcluster.Console(), view_of)
    except localcluster.InputError as error:
        raise BadInputError(str(error)) from error
    except localcluster.LocalClusterError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _tell(report, options, out)
    return 0 if report.ok else FAILURE


def _console(stream: TextIO) -> Console:
    """Where nobody's screen says how wide it is, lines stay as long as they are."""
    return Console(file=stream, width=None if stream.isatty() else _FILE_COLUMNS)


def _tell(report: Report, options: DemoOptions, out: Console) -> None:
    closing_table(report.workloads, out)
    took = f"ready in {report.start_s:.0f} s, the teams' work took {report.story_s:.0f} s"
    print(f"\n{report.nodes} nodes, {took}; all of it: {options.state_dir / REPORT}")
    if options.keep:
        print(f"\n{next_steps(options.state_dir, _own_name())}")
    if not report.ok:
        more = f" (and {len(report.broken) - 1} more, see the report)" if len(report.broken) > 1 else ""
        print(f"bayplan demo: {one_line(report.broken[0])}{more}", file=sys.stderr)


def _own_name() -> str:
    """How this command can be called again from the same folder."""
    return "bayplan" if shutil.which("bayplan") else sys.argv[0]


@contextmanager
def _interrupted_once() -> Generator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP interrupts; later ones do not disturb the cleaning up that it began."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        print("\nending everything that was started ...", file=sys.stderr)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
