"""Events about what pods are grouped and ordered by, taken into the book of groups."""

from collections.abc import Collection
from typing import assert_never

from scheduler.model.names import PodUid
from scheduler.state.events import (
    GroupEvent,
    GroupGone,
    GroupSeen,
    JobGone,
    JobSeen,
    Kept,
    NamespaceGone,
    NamespaceSeen,
    NodeRefused,
    PriorityClassGone,
    PriorityClassSeen,
    QueueGone,
    QueueSeen,
    RunSeen,
    Ticked,
)
from scheduler.state.groups import GroupBook

NOBODY: Collection[PodUid] = ()

Taken = tuple[bool, Collection[PodUid]]
"""Whether an event changed anything, and which pods have to be put into their groups again."""


def take_in_group(groups: GroupBook, event: GroupEvent) -> Taken:
    """Take an event in."""
    match event:
        case JobSeen() | JobGone() | GroupSeen() | GroupGone() | PriorityClassSeen() | PriorityClassGone():
            return _take_in_owner(groups, event)
        case QueueSeen(queue=queue):
            return groups.see_queue(queue), NOBODY
        case QueueGone(name=name):
            # Work that stands keeps its queue; who stands is known of the snapshot's workloads.
            groups.workloads()
            return groups.forget_queue(name), NOBODY
        case NamespaceSeen():
            return groups.see_namespace(event), NOBODY
        case NamespaceGone(name=name):
            return groups.forget_namespace(name), NOBODY
        case NodeRefused():
            return groups.refuse(event), NOBODY
        case Kept(workload=workload, until_s=until_s):
            return groups.keep(workload, until_s), NOBODY
        case RunSeen(run=run):
            return run is not None and groups.see_run(run), NOBODY
        case Ticked(now_s=now_s):
            return groups.tick(now_s), NOBODY
        case _:
            assert_never(event)


def _take_in_owner(
    groups: GroupBook, event: JobSeen | JobGone | GroupSeen | GroupGone | PriorityClassSeen | PriorityClassGone
) -> Taken:
    match event:
        case PriorityClassSeen() | PriorityClassGone():
            return groups.take_class(event), NOBODY
        case JobSeen(uid=uid):
            return groups.see_job(event), groups.owned_by(uid)
        case JobGone(uid=uid):
            return groups.forget_job(uid), groups.owned_by(uid)
        case GroupSeen():
            pods = groups.see_group(event)
            return pods is not None, pods or NOBODY
        case GroupGone(uid=uid):
            return groups.forget_group(uid), NOBODY
        case _:
            assert_never(event)
