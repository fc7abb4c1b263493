"""Which queue a pod belongs to."""

from collections.abc import Mapping

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from scheduler.model.workload import Problem

DEFAULT_QUEUE = QueueName("default")
"""Serves pods that no other queue serves, where there is a queue of this name."""

NAMES_SHOWN = 8

QUEUE_KEY = "label bayplan.dev/queue"


class QueueFinder:
    """Finds queues: the one that is named, the one that lists the namespace, or the one called `default`.

    Of several queues that list a namespace, the first by name serves it.
    """

    def __init__(self, queues: Mapping[QueueName, Queue]) -> None:
        """Find among `queues`."""
        self._names = tuple(sorted(queues))
        self._known = frozenset(queues)
        self._serving = {ns: name for name in reversed(self._names) for ns in queues[name].namespaces}

    def find(self, namespace: str, named: QueueName | None) -> QueueName | Problem:
        """The queue of a pod in `namespace` that names the queue `named`, or why there is none."""
        if named is not None:
            if named in self._known:
                return named
            return Problem(where=QUEUE_KEY, value=named, allowed=f"the name of a Queue ({self._existing()})")
        found = self._serving.get(namespace)
        if found is not None:
            return found
        if DEFAULT_QUEUE in self._known:
            return DEFAULT_QUEUE
        allowed = f"the name of a Queue ({self._existing()}); no Queue lists the namespace {namespace!r}"
        return Problem(where=QUEUE_KEY, value="", allowed=allowed)

    def finds_as(self, other: "QueueFinder") -> bool:
        """Whether both find the same queues everywhere."""
        return (self._names, self._serving) == (other._names, other._serving)  # noqa: SLF001  of the same class

    def _existing(self) -> str:
        more = len(self._names) - NAMES_SHOWN
        shown = ", ".join(self._names[:NAMES_SHOWN]) or "there is none yet"
        return f"{shown} and {more} more" if more > 0 else shown
