"""`bayplan replay`: place the pods of a trace, one at a time, and write down where they went."""

import csv
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scheduler.cli.output import BadInputError, CommandError, Commands, facts, print_json
from scheduler.model.policy import POLICY_NAMES, Policy, policy_named
from scheduler.simulate.refusal import Refused
from scheduler.simulate.replay import Placed, Replay, replay
from scheduler.simulate.replay_plot import plot
from scheduler.simulate.replay_read import TraceNode, TracePod, read_nodes, read_pods

DESCRIPTION = (
    "Place the pods of a trace in the file's order, one at a time, never moving or removing one and without looking "
    "ahead; what fits nowhere is dropped. The policy learns from the arrivals alone."
)

FORMATS = ("openb",)

Read = TypeVar("Read")


def register(commands: Commands) -> None:
    """Add `bayplan replay`."""
    parser = commands.add_parser(
        "replay", help="place the pods of a trace one at a time and show how full the GPUs get", description=DESCRIPTION
    )
    parser.add_argument("--format", required=True, metavar="FORMAT", help="what the files are: openb")
    parser.add_argument("--nodes", required=True, metavar="NODES.csv", help="the nodes")
    parser.add_argument("--pods", required=True, metavar="ARRIVALS.csv", help="the pods in the order of arrival")
    parser.add_argument("--out", required=True, metavar="PLACEMENTS.csv", help="where the placements go")
    parser.add_argument(
        "--policy",
        default=Policy.LEAST_FRAGMENTATION.value,
        metavar="NAME",
        help=f"how nodes are chosen: {POLICY_NAMES} (default: %(default)s)",
    )
    parser.add_argument("--plot", metavar="FILE.svg", help="draw allocation and fragmentation against arrivals")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Read, replay, write and show."""
    if arguments.format not in FORMATS:
        raise BadInputError(f"--format is {arguments.format!r}; allowed: {', '.join(FORMATS)}")
    policy = policy_named(cast("str", arguments.policy))
    if policy is None:
        raise BadInputError(f"--policy is {arguments.policy!r}; allowed: {POLICY_NAMES}")
    if arguments.plot is not None and Path(arguments.plot).suffix.lower() != ".svg":
        raise BadInputError(f"--plot is {arguments.plot!r}; allowed: a file name that ends in .svg")
    nodes = _read(cast("str", arguments.nodes), read_nodes)
    pods = _read(cast("str", arguments.pods), read_pods)
    began = time.perf_counter()
    replayed = _with_bar(nodes, pods, policy)
    elapsed_s = time.perf_counter() - began
    _write_placements(Path(arguments.out), replayed.placements)
    if arguments.plot is not None:
        _write(Path(arguments.plot), plot(replayed))
    if arguments.json:
        print_json(
            {**_figures(replayed), "elapsed_s": round(elapsed_s, 3), "curve": msgspec.to_builtins(replayed.curve)}
        )
    else:
        print(people_text(replayed, elapsed_s))
    return 0


def people_text(replayed: Replay, elapsed_s: float) -> str:
    """The outcome in a few lines."""
    figures = _figures(replayed)
    return facts(
        {
            "policy": replayed.policy.value,
            "nodes": f"{replayed.nodes} with {replayed.capacity_milli_gpu // 1000} GPUs",
            "pods placed": f"{figures['placed']} of {figures['pods']}",
            "GPUs asked for": f"{figures['arrived_percent']} % of all",
            "GPUs allocated": f"{figures['allocated_percent']} % of all",
            "fragmented": f"{figures['fragmented_percent']} % of all GPUs are free, but not for an average request",
            "took": f"{elapsed_s:.1f} s",
        }
    )


def _figures(replayed: Replay) -> dict[str, str | int | float]:
    last = replayed.curve[-1]
    capacity = replayed.capacity_milli_gpu

    def percent(part: int) -> float:
        return round(100 * part / capacity, 3)

    return {
        "format": "openb",
        "policy": replayed.policy.value,
        "nodes": replayed.nodes,
        "pods": len(replayed.placements),
        "placed": len(replayed.placements) - replayed.dropped,
        "dropped": replayed.dropped,
        "capacity_milli_gpu": capacity,
        "arrived_percent": percent(last.arrived_milli_gpu),
        "allocated_percent": percent(last.allocated_milli_gpu),
        "fragmented_percent": percent(last.fragmented_milli_gpu),
    }


def _with_bar(nodes: list[TraceNode], pods: list[TracePod], policy: Policy) -> Replay:
    """Replay under a progress bar on stderr; where that is no terminal only its end is written."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        bar = progress.add_task("placing pods", total=len(pods))
        return replay(nodes, pods, policy=policy, tell=lambda done: progress.update(bar, completed=done))


def _read(path: str, read: Callable[[str], list[Read] | Refused]) -> list[Read]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as err:
        raise BadInputError(f"cannot read {path!r}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise BadInputError(f"{path}: not UTF-8 text, at byte {err.start}") from err
    found = read(text)
    if isinstance(found, Refused):
        raise BadInputError(f"{path}: {found}")
    return found


def _write_placements(path: Path, placements: tuple[Placed, ...]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("pod", "node", "devices"))
            writer.writerows((p.pod, p.node or "", "|".join(map(str, p.devices))) for p in placements)
    except OSError as err:
        raise CommandError(f"cannot write {str(path)!r}: {err.strerror}") from err


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as err:
        raise CommandError(f"cannot write {str(path)!r}: {err.strerror}") from err
