"""The command line of each part of a cluster."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from scheduler.localcluster import assets
from scheduler.localcluster.api import Json
from scheduler.localcluster.build import Binaries
from scheduler.localcluster.files import write_private
from scheduler.localcluster.layout import Layout
from scheduler.localcluster.options import ClusterOptions
from scheduler.localcluster.ports import HOST
from scheduler.localcluster.processes import python_command
from scheduler.localcluster.record import PartRecord, Ports

ETCD = "etcd"
APISERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
OWN_SCHEDULER = "bayplan-kube-scheduler"
KWOK = "kwok"
SERVICE = "bayplan"
FRONT = "bayplan-front"

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", HOST, "10.96.0.1")
"""Every name by which clients reach the API server, for its certificate."""

_RATE = "5000"
"""Requests a second that clients allow themselves; the defaults would make the client the bottleneck."""

_IMPORTABLE = {"PYTHONPATH": str(assets.package_parent())}

_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourceclaim-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)

_NODES_STAY = "8760h"
"""How long a node may be silent: KWOK writes no leases, so that thousands of idle nodes cost nothing."""


class Parts:
    """Makes the parts of one cluster out of where its files and ports are."""

    def __init__(self, layout: Layout, ports: Ports, binaries: Binaries) -> None:
        self._layout = layout
        self._ports = ports
        self._binaries = binaries

    def _kubernetes(self, program: str, port: int, user: str, *arguments: str) -> PartRecord:
        """A client of the API server that itself serves health and metrics over TLS."""
        layout = self._layout
        kubeconfig = layout.kubeconfig(user)
        return PartRecord(
            command=[
                *self._binaries.command(program),
                f"--bind-address={HOST}",
                f"--secure-port={port}",
                f"--tls-cert-file={layout.component_certificate}",
                f"--tls-private-key-file={layout.component_key}",
                f"--client-ca-file={layout.authority}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                *arguments,
            ],
            ready_url=f"https://{HOST}:{port}/{'healthz' if program == CONTROLLER_MANAGER else 'readyz'}",
        )

    def etcd(self) -> PartRecord:
        """The store. It does not wait for the disk: what a power cut would lose is a throw-away cluster."""
        url = f"http://{HOST}:{self._ports.etcd}"
        # Nobody joins it, so any free port will do.
        peer = f"http://{HOST}:0"
        return PartRecord(
            command=[
                *self._binaries.command(ETCD),
                f"--data-dir={self._layout.etcd_data}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer}",
                "--unsafe-no-fsync",
                "--quota-backend-bytes=8589934592",
                "--log-level=warn",
            ],
            ready_url=f"{url}/readyz",
        )

    def apiserver(self, *arguments: str) -> PartRecord:
        """The API server, with more arguments."""
        layout = self._layout
        port = self._ports.apiserver
        return PartRecord(
            command=[
                *self._binaries.command(APISERVER),
                f"--etcd-servers=http://{HOST}:{self._ports.etcd}",
                f"--bind-address={HOST}",
                f"--secure-port={port}",
                f"--tls-cert-file={layout.apiserver_certificate}",
                f"--tls-private-key-file={layout.apiserver_key}",
                f"--client-ca-file={layout.authority}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={layout.account_private_key}",
                f"--service-account-key-file={layout.account_public_key}",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
                # A loopback address may not stand in Endpoints, and nothing here looks there.
                "--endpoint-reconciler-type=none",
                # Nodes are ready when they are made; lifting this plugin's taint takes two more requests for each.
                "--disable-admission-plugins=TaintNodesByCondition",
                "--allow-privileged",
                "--max-requests-inflight=1500",
                "--max-mutating-requests-inflight=750",
                "--profiling=false",
                "--shutdown-delay-duration=0s",
                *arguments,
            ],
            ready_url=f"https://{HOST}:{port}/readyz",
        )

    def controller_manager(self) -> PartRecord:
        """The controllers that jobs, deployments, namespaces and nodes need."""
        layout = self._layout
        return self._kubernetes(
            CONTROLLER_MANAGER,
            self._ports.controller_manager,
            CONTROLLER_MANAGER,
            f"--kubeconfig={layout.kubeconfig(CONTROLLER_MANAGER)}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={layout.account_private_key}",
            f"--root-ca-file={layout.authority}",
            "--leader-elect=false",
            f"--node-monitor-grace-period={_NODES_STAY}",
            f"--node-startup-grace-period={_NODES_STAY}",
            "--node-monitor-period=1m",
            "--concurrent-job-syncs=10",
            f"--kube-api-qps={_RATE}",
            f"--kube-api-burst={_RATE}",
            "--profiling=false",
        )

    def scheduler(self) -> PartRecord:
        """The default kube-scheduler, for everybody who does not ask for Bayplan."""
        _write_yaml(
            self._layout.scheduler_config,
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "clientConnection": self._connection(SCHEDULER),
                "leaderElection": {"leaderElect": False},
                "profiles": [{"schedulerName": "default-scheduler"}],
            },
        )
        config = f"--config={self._layout.scheduler_config}"
        return self._kubernetes(SCHEDULER, self._ports.scheduler, SCHEDULER, config)

    def _connection(self, user: str) -> Json:
        return {"kubeconfig": str(self._layout.kubeconfig(user)), "qps": int(_RATE), "burst": int(_RATE)}

    def own_scheduler(self, configuration: Json) -> PartRecord:
        """Bayplan's kube-scheduler: the manifests' configuration with the addresses of this cluster.

        Nobody stands by here, so it needs no lease. It would lose it, and end, where the machine is busy for seconds.
        """
        extenders: list[Json] = [
            {
                **{k: v for k, v in extender.items() if k not in ("enableHTTPS", "tlsConfig")},
                "urlPrefix": f"http://{HOST}:{self._ports.service}",
            }
            for extender in configuration.get("extenders", ())
        ]
        changed = {
            **configuration,
            "clientConnection": {**configuration.get("clientConnection", {}), **self._connection(OWN_SCHEDULER)},
            "leaderElection": {"leaderElect": False},
            "extenders": extenders,
        }
        _write_yaml(self._layout.own_scheduler_config, changed)
        config = f"--config={self._layout.own_scheduler_config}"
        return self._kubernetes(SCHEDULER, self._ports.own_scheduler, OWN_SCHEDULER, config)

    def kwok(self) -> PartRecord:
        """The fake kubelets."""
        return PartRecord(
            command=[
                *self._binaries.command(KWOK),
                f"--kubeconfig={self._layout.kubeconfig(KWOK)}",
                f"--config={assets.data_file('kwok-stages.yaml')}",
                f"--server-address={HOST}:{self._ports.kwok}",
            ],
            ready_url=f"http://{HOST}:{self._ports.kwok}/healthz",
        )

    def services(self, options: ClusterOptions) -> Mapping[str, PartRecord]:
        """Bayplan itself: one instance, or several behind one address. Of several only the leader gets ready."""
        ports = self._ports
        if not ports.replicas:
            return {SERVICE: self._service(options, ports.service, ports.service_grpc, "readyz")}
        pairs = list(zip(ports.replicas[::2], ports.replicas[1::2], strict=True))
        names = [SERVICE, *(f"{SERVICE}-{number}" for number in range(2, len(pairs) + 1))]
        replicas = {
            name: self._service(options, http, grpc, "healthz") for name, (http, grpc) in zip(names, pairs, strict=True)
        }
        listen = f"{HOST}:{ports.service}"
        front = PartRecord(
            command=python_command(
                "-m", "scheduler.localcluster.front", listen, *(f"{HOST}:{http}" for http, _ in pairs)
            ),
            environment=_IMPORTABLE,
            ready_url=f"http://{listen}/readyz",
        )
        return {**replicas, FRONT: front}

    def _service(self, options: ClusterOptions, http: int, grpc: int, ready: str) -> PartRecord:
        return PartRecord(
            command=python_command(
                "-m",
                "scheduler",
                "serve",
                f"--kubeconfig={self._layout.kubeconfig(SERVICE)}",
                f"--listen={HOST}:{http}",
                f"--grpc-listen={HOST}:{grpc}",
                *options.service_arguments,
            ),
            environment={**_IMPORTABLE, **options.service_environment},
            ready_url=f"http://{HOST}:{http}/{ready}",
        )


def _write_yaml(path: Path, content: Json) -> None:
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
