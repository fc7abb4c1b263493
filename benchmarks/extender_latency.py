"""How long kube-scheduler waits for the extender: a real HTTP client against the real server, in another process.

One kept-alive connection sends call after call, as kube-scheduler's serial loop does. "Planner busy" means that a
thread of the service runs Python without a pause, the worst a planner can do to the extender's thread. Rounds of both
settings take turns, and the figure is the median of the rounds' p99, so that a burst of other load does not decide.
"""

import argparse
import multiprocessing
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import msgspec

from benchmarks import table
from scheduler.extender.guard import BindRequest, Offered, Planned, Ruling, Waiting
from scheduler.extender.server import SWITCH_INTERVAL_S, ExtenderServer
from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.telemetry import Telemetry

NAME = "extender_latency"

_ROUNDS = 5
_WORKLOAD = WorkloadKey("gang:team/train")
_NAMES = [NodeName(f"gpu-pool-h100-{i:05}.example.internal") for i in range(5000)]


class _Table:
    """A guard with one pod of each kind, as many as the service would know."""

    def __init__(self) -> None:
        self._rulings: dict[PodUid, Ruling] = {
            PodUid("planned"): Planned(workload=_WORKLOAD, node=_NAMES[2500]),
            PodUid("offered"): Offered(workload=_WORKLOAD, scores={n: i % 100 for i, n in enumerate(_NAMES)}),
            PodUid("waiting"): Waiting(workload=_WORKLOAD),
        }

    def ruling(self, uid: PodUid) -> Ruling | None:
        return self._rulings.get(uid)

    def judge(self, pod: msgspec.Raw) -> Ruling:
        raise NotImplementedError(f"every pod of this benchmark is known: {pod!r}")

    def refused(self, uid: PodUid, node: NodeName) -> None:
        raise NotImplementedError(f"nothing is refused in this benchmark: {uid} {node}")

    async def bind(self, request: BindRequest) -> str | None:
        raise NotImplementedError(f"nothing is bound in this benchmark: {request}")


class _Setting(NamedTuple):
    """What the service's other threads do."""

    busy: bool
    switch_interval_s: float


def _serve(orders: Connection) -> None:
    """The server's process: one setting after another, until None comes."""
    server = ExtenderServer(_Table(), Telemetry(), list)
    server.start("127.0.0.1", 0)
    orders.send(server.port)
    rest = threading.Event()
    rest.set()
    threading.Thread(target=_plan, args=(rest,), daemon=True).start()
    while (setting := orders.recv()) is not None:
        sys.setswitchinterval(setting.switch_interval_s)
        (rest.clear if setting.busy else rest.set)()
        orders.send("set")


def _plan(rest: threading.Event) -> None:
    """A planner that never pauses unless told to rest; leaves out nothing that would release the interpreter lock."""
    total = 0
    while True:
        if rest.is_set():
            time.sleep(0.01)
        for i in range(10_000):
            total = (total * 31 + i) % 1_000_003


class _Client:
    """One connection that sends whole requests and reads whole answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, request: bytes) -> bytes:
        self._socket.sendall(request)
        data = self._socket.recv(1 << 20)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        parts, have = [body], len(body)
        while have < length:
            parts.append(self._socket.recv(1 << 20))
            have += len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def _server() -> Generator[tuple[int, Callable[[_Setting], None]]]:
    """A running server: its port, and how to change its setting."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()

    def change(setting: _Setting) -> None:
        ours.send(setting)
        ours.recv()

    try:
        yield ours.recv(), change
    finally:
        ours.send(None)
        process.join()


def _request(verb: str, pod: str, names: Sequence[str]) -> bytes:
    """A call with a pod of about 5 KiB, as kube-scheduler sends it."""
    env = [{"name": f"SETTING_{i}", "value": "value-of-some-length"} for i in range(50)]
    mounts = [{"name": f"volume-{i}", "mountPath": f"/mnt/volume-{i}"} for i in range(8)]
    resources = {"limits": {"nvidia.com/gpu": "8"}, "requests": {"cpu": "64", "memory": "512Gi"}}
    container = {"name": "train", "image": "registry/train:1", "env": env, "volumeMounts": mounts}
    metadata = {"name": pod, "namespace": "team", "uid": pod, "labels": {f"label-{i}": "value" for i in range(10)}}
    record = {
        "metadata": metadata,
        "spec": {"schedulerName": "bayplan", "containers": [container | {"resources": resources}]},
        "status": {"phase": "Pending", "nominatedNodeName": names[0] if len(names) == 1 else ""},
    }
    body = msgspec.json.encode({"Pod": record, "Nodes": None, "NodeNames": names})
    head = f"POST /{verb} HTTP/1.1\r\nHost: bayplan\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class _Case(NamedTuple):
    """Calls that are measured together, and what each has to answer; the budgets are those of the design."""

    what: str
    requests: list[tuple[bytes, bytes]]
    calls: int
    limit_ms: float | None
    busy_limit_ms: float | None


