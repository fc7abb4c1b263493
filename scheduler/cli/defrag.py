"""`bayplan defrag`: the cheapest moves that open a topology domain, or make a waiting gang fit.

It moves nothing unless a person says so with `--apply`.
"""

import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from scheduler.cli.chosen import read_settings
from scheduler.cli.defrag_apply import apply, confirmed
from scheduler.cli.explain import current_namespace, default_kubeconfig
from scheduler.cli.live import read_cluster
from scheduler.cli.output import FAILURE, BadInputError, CommandError, Commands, print_json, table
from scheduler.cli.simulate import scenario_text
from scheduler.cli.snapshot_plan import open_snapshot, rules_of
from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.planning.defrag.advice import Advice, MakeFit, Move, NoAdvice, OpenDomain, Target
from scheduler.planning.defrag.advise import BUDGET_MS, advise
from scheduler.planning.defrag.text import gpu_time, name_of, outcome, places, span, summary
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused
from scheduler.simulate.start import at_start

DESCRIPTION = (
    "Show the cheapest set of moves (whole gangs, or pods that stand alone) that opens a domain of the topology, or "
    "makes a waiting gang fit. The cost is what the moved work has done since it started, in GPU-seconds. Everything "
    "that moves can stand elsewhere by all of its rules. Nothing is moved without --apply: this is advice. "
    "Without --server, --snapshot or --scenario, the cluster is read and the moves are found on this machine."
)

BY_HAND = "Nothing was moved. Cordon these nodes before anything is, or other waiting work takes them."
WITH_APPLY = "Nothing was moved. The same with --apply moves it."


