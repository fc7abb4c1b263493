"""Where what was built or reserved on this machine is kept, outside any checkout."""

import os
from pathlib import Path


def folder() -> Path:
    """`$BAYPLAN_CACHE_DIR`, else `$XDG_CACHE_HOME/bayplan`, else `~/.cache/bayplan`."""
    own = os.environ.get("BAYPLAN_CACHE_DIR")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "bayplan"
