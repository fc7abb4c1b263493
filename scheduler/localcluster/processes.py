"""Starting processes that outlive us, knowing them again by pid and start time, ending them for certain."""

import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from scheduler.localcluster.errors import LocalClusterError

TOKEN_VARIABLE = "BAYPLAN_CLUSTER_TOKEN"  # noqa: S105 - the name of a variable, no secret
"""Environment variable that marks every process of one cluster, so that even one that was never recorded is found."""

_POLL_S = 0.02
_KILL_WAIT_S = 10.0
"""How long a killed process may take to leave the process table; longer means that the machine is broken."""


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A process that we started. `started_ticks` tells it from a later one with the same pid."""

    pid: int
    started_ticks: int


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time in clock ticks since boot, or None where there is no such process (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name may have blanks and brackets in it; the fields after it have not.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def record_of(pid: int) -> ProcessRecord:
    """The record of a live process.

    Raises:
        LocalClusterError: there is none of this pid.
    """
    stat = _stat(pid)
    if stat is None:
        raise LocalClusterError(f"process {pid} is gone")
    return ProcessRecord(pid=pid, started_ticks=stat[1])


def spawn(command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> ProcessRecord:
    """Start `command` in a session of its own, with what it writes added to `log` and nothing to read.

    Raises:
        LocalClusterError: it cannot be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawn(command[0], list(command), environment, file_actions=actions, setsid=True)
    except OSError as error:
        raise LocalClusterError(f"cannot run {command[0]}: {error.strerror}") from error
    return record_of(pid)


def is_alive(process: ProcessRecord) -> bool:
    """Whether it runs. A dead child of ours is buried on the way."""
    stat = _stat(process.pid)
    if stat is None or stat[1] != process.started_ticks:
        return False
    return stat[0] not in "ZX" or not _bury(process.pid)


def _bury(pid: int) -> bool:
    """Whether nothing of a zombie is left. While some of its threads still run, its first one is a zombie already."""
    try:
        gone, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    if gone:
        _EXITS[pid] = os.waitstatus_to_exitcode(status)
    return bool(gone)


_EXITS: dict[int, int] = {}
"""How our own dead children ended, by pid."""


def how_it_ended(process: ProcessRecord) -> str:
    """A few words on the end of a dead process; where somebody else was its parent nothing more is known."""
    code = _EXITS.get(process.pid)
    if code is None:
        return "ended"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def send(process: ProcessRecord, number: signal.Signals) -> bool:
    """Send a signal if the process still runs; whether it did."""
    if not is_alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_dead(processes: Iterable[ProcessRecord], timeout_s: float) -> list[ProcessRecord]:
    """Wait until all are gone, at most `timeout_s` seconds; return those that are not."""
    deadline_s = time.monotonic() + timeout_s
    left = [p for p in processes if is_alive(p)]
    while left and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        left = [p for p in left if is_alive(p)]
    return left


def end(processes: Sequence[ProcessRecord], grace_s: float) -> None:
    """End all: SIGTERM, `grace_s` seconds to leave, SIGKILL.

    Raises:
        LocalClusterError: some did not even leave when killed.
    """
    for process in processes:
        # A stopped process would not hear the first signal before the second.
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)
    left = wait_dead(processes, grace_s)
    for process in left:
        send(process, signal.SIGKILL)
    left = wait_dead(left, _KILL_WAIT_S)
    if left:
        raise LocalClusterError(f"these processes cannot be killed: {', '.join(str(p.pid) for p in left)}")


def marked(token: str) -> list[ProcessRecord]:
    """All processes of this user that carry the cluster's token in their environment, but not this one."""
    mark = f"{TOKEN_VARIABLE}={token}".encode()
    found: list[ProcessRecord] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        stat = _stat(int(entry.name))
        if mark in environment.split(b"\0") and stat is not None and stat[0] not in "ZX":
            found.append(ProcessRecord(pid=int(entry.name), started_ticks=stat[1]))
    return found


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, "" where there is none."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - lines * 400))
            text = stream.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def python_command(*arguments: str) -> list[str]:
    """The command line of a Python program of our own."""
    return [sys.executable, *arguments]
