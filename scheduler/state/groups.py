"""Membership: which pod is in which workload, and the workloads of a snapshot."""

from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.queue import Queue
from scheduler.model.workload import Pod, Workload
from scheduler.quota.forest import in_force
from scheduler.state.events import (
    GroupGone,
    GroupSeen,
    JobGone,
    JobSeen,
    Kept,
    NamespaceSeen,
    NodeRefused,
    PriorityClassGone,
    PriorityClassSeen,
    QueueGone,
    RunSeen,
)
from scheduler.state.group_objects import GroupObjects
from scheduler.state.grouping import key_of, workload_of
from scheduler.state.lengths import LengthBook, Run, WorkKind, kinds_of
from scheduler.state.priorities import PriorityBook
from scheduler.state.queues import Labels, QueueFinder
from scheduler.state.refusals import RefusalBook


class GroupBook:
    """Pods of workloads with the Jobs above them, queues, and refusals; `workloads` rebuilds what changed."""

    def __init__(self, flying: Callable[[], Collection[QueueName]] = tuple) -> None:
        """Nobody. `flying`: the queues of plans that are being carried out."""
        self._flying = flying
        self._members: dict[WorkloadKey, dict[PodUid, Pod]] = {}
        self._key_of: dict[PodUid, WorkloadKey] = {}
        self._jobs: dict[str, JobSeen] = {}
        self._ended_jobs: set[str] = set()
        self._owned: dict[str, set[PodUid]] = {}
        self._objects = GroupObjects()
        self._priorities = PriorityBook()
        self._queues: dict[QueueName, Queue] = {}
        self._queues_in_order: dict[QueueName, Queue] = {}
        self._namespaces: dict[str, Labels] = {}
        self._ending: set[QueueName] = set()
        self._finder = QueueFinder({})
        self._queues_view: Mapping[QueueName, Queue] = {}
        self._refusals = RefusalBook()
        self._kept: dict[WorkloadKey, int] = {}
        self._lengths = LengthBook()
        self._kinds: dict[WorkloadKey, tuple[WorkKind, ...]] = {}
        self._of_kind: dict[WorkKind, set[WorkloadKey]] = {}
        """Workloads that do not say how long they run."""
        self._stale: set[WorkloadKey] = set()
        self._workloads: dict[WorkloadKey, Workload] = {}
        self._view: Mapping[WorkloadKey, Workload] = {}

    # Pods

    def put(self, pod: Pod, before: Pod | None) -> WorkloadKey | None:
        """A pod as it is now, which was `before`; the workload it is in."""
        if before is not None and before.owner_uid != pod.owner_uid:
            self._disown(before)
        if pod.owner_uid is not None and (pod.ours or pod.managed):
            self._owned.setdefault(pod.owner_uid, set()).add(pod.uid)
        self._objects.put(pod, before)
        job = self._jobs.get(pod.owner_uid) if pod.owner_uid is not None else None
        key = key_of(pod, job, self._objects.of(pod))
        if key != self._key_of.get(pod.uid):
            self._leave(pod.uid)
        if key is not None:
            self._key_of[pod.uid] = key
            self._members.setdefault(key, {})[pod.uid] = pod
            self._stale.add(key)
        return key

    def remove(self, pod: Pod) -> None:
        """A pod is gone."""
        self._disown(pod)
        self._objects.remove(pod)
        self._leave(pod.uid)

    def key(self, uid: PodUid) -> WorkloadKey | None:
        """The workload that the pod is in."""
        return self._key_of.get(uid)

    def _leave(self, uid: PodUid) -> None:
        key = self._key_of.pop(uid, None)
        if key is None:
            return
        members = self._members[key]
        del members[uid]
        self._stale.add(key)
        if not members:
            del self._members[key]
            self._refusals.workload_gone(key)
            self._kept.pop(key, None)

    def _disown(self, pod: Pod) -> None:
        owned = self._owned.get(pod.owner_uid) if pod.owner_uid is not None else None
        if owned is not None and pod.owner_uid is not None:
            owned.discard(pod.uid)
            if not owned:
                del self._owned[pod.owner_uid]
                if pod.owner_uid in self._ended_jobs:
                    self._ended_jobs.discard(pod.owner_uid)
                    self._jobs.pop(pod.owner_uid, None)

    # Jobs

    def see_job(self, job: JobSeen) -> bool:
        """A Job as it is now; whether that is news. Its pods have to be put again."""
        self._ended_jobs.discard(job.uid)
        if self._jobs.get(job.uid) == job:
            return False
        self._jobs[job.uid] = job
        return True

    def forget_job(self, uid: str) -> bool:
        """A Job is gone; whether that is news. Its pods have to be put again.

        As long as any of its pods is there, its word on them holds: they are about to be deleted, and must not start
        one by one meanwhile.
        """
        if uid in self._jobs and uid in self._owned:
            self._ended_jobs.add(uid)
            return False
        return self._jobs.pop(uid, None) is not None

    def job_known(self, uid: str) -> bool:
        """Whether the Job was seen."""
        return uid in self._jobs

    def owned_by(self, job_uid: str) -> tuple[PodUid, ...]:
        """The pods that the Job controls, as far as they may be ours."""
        return tuple(sorted(self._owned.get(job_uid, ())))

    # Objects that describe gangs

    def see_group(self, group: GroupSeen) -> tuple[PodUid, ...] | None:
        """Such an object as it is now: the pods that have to be put again, None where it is no news."""
        keys = self._objects.see(group)
        return tuple(uid for key in sorted(keys) for uid in self._objects.pods(key)) if keys else None

    def forget_group(self, uid: str) -> bool:
        """Such an object is gone; whether that is news. As long as pods name it, its word holds, as that of a Job."""
        return self._objects.forget(uid) is not None

    def take_class(self, event: PriorityClassSeen | PriorityClassGone) -> bool:
        """A priority class as it is now, or is no more; whether that is news. Any workload may name it."""
        news = self._priorities.take(event)
        if news:
            self._stale.update(self._members)
        return news

    # Queues and refusals

    def see_queue(self, queue: Queue) -> bool:
        """A queue as it is now; whether that is news."""
        if self._queues.get(queue.name) == queue and queue.name not in self._ending:
            return False
        self._ending.discard(queue.name)
        self._queues[queue.name] = queue
        self._queues_changed()
        return True

    def forget_queue(self, name: QueueName) -> bool:
        """A queue is gone; whether it was known.

        As long as any work of it or of a queue below it stands, it stays in force for that.
        """
        if name not in self._queues:
            return False
        if name in self._in_use():
            self._ending.add(name)
        else:
            self._queues.pop(name)
        self._queues_changed()
        return True

    def see_namespace(self, namespace: NamespaceSeen) -> bool:
        """A namespace as it is now; whether that is news."""
        if self._namespaces.get(namespace.name) == namespace.labels:
            return False
        self._namespaces[namespace.name] = namespace.labels
        return self._namespaces_changed()

    def forget_namespace(self, name: str) -> bool:
        """A namespace is gone; whether it was known."""
        return self._namespaces.pop(name, None) is not None and self._namespaces_changed()

    def _namespaces_changed(self) -> bool:
        """Whether queues select by labels, so that it matters."""
        if all(queue.namespace_selector is None for queue in self._queues.values()):
            return False
        self._queues_changed()
        return True

    def _in_use(self) -> set[QueueName]:
        """Queues in which work stands, and those above them."""
        found: set[QueueName] = set()
        stands = (workload.queue for workload in self._workloads.values() if workload.placed)
        for name in {*stands, *self._flying()}:
            at = name
            while at is not None and at not in found and at in self._queues_view:
                found.add(at)
                at = self._queues_view[at].parent
        return found

    def _end_queues(self) -> None:
        """Queues that were deleted go once nothing stands in them any more."""
        over = self._ending - self._in_use() if self._ending else ()
        for name in over:
            self._ending.discard(name)
            del self._queues[name]
        if over:
            self._queues_changed()

    def _queues_changed(self) -> None:
        view = in_force(self._queues, self._queues_in_order)
        self._queues_in_order = {
            name: self._queues_in_order[name] if queue.problems else self._queues[name]
            for name, queue in view.items()
            if not queue.problems or name in self._queues_in_order
        }
        finder = QueueFinder(view, self._namespaces)
        self._queues_view = {
            name: replace(
                queue,
                taken=finder.taken_from(name),
                ending=self._is_ending(name),
                held=self._queues[name].held,
                uid=self._queues[name].uid,
            )
            for name, queue in view.items()
        }
        if not finder.finds_as(self._finder):
            self._finder = finder
            self._stale.update(self._members)

    def _is_ending(self, name: QueueName) -> bool:
        """Whether the queue was deleted: it is gone, or stays only for the work in it."""
        return name in self._ending or self._queues[name].ending

    def refuse(self, refused: NodeRefused) -> bool:
        """A node refused a planned pod of a workload; whether there is such a workload."""
        if refused.workload not in self._members:
            return False
        self._refusals.remember(refused)
        self._stale.add(refused.workload)
        return True

    def keep(self, workload: WorkloadKey, until_s: int) -> bool:
        """The workload's pods could not be evicted; whether there is such a workload."""
        if workload not in self._members:
            return False
        self._kept[workload] = until_s
        self._stale.add(workload)
        return True

    def see_run(self, run: Run) -> bool:
        """A pod did its work; whether that changes what is expected of any workload, now or later."""
        changed = self._lengths.see(run)
        for kind in changed:
            self._stale.update(self._of_kind.get(kind, ()))
        return bool(changed)

    def node_changed(self, node: NodeName) -> None:
        """The node may take now what it refused before."""
        self._stale.update(self._refusals.node_changed(node))

    def tick(self, now_s: int) -> bool:
        """Time passed; whether that changed anything."""
        over = {key for key, until_s in self._kept.items() if until_s <= now_s}
        for key in over:
            del self._kept[key]
        over.update(self._refusals.ended(now_s))
        self._stale.update(over)
        return bool(over)

    # The snapshot's parts

    @property
    def queues(self) -> Mapping[QueueName, Queue]:
        """All queues, as they are in force."""
        return self._queues_view

    def workloads(self) -> Mapping[WorkloadKey, Workload]:
        """All workloads, as of now."""
        if self._stale or self._ending:
            # By name, so that the order of a snapshot's workloads is no matter of how Python hashes names.
            for key in sorted(self._stale):
                members = self._members.get(key)
                if members is None:
                    self._workloads.pop(key, None)
                    self._take_for(key, ())
                else:
                    avoid = self._refusals.avoid(key)
                    pods = members.values()
                    group = self._objects.of_all(pods)
                    made = workload_of(key, pods, self._jobs, group, self._finder, avoid, self._priorities.values)
                    if key in self._kept:
                        made = replace(made, kept=True)
                    self._workloads[key] = self._with_length(made)
            self._stale.clear()
            self._view = self._workloads.copy()
            self._end_queues()
            if self._stale:
                return self.workloads()
        return self._view

    def _with_length(self, made: Workload) -> Workload:
        """The workload with what earlier runs tell of it, where it does not say how long it runs."""
        kinds = kinds_of(made.members[0]) if made.duration_s is None else ()
        self._take_for(made.key, kinds)
        learned = self._lengths.expects(kinds)
        return made if learned is None else replace(made, learned=learned)

    def _take_for(self, key: WorkloadKey, kinds: tuple[WorkKind, ...]) -> None:
        """Note of which kinds a workload is."""
        before = self._kinds.get(key, ())
        if kinds == before:
            return
        for kind in before:
            self._of_kind[kind].discard(key)
            if not self._of_kind[kind]:
                del self._of_kind[kind]
        for kind in kinds:
            self._of_kind.setdefault(kind, set()).add(key)
        if kinds:
            self._kinds[key] = kinds
        else:
            self._kinds.pop(key, None)

    def facts(
        self,
    ) -> Iterator[
        JobSeen
        | JobGone
        | GroupSeen
        | GroupGone
        | PriorityClassSeen
        | Queue
        | QueueGone
        | NamespaceSeen
        | NodeRefused
        | Kept
        | RunSeen
    ]:
        """Everything known beside the pods. Jobs that are gone, but whose word still holds, come and go."""
        yield from self._priorities.facts()
        yield from self._jobs.values()
        yield from (JobGone(uid=uid) for uid in sorted(self._ended_jobs))
        yield from self._queues_in_order.values()
        yield from self._objects.facts()
        yield from (queue for name, queue in self._queues.items() if queue != self._queues_in_order.get(name))
        yield from (QueueGone(name=name) for name in sorted(self._ending))
        yield from (NamespaceSeen(name=name, labels=labels) for name, labels in self._namespaces.items())
        yield from self._refusals.facts()
        yield from (Kept(workload=key, until_s=until_s) for key, until_s in self._kept.items())
        yield from (RunSeen(run=run) for run in self._lengths.facts())
