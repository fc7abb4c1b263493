"""Membership: which pod is in which workload, and the workloads of a snapshot."""

from collections.abc import Iterator, Mapping

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.queue import Queue
from scheduler.model.workload import Pod, Workload
from scheduler.quota.forest import in_force
from scheduler.state.events import JobGone, JobSeen, NodeRefused
from scheduler.state.grouping import key_of, workload_of
from scheduler.state.queues import QueueFinder
from scheduler.state.refusals import RefusalBook


class GroupBook:
    """Pods of workloads with the Jobs above them, queues, and refusals; `workloads` rebuilds what changed."""

    def __init__(self) -> None:
        """Nobody."""
        self._members: dict[WorkloadKey, dict[PodUid, Pod]] = {}
        self._key_of: dict[PodUid, WorkloadKey] = {}
        self._jobs: dict[str, JobSeen] = {}
        self._ended_jobs: set[str] = set()
        self._owned: dict[str, set[PodUid]] = {}
        self._queues: dict[QueueName, Queue] = {}
        self._queues_in_order: dict[QueueName, Queue] = {}
        self._finder = QueueFinder({})
        self._queues_view: Mapping[QueueName, Queue] = {}
        self._refusals = RefusalBook()
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
        key = key_of(pod, self._jobs.get(pod.owner_uid) if pod.owner_uid is not None else None)
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

    # Queues and refusals

    def see_queue(self, queue: Queue) -> bool:
        """A queue as it is now; whether that is news."""
        if self._queues.get(queue.name) == queue:
            return False
        self._queues[queue.name] = queue
        self._queues_changed()
        return True

    def forget_queue(self, name: QueueName) -> bool:
        """A queue is gone; whether it was known."""
        if self._queues.pop(name, None) is None:
            return False
        self._queues_changed()
        return True

    def _queues_changed(self) -> None:
        self._queues_view = in_force(self._queues, self._queues_in_order)
        self._queues_in_order = {
            name: self._queues_in_order[name] if queue.problems else self._queues[name]
            for name, queue in self._queues_view.items()
            if not queue.problems or name in self._queues_in_order
        }
        finder = QueueFinder(self._queues)
        if not finder.finds_as(self._finder):
            self._finder = finder
            self._stale.update(self._members)

    def refuse(self, refused: NodeRefused) -> bool:
        """A node refused a planned pod of a workload; whether there is such a workload."""
        if refused.workload not in self._members:
            return False
        self._refusals.remember(refused)
        self._stale.add(refused.workload)
        return True

    def node_changed(self, node: NodeName) -> None:
        """The node may take now what it refused before."""
        self._stale.update(self._refusals.node_changed(node))

    def tick(self, now_s: int) -> bool:
        """Time passed; whether that changed anything."""
        over = self._refusals.ended(now_s)
        self._stale.update(over)
        return bool(over)

    # The snapshot's parts

    @property
    def queues(self) -> Mapping[QueueName, Queue]:
        """All queues, as they are in force."""
        return self._queues_view

    def workloads(self) -> Mapping[WorkloadKey, Workload]:
        """All workloads, as of now."""
        if self._stale:
            # By name, so that the order of a snapshot's workloads is no matter of how Python hashes names.
            for key in sorted(self._stale):
                members = self._members.get(key)
                if members is None:
                    self._workloads.pop(key, None)
                else:
                    avoid = self._refusals.avoid(key)
                    self._workloads[key] = workload_of(key, members.values(), self._jobs, self._finder, avoid)
            self._stale.clear()
            self._view = self._workloads.copy()
        return self._view

    def facts(self) -> Iterator[JobSeen | JobGone | Queue | NodeRefused]:
        """Everything known beside the pods. Jobs that are gone, but whose word still holds, come and go."""
        yield from self._jobs.values()
        yield from (JobGone(uid=uid) for uid in sorted(self._ended_jobs))
        yield from self._queues_in_order.values()
        yield from (queue for name, queue in self._queues.items() if queue != self._queues_in_order.get(name))
        yield from self._refusals.facts()
