"""`python -m scheduler.localcluster.guard_process TOKEN`: end the marked processes when standard input closes."""

import sys

from scheduler.localcluster import processes
from scheduler.localcluster.guard import LET_GO

_GRACE_S = 5.0


def main() -> int:
    """Wait for the pipe to close and end what carries the token, unless told to let go."""
    token = sys.argv[1]
    if sys.stdin.buffer.read(1) == LET_GO:
        return 0
    # What was being started while we looked is seen the second time.
    while found := processes.marked(token):
        processes.end(found, _GRACE_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
