"""What a run cost: processor time of each part, writes to the API; and when the machine has settled after one."""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
_LOOK_S = 0.5
_IDLE_SHARE = 0.10
SETTLE_S = 30.0
"""How long a machine is waited for at most. One that others keep busy settles never; figures say how busy it was."""
_WRITES = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_BINDINGS = "POST pods/binding"
_COUNT_S = 30.0
"""How long the API server's own count is waited for; it lags by moments."""

_COUNT_POLL_S = 0.1
_WRITE_VERBS = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, 0 where it is gone (proc(5), fields 14 and 15)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process in MiB; `VmHWM` gives the most it ever had (proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def busy_s() -> float:
    """Seconds that all cores together were not idle (proc(5): fields 4 and 5 of the first line are idle and iowait)."""
    fields = [int(f) for f in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS


async def settle(most_s: float = SETTLE_S) -> float:
    """Wait until the machine does next to nothing, at most `most_s` seconds; return the share of its cores in use."""
    deadline_s = time.monotonic() + most_s
    while True:
        before_s, began_s = busy_s(), time.monotonic()
        await asyncio.sleep(_LOOK_S)
        share = (busy_s() - before_s) / CORES / (time.monotonic() - began_s)
        if share < _IDLE_SHARE or time.monotonic() > deadline_s:
            return share


def writes(metrics: str) -> Counter[str]:
    """How often each kind of write was asked of the API server, as in "PATCH pods/status", out of its metrics."""
    counted: Counter[str] = Counter()
    for labels, value in _WRITES.findall(metrics):
        found = dict(_LABEL.findall(labels))
        if found["verb"] in _WRITE_VERBS and found["resource"] != "leases":
            place = f"{found['resource']}/{found['subresource']}".rstrip("/")
            counted[f"{found['verb']} {place}"] += int(float(value))
    return counted


async def writes_since(before: Counter[str], metrics: Callable[[], Awaitable[str]], *, bound: int) -> Counter[str]:
    """How often each kind of write was asked since `before`, once the bindings of `bound` pods are among them.

    A watch may tell of a bound pod before the API server has counted the request that bound it. A scheduler that binds
    in some other way is not waited for longer than half a minute.
    """
    deadline_s = time.monotonic() + _COUNT_S
    while True:
        counted = writes(await metrics()) - before
        if counted[_BINDINGS] >= bound or time.monotonic() > deadline_s:
            return counted
        await asyncio.sleep(_COUNT_POLL_S)
