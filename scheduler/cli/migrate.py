"""`bayplan migrate`: what of manifests for other schedulers is understood, what differs, and their queues as Queues."""

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import cast

import msgspec

from scheduler.cli.explain import default_kubeconfig
from scheduler.cli.output import BadInputError, CommandError, Commands, complain, print_json
from scheduler.config import Settings
from scheduler.kube.api import ApiClient, ApiError
from scheduler.kube.login import LoginError
from scheduler.migrate.cluster import manifests_in
from scheduler.migrate.collect import Unreadable, manifests_of
from scheduler.migrate.records import Manifest
from scheduler.migrate.report import Report, manifest_of, report
from scheduler.migrate.text import queues_text, report_text

DESCRIPTION = (
    "Read manifests written for KAI, Volcano, Kueue, scheduler-plugins, Koordinator or YuniKorn, or for Kubernetes "
    "alone, and say which of them will behave the same with Bayplan, which differ and why, and which values nothing "
    "here stands for. Their queues are written as Queues of Bayplan: to --out, or after the report as YAML, in which "
    "the report is a comment, so that the output can be applied. Nothing in a cluster is changed."
)
FILE = "queues.yaml"


def register(commands: Commands) -> None:
    """Add `bayplan migrate`."""
    parser = commands.add_parser(
        "migrate",
        help="say what of manifests for other schedulers is understood, and write their queues as Queues",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="YAML or JSON, several objects in one or a folder; - is standard input"
    )
    parser.add_argument(
        "--from-cluster", action="store_true", help="read what the cluster holds, with your own rights, besides FILEs"
    )
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as kubectl does)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"write the Queues to {FILE} in this folder")
    parser.add_argument(
        "--scheduler-name",
        metavar="NAME",
        default=Settings().scheduler_name,
        help="schedulerName of the pods that Bayplan places (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Read, translate, and show."""
    files = cast("list[str]", arguments.files)
    if not files and not arguments.from_cluster:
        raise BadInputError("migrate takes FILEs or --from-cluster")
    if arguments.kubeconfig is not None and not arguments.from_cluster:
        raise BadInputError("--kubeconfig goes with --from-cluster")
    manifests = [manifest for file in files for manifest in _in_file(file)]
    if arguments.from_cluster:
        manifests += _in_cluster(cast("Path | None", arguments.kubeconfig) or default_kubeconfig())
    found = report(manifests, scheduler_name=arguments.scheduler_name)
    out = cast("Path | None", arguments.out)
    written = _write(out, found) if out is not None and found.queues else None
    if arguments.json:
        print_json(as_json(found))
    elif not found.queues:
        print(report_text(found))
    elif out is not None:
        print(f"{report_text(found)}\n\nThe Queues are in {written}.")
    else:
        commented = "\n".join(f"# {line}".rstrip() for line in report_text(found).splitlines())
        print(f"{commented}\n---\n{queues_text(found)}", end="")
    return 0


def as_json(found: Report) -> dict[str, object]:
    """The report with the field names of its records, and the figures."""
    return {
        "manifests": len(found.found),
        "same": found.same,
        "scheduler_name": found.scheduler_name,
        "found": msgspec.to_builtins(found.found),
        "queues": [manifest_of(queue) for queue in found.queues],
        "others": dict(found.others),
    }


def _in_file(file: str) -> list[Manifest]:
    if file == "-":
        return _read("standard input", sys.stdin.read())
    path = Path(file)
    try:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml", ".json"} and p.is_file())
            return [manifest for each in inside for manifest in _in_file(str(each))]
        return _read(file, path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadInputError(f"cannot read {file!r}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise BadInputError(f"cannot read {file!r}: it is not UTF-8 text") from err


def _read(name: str, text: str) -> list[Manifest]:
    found = manifests_of(name, text)
    if isinstance(found, Unreadable):
        raise BadInputError(str(found))
    return found


def _in_cluster(kubeconfig: Path | None) -> list[Manifest]:
    async def listed() -> tuple[list[Manifest], list[str]]:
        async with await ApiClient.connect(kubeconfig) as api:
            return await manifests_in(api)

    try:
        manifests, forbidden = asyncio.run(listed())
    except LoginError as err:
        raise BadInputError(str(err)) from err
    except ApiError as err:
        raise CommandError(f"the cluster cannot be read: {err}") from err
    if forbidden:
        complain("bayplan", f"you may not list {', '.join(forbidden)}; these are left out")
    return manifests


def _write(out: Path, found: Report) -> Path:
    path = out / FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(queues_text(found), encoding="utf-8")
    except OSError as err:
        raise CommandError(f"cannot write {str(path)!r}: {err.strerror}") from err
    return path
