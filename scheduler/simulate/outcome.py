"""What a simulation answers: the records behind the JSON of `bayplan simulate --json`, in its words and units."""

from typing import Literal

import msgspec

PodState = Literal["running", "pending"]
WorkloadState = Literal["running", "partial", "pending"]


class SliceOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A MIG slice: on which GPU, of which profile, and its first memory unit."""

    device: int
    profile: str
    start: int


class PodOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a pod stands at the end, and the indexes of the GPUs it has there, whole or in part.

    `mig`: the slices that it has; left out where it has none.
    """

    workload: str
    node: str | None
    devices: tuple[int, ...]
    state: PodState
    mig: tuple[SliceOutcome, ...] = ()


class BlockerOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the way of a workload; amounts are in `unit`."""

    kind: str
    subject: str
    needed: int
    available: int
    unit: str


class RingOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Borders of nodes and domains that are crossed from each rank to the next and from the last to the first.

    `fewest`: no order of ranks on the same nodes has fewer.
    """

    hops: int
    fewest: int


class ReservationOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """When a workload that waits is expected to start, in seconds from the last round on, and where it is kept room.

    `latest_in`: it starts until then in nine of ten cases. `after`: the work whose end it waits for last.
    """

    starts_in: int = msgspec.field(name="startsIn")
    latest_in: int = msgspec.field(name="latestIn")
    nodes: tuple[str, ...]
    after: tuple[str, ...]


class WorkloadOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """`running`: at least the pods that must stand together do; `partial`: some, but fewer; `pending`: none.

    `reason` and `blocking` are why pods of it still wait, null and empty where none does. `evictions` counts pods.
    `ring`: of a gang whose pods have ranks, as it was placed last. `reservation`: there only where its start
    is known.
    """

    state: WorkloadState
    reason: str | None
    blocking: tuple[BlockerOutcome, ...]
    evictions: int
    ring: RingOutcome | None = None
    reservation: ReservationOutcome | msgspec.UnsetType = msgspec.UNSET


class QueueOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs of a queue: what its running pods use, how much of that is above nominal, what others use of its nominal."""

    used: float
    borrowed: float
    lent: float
    fair_share: float = msgspec.field(name="fairShare")


class PlanOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One planning round: the worst status and gap among its placements, and how long planning took."""

    round: int
    status: str
    gap: float
    elapsed_ms: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. `rounds`: planning rounds until nothing changed. `stable`: five more changed nothing."""

    scenario: str
    rounds: int
    stable: bool
    pods: dict[str, PodOutcome]
    workloads: dict[str, WorkloadOutcome]
    queues: dict[str, QueueOutcome]
    plans: tuple[PlanOutcome, ...]
    violations: tuple[str, ...]
