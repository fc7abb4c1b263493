import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.localcluster import assets, build, golang
from scheduler.localcluster.errors import LocalClusterError
from scheduler.localcluster.progress import Quiet
from scheduler.localcluster.waiting import until
from tests.localcluster.proc import commands_with

FAKE_GO = """#!/bin/sh
# Stands for `go`: tells a version, one package, and builds after a while, counting its builds.
case "$1" in
  env) echo go1.26.9 ;;
  list) echo main ;;
  build)
    echo built >> "$BUILDS"
    while [ "$1" != -o ]; do shift; done
    echo 'some/package' >&2
    [ -z "$BROKEN" ] || { echo 'main.go:1: no such thing' >&2; exit 1; }
    sleep "${SLOW:-0.5}"
    printf '#!/bin/sh\\necho "$@"\\n' > "$2"
    chmod +x "$2" ;;
esac
"""


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a fake Go and an empty cache; gives the file that counts the builds."""
    (tmp_path / "bin").mkdir()
    go = tmp_path / "bin" / "go"
    go.write_text(FAKE_GO, encoding="utf-8")
    go.chmod(0o755)
    counted = tmp_path / "builds"
    counted.touch()
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("BAYPLAN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILDS", str(counted))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return counted


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def passing(self, text: str) -> None:
        self.lines.append(text)


def test_it_is_built_once_and_then_found(builds: Path) -> None:
    told = Told()
    binary = build.controlplane(told)
    assert build.controlplane(Quiet()) == binary
    assert builds.read_text(encoding="utf-8") == "built\n"
    assert subprocess.run([binary, "etcd"], capture_output=True, text=True, check=True).stdout == "etcd\n"
    assert "about 5 minutes" in told.lines[0]
    assert told.lines[-1].startswith("built the control plane in 0:0")


@pytest.mark.long
def test_of_two_builds_at_once_one_waits_for_the_other(builds: Path) -> None:
    program = "from scheduler.localcluster import build, Quiet; print(build.controlplane(Quiet()))"
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(answers) == 1
    assert builds.read_text(encoding="utf-8") == "built\n"


def test_a_build_that_fails_shows_what_the_compiler_said(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "yes")
    with pytest.raises(LocalClusterError, match=r"status 1:\nsome/package\nmain.go:1: no such thing"):
        build.controlplane(Quiet())
    monkeypatch.delenv("BROKEN")
    assert build.controlplane(Quiet()).exists()


def test_ctrl_c_ends_the_compilers_too(builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW", "61.25")
    command = [sys.executable, "-m", "scheduler", "cluster", "build"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as building:
        until(lambda: bool(builds.read_text(encoding="utf-8")), timeout_s=60, what="the build's start")
        building.send_signal(signal.SIGINT)
        building.wait(timeout=30)
    assert building.returncode == 130
    assert commands_with("sleep 61.25") == []


def test_other_sources_or_another_go_give_another_key(tmp_path: Path) -> None:
    module = assets.controlplane_module()
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / name).write_bytes((module / name).read_bytes())
    key = build.content_key(module, "go1.26.1")
    assert build.content_key(tmp_path, "go1.26.1") == key
    assert build.content_key(module, "go1.26.2") != key
    (tmp_path / "main.go").write_text("package main", encoding="utf-8")
    assert build.content_key(tmp_path, "go1.26.1") != key


def test_go_mod_and_the_version_that_the_binary_tells_agree() -> None:
    text = (assets.controlplane_module() / "go.mod").read_text(encoding="utf-8")
    assert f"k8s.io/kubernetes {build.KUBERNETES_VERSION}\n" in text


def test_binaries_of_the_users_own_are_taken_instead(
    builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(own))
    with pytest.raises(LocalClusterError, match="a folder with kube-apiserver"):
        build.binaries(Quiet())
    for name in ("etcd", "kube-apiserver"):
        (own / name).touch(mode=0o755)
    found = build.binaries(Quiet())
    assert found.command("etcd") == [str(own / "etcd")]
    assert found.command("kwok") == [str(found.multicall), "kwok"]
    for name in build.PROGRAMS:
        (own / name).touch(mode=0o755)
    assert build.binaries(Quiet()).multicall is None


@pytest.mark.parametrize(
    ("version", "enough"),
    [("go1.26.0", True), ("go1.27rc1", True), ("go2.0", True), ("go1.25.9", False), ("devel", False), ("", False)],
)
def test_go_1_26_is_needed(version: str, enough: bool) -> None:
    assert golang.new_enough(version) is enough
