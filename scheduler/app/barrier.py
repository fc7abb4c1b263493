"""The barrier of one plan: who has arrived to be bound, and when all may go.

Pure state: no clock, no I/O. A gang passes once every expected member has arrived; from then on nothing calls it back.
"""

from collections.abc import Mapping
from enum import Enum

from scheduler.model.names import NodeName, PodUid


class Passage(Enum):
    """What an arrival means."""

    HELD = "held"
    """Others are still to come."""

    OPENS = "opens"
    """It was the last: all are to be bound now."""

    OPEN = "open"
    """It comes again after the barrier opened."""

    REFUSED = "refused"
    """It is not expected, or not on this node."""


class Barrier:
    """Holds the members of one plan until all are there."""

    def __init__(self, expected: Mapping[PodUid, NodeName]) -> None:
        self._expected = dict(expected)
        self._arrived: set[PodUid] = set()
        self._open = False

    def arrive(self, pod: PodUid, node: NodeName) -> Passage:
        """kube-scheduler asks to bind `pod` to `node`; arriving twice counts once."""
        if self._expected.get(pod) != node:
            return Passage.REFUSED
        if self._open:
            return Passage.OPEN
        self._arrived.add(pod)
        if len(self._arrived) < len(self._expected):
            return Passage.HELD
        self._open = True
        return Passage.OPENS

    def leave(self, pod: PodUid) -> None:
        """kube-scheduler hung up: it holds no room for `pod` any more. Means nothing once the barrier is open."""
        if not self._open:
            self._arrived.discard(pod)

    @property
    def opened(self) -> bool:
        """Whether all arrived."""
        return self._open

    @property
    def arrived(self) -> int:
        """How many have arrived."""
        return len(self._arrived)

    @property
    def missing(self) -> tuple[PodUid, ...]:
        """Those still to come, sorted."""
        return tuple(sorted(self._expected.keys() - self._arrived))
