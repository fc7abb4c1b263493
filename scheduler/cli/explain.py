"""`bayplan explain`: why a pod or gang waits and what would unblock it, or where it runs.

Asked of a running service, or read from the API server and planned on this machine, which needs no running service.
"""

import os
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from scheduler.app.losses import Losses
from scheduler.cli.chosen import read_settings
from scheduler.cli.explained import Explanation, NotFound, find, people_text
from scheduler.cli.live import read_cluster, read_evictions
from scheduler.cli.output import BadInputError, Commands, print_json
from scheduler.config import Settings
from scheduler.kube.translate_eviction import ToldEviction
from scheduler.model.plan import Plan, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan

DESCRIPTION = (
    "Say why a pod, a gang or the pods of a Job wait, what is in the way and what would unblock them, or where they "
    "run. Without --server, the cluster is read and planned on this machine, with the service's own planner."
)


def register(commands: Commands) -> None:
    """Add `bayplan explain`."""
    parser = commands.add_parser(
        "explain",
        help="say why a pod or gang waits and what would unblock it, or where it runs",
        description=DESCRIPTION,
    )
    parser.add_argument("name", metavar="POD|GANG", help="name of a pod, a gang or a Job")
    parser.add_argument("-n", "--namespace", help="its namespace (default: that of the kubeconfig's current context)")
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as kubectl does)"
    )
    parser.add_argument(
        "--server", metavar="HOST:PORT", help="ask the service's gRPC API there instead of reading the cluster"
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
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Explain, and show."""
    kubeconfig = cast("Path | None", arguments.kubeconfig) or default_kubeconfig()
    namespace = cast("str | None", arguments.namespace) or current_namespace(kubeconfig)
    name, server = cast("str", arguments.name), cast("str | None", arguments.server)
    config, scheduler_name = cast("Path | None", arguments.config), cast("str | None", arguments.scheduler_name)
    if server is not None:
        if config is not None or scheduler_name is not None:
            raise BadInputError("--config and --scheduler-name go without --server; a service has its own settings")
        from scheduler.cli.remote import ask  # noqa: PLC0415  gRPC takes long to load, and is seldom asked

        found = ask(server, namespace, name)
    else:
        settings, rules = read_settings(config)
        state, pods = read_cluster(kubeconfig, settings, scheduler_name)
        snapshot, now_s = state.snapshot(), int(time.time())
        planned = plan(snapshot, now_s=now_s, settings=settings.planning, rules=rules)
        told = with_losses(snapshot, planned, read_evictions(kubeconfig, namespace), now_s=now_s)
        found = find(snapshot, told, pods, namespace, name)
    if isinstance(found, NotFound):
        raise BadInputError(str(found))
    if arguments.json:
        print_json({"namespace": namespace, "name": name, "workloads": msgspec.to_builtins(found)})
    else:
        print(together(found, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    return 0


def with_losses(snapshot: Snapshot, planned: Plan, evictions: Sequence[ToldEviction], *, now_s: int) -> Plan:
    """The plan, in which work that waits says why it lost its pods."""
    losses = Losses()
    losses.recall(evictions)
    waiting = {d.workload: d for d in planned.decisions if isinstance(d, Wait)}
    told = losses.added(snapshot, waiting, now_s=now_s)
    return msgspec.structs.replace(planned, decisions=tuple(told.get(d.workload, d) for d in planned.decisions))


def together(found: Sequence[Explanation], *, width: int | None = None) -> str:
    """All explanations; those that differ in the pod's name alone as one. `width`: columns of the terminal."""
    alike: dict[tuple[object, ...], list[Explanation]] = {}
    for one in found:
        key = (one.state, one.queue, one.priority, one.message or one.lines[1:], one.name if one.nodes else "")
        alike.setdefault(key, []).append(one)
    blocks: list[str] = []
    for first, *others in alike.values():
        more = f"\nlikewise:  {', '.join(other.name for other in others)}" if others else ""
        blocks.append(people_text(first, width=width) + more)
    return "\n\n".join(blocks)


def default_kubeconfig() -> Path | None:
    """The kubeconfig that kubectl takes: the first that exists of $KUBECONFIG, or ~/.kube/config; None without any."""
    named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    candidates = named or [Path.home() / ".kube" / "config"]
    return next((path for path in candidates if path.exists()), None)


def current_namespace(kubeconfig: Path | None) -> str:
    """The namespace of the current context; `default` where it names none."""
    try:
        root: Any = yaml.safe_load(kubeconfig.read_text(encoding="utf-8")) if kubeconfig is not None else {}
        contexts = {entry["name"]: entry["context"] for entry in root.get("contexts", ())}
        return contexts.get(root.get("current-context"), {}).get("namespace") or "default"
    except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
        # What is wrong with the file is said when the credentials are read.
        return "default"
