"""`bayplan serve`: run the service until it is told to stop."""

import argparse
import asyncio
import resource
import signal
from pathlib import Path

from scheduler.cli.output import BadInputError, Commands
from scheduler.config import SettingsError, load_settings


def register(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "serve",
        help="run the scheduling service: planner, extender, gRPC API, metrics",
        description="Run the service: it plans the pods of its schedulerName and serves kube-scheduler as an extender. "
        "Several replicas may run; one leads, the others stand by.",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as a pod in it)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as YAML (default: the built-in ones)")
    parser.add_argument(
        "--listen",
        default="0.0.0.0:8080",
        metavar="HOST:PORT",
        help="extender, health and metrics (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-listen", default="0.0.0.0:9090", metavar="HOST:PORT", help="gRPC API (default: %(default)s)"
    )
    parser.add_argument(
        "--tls-cert-file", type=Path, metavar="FILE", help="serve the extender over TLS with this certificate"
    )
    parser.add_argument("--tls-key-file", type=Path, metavar="FILE", help="the certificate's key")
    parser.add_argument(
        "--client-ca-file", type=Path, metavar="FILE", help="let only clients with a certificate of this CA in"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.set_defaults(func=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    # Imported here: the solver and the clients take a second to load, which `--help` should not.
    import uvloop  # noqa: PLC0415

    from scheduler.app import log  # noqa: PLC0415
    from scheduler.app.own_rules import UnknownRuleError, load_rules  # noqa: PLC0415
    from scheduler.app.service import Addresses, Service  # noqa: PLC0415
    from scheduler.extender.server import ListenError, Tls  # noqa: PLC0415
    from scheduler.kube.login import LoginError  # noqa: PLC0415
    from scheduler.rpc.server import ListenError as RpcListenError  # noqa: PLC0415

    try:
        settings = load_settings(arguments.config)
        rules = load_rules(settings.filters, settings.scores)
    except (SettingsError, UnknownRuleError) as err:
        raise BadInputError(str(err)) from err
    if (arguments.tls_cert_file is None) != (arguments.tls_key_file is None):
        raise BadInputError("--tls-cert-file and --tls-key-file go together")
    if arguments.client_ca_file is not None and arguments.tls_cert_file is None:
        raise BadInputError("--client-ca-file needs --tls-cert-file and --tls-key-file")
    tls = None
    if arguments.tls_cert_file is not None:
        tls = Tls(certfile=arguments.tls_cert_file, keyfile=arguments.tls_key_file, client_ca=arguments.client_ca_file)
    addresses = Addresses(
        http=_address("--listen", arguments.listen), grpc=_address("--grpc-listen", arguments.grpc_listen), tls=tls
    )
    log.configure(arguments.log_level)
    # Every bind that is held for its gang takes a file descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        service = await Service.connect(arguments.kubeconfig, settings, addresses, rules)
        await service.run(stop)

    try:
        uvloop.run(run())
    except (LoginError, ListenError, RpcListenError) as err:
        raise BadInputError(str(err)) from err
    except Exception as err:
        log.error("a part broke, so the service ends", err)
        raise
    return 0


def _address(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise BadInputError(f"{option} is {text!r}; it must be HOST:PORT with a port up to 65535")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  as without a host elsewhere