def _cases() -> list[_Case]:
    alone = _request("filter", "planned", [_NAMES[2500]]), b'"NodeNames":["'
    some = _request("filter", "offered", _NAMES), b'"NodeNames":["'
    scores = _request("prioritize", "offered", _NAMES), b'[{"Host":"'
    none = _request("filter", "waiting", _NAMES), b'"NodeNames":[],'
    return [
        _Case("planned pod, its node alone", [alone], 2000, 2, 2),
        _Case("filter + prioritize, 5,000 names", [some, scores], 300, 8, None),
        _Case("filter, 5,000 names, all refused", [none], 300, 8, None),
    ]


def _measure(client: _Client, case: _Case, calls: int) -> list[float]:
    """Milliseconds of each round of calls, sorted."""
    took_ms: list[float] = []
    for _ in range(calls):
        began_s = time.perf_counter()
        answers = [client.call(request) for request, _ in case.requests]
        took_ms.append(1000 * (time.perf_counter() - began_s))
        for answer, (_, start) in zip(answers, case.requests, strict=True):
            if start not in answer[:20]:
                raise RuntimeError(f"the extender answered {answer[:200]!r}")
    return sorted(took_ms)


def run(*, quick: bool, switch_intervals_s: Sequence[float] = (SWITCH_INTERVAL_S,)) -> list[table.Row]:
    """Each case with the planner at rest, and with it busy under each of the interpreter's switch intervals."""
    settings = [_Setting(busy=False, switch_interval_s=SWITCH_INTERVAL_S)]
    settings += [_Setting(busy=True, switch_interval_s=interval_s) for interval_s in switch_intervals_s]
    cases = _cases()
    rounds: dict[tuple[_Setting, str], list[_Round]] = {(s, case.what): [] for s in settings for case in cases}
    with _server() as (port, change):
        client = _Client(port)
        for _ in range(1 if quick else _ROUNDS):
            for setting in settings:
                change(setting)
                for case in cases:
                    _measure(client, case, case.calls // 20)
                    took_ms = _measure(client, case, case.calls // 10 if quick else case.calls)
                    rounds[setting, case.what].append(_Round(took_ms[len(took_ms) // 2], _p99(took_ms), took_ms[-1]))
        client.close()
    return [_row(case, setting, rounds[setting, case.what]) for setting in settings for case in cases]


class _Round(NamedTuple):
    """What one round of calls took, in milliseconds."""

    p50: float
    p99: float
    longest: float


def _p99(in_order: Sequence[float]) -> float:
    return in_order[len(in_order) * 99 // 100]


def _row(case: _Case, setting: _Setting, rounds: Sequence[_Round]) -> table.Row:
    p50, p99 = statistics.median(r.p50 for r in rounds), statistics.median(r.p99 for r in rounds)
    least, most = min(r.p99 for r in rounds), max(r.p99 for r in rounds)
    spread = f"p50 {table.figure(p50)}, p99 of {len(rounds)} rounds {table.figure(least)}-{table.figure(most)}"
    interval_ms = 1000 * setting.switch_interval_s
    limit_ms = case.busy_limit_ms if setting.busy else case.limit_ms
    return table.Row(
        benchmark=NAME,
        what=f"{case.what}; {'planner busy' if setting.busy else 'idle'}, p99",
        unit="ms",
        value=p99,
        limit=None if limit_ms is None else table.Limit(most=limit_ms),
        note=spread + (f", switch interval {interval_ms:g} ms" if setting.busy else ""),
        detail={
            "p50_ms": p50,
            "p99_ms": [r.p99 for r in rounds],
            "longest_ms": [r.longest for r in rounds],
            "calls_a_round": case.calls,
            "planner_busy": setting.busy,
            "switch_interval_ms": interval_ms,
        },
    )


def main() -> int:
    """Compare switch intervals: `python -m benchmarks.extender_latency --switch-interval-ms 5 1 0.5`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switch-interval-ms", type=float, nargs="+", default=[1000 * SWITCH_INTERVAL_S])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = run(quick=options.quick, switch_intervals_s=[ms / 1000 for ms in options.switch_interval_ms])
    print(table.text(table.machine(), rows))
    return int(any(row.verdict == "over" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
