from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ruling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULING_UNSPECIFIED: _ClassVar[Ruling]
    RULING_PLANNED: _ClassVar[Ruling]
    RULING_OFFERED: _ClassVar[Ruling]
    RULING_WAITING: _ClassVar[Ruling]
    RULING_UNTOUCHED: _ClassVar[Ruling]
RULING_UNSPECIFIED: Ruling
RULING_PLANNED: Ruling
RULING_OFFERED: Ruling
RULING_WAITING: Ruling
RULING_UNTOUCHED: Ruling

class FilterRequest(_message.Message):
    __slots__ = ("pod_uid", "nodes")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pod_uid: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class FilterResponse(_message.Message):
    __slots__ = ("ruling", "nodes", "workload")
    RULING_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    ruling: Ruling
    nodes: _containers.RepeatedScalarFieldContainer[str]
    workload: str
    def __init__(self, ruling: _Optional[_Union[Ruling, str]] = ..., nodes: _Optional[_Iterable[str]] = ..., workload: _Optional[str] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("pod_uid", "nodes")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pod_uid: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores",)
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[NodeScore]
    def __init__(self, scores: _Optional[_Iterable[_Union[NodeScore, _Mapping]]] = ...) -> None: ...

class NodeScore(_message.Message):
    __slots__ = ("node", "score")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    node: str
    score: int
    def __init__(self, node: _Optional[str] = ..., score: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("pod", "gang")
    POD_FIELD_NUMBER: _ClassVar[int]
    GANG_FIELD_NUMBER: _ClassVar[int]
    pod: str
    gang: str
    def __init__(self, pod: _Optional[str] = ..., gang: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("text", "queue", "decision", "standing")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    text: _containers.RepeatedScalarFieldContainer[str]
    queue: str
    decision: Decision
    standing: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, text: _Optional[_Iterable[str]] = ..., queue: _Optional[str] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., standing: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class WatchPlansRequest(_message.Message):
    __slots__ = ("namespaces",)
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespaces: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchPlansResponse(_message.Message):
    __slots__ = ("generation", "decisions", "missed")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    generation: int
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    missed: int
    def __init__(self, generation: _Optional[int] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("workload", "is_gang", "admit", "offer", "wait", "roll_back", "reclaim")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    IS_GANG_FIELD_NUMBER: _ClassVar[int]
    ADMIT_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    ROLL_BACK_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_FIELD_NUMBER: _ClassVar[int]
    workload: str
    is_gang: bool
    admit: Admit
    offer: Offer
    wait: Wait
    roll_back: RollBack
    reclaim: Reclaim
    def __init__(self, workload: _Optional[str] = ..., is_gang: _Optional[bool] = ..., admit: _Optional[_Union[Admit, _Mapping]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., wait: _Optional[_Union[Wait, _Mapping]] = ..., roll_back: _Optional[_Union[RollBack, _Mapping]] = ..., reclaim: _Optional[_Union[Reclaim, _Mapping]] = ...) -> None: ...

class Reclaim(_message.Message):
    __slots__ = ("placement", "victims", "proof")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    VICTIMS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    placement: Admit
    victims: _containers.RepeatedCompositeFieldContainer[Victim]
    proof: Proof
    def __init__(self, placement: _Optional[_Union[Admit, _Mapping]] = ..., victims: _Optional[_Iterable[_Union[Victim, _Mapping]]] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ...) -> None: ...

class Victim(_message.Message):
    __slots__ = ("workload", "queue", "pod_uids", "cost_gpu_seconds", "why")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    POD_UIDS_FIELD_NUMBER: _ClassVar[int]
    COST_GPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    workload: str
    queue: str
    pod_uids: _containers.RepeatedScalarFieldContainer[str]
    cost_gpu_seconds: int
    why: str
    def __init__(self, workload: _Optional[str] = ..., queue: _Optional[str] = ..., pod_uids: _Optional[_Iterable[str]] = ..., cost_gpu_seconds: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class Admit(_message.Message):
    __slots__ = ("assignments", "proof", "spread", "ring")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    RING_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    proof: Proof
    spread: _containers.RepeatedCompositeFieldContainer[DomainUse]
    ring: Ring
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ..., spread: _Optional[_Iterable[_Union[DomainUse, _Mapping]]] = ..., ring: _Optional[_Union[Ring, _Mapping]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("pod_uid", "node", "devices", "slices")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    node: str
    devices: _containers.RepeatedScalarFieldContainer[int]
    slices: _containers.RepeatedCompositeFieldContainer[MigSlice]
    def __init__(self, pod_uid: _Optional[str] = ..., node: _Optional[str] = ..., devices: _Optional[_Iterable[int]] = ..., slices: _Optional[_Iterable[_Union[MigSlice, _Mapping]]] = ...) -> None: ...

class MigSlice(_message.Message):
    __slots__ = ("device", "profile", "start")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    device: int
    profile: str
    start: int
    def __init__(self, device: _Optional[int] = ..., profile: _Optional[str] = ..., start: _Optional[int] = ...) -> None: ...

class Proof(_message.Message):
    __slots__ = ("status", "cost", "bound")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    status: str
    cost: int
    bound: int
    def __init__(self, status: _Optional[str] = ..., cost: _Optional[int] = ..., bound: _Optional[int] = ...) -> None: ...

class DomainUse(_message.Message):
    __slots__ = ("level", "used", "fewest")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    FEWEST_FIELD_NUMBER: _ClassVar[int]
    level: str
    used: int
    fewest: int
    def __init__(self, level: _Optional[str] = ..., used: _Optional[int] = ..., fewest: _Optional[int] = ...) -> None: ...

class Ring(_message.Message):
    __slots__ = ("hops", "fewest")
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FEWEST_FIELD_NUMBER: _ClassVar[int]
    hops: int
    fewest: int
    def __init__(self, hops: _Optional[int] = ..., fewest: _Optional[int] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("pod_uid", "nodes")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    nodes: _containers.RepeatedCompositeFieldContainer[NodeScore]
    def __init__(self, pod_uid: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[NodeScore, _Mapping]]] = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("reason", "message", "detail", "unblock", "blocking", "problems", "reservation")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UNBLOCK_FIELD_NUMBER: _ClassVar[int]
    BLOCKING_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    detail: str
    unblock: str
    blocking: _containers.RepeatedCompositeFieldContainer[Blocker]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    reservation: Reservation
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., detail: _Optional[str] = ..., unblock: _Optional[str] = ..., blocking: _Optional[_Iterable[_Union[Blocker, _Mapping]]] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., reservation: _Optional[_Union[Reservation, _Mapping]] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("made_s", "start_s", "latest_s", "sure", "nodes", "milli_gpu", "after", "learned_runs")
    MADE_S_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    LATEST_S_FIELD_NUMBER: _ClassVar[int]
    SURE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LEARNED_RUNS_FIELD_NUMBER: _ClassVar[int]
    made_s: int
    start_s: int
    latest_s: int
    sure: bool
    nodes: _containers.RepeatedScalarFieldContainer[str]
    milli_gpu: int
    after: _containers.RepeatedScalarFieldContainer[str]
    learned_runs: int
    def __init__(self, made_s: _Optional[int] = ..., start_s: _Optional[int] = ..., latest_s: _Optional[int] = ..., sure: _Optional[bool] = ..., nodes: _Optional[_Iterable[str]] = ..., milli_gpu: _Optional[int] = ..., after: _Optional[_Iterable[str]] = ..., learned_runs: _Optional[int] = ...) -> None: ...

class Blocker(_message.Message):
    __slots__ = ("kind", "subject", "needed", "available", "unit")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    subject: str
    needed: int
    available: int
    unit: str
    def __init__(self, kind: _Optional[str] = ..., subject: _Optional[str] = ..., needed: _Optional[int] = ..., available: _Optional[int] = ..., unit: _Optional[str] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("where", "value", "allowed")
    WHERE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    where: str
    value: str
    allowed: str
    def __init__(self, where: _Optional[str] = ..., value: _Optional[str] = ..., allowed: _Optional[str] = ...) -> None: ...

class RollBack(_message.Message):
    __slots__ = ("evict_pod_uids", "why")
    EVICT_POD_UIDS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    evict_pod_uids: _containers.RepeatedScalarFieldContainer[str]
    why: str
    def __init__(self, evict_pod_uids: _Optional[_Iterable[str]] = ..., why: _Optional[str] = ...) -> None: ...

class DefragRequest(_message.Message):
    __slots__ = ("open", "workload", "let_wait", "budget_ms")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    LET_WAIT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MS_FIELD_NUMBER: _ClassVar[int]
    open: OpenDomain
    workload: str
    let_wait: bool
    budget_ms: int
    def __init__(self, open: _Optional[_Union[OpenDomain, _Mapping]] = ..., workload: _Optional[str] = ..., let_wait: _Optional[bool] = ..., budget_ms: _Optional[int] = ...) -> None: ...

class OpenDomain(_message.Message):
    __slots__ = ("level", "domain", "nodes")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    level: str
    domain: str
    nodes: int
    def __init__(self, level: _Optional[str] = ..., domain: _Optional[str] = ..., nodes: _Optional[int] = ...) -> None: ...

class DefragResponse(_message.Message):
    __slots__ = ("advice", "none")
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    NONE_FIELD_NUMBER: _ClassVar[int]
    advice: Advice
    none: NoAdvice
    def __init__(self, advice: _Optional[_Union[Advice, _Mapping]] = ..., none: _Optional[_Union[NoAdvice, _Mapping]] = ...) -> None: ...

class Advice(_message.Message):
    __slots__ = ("generation", "moves", "domain", "opens", "open_gpus", "starts", "lost_gpu_seconds", "proof", "overtaken")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPENS_FIELD_NUMBER: _ClassVar[int]
    OPEN_GPUS_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    LOST_GPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    OVERTAKEN_FIELD_NUMBER: _ClassVar[int]
    generation: int
    moves: _containers.RepeatedCompositeFieldContainer[Move]
    domain: str
    opens: _containers.RepeatedScalarFieldContainer[str]
    open_gpus: int
    starts: _containers.RepeatedCompositeFieldContainer[Seat]
    lost_gpu_seconds: int
    proof: Proof
    overtaken: bool
    def __init__(self, generation: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[Move, _Mapping]]] = ..., domain: _Optional[str] = ..., opens: _Optional[_Iterable[str]] = ..., open_gpus: _Optional[int] = ..., starts: _Optional[_Iterable[_Union[Seat, _Mapping]]] = ..., lost_gpu_seconds: _Optional[int] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ..., overtaken: _Optional[bool] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("workload", "is_gang", "pods", "milli_gpu", "running_s", "lost_gpu_seconds", "queue")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    IS_GANG_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    RUNNING_S_FIELD_NUMBER: _ClassVar[int]
    LOST_GPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    workload: str
    is_gang: bool
    pods: _containers.RepeatedCompositeFieldContainer[PodMove]
    milli_gpu: int
    running_s: int
    lost_gpu_seconds: int
    queue: str
    def __init__(self, workload: _Optional[str] = ..., is_gang: _Optional[bool] = ..., pods: _Optional[_Iterable[_Union[PodMove, _Mapping]]] = ..., milli_gpu: _Optional[int] = ..., running_s: _Optional[int] = ..., lost_gpu_seconds: _Optional[int] = ..., queue: _Optional[str] = ...) -> None: ...

class PodMove(_message.Message):
    __slots__ = ("pod_uid", "pod", "source", "target", "devices")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    pod: str
    source: str
    target: str
    devices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pod_uid: _Optional[str] = ..., pod: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., devices: _Optional[_Iterable[int]] = ...) -> None: ...

class Seat(_message.Message):
    __slots__ = ("pod_uid", "pod", "node", "devices")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    pod: str
    node: str
    devices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pod_uid: _Optional[str] = ..., pod: _Optional[str] = ..., node: _Optional[str] = ..., devices: _Optional[_Iterable[int]] = ...) -> None: ...

class NoAdvice(_message.Message):
    __slots__ = ("message", "unknown", "certain", "unblock")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    CERTAIN_FIELD_NUMBER: _ClassVar[int]
    UNBLOCK_FIELD_NUMBER: _ClassVar[int]
    message: str
    unknown: bool
    certain: bool
    unblock: str
    def __init__(self, message: _Optional[str] = ..., unknown: _Optional[bool] = ..., certain: _Optional[bool] = ..., unblock: _Optional[str] = ...) -> None: ...

class QueuesRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class QueuesResponse(_message.Message):
    __slots__ = ("queues", "detail")
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[QueueStand]
    detail: QueueDetail
    def __init__(self, queues: _Optional[_Iterable[_Union[QueueStand, _Mapping]]] = ..., detail: _Optional[_Union[QueueDetail, _Mapping]] = ...) -> None: ...

class QueueStand(_message.Message):
    __slots__ = ("name", "total", "parent", "flavors", "pending_workloads", "running_workloads", "weight", "priority", "order", "policy", "min_runtime_s", "namespaces", "problems", "resources", "user_limit_milli_gpu")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FLAVORS_FIELD_NUMBER: _ClassVar[int]
    PENDING_WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MIN_RUNTIME_S_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    USER_LIMIT_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    name: str
    total: QueueAmounts
    parent: str
    flavors: _containers.RepeatedCompositeFieldContainer[QueueAmounts]
    pending_workloads: int
    running_workloads: int
    weight: int
    priority: int
    order: str
    policy: str
    min_runtime_s: int
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    problems: _containers.RepeatedScalarFieldContainer[str]
    resources: _containers.RepeatedCompositeFieldContainer[ResourceAmounts]
    user_limit_milli_gpu: int
    def __init__(self, name: _Optional[str] = ..., total: _Optional[_Union[QueueAmounts, _Mapping]] = ..., parent: _Optional[str] = ..., flavors: _Optional[_Iterable[_Union[QueueAmounts, _Mapping]]] = ..., pending_workloads: _Optional[int] = ..., running_workloads: _Optional[int] = ..., weight: _Optional[int] = ..., priority: _Optional[int] = ..., order: _Optional[str] = ..., policy: _Optional[str] = ..., min_runtime_s: _Optional[int] = ..., namespaces: _Optional[_Iterable[str]] = ..., problems: _Optional[_Iterable[str]] = ..., resources: _Optional[_Iterable[_Union[ResourceAmounts, _Mapping]]] = ..., user_limit_milli_gpu: _Optional[int] = ...) -> None: ...

class ResourceAmounts(_message.Message):
    __slots__ = ("resource", "unit", "nominal", "used", "borrowed", "borrowing_limit", "lending_limit")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    BORROWED_FIELD_NUMBER: _ClassVar[int]
    BORROWING_LIMIT_FIELD_NUMBER: _ClassVar[int]
    LENDING_LIMIT_FIELD_NUMBER: _ClassVar[int]
    resource: str
    unit: str
    nominal: int
    used: int
    borrowed: int
    borrowing_limit: int
    lending_limit: int
    def __init__(self, resource: _Optional[str] = ..., unit: _Optional[str] = ..., nominal: _Optional[int] = ..., used: _Optional[int] = ..., borrowed: _Optional[int] = ..., borrowing_limit: _Optional[int] = ..., lending_limit: _Optional[int] = ...) -> None: ...

class QueueAmounts(_message.Message):
    __slots__ = ("flavor", "nominal_milli_gpu", "used_milli_gpu", "borrowed_milli_gpu", "lent_milli_gpu", "pending_milli_gpu", "fair_share_milli_gpu", "borrowing_limit_milli_gpu", "lending_limit_milli_gpu")
    FLAVOR_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    USED_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    BORROWED_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    LENT_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    PENDING_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    FAIR_SHARE_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    BORROWING_LIMIT_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    LENDING_LIMIT_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    flavor: str
    nominal_milli_gpu: int
    used_milli_gpu: int
    borrowed_milli_gpu: int
    lent_milli_gpu: int
    pending_milli_gpu: int
    fair_share_milli_gpu: int
    borrowing_limit_milli_gpu: int
    lending_limit_milli_gpu: int
    def __init__(self, flavor: _Optional[str] = ..., nominal_milli_gpu: _Optional[int] = ..., used_milli_gpu: _Optional[int] = ..., borrowed_milli_gpu: _Optional[int] = ..., lent_milli_gpu: _Optional[int] = ..., pending_milli_gpu: _Optional[int] = ..., fair_share_milli_gpu: _Optional[int] = ..., borrowing_limit_milli_gpu: _Optional[int] = ..., lending_limit_milli_gpu: _Optional[int] = ...) -> None: ...

class QueueDetail(_message.Message):
    __slots__ = ("stand", "below", "work", "lends_to", "borrows_from")
    STAND_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    LENDS_TO_FIELD_NUMBER: _ClassVar[int]
    BORROWS_FROM_FIELD_NUMBER: _ClassVar[int]
    stand: QueueStand
    below: _containers.RepeatedScalarFieldContainer[str]
    work: _containers.RepeatedCompositeFieldContainer[Work]
    lends_to: _containers.RepeatedCompositeFieldContainer[QueuePartner]
    borrows_from: _containers.RepeatedCompositeFieldContainer[QueuePartner]
    def __init__(self, stand: _Optional[_Union[QueueStand, _Mapping]] = ..., below: _Optional[_Iterable[str]] = ..., work: _Optional[_Iterable[_Union[Work, _Mapping]]] = ..., lends_to: _Optional[_Iterable[_Union[QueuePartner, _Mapping]]] = ..., borrows_from: _Optional[_Iterable[_Union[QueuePartner, _Mapping]]] = ...) -> None: ...

class QueuePartner(_message.Message):
    __slots__ = ("queue", "milli_gpu")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    queue: str
    milli_gpu: int
    def __init__(self, queue: _Optional[str] = ..., milli_gpu: _Optional[int] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("name", "kind", "queue", "state", "owner", "priority", "preemptible", "milli_gpu", "pending_milli_gpu", "borrowed_milli_gpu", "pods", "placed", "size", "since_s", "reason", "message", "detail", "unblock", "estimated_start_s", "user")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIBLE_FIELD_NUMBER: _ClassVar[int]
    MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    PENDING_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    BORROWED_MILLI_GPU_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    PLACED_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UNBLOCK_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_START_S_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    queue: str
    state: str
    owner: str
    priority: int
    preemptible: bool
    milli_gpu: int
    pending_milli_gpu: int
    borrowed_milli_gpu: int
    pods: int
    placed: int
    size: int
    since_s: int
    reason: str
    message: str
    detail: str
    unblock: str
    estimated_start_s: int
    user: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., queue: _Optional[str] = ..., state: _Optional[str] = ..., owner: _Optional[str] = ..., priority: _Optional[int] = ..., preemptible: _Optional[bool] = ..., milli_gpu: _Optional[int] = ..., pending_milli_gpu: _Optional[int] = ..., borrowed_milli_gpu: _Optional[int] = ..., pods: _Optional[int] = ..., placed: _Optional[int] = ..., size: _Optional[int] = ..., since_s: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., detail: _Optional[str] = ..., unblock: _Optional[str] = ..., estimated_start_s: _Optional[int] = ..., user: _Optional[str] = ...) -> None: ...
