"""The year as Bayplan's state and planner live it: events in, a snapshot, a plan, and its starts as events again."""

import heapq
from collections.abc import Sequence

import msgspec

from benchmarks.year_jobs import GPUS, NODES, Job, Waits
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey, gang_key, pod_key
from scheduler.model.node import NODE_LEVEL, Node
from scheduler.model.plan import Admit, Placement
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, MILLI_GPU, Resources, extended
from scheduler.model.workload import GangClaim, Pod, PodShape
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.cluster import ClusterState
from scheduler.state.events import NodeSeen, PodGone, PodSeen, QueueSeen

EPOCH_S = 1_700_000_000
QUEUE = QueueName("year")
CHECKED = 500
"""Every so many plans one is checked by the rules that any plan keeps."""


def play(work: Sequence[Job], settings: PlanSettings) -> Waits:
    """Let jobs come and end; plan once for each second in which any did.

    Raises:
        AssertionError: a plan breaks a rule, or a job never starts.
    """
    year = _Year(settings)
    at = 0
    while at < len(work) or year.ends:
        now_s = min([*(job.comes_s for job in work[at : at + 1]), *(end_s for end_s, _ in year.ends[:1])])
        year.let_end(now_s)
        while at < len(work) and work[at].comes_s <= now_s:
            year.let_come(work[at])
            at += 1
        year.plan(now_s)
    if len(year.waits) < len(work):
        raise AssertionError(f"{len(work) - len(year.waits)} jobs never start")
    return year.waits


class _Year:
    """`ends`: when running jobs end, and their numbers, as a heap."""

    def __init__(self, settings: PlanSettings) -> None:
        self._settings = settings
        self._state, self._cache = ClusterState(), PlanCache()
        self._jobs: dict[WorkloadKey, Job] = {}
        self._pods: dict[int, list[Pod]] = {}
        self._plans = 0
        self.ends: list[tuple[int, int]] = []
        self.waits: dict[int, int] = {}
        _furnish(self._state)

    def let_end(self, now_s: int) -> None:
        """Jobs whose time is over are gone."""
        while self.ends and self.ends[0][0] <= now_s:
            for pod in self._pods.pop(heapq.heappop(self.ends)[1]):
                self._state.apply(PodGone(uid=pod.uid))

    def let_come(self, job: Job) -> None:
        """The pods of a job wait."""
        self._jobs[_key(job)] = job
        self._pods[job.number] = _pods(job)
        for pod in self._pods[job.number]:
            self._state.apply(PodSeen(pod=pod))

    def plan(self, now_s: int) -> None:
        """Plan once; what the plan starts gets its nodes at once."""
        snapshot = self._state.snapshot()
        planned = plan(snapshot, now_s=EPOCH_S + now_s, settings=self._settings, cache=self._cache)
        self._plans += 1
        if self._plans % CHECKED == 0 and (broken := broken_rules(snapshot, planned)):
            raise AssertionError(f"a plan breaks rules: {broken}")
        for decision in planned.decisions:
            if isinstance(decision, Admit):
                self._start(self._jobs.pop(decision.workload), decision.placement, now_s)

    def _start(self, job: Job, placement: Placement, now_s: int) -> None:
        nodes = {assignment.pod: assignment.node for assignment in placement.assignments}
        for pod in self._pods[job.number]:
            stands = msgspec.structs.replace(pod, node=nodes[pod.uid], bound_s=EPOCH_S + now_s, gated=False)
            self._state.apply(PodSeen(pod=stands))
        self.waits[job.number] = now_s - job.comes_s
        heapq.heappush(self.ends, (now_s + job.runs_s, job.number))


def _furnish(state: ClusterState) -> None:
    """72 nodes and one queue that owns them."""
    has = Resources(milli_cpu=128_000, memory_bytes=1 << 40, pods=110, extended=extended({GPU: GPUS}))
    for number in range(NODES):
        name = f"n{number:02}"
        labels = {NODE_LEVEL.label: name}
        state.apply(NodeSeen(node=Node(name=NodeName(name), uid=name, labels=labels, allocatable=has, product="H100")))
    state.apply(QueueSeen(queue=Queue(name=QUEUE, total=Quota(nominal_milli_gpu=NODES * GPUS * MILLI_GPU))))


def _pods(job: Job) -> list[Pod]:
    count = max(job.nodes, 1)
    shape = PodShape(requests=Resources(milli_cpu=1000, pods=1, extended=extended({GPU: job.gpus // count})))
    return [
        Pod(
            uid=PodUid(f"{job.number}-{index}"),
            namespace="year",
            name=f"j{job.number:05}-{index}",
            shape=shape,
            ours=True,
            managed=True,
            gated=True,
            created_s=EPOCH_S + job.comes_s,
            gang=GangClaim(name=f"j{job.number:05}", size=count) if count > 1 else None,
            index=index,
            queue=QUEUE,
            duration_s=job.says_s,
        )
        for index in range(count)
    ]


def _key(job: Job) -> WorkloadKey:
    return gang_key("year", f"j{job.number:05}") if job.nodes > 1 else pod_key("year", f"j{job.number:05}-0")
