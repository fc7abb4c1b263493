"""Kubeconfig files: who somebody is and where the API server is, in one file that works from anywhere."""

import base64
from pathlib import Path

import yaml

from scheduler.localcluster.certificates import KeyPair
from scheduler.localcluster.files import write_private

_NAME = "bayplan-local"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def write(path: Path, *, server: str, authority: bytes, user: str, credential: KeyPair | str) -> None:
    """Write a kubeconfig for `user`, with a client certificate or a bearer token; readable by its owner only."""
    match credential:
        case KeyPair(certificate=certificate, key=key):
            login = {"client-certificate-data": _text(certificate), "client-key-data": _text(key)}
        case str(token):
            login = {"token": token}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": _NAME, "cluster": {"server": server, "certificate-authority-data": _text(authority)}},
        ],
        "users": [{"name": user, "user": login}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": user}}],
        "current-context": _NAME,
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())
