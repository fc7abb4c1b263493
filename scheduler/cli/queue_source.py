"""Where `bayplan queues` and `bayplan queue` take the cluster from: the API server, or a snapshot file."""

import time
from argparse import Namespace
from pathlib import Path
from typing import cast

import msgspec

from scheduler.cli.chosen import read_settings
from scheduler.cli.explain import default_kubeconfig
from scheduler.cli.live import read_cluster
from scheduler.cli.output import BadInputError, CommandParser
from scheduler.cli.simulate import scenario_text
from scheduler.cli.snapshot_plan import open_snapshot, rules_of
from scheduler.config import Settings
from scheduler.model.snapshot import Snapshot
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.own_rules import OwnRules
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused
from scheduler.simulate.start import at_start


class Moment(msgspec.Struct, frozen=True):
    """A cluster at a moment, in seconds since 1970, and what planning it takes."""

    snapshot: Snapshot
    now_s: int
    settings: PlanSettings
    rules: OwnRules


def add_sources(parser: CommandParser) -> None:
    """The options that say where the cluster is read."""
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as kubectl does)"
    )
    parser.add_argument("--server", metavar="HOST:PORT", help="ask the service's gRPC API there instead")
    parser.add_argument("--snapshot", type=Path, metavar="FILE", help="take the cluster of this snapshot file instead")
    parser.add_argument(
        "--scenario", metavar="FILE", help="take the cluster of this scenario file, as it stands at its start"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's settings file (default: the built-in ones)"
    )
    parser.add_argument(
        "--scheduler-name",
        metavar="NAME",
        help=f"schedulerName of the pods that Bayplan places (default: as set, {Settings().scheduler_name})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def check_sources(arguments: Namespace) -> None:
    """Raises BadInputError where options exclude each other."""
    if sum(source is not None for source in (arguments.server, arguments.snapshot, arguments.scenario)) > 1:
        raise BadInputError("--server, --snapshot and --scenario exclude each other")
    if arguments.config is None and arguments.scheduler_name is None:
        return
    if arguments.server is not None:
        raise BadInputError("--config and --scheduler-name go without --server; a service has its own settings")
    if arguments.snapshot is not None:
        raise BadInputError("--config and --scheduler-name go without --snapshot; the file has the settings in it")


def kubeconfig_of(arguments: Namespace) -> Path | None:
    """How the cluster is reached."""
    return cast("Path | None", arguments.kubeconfig) or default_kubeconfig()


def read_moment(arguments: Namespace) -> Moment:
    """The cluster as it is now, or as the snapshot or scenario file has it."""
    path = cast("Path | None", arguments.snapshot)
    if path is not None:
        file = open_snapshot(path)
        return Moment(file.snapshot, file.now_s, file.settings, rules_of(path, file))
    settings, rules = read_settings(cast("Path | None", arguments.config))
    scenario = cast("str | None", arguments.scenario)
    if scenario is not None:
        doc = read_scenario(scenario_text(scenario))
        if isinstance(doc, Refused):
            raise BadInputError(f"{scenario}: {doc}")
        return Moment(*at_start(doc), settings.planning, rules)
    state, _ = read_cluster(kubeconfig_of(arguments), settings, arguments.scheduler_name)
    return Moment(state.snapshot(), int(time.time()), settings.planning, rules)
