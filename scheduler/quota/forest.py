"""Queues as they are in force: a forest in which every parent exists, with the nominal quotas that were left out.

A queue that names a parent that is not there, or whose parents lead back to itself, stays as it last was in order;
where nobody remembers that, below the queue that its status names, or else at the top. One whose spec cannot be read
stays as it last was, too; one that never could be read lets nothing run. An amount of nominal quota that is not given
is the sum of what stands below: of the queues under it for an inner queue, of its flavors for any other.
"""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from scheduler.model.names import QueueName
from scheduler.model.queue import CPU, MEMORY, Queue, Quota
from scheduler.model.workload import Problem

Queues = Mapping[QueueName, Queue]

PARENT = "spec.parent"
"""Where a queue names the one above it."""


class Forest:
    """Queues in force, with what stands below each of them; made once for as long as they do not change."""

    def __init__(self, queues: Queues) -> None:
        self.queues = queues
        self.below = {name: [queue.name for queue in below] for name, below in children(queues).items()}
        """Names of the queues right below each, sorted; those at the top stand below None."""
        quotas = [(None, queue.total) for queue in queues.values()]
        quotas += [(name, quota) for queue in queues.values() for name, quota in queue.flavors]
        self.kept: frozenset[str | None] = frozenset(name for name, quota in quotas if quota.kept_milli_gpu)
        """The flavors of which some queue keeps a part to itself; None is the total."""

    def changed(self, queues: Queues) -> "Forest":
        """The same forest with other limits of these queues; what stands where, and what is kept, stays."""
        made = Forest({})
        made.queues, made.below, made.kept = {**self.queues, **queues}, self.below, self.kept
        return made

    def chain(self, queue: QueueName) -> list[Queue]:
        """The queue, the one above it, and so on to the top; nothing for a queue that is not there."""
        found: list[Queue] = []
        at: QueueName | None = queue
        while at is not None and at in self.queues:
            found.append(self.queues[at])
            at = found[-1].parent
        return found


def in_force(written: Queues, in_order: Queues) -> dict[QueueName, Queue]:
    """The queues that count, by name.

    `written`: all queues as their specs are. `in_order`: the last version of each in which nothing was wrong, if any.
    A queue that is not in force as it is written says so in `problems`.
    """
    queues = dict(written)
    unread = {name: queue.problems for name, queue in written.items() if queue.problems}
    for name in unread:
        queues[name] = in_order.get(name, Queue(name=name, total=Quota(borrowing_limit_milli_gpu=0)))
    problems = dict(_wrong_parents(queues))
    for name in problems:
        queues[name] = in_order.get(name) or replace(queues[name], parent=queues[name].parent_before)
    for name, _ in list(_wrong_parents(queues)):
        queues[name] = replace(queues[name], parent=None)
    filled = _with_flavors_above(_with_nominal(queues))
    for name, problem in problems.items():
        if filled[name].parent != written[name].parent:
            filled[name] = replace(filled[name], problems=(problem,), generation=written[name].generation)
    for name, found in unread.items():
        filled[name] = replace(filled[name], problems=found, generation=written[name].generation)
    return filled


def children(queues: Queues) -> dict[QueueName | None, list[Queue]]:
    """The queues right below each queue, by name; below None stand those at the top."""
    below: dict[QueueName | None, list[Queue]] = {}
    for name in sorted(queues):
        below.setdefault(queues[name].parent, []).append(queues[name])
    return below


def _wrong_parents(queues: Queues) -> Iterator[tuple[QueueName, Problem]]:
    """Queues whose parent is not there, and those on a circle."""
    for name in sorted(queues):
        parent = queues[name].parent
        if parent is None:
            continue
        if parent not in queues:
            allowed = "the name of a Queue that exists; create it, or drop spec.parent"
            yield name, Problem(where=PARENT, value=parent, allowed=allowed)
        elif (circle := _circle(queues, name)) is not None:
            allowed = f"a queue that is not below {name} ({' > '.join(circle)})"
            yield name, Problem(where=PARENT, value=parent, allowed=allowed)


def _circle(queues: Queues, start: QueueName) -> list[QueueName] | None:
    """The way up from `start` where it leads back to it."""
    way, seen = [start], {start}
    at = queues[start].parent
    while at is not None and at in queues:
        way.append(at)
        if at == start:
            return way
        if at in seen:
            return None
        seen.add(at)
        at = queues[at].parent
    return None


def _with_nominal(queues: Queues) -> dict[QueueName, Queue]:
    """The same queues with the nominal quotas that were left out, in the same order."""
    below = children(queues)
    filled: dict[QueueName, Queue] = {}
    # Upwards: the queues below a queue come before it.
    for queue in reversed(list(_downwards(below))):
        parts = [filled[child.name] for child in below.get(queue.name, ())]
        flavors = {name: _summed(quota, [dict(p.flavors).get(name) for p in parts]) for name, quota in queue.flavors}
        for name in sorted({name for part in parts for name, _ in part.flavors} - set(flavors)):
            sums = _summed(Quota(given=False), [dict(p.flavors).get(name) for p in parts])
            flavors[name] = sums
        own = [quota for name, quota in flavors.items() if name not in (CPU, MEMORY)] if not parts else []
        total = _summed(queue.total, [*(part.total for part in parts), *own])
        filled[queue.name] = replace(queue, total=total, flavors=tuple(sorted(flavors.items())))
    return {name: filled[name] for name in queues}


def _with_flavors_above(queues: Queues) -> dict[QueueName, Queue]:
    """Every queue with the flavors of those above it too, so that its charges name all that count for any of them.

    Likewise it knows whether users count for any of them.
    """
    filled = dict(queues)
    for queue in _downwards(children(queues)):
        own, above = dict(queue.flavors), dict[str, Quota]()
        counts_users = queue.user_limit_milli_gpu is not None
        if queue.parent is not None:
            above = {name: Quota(given=False) for name, _ in filled[queue.parent].flavors}
            counts_users = counts_users or filled[queue.parent].counts_users
        flavors = tuple(sorted({**above, **own}.items()))
        filled[queue.name] = replace(queue, flavors=flavors, counts_users=counts_users)
    return filled


def _summed(quota: Quota, parts: list[Quota | None]) -> Quota:
    if quota.given:
        return quota
    there = [part for part in parts if part is not None]
    return replace(
        quota,
        nominal_milli_gpu=sum(part.nominal_milli_gpu for part in there),
        summed=any(part.given or part.summed for part in there),
    )


def _downwards(below: Mapping[QueueName | None, list[Queue]]) -> Iterator[Queue]:
    left = list(below.get(None, ()))
    while left:
        queue = left.pop()
        yield queue
        left += below.get(queue.name, ())
