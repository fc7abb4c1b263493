"""What defragmentation is asked for, and what it advises. An advice moves nothing."""

import msgspec

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.plan import Proof


class OpenDomain(msgspec.Struct, frozen=True, kw_only=True):
    """Whole free nodes in one domain of a topology level (by its name, or a node label key).

    `domain`: which one; None leaves the choice. `nodes`: how many; None is all of the domain.
    """

    level: str
    domain: str | None = None
    nodes: int | None = None

    def __str__(self) -> str:
        """As people say it: `rack r3`, `any rack`, `4 whole nodes of rack r3`."""
        where = f"any {self.level}" if self.domain is None else f"{self.level} {self.domain}"
        if self.nodes is None:
            return where
        return f"{self.nodes} whole node{'' if self.nodes == 1 else 's'} of {where}"


class MakeFit(msgspec.Struct, frozen=True, kw_only=True):
    """Room for a waiting gang or pod, given by `namespace/name`."""

    workload: str

    def __str__(self) -> str:
        """As people say it: `room for team-a/train`."""
        return f"room for {self.workload}"


Target = OpenDomain | MakeFit


class PodMove(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One pod leaves `source`.

    `target`: where it can stand afterwards, None where it waits. `devices` and `slices`: as in `Assignment`.
    """

    pod: PodUid
    name: str
    source: NodeName
    target: NodeName | None = None
    devices: tuple[int, ...] = ()
    slices: tuple[MigInstance, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A gang, or a pod that stands alone, leaves its nodes with all its pods and starts anew.

    `lost_gpu_seconds`: what its GPUs did since its pods got their nodes, `running_s` since the first of them did.
    """

    workload: WorkloadKey
    queue: QueueName
    pods: tuple[PodMove, ...]
    milli_gpu: int
    running_s: int
    lost_gpu_seconds: int

    @property
    def waits(self) -> bool:
        """Whether there is no place for it afterwards."""
        return any(pod.target is None for pod in self.pods)


class Seat(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a pod of the waiting workload can start after the moves."""

    pod: PodUid
    name: str
    node: NodeName
    devices: tuple[int, ...] = ()
    slices: tuple[MigInstance, ...] = ()


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """The moves, by workload, what they open or whom they let start, and what they cost together.

    `domain`: the value of the level's label where the opened nodes stand. `opens`: the opened nodes; empty where room
    for a workload was asked for: then `starts` says where its pods can stand, and `overtaken` that the planner would
    start others first in this room if the moves were made now. `proof` is in GPU-seconds.
    """

    generation: int
    target: Target
    moves: tuple[Move, ...] = ()
    domain: str = ""
    opens: tuple[NodeName, ...] = ()
    open_gpus: int = 0
    starts: tuple[Seat, ...] = ()
    overtaken: bool = False
    lost_gpu_seconds: int = 0
    proof: Proof = Proof()


class NoAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is none. `unknown`: the question names something that does not exist, or cannot be asked.

    `certain`: it is proved that no moves do it, rather than that none were found in time. `unblock`: what would help.
    """

    message: str
    unknown: bool = False
    certain: bool = True
    unblock: str = ""

    def __str__(self) -> str:
        """All of it for people."""
        return " ".join(filter(None, [self.message + ".", self.unblock]))
