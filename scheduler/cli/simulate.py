"""`bayplan simulate`: plan a scenario file and show what would happen."""

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import cast

import msgspec

from scheduler.cli.chosen import read_settings
from scheduler.cli.output import BadInputError, Commands, complain, print_json, table
from scheduler.cli.snapshot_plan import replay
from scheduler.planning.defrag.text import span
from scheduler.simulate.outcome import Outcome, ReservationOutcome, WorkloadOutcome
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused
from scheduler.simulate.run import Simulation

DESCRIPTION = (
    "Plan a scenario file (nodes, queues, workloads) with the service's own planner on a virtual clock until nothing "
    "changes. A key that is unknown or not supported is refused by name. With --snapshot, make the plan of a file that "
    "`bayplan snapshot` or the service wrote, once."
)


def register(commands: Commands) -> None:
    """Add `bayplan simulate`."""
    parser = commands.add_parser(
        "simulate", help="plan a scenario file on a virtual clock and show what would happen", description=DESCRIPTION
    )
    parser.add_argument(
        "scenario", metavar="SCENARIO.yaml", nargs="?", help="the scenario file; - reads standard input"
    )
    parser.add_argument("--snapshot", type=Path, metavar="FILE", help="make the plan of this snapshot file instead")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's settings file (default: the built-in ones)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Read, simulate and show."""
    path, snapshot = cast("str | None", arguments.scenario), cast("Path | None", arguments.snapshot)
    if (path is None) == (snapshot is None):
        raise BadInputError("simulate takes a scenario file or --snapshot FILE, one of the two")
    if path is None or snapshot is not None:
        if arguments.config is not None:
            raise BadInputError("--config goes with a scenario; a snapshot file has the settings in it")
        return replay(cast("Path", snapshot), as_json=arguments.json)
    doc = read_scenario(scenario_text(path))
    if isinstance(doc, Refused):
        raise BadInputError(f"{path}: {doc}")
    settings, rules = read_settings(cast("Path | None", arguments.config))
    simulation = Simulation(doc, settings=settings.planning, clock_ns=time.perf_counter_ns, rules=rules)
    outcome = simulation.run()
    for trouble in simulation.troubles:
        complain("bayplan", str(trouble))
    if arguments.json:
        print_json(msgspec.to_builtins(outcome))
    else:
        print(people_text(outcome))
    return 0


def scenario_text(path: str) -> str:
    """The text of a scenario file; `-` is standard input.

    Raises:
        BadInputError: it cannot be read.
    """
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as err:
        raise BadInputError(f"cannot read {path!r}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise BadInputError(f"{path}: not UTF-8 text, at byte {err.start}") from err


def people_text(outcome: Outcome) -> str:
    """The answer as tables."""
    rows = [_workload_row(name, workload, outcome) for name, workload in outcome.workloads.items()]
    shown = [outcome.scenario, "", table(("WORKLOAD", "STATE", "PODS", "NODES", "WHY IT WAITS"), rows)]
    if outcome.queues:
        queues = [
            (name, *(f"{amount:g}" for amount in (q.used, q.borrowed, q.lent, q.fair_share)))
            for name, q in outcome.queues.items()
        ]
        shown += ["", table(("QUEUE", "GPUS USED", "BORROWED", "LENT", "FAIR SHARE"), queues)]
    settled = "then nothing changed" if outcome.stable else "and still changing"
    shown += ["", f"{outcome.rounds} planning rounds, {settled}"]
    shown += [f"violation: {text}" for text in outcome.violations]
    return "\n".join(shown)


def _workload_row(name: str, workload: WorkloadOutcome, outcome: Outcome) -> tuple[str, ...]:
    pods = [pod for pod in outcome.pods.values() if pod.workload == name]
    nodes = list(dict.fromkeys(pod.node for pod in pods if pod.node is not None))
    placed = sum(pod.node is not None for pod in pods)
    why = workload.reason or ""
    if isinstance(workload.reservation, ReservationOutcome):
        why += f"; reserved on {_some(list(workload.reservation.nodes))}, starts in about "
        why += span(workload.reservation.starts_in)
    return (name, workload.state, f"{placed}/{len(pods)}", _some(nodes), why)


def _some(nodes: list[str], most: int = 4) -> str:
    more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
    return " ".join(nodes[:most]) + more
