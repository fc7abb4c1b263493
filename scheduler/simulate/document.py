"""A scenario as its file holds it: one record for each mapping of the format, names and units as people write them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from scheduler.model.queue import QueueOrder
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX, MILLI_GPU

MOST = 100_000
"""Nodes, or pods, that one scenario may describe: well above the largest cluster Bayplan is measured on."""

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1, le=MOST)]
Amount = Annotated[float, Meta(ge=0, le=1e6)]
WholeAmount = Annotated[int, Meta(ge=0, le=10**6)]
Linked = Literal["required", "preferred"]
Index = Annotated[int, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The settings that all mappings of the format share: camelCase keys, unknown ones refused."""


class LevelDoc(Section, frozen=True, kw_only=True):
    """A topology level: nodes with equal values of `label` are in one domain."""

    name: Text
    label: Text


class MigSliceDoc(Section, frozen=True, kw_only=True):
    """A MIG instance on a device of a node."""

    device: Index
    profile: Text
    start: Index


class NodeDoc(Section, frozen=True, kw_only=True):
    """A node, or `count` equal ones; `cpu` in cores, `memoryGiB` in GiB, absent: no limit."""

    name: Text
    count: Count = 1
    gpus: Annotated[int, Meta(ge=0, le=64)] = 0
    model: str = ""
    gpu_memory_mib: WholeAmount = msgspec.field(default=0, name="gpuMemoryMiB")
    cpu: Amount | None = None
    memory_gib: Amount | None = msgspec.field(default=None, name="memoryGiB")
    labels: dict[Text, str] = {}
    machine: str | None = None
    mig: bool | list[MigSliceDoc] | None = None
    unhealthy: list[Index] = []
    suspect: list[Index] = []

    @property
    def divides(self) -> bool:
        """Whether MIG slices are made on its GPUs as pods ask for them; a list tells which there are from the start."""
        return self.mig is not None and self.mig is not False

    @property
    def instances(self) -> list[MigSliceDoc]:
        """The MIG instances that are there from the start, and stay."""
        return self.mig if isinstance(self.mig, list) else []


class FlavorDoc(Section, frozen=True, kw_only=True):
    """A queue's quota of one GPU model or MIG profile, in GPUs; of CPU, in cores; of memory, in GiB."""

    nominal: WholeAmount | None = None
    borrowing_limit: WholeAmount | None = None
    lending_limit: WholeAmount | None = None


class QueueDoc(Section, frozen=True, kw_only=True):
    """A queue; amounts are whole GPUs, `minRuntime` is in seconds.

    `userLimit`: the most GPUs that workloads of one `user` may use at a time, here and below.
    """

    name: Text
    parent: Text | None = None
    nominal: WholeAmount | None = None
    borrowing_limit: WholeAmount | None = None
    lending_limit: WholeAmount | None = None
    weight: Annotated[int, Meta(ge=0)] = 1
    priority: int = 0
    min_runtime: Annotated[int, Meta(ge=0)] = 0
    order: QueueOrder = "Fair"
    user_limit: WholeAmount | None = None
    flavors: dict[Text, FlavorDoc] = {}
    cpu: FlavorDoc | None = None
    memory_gib: FlavorDoc | None = msgspec.field(default=None, name="memoryGiB")
    policy: Text | None = None


class TopologyWishDoc(Section, frozen=True, kw_only=True):
    """The level whose one domain must, or had better, hold all pods."""

    required: Text | None = None
    preferred: Text | None = None


class RoleTopologyDoc(Section, frozen=True, kw_only=True):
    """The level whose one domain must hold all pods of a role."""

    required: Text | None = None


