"""Asking a part of the cluster whether it is ready."""

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

_TIMEOUT_S = 2.0


def answers_ok(url: str, authority: Path) -> bool:
    """Whether a GET of `url` is answered with 200; https is checked against `authority`."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 0
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context(cafile=str(authority))
        )
        if address.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    )
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
