"""Pods, and the workloads (gangs, or single pods) that are planned whole."""

from collections import Counter
from collections.abc import Collection
from enum import Enum
from typing import Literal

import msgspec

from scheduler.model.claims import Amounts, PodClaim
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.policy import Policy
from scheduler.model.resources import MILLI_GPU, NOTHING, Resources

SelectorOperator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


class Requirement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One condition on a node: on the label `key`, or on its name where `on_name`."""

    key: str
    operator: SelectorOperator
    values: tuple[str, ...] = ()
    on_name: bool = False


class Toleration(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A toleration; an empty `key` with `Exists` matches every taint, an empty `effect` every effect."""

    key: str = ""
    operator: Literal["Exists", "Equal", "Gt", "Lt"] = "Equal"
    value: str = ""
    effect: str = ""


class HostPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A port of the node that the pod takes for itself."""

    protocol: str = "TCP"
    address: str = "0.0.0.0"  # noqa: S104  the API's own word for every address
    port: int


class Linked(Enum):
    """Whether the GPUs of one pod are to be connected by NVLink."""

    ANY = "any"
    PREFERRED = "preferred"
    REQUIRED = "required"


class PodShape(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything about a pod that decides which nodes suit it; equal shapes are interchangeable for the planner.

    `requests` is totalled as kube-scheduler does it and counts the pod itself (`pods=1`).
    `affinity` holds alternatives: one of its terms must hold whole; an empty tuple asks for nothing.
    `models` are the accepted GPU models; empty accepts any.
    `gpu_steps`: the whole GPUs of its containers in their order, where several ask for some, since the device plugin is
    asked for each by itself; empty where it is asked once.
    `share_milli`: the part of one GPU that each `nvidia.com/gpu.shared` of its requests stands for; 1000 is all of it.
    `scheduler_rules` names rules that only kube-scheduler can judge ("inter-pod affinity", "topology spread",
    "volumes", "resource claims").
    `by_claim`: the GPUs, slices and parts among its requests are claimed as devices (`Pod.claims`), and each GPU has to
    have `gpu_memory_mib`; `gpu_capacity` is what of the capacities of a shared one is claimed.
    """

    requests: Resources = NOTHING
    node_selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[tuple[Requirement, ...], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    models: tuple[str, ...] = ()
    linked: Linked = Linked.ANY
    scheduler_rules: tuple[str, ...] = ()
    share_milli: int = MILLI_GPU
    by_claim: bool = False
    gpu_memory_mib: int = 0
    gpu_capacity: Amounts = ()
    gpu_steps: tuple[int, ...] = ()

    @property
    def milli_gpu(self) -> int:
        """What a queue is charged for the pod, parts of GPUs included."""
        return self.requests.milli_gpu + self.share_milli * self.requests.shared_gpus


Slices = tuple[tuple[str, int], ...]
"""Levels, outermost first, and how many consecutive pods of a kind stand in one domain of each."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A value that could not be read: where it stands, what it is, what is allowed there."""

    where: str
    value: str
    allowed: str

    def __str__(self) -> str:
        """One sentence for people."""
        return f"{self.where} is {self.value!r}; allowed: {self.allowed}"


RoleMinimums = tuple[tuple[str, int], ...]
"""Roles of a gang, sorted by name, and how many pods of each have to stand at least."""


class GangClaim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a pod, or the Job above it, says of its gang; `size` is None where only the other may know it.

    `least`: how many pods are enough for it to work; None where that is all of them, or where `role_least` says it.
    `role_least`: how many pods of which roles are enough; without `least`, their sum is.
    `group`: under which name an object in the cluster describes the gang, where that is not the gang's own.
    """

    name: str
    size: int | None = None
    least: int | None = None
    role_least: RoleMinimums = ()
    group: str = ""


QUEUE_KEY = "label bayplan.dev/queue"
"""Where our own manifests name a queue, as sentences say it."""


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod that counts: bound to a node, or waiting for one. Times are whole seconds since 1970.

    `ours`: its schedulerName is ours, so a Job's mark may make it a member of a gang.
    `managed`: it is ours and asks for devices, claims a gang or carries our gate. All members of workloads are managed.
    `gated`: it carries our scheduling gate. `foreign_gates`: it carries gates of others, so it cannot be planned yet.
    `unschedulable`: kube-scheduler's last word on it was PodScheduled=False with reason Unschedulable, and
    `scheduler_message` what it said.
    `told`: reason and message of the condition that was last written on it, to write only changes. `told_failing`: it
    was told that it stands on what fails.
    `index`: its rank, where its controller gives one. `devices`: indexes of the GPUs it is known to hold, in whole or
    in part. `slices`: the MIG instances it is known to hold. `claims`: what it asks
    for by ResourceClaims that Bayplan allocates; `shape` counts these too. `one_clique`: it claims a channel to GPUs of
    other nodes, which reaches no farther than one clique of them.
    `makes_way`: it was told that it is to leave for others; `leaves_why`: for whom. `leaves_by_s`: by when it has to
    end; None unless it is being deleted. `asked_to_save_s`: when it was asked last to save its work.
    `checkpointed_s`: when it last saved its work; None where nobody said. `preemptible`: it may be moved or evicted.
    `policy`: how it is placed if it stands alone; None leaves it to its queue. `user`: whose it is, where it says so.
    `queue_key`: where the queue is named. `priority_class`: the one that a foreign key names, with its kind in front,
    and `priority_key` the key. `notes`: sentences on what was read of it and is not honoured.
    `role`: its part in the gang, and `role_required` the level of which one domain has to hold all pods of that role.
    """

    uid: PodUid
    namespace: str
    name: str
    shape: PodShape = PodShape()
    ours: bool = False
    managed: bool = False
    priority: int = 0
    created_s: int = 0
    node: NodeName | None = None
    bound_s: int | None = None
    nominated_node: NodeName | None = None
    gated: bool = False
    foreign_gates: bool = False
    deleting: bool = False
    unschedulable: bool = False
    scheduler_message: str = ""
    gang: GangClaim | None = None
    owner_uid: str | None = None
    owner_name: str = ""
    index: int | None = None
    queue: QueueName | None = None
    user: str = ""
    queue_key: str = QUEUE_KEY
    priority_class: str = ""
    priority_key: str = ""
    topology_required: str | None = None
    topology_preferred: str | None = None
    topology_slices: Slices = ()
    topology_exclusive: str | None = None
    role: str = ""
    role_required: str | None = None
    policy: Policy | None = None
    duration_s: int | None = None
    checkpointed_s: int | None = None
    preemptible: bool = True
    makes_way: bool = False
    leaves_why: str = ""
    asked_to_save_s: int | None = None
    leaves_by_s: int | None = None
    devices: tuple[int, ...] = ()
    slices: tuple[MigInstance, ...] = ()
    claims: tuple[PodClaim, ...] = ()
    one_clique: bool = False
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    told: tuple[str, str] | None = None
    told_failing: bool = False


class Lack(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Fewer pods than are needed: of a role, or of all where `role` is None."""

    role: str | None
    needed: int
    there: int


class Learned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long so many earlier runs of such work took, in seconds: `median_s` half of them, `high_s` nine of ten."""

    median_s: int
    high_s: int
    runs: int


class Workload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is planned as one: a gang, or a pod alone. `members` are sorted by (index, name).

    `size`: how many pods it shall have. `min_member`: how many must stand together, and `role_minimums` how many of
    which roles (`Pod.role`) must be among them; their sum is at most `min_member`, and a role without one needs none.
    `topology_exclusive`: no member of another gang stands in a domain of that level where one of this gang does.
    `learned`: how long it is expected to run, where nobody says so by `duration_s`.
    `avoid`: nodes that refused a planned member since they last changed.
    `kept`: its pods cannot be evicted now.
    `queue` is None where none could be found; `problems` says why. `notes`: sentences on what was read and is not
    honoured.
    """

    key: WorkloadKey
    is_gang: bool
    queue: QueueName | None
    size: int
    min_member: int
    priority: int
    created_s: int
    members: tuple[Pod, ...]
    role_minimums: RoleMinimums = ()
    user: str = ""
    topology_required: str | None = None
    topology_preferred: str | None = None
    topology_slices: Slices = ()
    topology_exclusive: str | None = None
    duration_s: int | None = None
    learned: Learned | None = None
    preemptible: bool = True
    avoid: frozenset[NodeName] = frozenset()
    kept: bool = False
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Pod, ...]:
        """Members without a node that may get one."""
        return tuple(p for p in self.members if p.node is None and not p.deleting)

    @property
    def placed(self) -> tuple[Pod, ...]:
        """Members on a node, leaving ones not counted."""
        return tuple(p for p in self.members if p.node is not None and not p.deleting)

    @property
    def never_stood(self) -> bool:
        """Whether too few members stand, and too many of the missing ones were there all along: a start cut short.

        A pending member that came after the others were bound replaces one that stood. Of those that were there before,
        as many as the gang can do without may have been left out when it started. A gang whose members' bind times are
        not known is taken to have stood, since what never stood is taken back.
        """
        placed = self.placed
        bound = [pod.bound_s for pod in placed if pod.bound_s is not None]
        lacking = self.lacking(placed)
        if not bound or not lacking:
            return False
        first_s = min(bound)
        pending = self.pending
        for lack in lacking:
            others = sum(lack.role not in {None, pod.role} for pod in (*placed, *pending))
            old = sum(lack.role in {None, pod.role} and pod.created_s <= first_s for pod in pending)
            if old > self.size - others - lack.needed:
                return True
        return False

    def lacking(self, pods: Collection[Pod]) -> tuple[Lack, ...]:
        """What these of its pods lack to be enough; empty where the workload stands with them."""
        lacks = [Lack(role=None, needed=self.min_member, there=len(pods))]
        if self.role_minimums:
            there = Counter(pod.role for pod in pods)
            lacks += [Lack(role=role, needed=least, there=there[role]) for role, least in self.role_minimums]
        return tuple(lack for lack in lacks if lack.there < lack.needed)

    @property
    def milli_gpu(self) -> int:
        """Quota charge of all members present."""
        return sum(p.shape.milli_gpu for p in self.members if not p.deleting)
