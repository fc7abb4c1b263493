import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler.localcluster import ports
from scheduler.localcluster.errors import LocalClusterError


def in_order(monkeypatch: pytest.MonkeyPatch, tried: list[int]) -> None:
    """Let the ports be tried in this order."""

    def sample(*_: object) -> list[int]:
        return tried

    monkeypatch.setattr(random, "sample", sample)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAYPLAN_CACHE_DIR", str(tmp_path))


def test_two_that_ask_at_once_get_different_ports() -> None:
    with ThreadPoolExecutor(4) as pool:
        given = [port for found in pool.map(ports.reserve, [25] * 8) for port in found]
    assert len(set(given)) == 200


def test_a_port_in_use_is_not_free() -> None:
    (port,) = ports.reserve(1)
    assert ports.is_free(port)
    with socket.create_server((ports.HOST, port)):
        assert not ports.is_free(port)


def test_ports_in_use_and_promised_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = ports.reserve(3)
    monkeypatch.setattr(ports, "_RESERVED_S", -1.0)
    in_order(monkeypatch, [first, second, third])
    with socket.create_server((ports.HOST, first)):
        assert ports.reserve(2) == [second, third]
    monkeypatch.setattr(ports, "_RESERVED_S", 60.0)
    with pytest.raises(LocalClusterError, match="no 2 free ports"):
        ports.reserve(2)


def test_a_promise_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = ports.reserve(1)
    in_order(monkeypatch, [port])
    later_s = time.time() + 121
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert ports.reserve(1) == [port]
