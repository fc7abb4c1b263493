"""`bayplan queues`: the tree of queues with what each uses, owns, borrows, lends, waits for and deserves."""

import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence

import msgspec

from scheduler.cli.live import ForbiddenError
from scheduler.cli.output import Commands, complain, print_json
from scheduler.cli.queue_source import add_sources, check_sources, kubeconfig_of, read_moment
from scheduler.cli.queue_text import glyphs_for, tree_text
from scheduler.cli.queue_told import TOLD, told_stands
from scheduler.planning.overview.records import QueueStand
from scheduler.planning.overview.stands import queue_stands
from scheduler.quota.usage import opening_ledger

DESCRIPTION = (
    "Show the tree of queues: for each queue, and each GPU model or MIG profile that it has quota of, what it uses, "
    "owns, borrows, lends, waits for and deserves, in GPUs. Without --server, --snapshot or --scenario, the cluster is "
    "read on this machine."
)
WIDTH = 100
"""Columns where the output is no terminal and COLUMNS does not say."""


def register(commands: Commands) -> None:
    """Add `bayplan queues`."""
    parser = commands.add_parser(
        "queues",
        help="show the tree of queues: what each uses, owns, borrows, lends, waits for and deserves",
        description=DESCRIPTION,
    )
    add_sources(parser)
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Show all queues."""
    check_sources(arguments)
    if arguments.server is not None:
        from scheduler.cli.remote_queues import ask  # noqa: PLC0415  gRPC takes long to load, and is seldom asked

        stands, _ = ask(arguments.server)
    else:
        stands = _stands(arguments)
    if arguments.json:
        print_json({"queues": msgspec.to_builtins(stands)})
    else:
        width = shutil.get_terminal_size((WIDTH, 24)).columns
        print(tree_text(stands, width=width, glyphs=glyphs_for(sys.stdout.encoding)))
    return 0


def _stands(arguments: Namespace) -> Sequence[QueueStand]:
    """How queues stand by what runs and waits, or where the user may not see that, by what their status says."""
    try:
        snapshot = read_moment(arguments).snapshot
    except ForbiddenError:
        stands = told_stands(kubeconfig_of(arguments))
        complain("bayplan", TOLD)
        return stands
    return queue_stands(snapshot, opening_ledger(snapshot))
