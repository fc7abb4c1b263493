"""`bayplan snapshot`: write what the next plan is made of to a file; and make the plan of such a file again."""

import os
import time
from argparse import Namespace
from pathlib import Path
from typing import cast

from scheduler.cli.explain import default_kubeconfig
from scheduler.cli.live import read_cluster
from scheduler.cli.output import BadInputError, CommandError, Commands, print_json
from scheduler.config import SettingsError, load_settings
from scheduler.planning.cycle import plan
from scheduler.planning.explain import explain
from scheduler.simulate.refusal import Refused
from scheduler.simulate.snapshot import SnapshotFile, digest, document, read_snapshot, write_snapshot
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
    try:
        settings = load_settings(arguments.config)
    except SettingsError as err:
        raise BadInputError(str(err)) from err
    kubeconfig = cast("Path | None", arguments.kubeconfig) or default_kubeconfig()
    state, _ = read_cluster(kubeconfig, settings.scheduler_name)
    snapshot = masked(state.snapshot()) if arguments.mask else state.snapshot()
    now_s = int(time.time())
    planned = plan(snapshot, now_s=now_s, settings=settings.planning)
    file = SnapshotFile(
        written_by=VERSION,
        now_s=now_s,
        masked=arguments.mask,
        settings=settings.planning,
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


def replay(path: Path, *, as_json: bool) -> int:
    """Make the plan of a snapshot file and show it."""
    try:
        file = read_snapshot(path.read_bytes())
    except OSError as err:
        raise BadInputError(f"cannot read {str(path)!r}: {err.strerror}") from err
    if isinstance(file, Refused):
        raise BadInputError(f"{path}: {file}")
    planned = plan(file.snapshot, now_s=file.now_s, settings=file.settings)
    sha256 = digest(planned)
    same = sha256 == file.plan_sha256 if file.plan_sha256 else None
    if as_json:
        print_json({"snapshot": str(path), "plan": document(planned), "planSha256": sha256, "sameAsWritten": same})
        return 0
    for decision in planned.decisions:
        print("\n".join(explain(decision)) + "\n")
    print(f"{len(file.snapshot.nodes)} nodes, {len(planned.decisions)} decisions; plan {sha256}")
    match same:
        case True:
            print("This is the plan that was made when the file was written.")
        case False:
            by = f" (Bayplan {file.written_by}; this is {VERSION})" if file.written_by else ""
            print(f"This is another plan than the one made when the file was written: {file.plan_sha256}{by}.")
        case None:
            pass
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
