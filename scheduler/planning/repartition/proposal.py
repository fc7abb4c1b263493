"""What is proposed for the GPUs of nodes whose MIG slices are made beforehand. A proposal changes nothing."""

import msgspec

from scheduler.model.names import NodeName, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.plan import Proof


class GpuLayout(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one GPU is divided: its instances by start; `divided` is False where MIG is off and it is given whole."""

    device: int
    product: str
    divided: bool
    instances: tuple[MigInstance, ...] = ()


class GpuChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A GPU that is divided otherwise. `leaving`: pods that hold instances of it, as `namespace/name`."""

    before: GpuLayout
    after: GpuLayout
    leaving: tuple[str, ...] = ()


class NodeChange(msgspec.Struct, frozen=True, kw_only=True):
    """A node of which some GPUs change. `gpus`: all as they are afterwards; `idle`: none of them is in use."""

    node: NodeName
    changes: tuple[GpuChange, ...]
    gpus: tuple[GpuLayout, ...]
    idle: bool


class Served(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """So many waiting pods of a workload, each with `each` of a profile (empty: whole GPUs) on one node, have room."""

    workload: WorkloadKey
    profile: str
    pods: int
    each: int = 1


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes change, and what comes of it.

    `waiting`: pods that wait for slices or whole GPUs which no node has free. `served`: those that have room then.
    `starts`: workloads that the planner would start then and does not start now. `moved`: instances in use that have to
    go first; `lost`: free instances and whole GPUs that are no more. `proof`: its cost is the weight of what is not
    served. `notes`: nodes that are left out, and why.
    """

    generation: int
    nodes: tuple[NodeChange, ...] = ()
    waiting: int = 0
    served: tuple[Served, ...] = ()
    starts: tuple[WorkloadKey, ...] = ()
    moved: int = 0
    lost: int = 0
    proof: Proof = Proof()
    notes: tuple[str, ...] = ()
