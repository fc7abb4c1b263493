"""The demo's state folder: it is emptied before each demo, so it has to be one that a demo made."""

import contextlib
import shutil
from collections.abc import Generator
from pathlib import Path

from scheduler.localcluster import InputError, LocalCluster, Progress
from scheduler.localcluster.locks import try_lock

_MARK = ".bayplan-demo"
_LOCK = "demo.lock"


@contextlib.contextmanager
def fresh(folder: Path, progress: Progress) -> Generator[None]:
    """Empty `folder` and hold it for one demo. What an earlier demo left running there is ended.

    Raises:
        InputError: the folder holds something that no demo put there, or another demo is at work in it.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f'"{folder}" is no folder; name another one with --state-dir')
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise InputError(f'"{folder}" holds files that no demo made; name an empty folder with --state-dir')
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text("A demo of Bayplan made this folder; the next one empties it.\n", encoding="utf-8")
    with try_lock(folder / _LOCK) as ours:
        if not ours:
            raise InputError(f'another demo is at work in "{folder}"; name another folder with --state-dir')
        earlier = LocalCluster(folder)
        if earlier.status():
            progress.say("ending the cluster that an earlier demo left running")
            earlier.stop()
        _empty(folder)
        yield


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name in (_MARK, _LOCK):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
