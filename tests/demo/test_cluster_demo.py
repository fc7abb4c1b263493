"""The demo itself, as people start it."""

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from scheduler.localcluster.waiting import until

pytestmark = pytest.mark.cluster

IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "scheduler", *sys.argv[1:]])
"""
SLOW_GO = """#!/bin/sh
case "$1" in
  env) echo go1.26.9 ;;
  list) echo main ;;
  build) echo compiling >&2; sleep 61.5 ;;
esac
"""
MARK = "BAYPLAN_TEST_MARK"


def left_over(mark: str) -> list[str]:
    """Command lines of the processes that carry the mark in their environment."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text(encoding="utf-8").replace("\0", " "))
        except OSError:
            continue
    return found


def demo_until_ctrl_c(folder: Path, moment: str, environment: Mapping[str, str]) -> int:
    """Run the demo in a terminal, type Ctrl-C once `moment` stands on the screen; its exit code."""
    ours, theirs = pty.openpty()
    # Wide, so that no word is broken over two lines.
    fcntl.ioctl(theirs, 0x5414, b"\x32\x00\xc8\x00\x00\x00\x00\x00")
    command = [sys.executable, "-c", IN_TERMINAL, "demo", "--state-dir", str(folder)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment
    )
    os.close(theirs)
    screen = ""
    deadline_s = time.monotonic() + 90
    typed = False
    while time.monotonic() < deadline_s:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                screen += os.read(ours, 65536).decode(errors="replace")
            except OSError:
                break
        if not typed and moment in screen:
            os.write(ours, b"\x03")
            typed = True
    os.close(ours)
    if not typed:
        process.kill()
    code = process.wait(timeout=60)
    assert typed, screen[-2000:]
    return code


@pytest.mark.parametrize(
    "moment",
    ["linking", "starting Kubernetes", "installing Bayplan", "creating 24 nodes", "language"],
)
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, moment: str) -> None:
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark, "TERM": "xterm"}
    if moment == "linking":
        go = tmp_path / "bin" / "go"
        go.parent.mkdir()
        go.write_text(SLOW_GO, encoding="utf-8")
        go.chmod(0o755)
        environment |= {"PATH": f"{go.parent}:{os.environ['PATH']}", "BAYPLAN_CACHE_DIR": str(tmp_path / "cache")}
        environment.pop("KUBEBUILDER_ASSETS", None)
    assert demo_until_ctrl_c(tmp_path / "demo", moment, environment) == 130
    until(lambda: left_over(mark) == [], timeout_s=30, what=f"the end of {left_over(mark)}")


def bayplan(mark: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with its output."""
    command = [sys.executable, "-m", "scheduler", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, MARK: mark})


def test_the_demo_comes_out_as_it_promises_and_can_be_kept(tmp_path: Path) -> None:
    mark, folder = uuid.uuid4().hex, tmp_path / "demo"
    began_s = time.monotonic()
    done = bayplan(mark, "demo", "--json", "--keep", "--state-dir", str(folder))
    try:
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began_s < 150
        report = json.loads(done.stdout)
        assert report == json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert (report["ok"], report["broken"], report["nodes"]) == (True, [], 24)
        works = {work["name"]: work for work in report["workloads"]}
        gang = works["language/pretrain"]
        assert (gang["gpus"], len(gang["nodes"])) == (32, 4)
        assert gang["connectedness"] == "1 rack, 4 nodes, NVSwitch inside each"
        assert works["language/finetune"]["waitS"] > 10
        assert works["vision/too-wide"]["state"] == "waiting"
        crawler, label = works["search/crawler"], works["language/label"]
        assert (crawler["state"], crawler["madeWayFor"], len(label["nodes"])) == ("running", "language/label", 2)
        assert crawler["startedS"] < crawler["lostS"] < label["completedS"]
        assert set(label["nodes"]) & set(crawler["nodes"])
        assert "QuotaExhausted" in done.stderr

        told = bayplan(mark, "explain", "--kubeconfig", report["kubeconfig"], "-n", "vision", "too-wide")
        assert told.returncode == 0, told.stderr
        assert "needs 16 GPUs; queue vision may use 12" in told.stdout
    finally:
        assert bayplan(mark, "cluster", "stop", "--state-dir", str(folder)).returncode == 0
    until(lambda: left_over(mark) == [], timeout_s=30, what="the end of all processes")
