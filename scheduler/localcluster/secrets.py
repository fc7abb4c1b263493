"""Who is who in a new cluster: its authority, certificates, keys and the kubeconfigs of its parts."""

import datetime as dt
from collections.abc import Mapping, Sequence

from scheduler.localcluster import certificates, kubeconfig
from scheduler.localcluster.certificates import Authority
from scheduler.localcluster.files import write_private
from scheduler.localcluster.layout import Layout
from scheduler.localcluster.parts import CONTROLLER_MANAGER, KWOK, SCHEDULER, SERVICE_NAMES
from scheduler.localcluster.ports import HOST
from scheduler.localcluster.record import Ports

_MASTERS = "system:masters"
_USERS: Mapping[str, tuple[str, Sequence[str]]] = {
    "admin": ("kubernetes-admin", [_MASTERS]),
    # It plays all kubelets at once, which no built-in role allows.
    KWOK: ("system:kwok", [_MASTERS]),
    CONTROLLER_MANAGER: ("system:kube-controller-manager", []),
    SCHEDULER: ("system:kube-scheduler", []),
}
"""Holders of client certificates: name and groups in the certificate."""


def create(layout: Layout, ports: Ports) -> None:
    """Write all keys and certificates of a new cluster, and a kubeconfig for each user with a certificate."""
    authority = Authority("bayplan-local", now=dt.datetime.now(dt.UTC))
    write_private(layout.authority, authority.certificate)
    serving = authority.serving("kube-apiserver", SERVICE_NAMES)
    write_private(layout.apiserver_certificate, serving.certificate)
    write_private(layout.apiserver_key, serving.key)
    component = authority.serving("component", ["localhost", HOST])
    write_private(layout.component_certificate, component.certificate)
    write_private(layout.component_key, component.key)
    keys = certificates.service_account_keys()
    write_private(layout.account_private_key, keys.private)
    write_private(layout.account_public_key, keys.public)
    for user, (name, groups) in _USERS.items():
        kubeconfig.write(
            layout.kubeconfig(user),
            server=f"https://{HOST}:{ports.apiserver}",
            authority=authority.certificate,
            user=name,
            credential=authority.client(name, groups),
        )
