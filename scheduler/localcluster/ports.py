"""Free TCP ports of 127.0.0.1 that no other starting cluster will take."""

import random
import socket
import time
from pathlib import Path

from scheduler.localcluster import cache
from scheduler.localcluster.errors import LocalClusterError
from scheduler.localcluster.files import write_private
from scheduler.localcluster.locks import lock

HOST = "127.0.0.1"

_LOW, _HIGH = 20_000, 31_999
"""Below Linux's usual range of ephemeral ports (32768 to 60999), so that no outgoing connection takes one meanwhile."""

_RESERVED_S = 120.0
"""How long a port stays promised to who asked for it; a process that is meant to listen on it does so much sooner."""


def is_free(port: int) -> bool:
    """Whether one could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _promised(path: Path, now_s: float) -> dict[int, float]:
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split() for line in lines)
    return {int(port): float(at_s) for port, at_s in pairs if now_s - float(at_s) < _RESERVED_S}


def reserve(count: int) -> list[int]:
    """`count` different free ports, promised to the caller for two minutes.

    Raises:
        LocalClusterError: this machine has no free ports left between 20000 and 31999.
    """
    folder = cache.folder()
    now_s = time.time()
    with lock(folder / "ports.lock"):
        promised = _promised(folder / "ports", now_s)
        found: list[int] = []
        for port in random.sample(range(_LOW, _HIGH + 1), _HIGH - _LOW + 1):
            if len(found) == count:
                break
            if port not in promised and is_free(port):
                found.append(port)
        if len(found) < count:
            raise LocalClusterError(f"no {count} free ports between {_LOW} and {_HIGH} on {HOST}")
        lines = [f"{port} {at_s}" for port, at_s in {**promised, **dict.fromkeys(found, now_s)}.items()]
        write_private(folder / "ports", ("\n".join(lines) + "\n").encode())
    return found