def register(commands: Commands) -> None:
    """Add `bayplan defrag`."""
    parser = commands.add_parser(
        "defrag",
        help="show the cheapest moves that open a topology domain or make a waiting gang fit; make them if told to",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "--open",
        metavar="LEVEL[=DOMAIN]",
        help="open this domain of a topology level (its name, or a node label key), e.g. rack=r3; without a domain, "
        "the cheapest one",
    )
    parser.add_argument("--nodes", type=int, metavar="K", help="with --open: K whole nodes of one domain, not all")
    parser.add_argument(
        "--for", dest="workload", metavar="[NAMESPACE/]NAME", help="make this waiting gang or pod fit instead"
    )
    parser.add_argument(
        "--let-wait", action="store_true", help="what moves need not find a place elsewhere, and waits then"
    )
    parser.add_argument(
        "--budget-ms",
        type=int,
        default=BUDGET_MS,
        metavar="MS",
        help="time for the solver, by its own clock (default: %(default)s)",
    )
    parser.add_argument("-n", "--namespace", help="namespace of --for NAME (default: that of the current context)")
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as kubectl does)"
    )
    parser.add_argument("--server", metavar="HOST:PORT", help="ask the service's gRPC API there instead")
    parser.add_argument("--snapshot", type=Path, metavar="FILE", help="take the cluster of this snapshot file instead")
    parser.add_argument(
        "--scenario", metavar="FILE", help="take the cluster of this scenario file; - is standard input"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's settings file (default: the built-in ones)"
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help="make the moves with your own rights, after asking: cordon the nodes and evict the pods, within their "
        "disruption budgets",
    )
    parser.add_argument("--yes", action="store_true", help="with --apply: do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Find the moves, show them, and make them if told to."""
    if sum(map(bool, (arguments.server, arguments.snapshot, arguments.scenario))) > 1:
        raise BadInputError("--server, --snapshot and --scenario exclude each other")
    if arguments.budget_ms < 1:
        raise BadInputError(f"--budget-ms is {arguments.budget_ms}; allowed: 1 or more")
    if arguments.apply and (arguments.server or arguments.snapshot or arguments.scenario):
        raise BadInputError("--apply goes with a live cluster alone, not with --server, --snapshot or --scenario")
    if arguments.yes and not arguments.apply:
        raise BadInputError("--yes goes with --apply")
    found, nodes = _found(arguments, _target(arguments))
    if isinstance(found, NoAdvice):
        if found.unknown:
            raise BadInputError(str(found))
        if not arguments.json:
            raise CommandError(str(found))
        print_json({"possible": False, "proved": found.certain, "why": found.message, "unblock": found.unblock})
        return FAILURE
    if not arguments.apply or not found.moves:
        if arguments.json:
            print_json(as_json(found))
        else:
            live = not (arguments.server or arguments.snapshot or arguments.scenario)
            print(people_text(found, WITH_APPLY if live else BY_HAND))
        return 0
    return _apply(arguments, found, nodes)


def _apply(arguments: Namespace, advice: Advice, nodes: Mapping[NodeName, Node]) -> int:
    if advice.overtaken:
        raise CommandError(f"nothing was moved: {outcome(advice)}")
    if not arguments.json:
        print(people_text(advice, hint=""))
    if not confirmed(assumed=arguments.yes):
        raise CommandError("nothing was moved: it was not confirmed")
    done = apply(advice, nodes, cast("Path | None", arguments.kubeconfig) or default_kubeconfig())
    if arguments.json:
        print_json({**as_json(advice), "applied": done})
    else:
        print(done)
    return 0


def people_text(advice: Advice, hint: str = BY_HAND) -> str:
    """The advice as a sentence, a table, and what comes of it; `hint`: how to go on, where something moves."""
    shown = [summary(advice)]
    if advice.moves:
        head = ("MOVES", "QUEUE", "PODS", "GPUS", "RUNNING", "LOSES", "FROM", "TO")
        shown += ["", table(head, [_row(move) for move in advice.moves]), ""]
    shown.append(outcome(advice))
    if any(move.waits for move in advice.moves):
        shown.append("What has no place elsewhere waits.")
    if advice.moves and hint:
        shown.append(hint)
    return "\n".join(shown)


def as_json(advice: Advice) -> dict[str, Any]:
    """The advice with the field names of its records."""
    fields = msgspec.to_builtins(advice)
    moves = [
        {**plain, "workload": name_of(move), "kind": move.workload.partition(":")[0], "waits": move.waits}
        for move, plain in zip(advice.moves, fields["moves"], strict=True)
    ]
    return {"possible": True, **fields, "target": str(advice.target), "moves": moves}


def _row(move: Move) -> tuple[str, ...]:
    gpus = f"{move.milli_gpu / 1000:g}"
    return (
        name_of(move),
        move.queue,
        str(len(move.pods)),
        gpus,
        span(move.running_s),
        gpu_time(move.lost_gpu_seconds),
        *places(move),
    )


def _target(arguments: Namespace) -> Target:
    opens, workload = cast("str | None", arguments.open), cast("str | None", arguments.workload)
    if (opens is None) == (workload is None):
        raise BadInputError("defrag takes --open LEVEL[=DOMAIN] or --for [NAMESPACE/]NAME, one of the two")
    if opens is not None:
        level, equals, domain = opens.partition("=")
        if not level or (equals and not domain):
            raise BadInputError(f"--open is {opens!r}; allowed: LEVEL or LEVEL=DOMAIN, as rack=r3")
        return OpenDomain(level=level, domain=domain or None, nodes=arguments.nodes)
    if arguments.nodes is not None:
        raise BadInputError("--nodes goes with --open")
    name = str(workload)
    return MakeFit(workload=name if "/" in name else f"{_namespace(arguments)}/{name}")


def _namespace(arguments: Namespace) -> str:
    if arguments.namespace:
        return arguments.namespace
    if arguments.snapshot or arguments.scenario:
        return "default"
    return current_namespace(cast("Path | None", arguments.kubeconfig) or default_kubeconfig())


def _found(arguments: Namespace, target: Target) -> tuple[Advice | NoAdvice, Mapping[NodeName, Node]]:
    """Ask the service, or find the moves here; with the nodes they were found for, where these are known."""
    let_wait, budget_ms = cast("bool", arguments.let_wait), cast("int", arguments.budget_ms)
    if arguments.server is not None:
        from scheduler.cli.remote_defrag import ask  # noqa: PLC0415  gRPC takes long to load, and is seldom asked

        return ask(arguments.server, target, let_wait=let_wait, budget_ms=budget_ms), {}
    if arguments.snapshot is not None:
        if arguments.config is not None:
            raise BadInputError("--config does not go with --snapshot; a snapshot file has the settings in it")
        file = open_snapshot(arguments.snapshot)
        snapshot, now_s, planning, rules = file.snapshot, file.now_s, file.settings, rules_of(arguments.snapshot, file)
    else:
        settings, rules = read_settings(cast("Path | None", arguments.config))
        planning = settings.planning
        if arguments.scenario is not None:
            doc = read_scenario(scenario_text(arguments.scenario))
            if isinstance(doc, Refused):
                raise BadInputError(f"{arguments.scenario}: {doc}")
            snapshot, now_s = at_start(doc)
        else:
            kubeconfig = cast("Path | None", arguments.kubeconfig) or default_kubeconfig()
            state, _ = read_cluster(kubeconfig, settings)
            snapshot, now_s = state.snapshot(), int(time.time())
    found = advise(
        snapshot, target, now_s=now_s, settings=planning, rules=rules, let_wait=let_wait, budget_ms=budget_ms
    )
    return found, snapshot.nodes
