"""`python -m scheduler.localcluster.front HOST:PORT BACKEND...`: one address for several replicas of the service.

It does what a Kubernetes Service does: a connection goes to a replica that is ready, which is the one that leads. A
replica that stops being ready loses its connections, so that clients with kept connections come to the next leader.
"""

import http.client
import signal
import socket
import sys
import threading
import time

_ASK_EVERY_S = 0.2
_ASK_TIMEOUT_S = 1.0
_CHUNK_BYTES = 65_536

Address = tuple[str, int]


def address(text: str) -> Address:
    """Host and port of "HOST:PORT"."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def is_ready(backend: Address) -> bool:
    """Whether a replica says that it leads."""
    connection = http.client.HTTPConnection(*backend, timeout=_ASK_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Front:
    """Passes bytes between clients and the replica that is ready."""

    def __init__(self, listen: Address, backends: list[Address]) -> None:
        self._backends = backends
        self._listener = socket.create_server(listen)
        self._lock = threading.Lock()
        self._leader: Address | None = None
        self._open: set[socket.socket] = set()

    def watch(self) -> None:
        """Ask the replicas for ever which one is ready."""
        while True:
            leader = next((b for b in self._backends if is_ready(b)), None)
            with self._lock:
                if leader != self._leader:
                    self._leader = leader
                    for connection in self._open:
                        _close(connection)
                    self._open.clear()
            time.sleep(_ASK_EVERY_S)

    def serve(self) -> None:
        """Take connections for ever; without a ready replica they are closed at once."""
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with self._lock:
            leader = self._leader
        try:
            backend = socket.create_connection(leader, _ASK_TIMEOUT_S) if leader else None
        except OSError:
            backend = None
        if backend is None:
            client.close()
            return
        pair = (client, backend)
        for one in pair:
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.update(pair)
        back = threading.Thread(target=_pump, args=(backend, client), daemon=True)
        back.start()
        _pump(client, backend)
        back.join()
        with self._lock:
            self._open.difference_update(pair)
        for one in pair:
            one.close()


def _close(connection: socket.socket) -> None:
    """Wake whoever reads from it; the sockets are closed by the thread that passes their bytes."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until one side is done, and then end both directions: HTTP needs no half-open connection."""
    try:
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        _close(source)
        _close(sink)


def main() -> int:
    """Run until killed."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listen, *backends = (address(text) for text in sys.argv[1:])
    front = Front(listen, backends)
    threading.Thread(target=front.watch, daemon=True).start()
    front.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
