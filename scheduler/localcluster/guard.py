"""The owner's side of the guard, a process that ends the cluster if its owner dies without doing so."""

import os
import subprocess

from scheduler.localcluster import assets, processes

LET_GO = b"."
"""What the owner writes into the pipe when the cluster is to live on."""


class Guard:
    """The owner's end of a pipe on which the guard waits.

    A pipe closes whatever kills the owner, unlike a signal handler or `atexit`; and unlike Linux's parent-death signal
    it does not mind which thread started a process.
    """

    def __init__(self, token: str) -> None:
        self._process = subprocess.Popen(
            processes.python_command("-m", "scheduler.localcluster.guard_process", token),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(assets.package_parent())},
        )

    def let_go(self) -> None:
        """Let the cluster live on; the guard leaves."""
        self._process.communicate(LET_GO)
