"""Building the control plane's one binary, once for each content of its Go module and each Go version."""

import collections
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

import msgspec

from scheduler.localcluster import assets, cache, golang
from scheduler.localcluster.errors import LocalClusterError
from scheduler.localcluster.locks import try_lock
from scheduler.localcluster.progress import Progress

KUBERNETES_VERSION = "v1.36.3"
"""What the binary says it is; go.mod pins the same."""

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
"""Everything the binary can be."""

_SOURCES = ("go.mod", "go.sum", "main.go")
_VERSION_PACKAGE = "k8s.io/component-base/version"
_LDFLAGS = " ".join(
    [
        "-s -w",
        f"-X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}",
        f"-X {_VERSION_PACKAGE}.gitMajor=1",
        f"-X {_VERSION_PACKAGE}.gitMinor=36",
        f"-X {_VERSION_PACKAGE}.gitTreeState=clean",
    ]
)
_KEY_CHARS = 20
_POLL_S = 0.2
_SHOWN_LINES = 20


class Binaries(msgspec.Struct, frozen=True, kw_only=True):
    """How to run each program of the control plane."""

    multicall: Path | None
    own: dict[str, Path]

    def command(self, program: str) -> list[str]:
        """The beginning of the command line that runs `program`."""
        if program in self.own:
            return [str(self.own[program])]
        return [str(self.multicall), program]


def content_key(module: Path, go_version: str) -> str:
    """A name for what a build of `module` would give: equal names, equal binaries."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        data = (module / name).read_bytes()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    digest.update(f"{go_version} {platform.system()} {platform.machine()} {_LDFLAGS}".encode())
    return digest.hexdigest()[:_KEY_CHARS]


def user_binaries() -> dict[str, Path]:
    """The programs that `KUBEBUILDER_ASSETS` has; none where it is not set.

    Raises:
        LocalClusterError: it is set to something that is not a folder with kube-apiserver in it.
    """
    setting = os.environ.get("KUBEBUILDER_ASSETS")
    if not setting:
        return {}
    found = {name: Path(setting) / name for name in PROGRAMS if os.access(Path(setting) / name, os.X_OK)}
    if "kube-apiserver" not in found:
        raise LocalClusterError(f'KUBEBUILDER_ASSETS is "{setting}"; it must be a folder with kube-apiserver in it')
    return found


def binaries(progress: Progress) -> Binaries:
    """All programs of the control plane, built now if need be.

    Raises:
        LocalClusterError: the build failed, or there is no Go and none could be installed.
    """
    own = user_binaries()
    return Binaries(own=own, multicall=None if len(own) == len(PROGRAMS) else controlplane(progress))


def controlplane(progress: Progress) -> Path:
    """The multi-call binary, from the cache or built now. Of two builders one builds and the other waits.

    Raises:
        LocalClusterError: the build failed, or there is no Go and none could be installed.
    """
    module = assets.controlplane_module()
    go = golang.find(progress)
    key = content_key(module, go.version)
    folder = cache.folder() / "controlplane" / key
    binary = folder / "controlplane"
    started_s = time.monotonic()
    while not binary.exists():
        with try_lock(folder.with_name(f"{key}.lock")) as ours:
            if ours and not binary.exists():
                _build(module, go, folder, progress)
        if not binary.exists():
            progress.passing(f"waiting for another build of the control plane: {_clock(started_s)}")
            time.sleep(_POLL_S)
    return binary


def _clock(started_s: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started_s), 60)
    return f"{minutes}:{seconds:02d}"


def _packages(module: Path, go: golang.Go) -> int:
    """How many packages the binary consists of. Fetches the modules where they are missing."""
    done = subprocess.run(
        [go.command, "list", "-deps", "."],
        cwd=module,
        env=golang.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalClusterError(f"cannot fetch the modules of the control plane: {_end(done.stderr.splitlines())}")
    return len(done.stdout.splitlines())


def _end(lines: list[str]) -> str:
    return "\n".join(lines[-_SHOWN_LINES:])


def _build(module: Path, go: golang.Go, folder: Path, progress: Progress) -> None:
    started_s = time.monotonic()
    progress.say(
        f"building the control plane (etcd, Kubernetes {KUBERNETES_VERSION}, KWOK) with {go.version}; "
        "once, about 5 minutes on two cores"
    )
    progress.passing("fetching its modules")
    total = _packages(module, go)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    arguments = ["build", "-v", "-trimpath", "-ldflags", _LDFLAGS, "-o", str(unfinished / "controlplane"), "."]
    with subprocess.Popen(
        [go.command, *arguments],
        cwd=module,
        env=golang.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            lines = _follow(process, total, started_s, progress)
        except BaseException:
            # The compilers are children of `go`; the group takes them along.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise LocalClusterError(f"go build ended with status {process.returncode}:\n{_end(lines)}")
    unfinished.replace(folder)
    progress.say(f"built the control plane in {_clock(started_s)}")


def _follow(process: subprocess.Popen[str], total: int, started_s: float, progress: Progress) -> list[str]:
    """Tell the progress until the process ends; return what it wrote."""
    lines: collections.deque[str] = collections.deque()
    reader = threading.Thread(target=_read, args=(process.stderr, lines), daemon=True)
    reader.start()
    while process.poll() is None:
        done = len(lines)
        what = f"{done} of at most {total} packages compiled" if done < total else "linking"
        progress.passing(f"building the control plane: {_clock(started_s)}, {what}")
        time.sleep(_POLL_S)
    reader.join()
    return list(lines)


def _read(stream: IO[str] | None, lines: collections.deque[str]) -> None:
    for line in stream or ():
        lines.append(line.rstrip())