class PodsDoc(Section, frozen=True, kw_only=True):
    """`count` equal pods; `nodes` says where each runs now (null, or the list absent: it is pending).

    `minMember` and `topology` are for the pods' `role`, which several groups may share.

    With `share`, a pod has that part of each of its `gpus`. With `mig`, it has a slice of that profile, or as many
    as `gpus` says.
    """

    count: Count = 1
    gpus: Annotated[int, Meta(ge=0, le=64)] = 0
    model: str | list[Text] | None = None
    cpu: Amount = 0
    memory_gib: Amount = msgspec.field(default=0, name="memoryGiB")
    share: Annotated[float, Meta(ge=0.001, le=1)] = 1.0
    mig: str | None = None
    role: Text | None = None
    min_member: Count | None = None
    topology: RoleTopologyDoc = RoleTopologyDoc()
    nodes: list[Text | None] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The accepted GPU models; empty accepts any."""
        if not self.model:
            return ()
        return (self.model,) if isinstance(self.model, str) else tuple(self.model)

    @property
    def share_milli(self) -> int:
        """`share` in thousandths."""
        return round(self.share * MILLI_GPU)

    @property
    def amounts(self) -> dict[str, int]:
        """What it asks of GPUs, by the name of the resource: whole ones, parts, or slices."""
        if self.mig is not None:
            return {MIG_PREFIX + self.mig.replace("+", "."): max(self.gpus, 1)}
        return {GPU if self.share_milli == MILLI_GPU else GPU_SHARED: self.gpus}


class WorkloadDoc(Section, frozen=True, kw_only=True):
    """A workload; `submitted`, `started` and `checkpointed` are seconds relative to the scenario's now.

    `duration`, in seconds, is how long it runs. `checkpointed`: when it last saved what it had done.
    """

    name: Text
    queue: Text | None = None
    user: Text | None = None
    priority: int = 0
    preemptible: bool = True
    gang: bool = False
    min_member: Count | None = None
    submitted: int | None = None
    started: int | None = None
    checkpointed: int | None = None
    duration: Annotated[int, Meta(ge=0)] | None = None
    topology: TopologyWishDoc = TopologyWishDoc()
    linked: Linked | None = None
    policy: Text | None = None
    pods: Annotated[list[PodsDoc], Meta(min_length=1)]

    @property
    def total(self) -> int:
        """How many pods it has."""
        return sum(group.count for group in self.pods)

    @property
    def least(self) -> int:
        """How many pods must stand together."""
        if self.min_member is not None:
            return self.min_member
        return sum(self.role_minimums.values()) or (self.total if self.gang else 1)

    @property
    def role_minimums(self) -> dict[str, int]:
        """How many pods of which roles must stand."""
        minimums = [(group.role, group.min_member) for group in self.pods]
        return {role: least for role, least in sorted(minimums, key=str) if role is not None and least is not None}

    @property
    def is_gang(self) -> bool:
        """Whether its pods are planned as one: a gang, or as many as have to stand with what it can use besides.

        Pods of which nothing is said start one by one, and are planned so.
        """
        return self.gang or self.least > 1 or (self.min_member is not None and self.total > 1)


class ExpectDoc(Section, frozen=True, kw_only=True):
    """What the author expects; checkers read it, the planner never sees it."""

    running: list[Text] = []
    pending: list[Text] = []
    evicted: list[Text] | None = None
    stable: bool | None = None
    same_domain: dict[Text, Text] = {}
    on_nodes: dict[Text, list[Text]] = {}
    pods_running: dict[Text, WholeAmount] = {}


class ScenarioDoc(Section, frozen=True, kw_only=True):
    """A cluster at the second `now`, and what waits."""

    name: str = ""
    now: int = 0
    rounds: Annotated[int, Meta(ge=1, le=1000)] = 10
    topology: list[LevelDoc] = []
    nodes: list[NodeDoc]
    queues: list[QueueDoc] = []
    workloads: list[WorkloadDoc] = []
    expect: ExpectDoc = ExpectDoc()

    @property
    def shares(self) -> bool:
        """Whether any pod has a part of a GPU."""
        return any(group.share_milli < MILLI_GPU for workload in self.workloads for group in workload.pods)


def node_names(node: NodeDoc) -> list[str]:
    """`n`, or `n-0`, `n-1` … where it stands for several."""
    return [node.name] if node.count == 1 else [f"{node.name}-{i}" for i in range(node.count)]
