"""The command line, run as people run it."""

import os
import subprocess

from scheduler.localcluster import assets
from scheduler.localcluster.processes import python_command

LIMIT_S = 60.0


def bayplan(*arguments: str) -> str:
    """What `bayplan ARGUMENTS` prints; it must succeed, and say nothing on stderr."""
    done = subprocess.run(
        python_command("-m", "scheduler", *arguments),
        env={**os.environ, "PYTHONPATH": str(assets.package_parent())},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
