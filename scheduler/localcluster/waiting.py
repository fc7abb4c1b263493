"""Waiting for a condition of the world, with a limit and a say for whoever knows that it is hopeless."""

import time
from collections.abc import Callable

from scheduler.localcluster.errors import LocalClusterError

_POLL_S = 0.05
_POLL_SHARE = 4.0
"""A question that took long is asked again only after this many times as long: asking must not be the load."""


def until(done: Callable[[], bool], *, timeout_s: float, what: str, hopeless: Callable[[], None] | None = None) -> None:
    """Ask `done` until it says yes. `hopeless` raises where waiting on makes no sense.

    Raises:
        LocalClusterError: it took longer than `timeout_s` seconds.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        asked_s = time.monotonic()
        if done():
            return
        if hopeless is not None:
            hopeless()
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise LocalClusterError(f"{what} took longer than {timeout_s:g} s")
        time.sleep(max(_POLL_S, _POLL_SHARE * (now_s - asked_s)))
