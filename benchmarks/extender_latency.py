"""How long kube-scheduler waits for the extender: a real HTTP client against the real server, in another process.

One kept-alive connection sends call after call, as kube-scheduler's serial loop does. "Planner busy" means that another
thread of the service plans a gang of 1,024 pods on 5,000 nodes, again and again without a pause; "planner spins", that
it runs plain Python and never lets go of the interpreter lock by itself, which is the worst it could do. Rounds of all
settings take turns, and the figure is the median of the rounds' p99. A round during which other programs took more than
a tenth of the machine is measured again, up to a limit, and the note says what was left of their load.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from benchmarks import synthetic, table
from scheduler.extender.guard import BindRequest, Offered, Planned, Ruling, Waiting
from scheduler.extender.server import SWITCH_INTERVAL_S, ExtenderServer
from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.telemetry import Telemetry

NAME = "extender_latency"

_ROUNDS = 5
_TRIES = 12
_FOREIGN = 0.1
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


Planner = Literal["idle", "planner busy", "planner spins"]


class _Setting(NamedTuple):
    """What the service's other threads do."""

    planner: Planner
    switch_interval_s: float


def _serve(orders: Connection) -> None:
    """The server's process: one setting after another, until None comes."""
    server = ExtenderServer(_Table(), Telemetry(), list)
    server.start("127.0.0.1", 0)
    orders.send(server.port)
    doing: list[Planner] = ["idle"]
    threading.Thread(target=_plan, args=(doing,), daemon=True).start()
    while (setting := orders.recv()) is not None:
        sys.setswitchinterval(setting.switch_interval_s)
        doing[0] = setting.planner
        orders.send("set")


def _plan(doing: list[Planner]) -> None:
    """The thread beside the extender's: does what the list says, without end."""
    gang = synthetic.gang("other", [synthetic.shape(1)] * 1024)
    snapshot = synthetic.snapshot(synthetic.holes(len(_NAMES), seed=1), [gang])
    total = 0
    while True:
        match doing[0]:
            case "idle":
                time.sleep(0.01)
            case "planner busy":
                plan(snapshot, now_s=0, settings=PlanSettings())
            case "planner spins":
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


class _Server(NamedTuple):
    """A running server: its process, its port, and how to change its setting."""

    pid: int
    port: int
    change: Callable[[_Setting], None]


@contextmanager
def _server() -> Generator[_Server]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()

    def change(setting: _Setting) -> None:
        ours.send(setting)
        ours.recv()

    try:
        yield _Server(pid=process.pid or 0, port=ours.recv(), change=change)
    finally:
        ours.send(None)
        process.join()


class _Load:
    """How much of the machine other programs take, from here on."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began = self._now()

    def foreign(self) -> float:
        """0.0 to 1.0: the share of all cores' time that went to programs other than these."""
        all_of_it, idle, ours = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return max(0.0, all_of_it - idle - ours) / max(all_of_it, 1)

    def _now(self) -> tuple[int, int, int]:
        """Clock ticks of all cores in all, of them idle (proc(5): the 4th and 5th field), and of our processes."""
        machine = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        ours = 0
        for pid in self._pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ours += int(fields[11]) + int(fields[12])
        return sum(machine), machine[3] + machine[4], ours


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
    limits_ms: Mapping[Planner, float]


def _cases() -> list[_Case]:
    alone = _request("filter", "planned", [_NAMES[2500]]), b'"NodeNames":["'
    some = _request("filter", "offered", _NAMES), b'"NodeNames":["'
    scores = _request("prioritize", "offered", _NAMES), b'[{"Host":"'
    none = _request("filter", "waiting", _NAMES), b'"NodeNames":[],'
    return [
        _Case("planned pod, its node alone", [alone], 2000, {"idle": 2, "planner busy": 2}),
        _Case("filter + prioritize, 5,000 names", [some, scores], 300, {"idle": 8}),
        _Case("filter, 5,000 names, all refused", [none], 300, {"idle": 8}),
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
    """Each case with the planner at rest, busy and spinning, the last two under each switch interval."""
    settings = [_Setting("idle", SWITCH_INTERVAL_S)]
    for interval_s in switch_intervals_s:
        settings += [_Setting("planner busy", interval_s), _Setting("planner spins", interval_s)]
    cases = _cases()
    rounds: dict[tuple[_Setting, str], list[_Round]] = {(s, case.what): [] for s in settings for case in cases}
    with _server() as server:
        client = _Client(server.port)
        for _ in range(1 if quick else _TRIES):
            for (setting, what), done in rounds.items():
                if sum(r.foreign <= _FOREIGN for r in done) < _ROUNDS:
                    case = next(case for case in cases if case.what == what)
                    server.change(setting)
                    done.append(_round(server, client, case, case.calls // 10 if quick else case.calls))
        client.close()
    return [_row(case, setting, _calmest(rounds[setting, case.what])) for setting in settings for case in cases]


class _Round(NamedTuple):
    """What one round of calls took, in milliseconds."""

    p50: float
    p99: float
    longest: float
    foreign: float
    """Share of the machine that other programs took meanwhile."""


def _round(server: _Server, client: _Client, case: _Case, calls: int) -> _Round:
    _measure(client, case, case.calls // 20)
    load = _Load(server.pid, os.getpid())
    took_ms = _measure(client, case, calls)
    return _Round(took_ms[len(took_ms) // 2], _p99(took_ms), took_ms[-1], load.foreign())


def _calmest(rounds: Sequence[_Round]) -> Sequence[_Round]:
    return sorted(rounds, key=lambda r: r.foreign)[:_ROUNDS]


def _p99(in_order: Sequence[float]) -> float:
    return in_order[len(in_order) * 99 // 100]


def _row(case: _Case, setting: _Setting, rounds: Sequence[_Round]) -> table.Row:
    p50, p99 = statistics.median(r.p50 for r in rounds), statistics.median(r.p99 for r in rounds)
    least, most = min(r.p99 for r in rounds), max(r.p99 for r in rounds)
    spread = f"p50 {table.figure(p50)}, p99 of {len(rounds)} rounds {table.figure(least)}-{table.figure(most)}"
    foreign = max(r.foreign for r in rounds)
    interval_ms = 1000 * setting.switch_interval_s
    busy = setting.planner != "idle"
    limit_ms = case.limits_ms.get(setting.planner)
    return table.Row(
        benchmark=NAME,
        what=f"{case.what}; {setting.planner}, p99",
        unit="ms",
        value=p99,
        limit=None if limit_ms is None else table.Limit(most=limit_ms),
        note=f"{spread}, other programs at most {foreign:.0%} of the machine"
        + (f", switch interval {interval_ms:g} ms" if busy else ""),
        detail={
            "p50_ms": p50,
            "p99_ms": [r.p99 for r in rounds],
            "foreign_load": [r.foreign for r in rounds],
            "longest_ms": [r.longest for r in rounds],
            "calls_a_round": case.calls,
            "planner": setting.planner,
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
