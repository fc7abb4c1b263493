"""Priority classes that keys of other schedulers name, and what they come to for a workload."""

from collections.abc import Iterable, Iterator, Mapping

from scheduler.model.workload import Pod
from scheduler.state.events import GroupSeen, JobSeen, PriorityClassGone, PriorityClassSeen


class PriorityBook:
    """All classes that there are. `values`: of each name, which has its kind in front."""

    def __init__(self) -> None:
        """None are known."""
        self._seen: dict[str, PriorityClassSeen] = {}
        self.values: Mapping[str, int] = {}

    def take(self, event: PriorityClassSeen | PriorityClassGone) -> bool:
        """A class as it is now, or is no more; whether that is news."""
        if self._seen.get(event.uid) == (event if isinstance(event, PriorityClassSeen) else None):
            return False
        if isinstance(event, PriorityClassSeen):
            self._seen[event.uid] = event
        else:
            del self._seen[event.uid]
        self.values = {one.name: one.value for one in sorted(self._seen.values(), key=lambda one: (one.name, one.uid))}
        return True

    def facts(self) -> Iterator[PriorityClassSeen]:
        """Everything known."""
        yield from self._seen.values()


def priority_of(
    members: Iterable[Pod],
    owners: Mapping[str | None, JobSeen],
    group: GroupSeen | None,
    classes: Mapping[str, int],
) -> tuple[int, tuple[str, ...]]:
    """The priority of a workload, and sentences on classes that are named and not there.

    A class that a pod or the Job above it names goes before what `group` says, and that before the pods' own numbers;
    the highest of the members counts.
    """
    numbers: list[int] = []
    named = False
    notes: dict[str, None] = {}
    for pod in members:
        job = owners.get(pod.owner_uid)
        word = pod if pod.priority_class or job is None else job
        value = classes.get(word.priority_class)
        if value is None and word.priority_class:
            notes[_missing(word)] = None
        named = named or value is not None
        numbers.append(pod.priority if value is None else value)
    own = max(numbers)
    if group is None or named:
        return own, tuple(notes)
    if group.priority is not None:
        return group.priority, tuple(notes)
    value = classes.get(group.priority_class)
    if value is None and group.priority_class:
        notes[_missing(group)] = None
    return own if value is None else value, tuple(notes)


def _missing(word: Pod | JobSeen | GroupSeen) -> str:
    kind, _, name = word.priority_class.partition(" ")
    return (
        f"{word.priority_key} ({name!r}) is not honoured: there is no {kind} of this name, or it may not be read; "
        "the pods' own spec.priorityClassName counts"
    )
