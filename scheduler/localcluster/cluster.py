"""A local cluster: start it, look at it, break parts of it, end it."""

import asyncio
import contextlib
import secrets as chance
import shutil
import signal
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Self

import msgspec

from scheduler.localcluster import build, install, parts, populate, record, reports, secrets
from scheduler.localcluster.api import Api
from scheduler.localcluster.errors import ApiError, InputError, LocalClusterError
from scheduler.localcluster.fleet import Fleet
from scheduler.localcluster.guard import Guard
from scheduler.localcluster.layout import Layout
from scheduler.localcluster.locks import try_lock
from scheduler.localcluster.options import ClusterOptions
from scheduler.localcluster.parts import Parts
from scheduler.localcluster.ports import HOST, reserve
from scheduler.localcluster.progress import Progress, Quiet
from scheduler.localcluster.record import ClusterRecord, Ports
from scheduler.localcluster.table import PartStatus, PartTable
from scheduler.localcluster.waiting import until

_READY_S = 120.0
"""How long a part may take to get ready on a busy machine."""

_NAMESPACE_S = 30.0


class LocalCluster:
    """The cluster of one state folder, whether this process started it or another one did."""

    def __init__(self, state_dir: Path) -> None:
        self._layout = Layout(state_dir)
        known = record.load(self._layout.root)
        self._table = None if known is None else PartTable(self._layout, known)
        self._guard: Guard | None = None

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, state_dir: Path, options: ClusterOptions | None = None, progress: Progress | None = None
    ) -> Generator[Self]:
        """A cluster that is ended with the block, and with this process however that ends."""
        cluster = cls(state_dir)
        cluster.start(options, progress)
        try:
            yield cluster
        finally:
            cluster.stop()

    @property
    def table(self) -> PartTable:
        """The processes.

        Raises:
            InputError: no cluster was started in this state folder.
        """
        if self._table is None:
            raise InputError(f"no cluster runs in {self._layout.root}")
        return self._table

    # Life

    def start(self, options: ClusterOptions | None = None, progress: Progress | None = None) -> None:
        """Start everything and wait until it is ready. Nothing is left behind where this fails or is interrupted.

        Raises:
            InputError: a cluster runs in this state folder already.
            PartFailedError: a part died; the text has its name and the end of its log.
            LocalClusterError: a part did not get ready, the build failed, or another start is at work here.
        """
        wanted, told = options or ClusterOptions(), progress or Quiet()
        with self._alone():
            if self._table is not None and self._table.alive():
                raise InputError(f"a cluster runs in {self._layout.root} already; stop it first")
            binaries = build.binaries(told)
            self._begin(wanted)
            try:
                self._start_parts(wanted, binaries, told)
            except BaseException:
                self._end()
                raise
            if wanted.survive and self._guard is not None:
                self._guard.let_go()
                self._guard = None

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        with try_lock(self._layout.lock) as ours:
            if not ours:
                raise LocalClusterError(f"somebody else starts or stops the cluster in {self._layout.root} just now")
            yield

    def _begin(self, options: ClusterOptions) -> None:
        """Clear away an earlier cluster, and write down all that the new one's parts are given."""
        for leftover in ("pki", "kubeconfigs", "config", "etcd", "logs"):
            shutil.rmtree(self._layout.root / leftover, ignore_errors=True)
        state = ClusterRecord(token=chance.token_hex(16), ports=_ports(options))
        self._table = PartTable(self._layout, state)
        secrets.create(self._layout, state.ports)
        record.save(self._layout.root, state)
        self._guard = Guard(state.token)

    def _start_parts(self, options: ClusterOptions, binaries: build.Binaries, progress: Progress) -> None:
        table, ports = self.table, self.table.state.ports
        make = Parts(self._layout, ports, binaries)
        progress.say(f"starting Kubernetes {build.KUBERNETES_VERSION} at {self.server}")
        table.start(parts.ETCD, make.etcd())
        table.start(parts.APISERVER, make.apiserver(*options.apiserver_arguments))
        self._wait(parts.APISERVER)
        table.start(parts.CONTROLLER_MANAGER, make.controller_manager())
        table.start(parts.SCHEDULER, make.scheduler())
        table.start(parts.KWOK, make.kwok())
        api = self.api()
        if options.with_manifests:
            progress.say("installing Bayplan")
            configuration = install.apply(api)
            install.give_tokens(api, self._layout, ports)
            if options.with_scheduler:
                table.start(parts.OWN_SCHEDULER, make.own_scheduler(configuration))
            if options.with_service:
                for name, service in make.services(options).items():
                    table.start(name, service)
            install.wait_gating(api, table.check)
        if options.fleet is not None:
            progress.say(f"creating {options.fleet.nodes} nodes")
            self.add_nodes(options.fleet, with_reports=options.with_manifests)
        for name in table.state.parts:
            self._wait(name)
        self.wait_namespace("default")

    def _wait(self, name: str) -> None:
        until(
            lambda: self.table.is_ready(name),
            timeout_s=_READY_S,
            what=f"{name} getting ready (log: {self._layout.log(name)})",
            hopeless=self.table.check,
        )

    def stop(self) -> None:
        """End everything; the logs stay.

        Raises:
            LocalClusterError: some processes cannot be killed, or another start or stop is at work here.
        """
        with self._alone():
            self._end()

    def _end(self) -> None:
        if self._table is not None:
            self._table.end_all()
        if self._guard is not None:
            self._guard.let_go()
            self._guard = None
        shutil.rmtree(self._layout.etcd_data, ignore_errors=True)
        record.forget(self._layout.root)
        self._table = None

    # Parts

    def status(self) -> list[PartStatus]:
        """How each part is doing; none where nothing was started.

        A part is "ready", "not ready" (it runs but does not say so), "dead" (it ended by itself) or "stopped".
        """
        return [] if self._table is None else [self._table.status(name) for name in self._table.state.parts]

    def check(self) -> None:
        """Raise if a part died by itself.

        Raises:
            PartFailedError: names each, says how it ended and shows the end of its log.
        """
        self.table.check()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a part a signal; after SIGKILL it is dead when this returns.

        Raises:
            InputError: there is no such part, or it does not run.
        """
        self.table.kill(name, number)

    def stop_part(self, name: str) -> None:
        """End one part in order; `restart` brings it back.

        Raises:
            InputError: there is no such part.
        """
        self.table.end(name)

    def restart(self, name: str) -> None:
        """Start a part again as it was, ending it first if it runs. Does not wait until it is ready.

        Raises:
            InputError: there is no such part.
        """
        self.table.restart(name)

    def wait_ready(self, name: str, timeout_s: float = _READY_S) -> None:
        """Wait until the part is ready.

        Raises:
            PartFailedError: it died meanwhile.
            LocalClusterError: it took longer than `timeout_s` seconds.
        """
        self.table.wait_ready(name, timeout_s)

    # Ways in

    @property
    def state_dir(self) -> Path:
        """The state folder, as an absolute path."""
        return self._layout.root

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{HOST}:{self.table.state.ports.apiserver}"

    @property
    def service_address(self) -> tuple[str, int]:
        """Host and port of the service's HTTP listener, where the kube-scheduler looks for its extender."""
        return HOST, self.table.state.ports.service

    @property
    def grpc_address(self) -> tuple[str, int]:
        """Host and port of the service's gRPC listener; of the first replica's where there are several."""
        ports = self.table.state.ports
        return HOST, ports.replicas[1] if ports.replicas else ports.service_grpc

    def kubeconfig(self, user: str = "admin") -> Path:
        """The kubeconfig of a user: admin, bayplan, bayplan-kube-scheduler, or one of the control plane's parts.

        Raises:
            InputError: there is no such user.
        """
        path = self._layout.kubeconfig(user)
        if not path.is_file():
            raise InputError(f'the cluster has no kubeconfig for "{user}"')
        return path

    def exporter_kubeconfig(self, node: str) -> Path:
        """A kubeconfig with the rights of the exporter on a node.

        Raises:
            InputError: there is no such node, or Bayplan's manifests are not installed.
        """
        try:
            return install.give_exporter_token(self.api(), self._layout, self.table.state.ports, node)
        except ApiError as error:
            raise InputError(f'no exporter can run on "{node}": {error}') from error

    def api(self, user: str = "admin") -> Api:
        """A client with the rights of this user.

        Raises:
            InputError: there is no such user.
        """
        return Api(self.kubeconfig(user))

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self._layout.log(name)

    # Content

    def add_nodes(self, fleet: Fleet, *, with_reports: bool = True) -> Sequence[str]:
        """Create the nodes of `fleet`, with GPUNode objects if `with_reports`, wait until pods may go there.

        Returns their names.

        Raises:
            ApiError: the server refused one.
            LocalClusterError: they did not get ready.
        """
        api = self.api()
        names = populate.create(api, fleet, reports_by=self.kubeconfig() if with_reports else None)
        populate.wait_ready(api, names, self.table.check)
        return names

    def break_node(self, fleet: Fleet, node: str, fault: str) -> None:
        """Let something of a node of `fleet` fail, as its exporter then reports: `fault` as `bayplan exporter --break`.

        Raises:
            BadFaultError: the node's machine has no part that the fault names.
            ApiError: the server refused the report.
        """
        asyncio.run(reports.publish_broken(self.kubeconfig(), fleet, node, fault))

    def add_namespace(self, name: str) -> None:
        """Create a namespace and wait until pods can be made in it.

        Raises:
            ApiError: the server refused it.
        """
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.api().create("/api/v1/namespaces", body)
        self.wait_namespace(name)

    def wait_namespace(self, name: str) -> None:
        """Wait until pods can be made in a namespace: each needs its default ServiceAccount.

        Raises:
            LocalClusterError: it took longer than 30 s.
        """
        api = self.api()

        def has_account() -> bool:
            try:
                api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            except ApiError:
                return False
            return True

        until(has_account, timeout_s=_NAMESPACE_S, what=f"the namespace {name}", hopeless=self.table.check)


def _ports(options: ClusterOptions) -> Ports:
    names = [field.name for field in msgspec.structs.fields(Ports) if field.required]
    more = 2 * options.replicas if options.replicas > 1 else 0
    found = reserve(len(names) + more)
    return Ports(**dict(zip(names, found, strict=False)), replicas=found[len(names) :])
