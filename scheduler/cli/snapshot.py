"""`bayplan snapshot`: write what the next plan is made of to a file."""

import os
import time
from argparse import Namespace
from pathlib import Path
from typing import cast

from scheduler.cli.chosen import read_settings
from scheduler.cli.explain import default_kubeconfig
from scheduler.cli.live import read_cluster
from scheduler.cli.output import CommandError, Commands, print_json
from scheduler.planning.cycle import plan
from scheduler.simulate.snapshot import SnapshotFile, digest, write_snapshot
from scheduler.simulate.snapshot_mask import masked
from scheduler.version import VERSION

DESCRIPTION = (
    "Read the cluster once, and write all that a plan is made of (nodes, pods, queues, levels, settings, the time) to "
    "a file. `bayplan simulate --snapshot FILE` makes the same plan of it, on any machine. The file has names of "
    "nodes, pods and queues and values of labels in it; --mask replaces them by numbers in the same order, so that "
    "the plan stays the same up to names."
)
OWNER_ONLY = 0o600
"""Mode of the file: names may be nobody else's business."""


def register(commands: Commands) -> None:
    """Add `bayplan snapshot`."""
    parser = commands.add_parser(
        "snapshot",
        help="write all input of a plan of the live cluster to a file, to plan it again elsewhere",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the file; compressed if its name ends in .gz"
    )
    parser.add_argument("--mask", action="store_true", help="replace names, values of labels and messages")
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as kubectl does)"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's settings file (default: the built-in ones)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Read, plan, and write."""
    out = cast("Path", arguments.out)
    settings, rules = read_settings(cast("Path | None", arguments.config))
    kubeconfig = cast("Path | None", arguments.kubeconfig) or default_kubeconfig()
    state, _ = read_cluster(kubeconfig, settings)
    snapshot = masked(state.snapshot()) if arguments.mask else state.snapshot()
    now_s = int(time.time())
    planned = plan(snapshot, now_s=now_s, settings=settings.planning, rules=rules)
    file = SnapshotFile(
        written_by=VERSION,
        now_s=now_s,
        masked=arguments.mask,
        settings=settings.planning,
        filters=tuple(rule.name for rule in rules.filters),
        scores=tuple(rule.name for rule in rules.scores),
        plan_sha256=digest(planned),
        snapshot=snapshot,
    )
    _write(out, write_snapshot(file, compress=out.suffix == ".gz"))
    waiting = sum(bool(workload.pending) for workload in snapshot.workloads.values())
    if arguments.json:
        print_json({"file": str(out), "nodes": len(snapshot.nodes), "waiting": waiting, "planSha256": file.plan_sha256})
    else:
        print(f"wrote {out}: {len(snapshot.nodes)} nodes, {waiting} workloads that wait")
        print(f"plan {file.plan_sha256}")
    return 0


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by its owner alone."""
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError as err:
        raise CommandError(f"cannot write {str(path)!r}: {err.strerror}") from err
