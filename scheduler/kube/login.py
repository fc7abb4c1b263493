"""Who we are to which API server: read from a kubeconfig, or from what a pod finds inside its cluster.

Certificates stay in memory; a client key touches the disk only while the TLS library reads it, in a folder of its own.
"""

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

POD_FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token and the cluster's authority."""

TOKEN_REREAD_S = 60
"""Bound tokens are renewed in their file long before they end (kubelet: at 80 % of their life, 1 h by default)."""

EXEC_TIMEOUT_S = 60
EXPIRY_MARGIN_S = 60
"""A credential of an exec plugin is asked for anew this long before it ends."""


class LoginError(ValueError):
    """The kubeconfig, or the pod's own files, cannot be used; the text is one sentence that says why."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """An API server and a credential for it. `reread_s`: when the credential has to be read again; None never.

    `authorization` is the value of the HTTP header of that name; None where a client certificate is the credential.
    """

    server: str
    authority_pem: bytes | None = None
    verify: bool = True
    server_name: str | None = None
    certificate_pem: bytes | None = None
    key_pem: bytes | None = None
    authorization: str | None = None
    reread_s: float | None = None

    def __repr__(self) -> str:
        """The server alone: a credential never reaches a log."""
        return f"Access(server={self.server!r})"

    def tls(self) -> ssl.SSLContext | None:
        """A TLS context for this access; None for plain HTTP.

        Raises:
            LoginError: a certificate or key cannot be used.
        """
        if not self.server.startswith("https"):
            return None
        try:
            authority = self.authority_pem.decode("ascii") if self.authority_pem is not None else None
            context = ssl.create_default_context(cadata=authority)
            # Clusters' own authorities often lack extensions that this flag, on by default since Python 3.13, asks for.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate_pem is not None:
                with tempfile.TemporaryDirectory() as folder:
                    pair = Path(folder) / "pair.pem"
                    pair.touch(mode=0o600)
                    pair.write_bytes(self.certificate_pem + b"\n" + (self.key_pem or b""))
                    context.load_cert_chain(pair)
        except (ssl.SSLError, UnicodeDecodeError) as err:
            raise LoginError(f"the certificates for {self.server} cannot be used: {err}") from err
        return context


def read_access(kubeconfig: Path | None, *, now_s: float, environment: Mapping[str, str] | None = None) -> Access:
    """Access by the current context of `kubeconfig`, or the pod's own where it is None. Runs exec plugins; blocks.

    Raises:
        LoginError: something is missing, cannot be read, or asks for what is not supported.
    """
    if kubeconfig is None:
        return _pod_access(os.environ if environment is None else environment)
    try:
        document: object = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    except OSError as err:
        raise LoginError(f"cannot read the kubeconfig {str(kubeconfig)!r}: {err.strerror}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise LoginError(f"the kubeconfig {str(kubeconfig)!r} is no YAML: {' '.join(str(err).split())}") from err
    return _Kubeconfig(kubeconfig, document).access(now_s)


def _pod_access(environment: Mapping[str, str]) -> Access:
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise LoginError("no kubeconfig is given, and KUBERNETES_SERVICE_HOST and _PORT say that this is no pod")
    try:
        token = (POD_FILES / "token").read_text(encoding="ascii").strip()
        authority = (POD_FILES / "ca.crt").read_bytes()
    except OSError as err:
        raise LoginError(f"cannot read {err.filename!r} of the pod's ServiceAccount: {err.strerror}") from err
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(server=server, authority_pem=authority, authorization=f"Bearer {token}", reread_s=TOKEN_REREAD_S)


class _Kubeconfig:
    """One kubeconfig file; every complaint names it."""

    def __init__(self, path: Path, document: object) -> None:
        self._path = path
        self._document = document

    def access(self, now_s: float) -> Access:
        root = self._mapping(self._document, "the document")
        context = self._named(root, "contexts", "context", self._text(root, "current-context") or "")
        cluster = self._named(root, "clusters", "cluster", self._text(context, "cluster") or "")
        user_name = self._text(context, "user")
        nobody: Mapping[str, Any] = {}
        user = self._named(root, "users", "user", user_name) if user_name else nobody
        server = self._text(cluster, "server")
        if not server or not server.startswith(("https://", "http://")):
            raise self._error(f"server is {server!r}; an http or https URL is needed")
        if cluster.get("proxy-url"):
            raise self._error("proxy-url is not supported")
        access = Access(
            server=server.rstrip("/"),
            authority_pem=self._data(cluster, "certificate-authority"),
            verify=cluster.get("insecure-skip-tls-verify") is not True,
            server_name=self._text(cluster, "tls-server-name"),
            certificate_pem=self._data(user, "client-certificate"),
            key_pem=self._data(user, "client-key"),
        )
        return self._with_credential(access, user, now_s)

    def _with_credential(self, access: Access, user: Mapping[str, Any], now_s: float) -> Access:
        replace = msgspec.structs.replace
        if "exec" in user:
            return self._from_plugin(access, self._mapping(user["exec"], "exec"), now_s)
        if "auth-provider" in user:
            raise self._error("auth-provider is not supported, as in kubectl since 1.26; use exec")
        token_file = self._text(user, "tokenFile")
        if token_file:
            token = self._read(token_file).decode("ascii", "replace").strip()
            return replace(access, authorization=f"Bearer {token}", reread_s=TOKEN_REREAD_S)
        token = self._text(user, "token")
        if token:
            return replace(access, authorization=f"Bearer {token}")
        name = self._text(user, "username")
        if name:
            pair = base64.b64encode(f"{name}:{self._text(user, 'password') or ''}".encode())
            return replace(access, authorization=f"Basic {pair.decode('ascii')}")
        return access

    def _from_plugin(self, access: Access, plugin: Mapping[str, Any], now_s: float) -> Access:
        """Run a credential plugin (KEP-541, client.authentication.k8s.io)."""
        command = self._text(plugin, "command") or ""
        version = self._text(plugin, "apiVersion") or ""
        arguments = [str(a) for a in self._list(plugin, "args")]
        extra = {str(e["name"]): str(e["value"]) for e in (self._mapping(v, "env") for v in self._list(plugin, "env"))}
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
        if "/" in command and not Path(command).is_absolute():
            command = str(self._path.parent / command)
        try:
            done = subprocess.run(  # noqa: S603  the user's kubeconfig names the plugin, as with kubectl
                [command, *arguments],
                env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(info)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=EXEC_TIMEOUT_S,
            )
            answer = self._mapping(json.loads(done.stdout), "the answer")
        except subprocess.CalledProcessError as err:
            words = " ".join(bytes(err.stderr).decode("utf-8", "replace").split())
            raise self._error(f"the exec plugin {command!r} failed with {err.returncode}: {words[:500]}") from err
        except (OSError, ValueError, subprocess.TimeoutExpired) as err:
            raise self._error(f"the exec plugin {command!r} gave no credential: {err}") from err
        status = self._mapping(answer.get("status"), "status of the exec plugin's answer")
        token = self._text(status, "token")
        certificate, key = self._text(status, "clientCertificateData"), self._text(status, "clientKeyData")
        if not token and not (certificate and key):
            raise self._error(f"the exec plugin {command!r} gave neither token nor client certificate")
        expiry = self._text(status, "expirationTimestamp")
        return msgspec.structs.replace(
            access,
            authorization=f"Bearer {token}" if token else None,
            certificate_pem=certificate.encode() if certificate and key else access.certificate_pem,
            key_pem=key.encode() if certificate and key else access.key_pem,
            reread_s=None if not expiry else max(self._seconds(expiry) - now_s - EXPIRY_MARGIN_S, EXPIRY_MARGIN_S),
        )

    def _seconds(self, text: str) -> float:
        try:
            read = datetime.fromisoformat(text)
        except ValueError as err:
            raise self._error(f"expirationTimestamp is {text!r}; a time as in RFC 3339 is needed") from err
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()

    def _named(self, root: Mapping[str, Any], group: str, key: str, name: str) -> Mapping[str, Any]:
        entries = [self._mapping(e, group) for e in self._list(root, group)]
        for entry in entries:
            if entry.get("name") == name:
                return self._mapping(entry.get(key), f"{key} {name!r}")
        known = ", ".join(repr(e.get("name")) for e in entries) or "none"
        raise self._error(f"there is no {key} {name!r}; known: {known}")

    def _data(self, part: Mapping[str, Any], key: str) -> bytes | None:
        inline = self._text(part, f"{key}-data")
        if inline:
            try:
                return base64.b64decode(inline, validate=True)
            except binascii.Error as err:
                raise self._error(f"{key}-data is no base64") from err
        file = self._text(part, key)
        return self._read(file) if file else None

    def _read(self, file: str) -> bytes:
        try:
            return (self._path.parent / file).read_bytes()
        except OSError as err:
            raise self._error(f"{file!r} cannot be read: {err.strerror}") from err

    def _text(self, part: Mapping[str, Any], key: str) -> str | None:
        value = part.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self._error(f"{key} is {value!r}; a text is needed")

    def _list(self, part: Mapping[str, Any], key: str) -> list[object]:
        value: object = part.get(key) or []
        if not isinstance(value, list):
            raise self._error(f"{key} is {value!r}; a list is needed")
        return cast("list[object]", value)

    def _mapping(self, value: object, what: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{what} is {value!r}; a mapping is needed")
        return cast("dict[str, Any]", value)

    def _error(self, text: str) -> LoginError:
        return LoginError(f"the kubeconfig {str(self._path)!r} cannot be used: {text}")
