import http.client
import os
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scheduler.localcluster import assets, ports, processes
from scheduler.localcluster.front import Address
from scheduler.localcluster.waiting import until


class Replica:
    """An HTTP server that tells its name, and that it is ready where `leads` is set."""

    def __init__(self, name: str) -> None:
        self.leads = threading.Event()
        leads = self.leads

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = name.encode()
                ready = self.path != "/readyz" or leads.is_set()
                self.send_response(200 if ready else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    replicas = [Replica("one"), Replica("two")]
    yield replicas
    for replica in replicas:
        replica.close()


@pytest.fixture
def front(replicas: list[Replica], tmp_path: Path) -> Iterator[Address]:
    token = secrets.token_hex(8)
    (port,) = ports.reserve(1)
    processes.spawn(
        processes.python_command(
            "-m", "scheduler.localcluster.front", f"127.0.0.1:{port}", *(r.address for r in replicas)
        ),
        environment={**os.environ, "PYTHONPATH": str(assets.package_parent()), processes.TOKEN_VARIABLE: token},
        log=tmp_path / "front.log",
    )
    until(lambda: not ports.is_free(port), timeout_s=20, what="the front")
    yield ("127.0.0.1", port)
    processes.end(processes.marked(token), 5)


def asked(front: Address) -> str:
    """Who answers a fresh connection, "" where nobody does."""
    connection = http.client.HTTPConnection(*front, timeout=5)
    try:
        connection.request("GET", "/filter")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def test_connections_go_to_the_replica_that_leads(front: Address, replicas: list[Replica]) -> None:
    assert asked(front) == ""
    replicas[1].leads.set()
    until(lambda: asked(front) == "two", timeout_s=20, what="the second replica")
    replicas[1].leads.clear()
    replicas[0].leads.set()
    until(lambda: asked(front) == "one", timeout_s=20, what="the first replica")


def test_kept_connections_end_with_their_leader(front: Address, replicas: list[Replica]) -> None:
    replicas[0].leads.set()
    until(lambda: asked(front) == "one", timeout_s=20, what="the first replica")
    kept = http.client.HTTPConnection(*front, timeout=20)
    for _ in range(2):
        kept.request("GET", "/filter")
        assert kept.getresponse().read() == b"one"
    replicas[0].leads.clear()
    assert kept.sock is not None
    assert kept.sock.recv(1) == b""
    kept.close()
