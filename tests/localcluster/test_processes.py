import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from scheduler.localcluster import processes
from scheduler.localcluster.errors import LocalClusterError
from scheduler.localcluster.guard import Guard
from scheduler.localcluster.processes import TOKEN_VARIABLE, ProcessRecord
from scheduler.localcluster.waiting import until

SLEEP = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
)


class Nursery:
    """Starts small Python programs that carry one token, and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(8)
        self.log = folder / "child.log"

    def start(self, program: str) -> ProcessRecord:
        process = processes.spawn(
            [sys.executable, "-c", program], environment={**os.environ, TOKEN_VARIABLE: self.token}, log=self.log
        )
        until(lambda: "here" in processes.tail(self.log), timeout_s=20, what="the child")
        return process


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path)
    yield nursery
    processes.end(processes.marked(nursery.token), 0)


def test_a_started_process_is_alive_in_a_session_of_its_own(nursery: Nursery) -> None:
    process = nursery.start(SLEEP)
    assert processes.is_alive(process)
    assert os.getsid(process.pid) == process.pid
    assert processes.record_of(process.pid) == process


def test_what_it_writes_is_logged(nursery: Nursery) -> None:
    process = nursery.start("import sys; print('here'); print('there', file=sys.stderr)")
    assert processes.wait_dead([process], 20) == []
    assert processes.tail(nursery.log) == "here\nthere"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param("print('here'); raise SystemExit(3)", "ended with status 3", id="status"),
        pytest.param("import os; print('here', flush=True); os.kill(os.getpid(), 9)", "ended by SIGKILL", id="signal"),
    ],
)
def test_the_end_is_told(nursery: Nursery, program: str, said: str) -> None:
    process = nursery.start(program)
    processes.wait_dead([process], 20)
    assert said in processes.how_it_ended(process)


def test_a_polite_process_is_ended_by_sigterm(nursery: Nursery) -> None:
    process = nursery.start(SLEEP)
    processes.end([process], 20)
    assert not processes.is_alive(process)
    assert processes.how_it_ended(process) == "was ended by SIGTERM"


def test_a_stubborn_process_is_killed_when_its_time_is_over(nursery: Nursery) -> None:
    process = nursery.start(STUBBORN)
    started_s = time.monotonic()
    processes.end([process], 0.3)
    assert time.monotonic() - started_s >= 0.3
    assert processes.how_it_ended(process) == "was ended by SIGKILL"


def test_a_stopped_process_is_ended_too(nursery: Nursery) -> None:
    process = nursery.start(SLEEP)
    os.kill(process.pid, signal.SIGSTOP)
    processes.end([process], 20)
    assert processes.how_it_ended(process) == "was ended by SIGTERM"


def test_another_process_with_a_recycled_pid_is_left_alone(nursery: Nursery) -> None:
    process = nursery.start(SLEEP)
    earlier = msgspec.structs.replace(process, started_ticks=process.started_ticks - 1)
    assert not processes.is_alive(earlier)
    assert not processes.send(earlier, signal.SIGKILL)
    processes.end([earlier], 0)
    assert processes.is_alive(process)


def test_a_program_that_is_not_there_is_named(nursery: Nursery) -> None:
    with pytest.raises(LocalClusterError, match=r"cannot run /no/such/program: No such file"):
        processes.spawn(["/no/such/program"], environment={}, log=nursery.log)


def test_marked_finds_the_token_and_nothing_else(nursery: Nursery) -> None:
    process = nursery.start(SLEEP)
    assert processes.marked(nursery.token) == [process]
    assert processes.marked(nursery.token[:-1]) == []


def test_the_tail_of_a_long_log_is_short(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(100_000)), encoding="utf-8")
    assert processes.tail(log, 2) == "line 99998\nline 99999"
    assert processes.tail(tmp_path / "none") == ""


OWNER = """
import os, sys
from scheduler.localcluster.guard import Guard
guard = Guard(sys.argv[1])
print("guarded", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_guard_ends_the_cluster_whatever_ends_its_owner(nursery: Nursery, number: signal.Signals) -> None:
    process = nursery.start(SLEEP)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, nursery.token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "guarded\n"
        assert processes.is_alive(process)
        owner.send_signal(number)
        owner.wait()
    assert processes.wait_dead([process], 30) == []


def test_a_guard_that_is_let_go_ends_nothing(nursery: Nursery) -> None:
    process = nursery.start(SLEEP)
    Guard(nursery.token).let_go()
    assert processes.is_alive(process)
