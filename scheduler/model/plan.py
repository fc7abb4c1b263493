"""What the planner decides: placements, offers, refusals with their reason, roll-backs, and who makes way for whom."""

from enum import Enum
from typing import Literal

import msgspec

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.workload import Problem

ProofStatus = Literal["optimal", "feasible", "budget hit"]


class Proof(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How good a placement is known to be: its cost, and a bound that no placement can go below.

    Costs are whole numbers of `scheduler.scoring` (lower is better), comparable within one workload only.
    """

    status: ProofStatus = "optimal"
    cost: int = 0
    bound: int = 0

    @property
    def gap(self) -> float:
        """(cost - bound) / cost, from 0.0 (proven best) to 1.0."""
        return 0.0 if self.cost <= self.bound else (self.cost - self.bound) / max(abs(self.cost), 1)


class Assignment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One pod's node and, where devices are known, the indexes of the GPUs it is expected to get, whole or in part.

    `slices`: where its MIG instances are made, on a node that makes them on demand.
    """

    pod: PodUid
    node: NodeName
    devices: tuple[int, ...] = ()
    slices: tuple[MigInstance, ...] = ()


class DomainUse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many domains of a topology level the placed members stand in, and the fewest that could hold them.

    Of a placement proven best, `fewest` holds given the fewest of the levels outside.
    """

    level: str
    used: int
    fewest: int


class Ring(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How far apart neighbours stand around the ring of a gang's ranks, from the first to the last and back.

    `hops`: at how many levels of the topology, the node level included, the two of a pair are in different domains,
    summed over all pairs of neighbours. `fewest`: no order of ranks on the same nodes has fewer.
    """

    hops: int
    fewest: int


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes for every pending member of a workload. `ring` is None where fewer than two members have ranks."""

    assignments: tuple[Assignment, ...]
    proof: Proof = Proof()
    spread: tuple[DomainUse, ...] = ()
    ring: Ring | None = None


class Reason(Enum):
    """Why a workload waits: the machine-readable word on the pod's condition."""

    INVALID_REQUEST = "InvalidRequest"
    QUEUE_MISSING = "QueueMissing"
    GANG_INCOMPLETE = "GangIncomplete"
    GATED_BY_OTHERS = "GatedByOthers"
    CLAIM_NOT_READY = "ClaimNotReady"
    QUOTA_EXHAUSTED = "QuotaExhausted"
    QUEUE_ORDER = "QueueOrder"
    NO_NODE_MATCHES = "NoNodeMatches"
    INSUFFICIENT_RESOURCES = "InsufficientResources"
    FRAGMENTED = "Fragmented"
    TOPOLOGY_UNSATISFIED = "TopologyUnsatisfied"
    NODE_REFUSED = "NodeRefused"
    MAKING_ROOM = "MakingRoom"
    DISRUPTION_BUDGET = "DisruptionBudget"
    RUNS_WITH_FEWER = "RunsWithFewer"
    """Enough of its members stand; those that wait are more than it needs."""


class Blocker(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that stands in the way, in the user's terms: a quota, a node condition, another workload."""

    kind: Literal["quota", "gang", "topology", "fragmentation", "resources", "selector", "health", "request"]
    subject: str
    """Whose it is: the queue, the level, the resource or the label."""
    needed: int = 0
    available: int = 0
    unit: str = ""


class Admit(msgspec.Struct, frozen=True, kw_only=True):
    """The workload's pending members start on these nodes, all together."""

    workload: WorkloadKey
    placement: Placement


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A pod alone whose rules only kube-scheduler can judge.

    It may go to any of these nodes, best (highest score) first.
    """

    workload: WorkloadKey
    pod: PodUid
    nodes: tuple[tuple[NodeName, int], ...]


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Room that is kept for a blocked workload from the time on at which it is expected to start.

    `made_s`: when this was worked out. `start_s`, `latest_s`: when the start is, in half of all cases and in nine of
    ten. `kept_from_s`, `kept_from_unknown_s`: from when on work of known and of unknown length may not have the room;
    `start_s` or later, where that may be put off. All in seconds since 1970. `sure`: all ends that it depends on
    were told, and the start of all before it in its queue is known. `assignments`: where as many members as it needs
    go, GPUs left open. `after`: the work whose end it waits for last, by key.
    `learned_runs`: the fewest earlier runs that an end it depends on was learned from; 0 where all were told.
    """

    workload: WorkloadKey
    queue: QueueName
    made_s: int
    start_s: int
    latest_s: int
    kept_from_s: int
    kept_from_unknown_s: int
    sure: bool
    assignments: tuple[Assignment, ...]
    milli_gpu: int
    after: tuple[WorkloadKey, ...] = ()
    learned_runs: int = 0

    @property
    def nodes(self) -> tuple[NodeName, ...]:
        """The nodes that it is kept room on, by name."""
        return tuple(sorted({assignment.node for assignment in self.assignments}))


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The workload stays pending. `message` is one constant sentence per situation.

    `detail` has the figures of this moment. `reservation`: the room that is kept for it, where a start is known.
    `until_s`: seconds since 1970 when it has to be looked at again though nothing changed; None where only a change can
    help.
    """

    workload: WorkloadKey
    reason: Reason
    message: str
    detail: str = ""
    blocking: tuple[Blocker, ...] = ()
    problems: tuple[Problem, ...] = ()
    unblock: str = ""
    """What would let it start, in one sentence."""
    reservation: Reservation | None = None
    until_s: int | None = None


class RollBack(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a gang was bound and the rest finds no room: these members are evicted, and the gang waits whole."""

    workload: WorkloadKey
    evict: tuple[PodUid, ...]
    why: str


VictimWhy = Literal["reclaim", "preempt", "surplus"]


class Victim(msgspec.Struct, frozen=True, kw_only=True):
    """Running work that makes way: these pods of a workload are evicted, and wait again.

    `why`: its queue borrows what is the other's (`reclaim`); it is of the same queue and of lower priority
    (`preempt`); or, whichever of the two holds, the gang stands without these pods too (`surplus`).
    `cost_gpu_seconds`: GPU-seconds since the pods got their nodes, or since their last checkpoint.
    """

    workload: WorkloadKey
    queue: QueueName
    pods: tuple[PodUid, ...]
    cost_gpu_seconds: int
    why: VictimWhy


class Reclaim(msgspec.Struct, frozen=True, kw_only=True):
    """The workload's pending members start on these nodes as soon as the victims are gone.

    `after`: pods that leave these nodes anyway, or for another workload of the same plan, and whose room it counts on;
    where they are enough, `victims` is empty.
    `proof`: how good the choice of victims is known to be; its cost is that of all victims, in GPU-seconds.
    `lent_milli_gpu`: what the queue had to itself and others used when it was decided.
    """

    workload: WorkloadKey
    queue: QueueName
    placement: Placement
    victims: tuple[Victim, ...] = ()
    after: tuple[PodUid, ...] = ()
    proof: Proof = Proof()
    lent_milli_gpu: int = 0


Decision = Admit | Offer | Wait | RollBack | Reclaim


class RuleTrouble(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rule of the administrator's own that is left out, by the name of its entry point, and why."""

    kind: Literal["filter", "score"]
    rule: str
    why: str

    def __str__(self) -> str:
        """One sentence for people."""
        return f"the {self.kind} {self.rule} is left out: {self.why}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All decisions on one snapshot, in the order in which they were made; at most one for each workload.

    `now_s`: when it was made, in seconds since 1970. `troubles`: rules of the administrator's own that took no part, or
    not in all of it.
    """

    generation: int
    now_s: int = 0
    decisions: tuple[Decision, ...] = ()
    troubles: tuple[RuleTrouble, ...] = ()
