"""Looking at the processes of this machine."""

import os
from pathlib import Path


def commands_with(text: str) -> list[str]:
    """Command lines, arguments joined by blanks, of all other processes that have `text` in theirs."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if text in command:
                found.append(command)
    return found
