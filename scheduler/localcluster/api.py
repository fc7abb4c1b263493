"""A small client of the API server: JSON in, JSON out, one kept connection a thread."""

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import yaml

from scheduler.localcluster.errors import ApiError

Json = dict[str, Any]
"""An API object as it stands in JSON."""

_TIMEOUT_S = 60.0
_PATIENCE_S = 30.0
"""How long a request is repeated that the server is too busy for (429), or not ready for yet."""

_PAUSE_S = 0.5
_NO_ANSWER = (OSError, http.client.HTTPException)


class _Connection(http.client.HTTPSConnection):
    """A connection that goes with its owner, so that an `Api` may simply be dropped."""

    def __del__(self) -> None:
        self.close()


class Api:
    """What a kubeconfig of this package opens. Safe to use from several threads."""

    def __init__(self, kubeconfig: Path) -> None:
        config: Json = yaml.safe_load(kubeconfig.read_text("utf-8"))
        cluster: Json = config["clusters"][0]["cluster"]
        login: Json = config["users"][0]["user"]
        address = urlsplit(str(cluster["server"]))
        self._host, self._port = address.hostname or "", address.port or 443
        self._tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        )
        self._headers = {"Accept": "application/json"}
        if "token" in login:
            self._headers["Authorization"] = f"Bearer {login['token']}"
        else:
            _load_client_certificate(self._tls, login)
        self._kept = threading.local()

    def _connection(self) -> http.client.HTTPSConnection:
        kept = cast("http.client.HTTPSConnection | None", getattr(self._kept, "connection", None))
        if kept is None:
            kept = _Connection(self._host, self._port, context=self._tls, timeout=_TIMEOUT_S)
            self._kept.connection = kept
        return kept

    def close(self) -> None:
        """Close the calling thread's connection."""
        kept = cast("http.client.HTTPSConnection | None", getattr(self._kept, "connection", None))
        if kept is not None:
            kept.close()

    def call(self, method: str, path: str, body: Json | None = None, *, content: str = "application/json") -> Json:
        """One request, repeated where the server asks for that; the answer's object.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        data = None if body is None else json.dumps(body).encode()
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            status, answer = self._exchange(method, path, data, content)
            # A server that has just started, or has too much to do, says so and has done nothing. An eviction is
            # answered so by a disruption budget, which is an answer.
            later = status == http.client.TOO_MANY_REQUESTS and not path.partition("?")[0].endswith("/eviction")
            if not later or time.monotonic() > give_up_s:
                break
            time.sleep(_PAUSE_S)
        if status >= http.client.BAD_REQUEST:
            raise _refusal(method, path, status, answer)
        return cast("Json", json.loads(answer)) if answer else {}

    def text(self, path: str) -> str:
        """The answer to a GET as it came; for paths that do not speak JSON.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        status, answer = self._exchange("GET", path, None, "")
        if status >= http.client.BAD_REQUEST:
            raise _refusal("GET", path, status, answer)
        return answer.decode("utf-8", errors="replace")

    def _exchange(self, method: str, path: str, body: bytes | None, content: str) -> tuple[int, bytes]:
        connection = self._connection()
        headers = {**self._headers, **({"Content-Type": content} if body is not None else {})}
        # A kept connection may have been closed by the server since; a fresh one may not.
        for fresh in (connection.sock is None, True):
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except _NO_ANSWER as error:
                connection.close()
                if fresh:
                    raise ApiError(f"{method} {path}: no answer from the API server: {error}") from error
        raise AssertionError("the second try is a fresh one")  # pragma: no cover

    def create(self, path: str, body: Json) -> Json:
        """POST `body` to a collection.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        return self.call("POST", path, body)

    def get(self, path: str) -> Json:
        """GET an object or a list.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        return self.call("GET", path)

    def merge(self, path: str, body: Json) -> Json:
        """Merge-patch an object or its subresource.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        return self.call("PATCH", path, body, content="application/merge-patch+json")

    def apply(self, path: str, body: Json) -> Json:
        """Server-side apply, taking over fields that others set.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        where = f"{path}?fieldManager=bayplan-cluster&force=true"
        return self.call("PATCH", where, body, content="application/apply-patch+yaml")

    def delete(self, path: str) -> Json:
        """DELETE an object.

        Raises:
            ApiError: the server refused it, or did not answer.
        """
        return self.call("DELETE", path)


def _load_client_certificate(tls: ssl.SSLContext, login: Json) -> None:
    # The ssl module reads certificates from files only.
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64decode(login["client-certificate-data"]))
        file.write(base64.b64decode(login["client-key-data"]))
        file.flush()
        tls.load_cert_chain(file.name)


def _refusal(method: str, path: str, status: int, answer: bytes) -> ApiError:
    try:
        details = cast("Json", json.loads(answer))
    except ValueError:
        details = {"message": answer.decode("utf-8", errors="replace")}
    text = str(details.get("message", ""))
    return ApiError(f"{method} {path}: {status}: {text}", status=status, reason=str(details.get("reason", "")))
