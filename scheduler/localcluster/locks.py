"""A lock between processes, held as long as its holder lives."""

import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path
from typing import IO


def _try(stream: IO[bytes]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def try_lock(path: Path) -> Generator[bool]:
    """Yield whether the lock is ours; it is given back at the end, also when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        yield _try(stream)


@contextlib.contextmanager
def lock(path: Path) -> Generator[None]:
    """Wait for the lock, hold it, give it back; also when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
