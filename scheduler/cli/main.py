"""The `bayplan` command: finds the sub-command, loads only its module, turns errors into one line and an exit code."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol, cast

from scheduler.cli.output import BAD_INPUT, FAILURE, INTERRUPTED, CommandError, Commands, complain, one_line

DESCRIPTION = "GPU-aware scheduling beside an unmodified kube-scheduler: whole jobs, real topology, team quotas."


class Command(NamedTuple):
    """A sub-command: the module whose `register` adds its parser, and its line in the list of commands."""

    module: str
    help: str


COMMANDS: dict[str, Command] = {
    "serve": Command("scheduler.cli.serve", "run the scheduling service: planner, extender, gRPC API, metrics"),
    "cluster": Command("scheduler.cli.cluster", "start, stop or show a local cluster with the service installed"),
    "exporter": Command(
        "scheduler.cli.exporter",
        "read a node's GPUs and who holds them, and publish both as its GPUNode; runs on each node",
    ),
    "simulate": Command("scheduler.cli.simulate", "plan a scenario file on a virtual clock and show what would happen"),
    "snapshot": Command(
        "scheduler.cli.snapshot", "write all input of a plan of the live cluster to a file, to plan it again elsewhere"
    ),
    "replay": Command("scheduler.cli.replay", "place the pods of a trace one at a time and show how full the GPUs get"),
    "explain": Command(
        "scheduler.cli.explain", "say why a pod or gang waits and what would unblock it, or where it runs"
    ),
    "queues": Command(
        "scheduler.cli.queues",
        "show the tree of queues: what each uses, owns, borrows, lends, waits for and deserves",
    ),
    "queue": Command(
        "scheduler.cli.queue_one", "show one queue: its quota, who uses it and since when, what waits and why"
    ),
    "defrag": Command(
        "scheduler.cli.defrag",
        "show the cheapest moves that open a topology domain or make a waiting gang fit; moves nothing",
    ),
    "mig": Command("scheduler.cli.mig", "show how GPUs had better be divided into MIG slices for what waits"),
    "migrate": Command(
        "scheduler.cli.migrate",
        "say what of manifests for other schedulers is understood, and write their queues as Queues",
    ),
    "demo": Command("scheduler.cli.demo", "run three teams' work on a local cluster of fake GPU nodes"),
}
"""Listed in `bayplan --help` without importing anything of theirs, so that help comes at once."""


class _CommandModule(Protocol):
    """What every module named in `COMMANDS` offers; the parser it adds sets `func: (Namespace) -> exit code`."""

    def register(self, commands: Commands) -> None: ...


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        complain(self.prog, f"{message} (try '{self.prog} --help')")
        sys.exit(BAD_INPUT)


class _ShowVersion(argparse.Action):
    """`--version`, reading the version only when it is asked for."""

    def __call__(self, *_args: object, **_kwargs: object) -> NoReturn:
        from scheduler.version import VERSION  # noqa: PLC0415  the distribution's metadata take long to find

        print(f"bayplan {VERSION}")
        sys.exit(0)


def program_name(argv0: str) -> str:
    """How the person called us: as a kubectl plugin or by our own name."""
    return "kubectl bayplan" if Path(argv0).name.startswith("kubectl-") else "bayplan"


def build_parser(program: str, chosen: str | None) -> argparse.ArgumentParser:
    """The parser of all commands; only the module of `chosen` is imported, of the others there is the name and help."""
    parser = _Parser(prog=program, description=DESCRIPTION)
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version and exit")
    parser.add_argument("--traceback", action="store_true", help="show where an unexpected error came from")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        if name == chosen:
            module = cast("_CommandModule", importlib.import_module(command.module))
            module.register(cast("Commands", commands))
        else:
            commands.add_parser(name, help=command.help)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bayplan` with `argv` (default: the process's own) and give the exit code.

    0: done. 1: it failed. 2: bad input. 130: Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    program = program_name(sys.argv[0])
    try:
        return _run(program, arguments)
    except CommandError as err:
        complain(program, str(err))
        return err.exit_code
    except KeyboardInterrupt:
        complain(program, "stopped by Ctrl-C")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; without this the interpreter complains once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as err:
        if "--traceback" in arguments:
            raise
        text = one_line(str(err)) or "no text"
        complain(program, f"unexpected {type(err).__name__}: {text} (--traceback before the command shows where)")
        return FAILURE


def _run(program: str, arguments: list[str]) -> int:
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    parser = build_parser(program, chosen)
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return 0
    code = cast("int", parsed.func(parsed))
    sys.stdout.flush()
    return code
