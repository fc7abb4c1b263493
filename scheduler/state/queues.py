"""Which queue a pod belongs to."""

from collections.abc import Mapping, Sequence

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from scheduler.model.workload import QUEUE_KEY, Problem, Requirement

DEFAULT_QUEUE = QueueName("default")
"""Serves pods that no other queue serves, where there is a queue of this name."""

NAMES_SHOWN = 8

Labels = tuple[tuple[str, str], ...]


class QueueFinder:
    """Finds queues: the one that is named, the one that serves the namespace, or the one called `default`.

    A queue serves the namespaces that it lists, and those whose labels it selects. Where several queues claim a
    namespace, one that lists it goes before those that select it, and of these the first by name serves it.
    """

    def __init__(self, queues: Mapping[QueueName, Queue], namespaces: Mapping[str, Labels] | None = None) -> None:
        """Find among `queues`; `namespaces`: the labels of each, for queues that select by them."""
        self._names = tuple(sorted(queues))
        self._known = frozenset(queues)
        self._serving: dict[str, QueueName] = {}
        self._taken: dict[QueueName, list[tuple[str, QueueName]]] = {}
        for name in self._names:
            self._claim(name, queues[name].namespaces)
        for name in self._names:
            selector = queues[name].namespace_selector
            if selector is not None:
                found = [ns for ns, labels in sorted((namespaces or {}).items()) if selects(selector, dict(labels))]
                self._claim(name, found)

    def _claim(self, name: QueueName, namespaces: Sequence[str]) -> None:
        for namespace in namespaces:
            serving = self._serving.setdefault(namespace, name)
            if serving != name:
                self._taken.setdefault(name, []).append((namespace, serving))

    def find(self, namespace: str, named: QueueName | None, where: str = QUEUE_KEY) -> QueueName | Problem:
        """The queue of a pod in `namespace` that names the queue `named` at `where`, or why there is none."""
        if named is not None:
            if named in self._known:
                return named
            return Problem(where=where, value=named, allowed=f"the name of a Queue ({self._existing()})")
        found = self._serving.get(namespace)
        if found is not None:
            return found
        if DEFAULT_QUEUE in self._known:
            return DEFAULT_QUEUE
        allowed = f"the name of a Queue ({self._existing()}); no Queue serves the namespace {namespace!r}"
        return Problem(where=QUEUE_KEY, value="", allowed=allowed)

    def taken_from(self, queue: QueueName) -> tuple[tuple[str, QueueName], ...]:
        """The namespaces that the queue claims and another one serves, and which."""
        return tuple(sorted(self._taken.get(queue, ())))

    def finds_as(self, other: "QueueFinder") -> bool:
        """Whether both find the same queues everywhere."""
        return (self._names, self._serving) == (other._names, other._serving)  # noqa: SLF001  of the same class

    def _existing(self) -> str:
        more = len(self._names) - NAMES_SHOWN
        shown = ", ".join(self._names[:NAMES_SHOWN]) or "there is none yet"
        return f"{shown} and {more} more" if more > 0 else shown


def selects(selector: Sequence[Requirement], labels: Mapping[str, str]) -> bool:
    """Whether labels meet every requirement of a label selector (apimachinery `labels.Requirement.Matches`)."""
    return all(_meets(requirement, labels) for requirement in selector)


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return False
