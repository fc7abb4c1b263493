"""`bayplan queue NAME`: one queue's quota, with whom it shares, who uses it and since when, and what waits and why."""

import difflib
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import cast

import msgspec

from scheduler.cli.live import ForbiddenError
from scheduler.cli.output import BadInputError, Commands, complain, print_json
from scheduler.cli.queue_detail_text import detail_text
from scheduler.cli.queue_source import Moment, add_sources, check_sources, kubeconfig_of, read_moment
from scheduler.cli.queue_told import TOLD, told_stands
from scheduler.model.names import QueueName
from scheduler.planning.cycle import plan
from scheduler.planning.overview.detail import queue_detail
from scheduler.planning.overview.records import QueueDetail, QueueStand
from scheduler.planning.overview.stands import queue_stands
from scheduler.quota.usage import opening_ledger

DESCRIPTION = (
    "Show one queue: its quota, with whom it shares, which work runs in it and since when, whether on what the queue "
    "owns or on what it borrows, and which work waits for what. Without --server, --snapshot or --scenario, "
    "the cluster is read and planned on this machine, with the service's own planner."
)


def register(commands: Commands) -> None:
    """Add `bayplan queue`."""
    parser = commands.add_parser(
        "queue",
        help="show one queue: its quota, who uses it and since when, what waits and why",
        description=DESCRIPTION,
    )
    parser.add_argument("name", metavar="NAME", help="name of the queue")
    parser.add_argument("--all", action="store_true", dest="everything", help="all its work, however much that is")
    add_sources(parser)
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Show one queue."""
    check_sources(arguments)
    name = cast("str", arguments.name)
    now_s = int(time.time())
    if arguments.server is not None:
        from scheduler.cli.remote_queues import ask  # noqa: PLC0415  gRPC takes long to load, and is seldom asked

        stands, detail = ask(arguments.server, name)
    else:
        try:
            moment = read_moment(arguments)
        except ForbiddenError:
            stands = told_stands(kubeconfig_of(arguments))
            detail = next((_as_told(stand, stands) for stand in stands if stand.name == name), None)
            complain("bayplan", f"{TOLD}; what runs and waits in it is left out")
        else:
            stands, detail = _of(moment, name)
            now_s = moment.now_s
    if detail is None:
        raise BadInputError(_unknown(name, stands))
    if arguments.json:
        print_json(msgspec.to_builtins(detail))
    else:
        print(detail_text(detail, now_s=now_s, everything=arguments.everything))
    return 0


def _as_told(stand: QueueStand, stands: Sequence[QueueStand]) -> QueueDetail:
    below: set[QueueName] = {stand.name}
    for other in stands:
        if other.parent in below:
            below.add(other.name)
    return QueueDetail(stand=stand, below=tuple(sorted(below - {stand.name})))


def _of(moment: Moment, name: str) -> tuple[Sequence[QueueStand], QueueDetail | None]:
    snapshot = moment.snapshot
    ledger = opening_ledger(snapshot)
    stands = queue_stands(snapshot, ledger)
    if name not in snapshot.queues:
        return stands, None
    planned = plan(snapshot, now_s=moment.now_s, settings=moment.settings, rules=moment.rules)
    return stands, queue_detail(snapshot, ledger, stands, planned.decisions, QueueName(name))


def _unknown(name: str, stands: Sequence[QueueStand]) -> str:
    names = [str(stand.name) for stand in stands]
    if not names:
        return f"there is no queue {name!r}, nor any other"
    near = difflib.get_close_matches(name, names, n=3) or names[:3]
    others = " and others" if len(names) > len(near) else ""
    return f"there is no queue {name!r}; there {'is' if len(names) == 1 else 'are'} {', '.join(near)}{others}"
