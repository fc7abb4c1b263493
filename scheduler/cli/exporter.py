"""`bayplan exporter`: read a node's GPUs and publish them, as a DaemonSet does on each node, or show them once."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from scheduler.cli.output import BadInputError, CommandError, Commands

if TYPE_CHECKING:
    from scheduler.exporter.backend import NvmlBackend
    from scheduler.exporter.exporter import Exporter, Options
    from scheduler.exporter.simulated.backend import FixtureBackend
    from scheduler.exporter.simulated.faults import Fault

NODE_VARIABLE = "NODE_NAME"
LEAST_INTERVAL_S, MOST_INTERVAL_S = 1.0, 600.0
LARGEST_XID = 9999

DESCRIPTION = (
    "Read the GPUs of this node through NVIDIA's driver: what they are, how they are linked, how they are divided, how "
    "healthy they are, and which pods hold them; and keep the node's GPUNode so. --machine reads a simulated machine "
    "instead, and --break lets something of it fail."
)


def register(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "exporter",
        help="read a node's GPUs and who holds them, and publish both as its GPUNode; runs on each node",
        description=DESCRIPTION,
    )
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="publish to this cluster")
    parser.add_argument("--in-cluster", action="store_true", help="publish to the cluster that this runs in as a pod")
    parser.add_argument(
        "--node-name",
        default=os.environ.get(NODE_VARIABLE, ""),
        metavar="NAME",
        help=f"whose GPUNode it is (default: the environment's {NODE_VARIABLE})",
    )
    parser.add_argument("--once", action="store_true", help="print one report and exit; publishes nothing")
    parser.add_argument("--json", action="store_true", help="with --once: print the status of the GPUNode as JSON")
    parser.add_argument("--machine", metavar="NAME", help="a simulated machine instead of this one, as hgx_h100")
    parser.add_argument(
        "--break",
        dest="faults",
        action="append",
        default=[],
        metavar="FAULT",
        help="let this fail on the simulated machine, as nvlink:3, lost:2, xid:4=79, hang:5 or field:numa-node; may be "
        "repeated",
    )
    parser.add_argument("--kubelet-socket", type=Path, metavar="FILE", help="where the kubelet tells who holds devices")
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve /metrics, /healthz and /readyz here")
    parser.add_argument(
        "--interval", type=float, default=10.0, metavar="SECONDS", help="between two looks (default: %(default)s)"
    )
    parser.add_argument(
        "--ignore-xids",
        metavar="NUMBERS",
        help="errors of the driver that say nothing of a GPU (default: 13,31,43,45,68,109)",
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.set_defaults(func=export)


def export(arguments: argparse.Namespace) -> int:
    """Print one report, or run until SIGTERM or SIGINT."""
    from scheduler.app import log  # noqa: PLC0415  `--help` should come at once

    _check(arguments)
    options = _options(arguments)
    backend, meanwhile = _backend(arguments)
    log.configure(arguments.log_level)
    if arguments.once:
        return asyncio.run(_once(arguments, options, backend, meanwhile))
    listen = _address(arguments.listen) if arguments.listen else None
    return asyncio.run(_run(arguments, options, backend, meanwhile, listen))


def _check(arguments: argparse.Namespace) -> None:
    if arguments.kubeconfig is not None and arguments.in_cluster:
        raise BadInputError("--kubeconfig and --in-cluster exclude each other")
    if arguments.faults and not arguments.machine:
        raise BadInputError("--break needs --machine: nothing of a real machine is broken")
    if not LEAST_INTERVAL_S <= arguments.interval <= MOST_INTERVAL_S:
        raise BadInputError(
            f"--interval is {arguments.interval:g}; allowed: {LEAST_INTERVAL_S:g} to {MOST_INTERVAL_S:g} seconds"
        )
    if arguments.once and arguments.listen:
        raise BadInputError("--listen and --once exclude each other")
    if arguments.once:
        return
    if arguments.json:
        raise BadInputError("--json goes with --once")
    if arguments.kubeconfig is None and not arguments.in_cluster:
        raise BadInputError(
            "say where to publish, by --kubeconfig FILE or --in-cluster; or print one report with --once"
        )
    if not arguments.node_name:
        raise BadInputError(f"say whose GPUNode it is, by --node-name NAME or the environment's {NODE_VARIABLE}")


def _options(arguments: argparse.Namespace) -> "Options":
    from scheduler.exporter.exporter import Options, boot_id  # noqa: PLC0415
    from scheduler.exporter.holdings import SOCKET  # noqa: PLC0415
    from scheduler.exporter.xids import IGNORED  # noqa: PLC0415

    simulated = arguments.machine is not None
    kubelet = cast("Path | None", arguments.kubelet_socket) or (None if simulated else SOCKET)
    if arguments.once and arguments.kubelet_socket is None and kubelet is not None and not kubelet.exists():
        kubelet = None
    return Options(
        interval_s=arguments.interval,
        ignored_xids=IGNORED if arguments.ignore_xids is None else _xids(arguments.ignore_xids),
        simulated=simulated,
        kubelet_socket=kubelet,
        boot_id="" if simulated else boot_id(),
    )


def _xids(text: str) -> frozenset[int]:
    numbers = [part.strip() for part in text.split(",") if part.strip()]
    for number in numbers:
        if not (number.isascii() and number.isdigit()) or int(number[:6]) > LARGEST_XID:
            raise BadInputError(
                f"--ignore-xids has {number!r}; it must be numbers up to {LARGEST_XID} with commas between them"
            )
    return frozenset(map(int, numbers))


def _backend(arguments: argparse.Namespace) -> "tuple[NvmlBackend, Callable[[], None] | None]":
    """What to read, and how to break it, if it is to be broken."""
    if arguments.machine is None:
        from scheduler.exporter.nvml.backend import PynvmlBackend  # noqa: PLC0415

        return PynvmlBackend(), None
    from scheduler.exporter.simulated.backend import FixtureBackend  # noqa: PLC0415
    from scheduler.exporter.simulated.faults import BadFaultError, Kind, parse_fault  # noqa: PLC0415
    from scheduler.exporter.simulated.machines import UnknownMachineError, machine  # noqa: PLC0415
    from scheduler.exporter.simulated.node import check_seen  # noqa: PLC0415

    try:
        faults = [parse_fault(text) for text in cast("Sequence[str]", arguments.faults)]
        # Made once with the faults, so that one which the machine cannot have is refused before anything starts.
        FixtureBackend(arguments.machine, faults=faults)
        for fault in faults:
            check_seen(machine(arguments.machine), fault)
        # What a driver does not tell, it never told; all else breaks while it is looked at.
        untold = [fault for fault in faults if fault.kind is Kind.FIELD]
        backend = FixtureBackend(arguments.machine, node=arguments.node_name or arguments.machine, faults=untold)
    except UnknownMachineError as err:
        raise BadInputError(f"--machine: {err}") from err
    except BadFaultError as err:
        raise BadInputError(f"--break: {err}") from err
    later = [fault for fault in faults if fault not in untold]
    return backend, (lambda: _break(backend, later)) if later else None


def _break(backend: "FixtureBackend", faults: Sequence["Fault"]) -> None:
    for fault in faults:
        backend.apply(fault)


async def _once(
    arguments: argparse.Namespace,
    options: "Options",
    backend: "NvmlBackend",
    meanwhile: Callable[[], None] | None,
) -> int:
    from scheduler.exporter.exporter import Exporter  # noqa: PLC0415
    from scheduler.exporter.publish import encode  # noqa: PLC0415
    from scheduler.exporter.show import show  # noqa: PLC0415

    exporter = Exporter(backend, options)
    report = await exporter.once(meanwhile=meanwhile)
    if arguments.json:
        print(encode(report).decode())
    else:
        print(show(report, node=arguments.node_name or arguments.machine or socket.gethostname(), used=exporter.used))
    return 0


async def _run(
    arguments: argparse.Namespace,
    options: "Options",
    backend: "NvmlBackend",
    meanwhile: Callable[[], None] | None,
    listen: tuple[str, int] | None,
) -> int:
    from scheduler.exporter.exporter import Exporter  # noqa: PLC0415
    from scheduler.exporter.pages import ListenError, Pages  # noqa: PLC0415
    from scheduler.kube.api import ApiClient  # noqa: PLC0415
    from scheduler.kube.login import LoginError  # noqa: PLC0415
    from scheduler.kube.reports import OwnReport  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        api = await ApiClient.connect(arguments.kubeconfig, parallel=2)
    except LoginError as err:
        raise BadInputError(str(err)) from err
    async with api:
        exporter = Exporter(backend, options, own=OwnReport(api, arguments.node_name))
        pages = Pages(exporter.unhealthy, exporter.not_ready, exporter.metrics.text)
        try:
            if listen is not None:
                await pages.start(*listen)
        except ListenError as err:
            raise CommandError(str(err)) from err
        running = asyncio.create_task(exporter.run())
        try:
            await _until(stop, running, exporter, meanwhile)
        finally:
            await pages.stop()
    return 0


async def _until(
    stop: asyncio.Event, running: "asyncio.Task[None]", exporter: "Exporter", meanwhile: Callable[[], None] | None
) -> None:
    """Run until told to stop; what ends the exporter by itself is raised."""
    stopped = asyncio.create_task(stop.wait())
    tasks: list[asyncio.Task[object]] = []
    if meanwhile is not None:
        tasks.append(asyncio.create_task(exporter.after_first_look(meanwhile)))
    try:
        await asyncio.wait({stopped, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (stopped, running, *tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise BadInputError(f"--listen is {text!r}; it must be HOST:PORT with a port up to 65535")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  as without a host elsewhere
