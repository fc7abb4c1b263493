"""`bayplan cluster`: a local cluster of fake GPU nodes with a real control plane and the service in it."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

import msgspec

from scheduler.cli.output import FAILURE, BadInputError, CommandError, Commands, facts, print_json, table
from scheduler.localcluster import ClusterOptions, Console, InputError, LocalCluster, LocalClusterError, build
from scheduler.localcluster import fleet as fleets
from scheduler.localcluster.table import PartStatus

DESCRIPTION = (
    "Run a real etcd, API server, controllers and kube-scheduler on this machine, with fake GPU nodes played by KWOK "
    "and Bayplan installed. Several can run at once, each in a state folder of its own."
)
_STATE_DIR = Path("build/cluster")


def register(commands: Commands) -> None:
    """Add `bayplan cluster` and its verbs."""
    parser = commands.add_parser(
        "cluster", help="start, stop or show a local cluster with the service installed", description=DESCRIPTION
    )
    verbs = cast("argparse.ArgumentParser", parser).add_subparsers(title="verbs", metavar="VERB", required=True)
    built = verbs.add_parser("build", help="build the control plane, so that later starts take seconds")
    built.set_defaults(func=_build)
    started = verbs.add_parser("start", help="start a cluster and return when it is ready; it lives on until stopped")
    started.add_argument("--fleet", type=Path, metavar="FILE", help="the nodes as YAML (default: 24 nodes of the demo)")
    started.add_argument(
        "--without-service",
        action="store_true",
        help="do not start `bayplan serve`, but leave its address and kubeconfig for one of your own",
    )
    started.set_defaults(func=_start)
    stopped = verbs.add_parser("stop", help="end all processes of a cluster; its logs stay")
    stopped.set_defaults(func=_stop)
    shown = verbs.add_parser("status", help="show each part; exit code 1 unless all are ready")
    shown.set_defaults(func=_status)
    login = verbs.add_parser(
        "exporter-login", help="print the path of a kubeconfig as the exporter on a node has it, for `bayplan exporter`"
    )
    login.add_argument("node", metavar="NODE", help="name of the node")
    login.set_defaults(func=_exporter_login)
    for verb in (started, stopped, shown, login):
        verb.add_argument(
            "--state-dir", type=Path, default=_STATE_DIR, metavar="DIR", help="the cluster's folder (%(default)s)"
        )
    for verb in (started, stopped, shown):
        verb.add_argument("--json", action="store_true", help="print JSON")


def _refuse(error: LocalClusterError) -> NoReturn:
    """Say it in one line, after the end of a dead part's log where there is one."""
    first, *log = str(error).splitlines() or [""]
    for line in log:
        print(f"  {line}", file=sys.stderr)
    raise (BadInputError if isinstance(error, InputError) else CommandError)(first) from error


def _stop_like_ctrl_c() -> None:
    """Let a polite end of this process clean up as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def _build(_arguments: argparse.Namespace) -> int:
    _stop_like_ctrl_c()
    try:
        build.binaries(Console())
    except LocalClusterError as error:
        _refuse(error)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    _stop_like_ctrl_c()
    state_dir = cast("Path", arguments.state_dir)
    try:
        fleet = fleets.default() if arguments.fleet is None else fleets.read(arguments.fleet)
        cluster = LocalCluster(state_dir)
        options = ClusterOptions(fleet=fleet, with_service=not arguments.without_service, survive=True)
        cluster.start(options, Console())
        _show(cluster, cluster.status(), as_json=arguments.json)
    except LocalClusterError as error:
        _refuse(error)
    if not arguments.json:
        print(f"\nexport KUBECONFIG={cluster.kubeconfig()}")
        print(f"bayplan cluster stop --state-dir {state_dir}")
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    try:
        cluster = LocalCluster(arguments.state_dir)
        names = [part.name for part in cluster.status()]
        cluster.stop()
    except LocalClusterError as error:
        _refuse(error)
    if arguments.json:
        print_json({"stateDir": str(arguments.state_dir), "stopped": names})
    else:
        print(f"stopped {', '.join(names)}" if names else f"no cluster runs in {arguments.state_dir}")
    return 0


def _exporter_login(arguments: argparse.Namespace) -> int:
    try:
        print(LocalCluster(arguments.state_dir).exporter_kubeconfig(arguments.node))
    except LocalClusterError as error:
        _refuse(error)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    try:
        cluster = LocalCluster(arguments.state_dir)
        parts = cluster.status()
        if parts:
            _show(cluster, parts, as_json=arguments.json)
        elif arguments.json:
            print_json({"stateDir": str(arguments.state_dir), "parts": []})
        else:
            print(f"no cluster runs in {arguments.state_dir}")
    except LocalClusterError as error:
        _refuse(error)
    return 0 if parts and all(part.state == "ready" for part in parts) else FAILURE


def _show(cluster: LocalCluster, parts: Sequence[PartStatus], *, as_json: bool) -> None:
    http, grpc = (f"{host}:{port}" for host, port in (cluster.service_address, cluster.grpc_address))
    if as_json:
        where = {"stateDir": str(cluster.state_dir), "kubeconfig": str(cluster.kubeconfig()), "server": cluster.server}
        print_json({**where, "service": f"http://{http}", "grpc": grpc, "parts": msgspec.to_builtins(parts)})
        return
    print(
        facts({"API server": cluster.server, "service": f"http://{http}", "gRPC": grpc}),
        table(["PART", "STATE", "PID", "LOG"], [[p.name, p.state, str(p.pid or "-"), p.log] for p in parts]),
        *(f"{part.name} {part.detail}" for part in parts if part.detail),
        sep="\n\n",
    )
