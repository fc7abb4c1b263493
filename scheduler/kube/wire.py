"""API objects as they come over the wire: the fields that are used. Everything else is skipped unread."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of all wire records: camelCase on the wire, unknown fields skipped."""


Quantities = dict[str, str]


class OwnerReference(Wire, frozen=True, kw_only=True):
    """metadata.ownerReferences[]."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(Wire, frozen=True, kw_only=True):
    """metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []


class WireNamespace(Wire, frozen=True, kw_only=True):
    """A Namespace, of which the labels count."""

    metadata: Meta = Meta()


class NameMeta(Wire, frozen=True, kw_only=True):
    """metadata of an object of which only its identity matters, and which version of its spec this is."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0


class Identified(Wire, frozen=True, kw_only=True):
    """Any object, read for its identity alone."""

    metadata: NameMeta = NameMeta()


class Condition(Wire, frozen=True, kw_only=True):
    """status.conditions[]."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Amounts(Wire, frozen=True, kw_only=True):
    """resources of a container, a pod or a status. The API server fills requests from limits, so these are not read."""

    requests: Quantities = {}


class Port(Wire, frozen=True, kw_only=True):
    """containers[].ports[]."""

    host_port: int = 0
    container_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class Container(Wire, frozen=True, kw_only=True):
    """spec.containers[] and spec.initContainers[]."""

    name: str = ""
    resources: Amounts = Amounts()
    ports: list[Port] = []
    restart_policy: str = ""


class Terminated(Wire, frozen=True, kw_only=True):
    """state.terminated of a container."""

    finished_at: datetime | None = None


class ContainerState(Wire, frozen=True, kw_only=True):
    """state of a container, of which only the end is read."""

    terminated: Terminated | None = None


class ContainerStatus(Wire, frozen=True, kw_only=True):
    """status.containerStatuses[]: what the kubelet gave (`resources`) and promised (`allocated_resources`)."""

    name: str = ""
    state: ContainerState = ContainerState()
    resources: Amounts | None = None
    allocated_resources: Quantities = {}


class Gate(Wire, frozen=True, kw_only=True):
    """spec.schedulingGates[]."""

    name: str = ""


class Expression(Wire, frozen=True, kw_only=True):
    """One requirement of a node selector term."""

    key: str = ""
    operator: str = ""
    values: list[str] = []


class SelectorTerm(Wire, frozen=True, kw_only=True):
    """One alternative of a required node affinity."""

    match_expressions: list[Expression] = []
    match_fields: list[Expression] = []


class NodeSelector(Wire, frozen=True, kw_only=True):
    """A required node affinity."""

    node_selector_terms: list[SelectorTerm] = []


class NodeAffinity(Wire, frozen=True, kw_only=True):
    """spec.affinity.nodeAffinity."""

    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class PodTerms(Wire, frozen=True, kw_only=True):
    """spec.affinity.podAffinity and podAntiAffinity; whether any term is required is all that matters."""

    required: list[msgspec.Raw] = msgspec.field(
        default_factory=list[msgspec.Raw], name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(Wire, frozen=True, kw_only=True):
    """spec.affinity."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodTerms | None = None
    pod_anti_affinity: PodTerms | None = None


class WireToleration(Wire, frozen=True, kw_only=True):
    """spec.tolerations[]."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class SpreadConstraint(Wire, frozen=True, kw_only=True):
    """spec.topologySpreadConstraints[]."""

    when_unsatisfiable: str = ""


class Present(Wire, frozen=True, kw_only=True):
    """An object of which it only matters that it is there."""


class Volume(Wire, frozen=True, kw_only=True):
    """spec.volumes[]: the sources that a scheduler has to judge."""

    persistent_volume_claim: Present | None = None
    ephemeral: Present | None = None
    gce_persistent_disk: Present | None = None
    aws_elastic_block_store: Present | None = None
    azure_disk: Present | None = None
    azure_file: Present | None = None
    cinder: Present | None = None
    iscsi: Present | None = None
    portworx_volume: Present | None = None
    rbd: Present | None = None
    vsphere_volume: Present | None = None


class SchedulingGroup(Wire, frozen=True, kw_only=True):
    """spec.schedulingGroup (1.36 and later): the pod's PodGroup."""

    pod_group_name: str = ""


class WorkloadRef(Wire, frozen=True, kw_only=True):
    """spec.workloadRef (1.35): the pod's group in a Workload."""

    name: str = ""
    pod_group: str = ""
    pod_group_replica_key: str = ""


class PodResourceClaim(Wire, frozen=True, kw_only=True):
    """spec.resourceClaims[]: of one name or made of a template; and status.resourceClaimStatuses[]: of which name."""

    name: str = ""
    resource_claim_name: str | None = None


class PodSpec(Wire, frozen=True, kw_only=True):
    """spec of a pod."""

    node_name: str = ""
    scheduler_name: str = ""
    priority: int = 0
    host_network: bool = False
    scheduling_gates: list[Gate] = []
    containers: list[Container] = []
    init_containers: list[Container] = []
    overhead: Quantities = {}
    resources: Amounts | None = None
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: list[WireToleration] = []
    topology_spread_constraints: list[SpreadConstraint] = []
    volumes: list[Volume] = []
    resource_claims: list[PodResourceClaim] = []
    scheduling_group: SchedulingGroup | None = None
    workload_ref: WorkloadRef | None = None
    active_deadline_seconds: int | None = None


class ExtendedClaim(Wire, frozen=True, kw_only=True):
    """status.extendedResourceClaimStatus: the claim that kube-scheduler made for extended resources (KEP-5004)."""

    resource_claim_name: str = ""


class PodStatus(Wire, frozen=True, kw_only=True):
    """status of a pod."""

    phase: str = ""
    nominated_node_name: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []
    resource_claim_statuses: list[PodResourceClaim] = []
    extended_resource_claim_status: ExtendedClaim | None = None
    resources: Amounts | None = None
    allocated_resources: Quantities = {}


class WirePod(Wire, frozen=True, kw_only=True):
    """v1 Pod."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class WireTaint(Wire, frozen=True, kw_only=True):
    """spec.taints[] of a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Wire, frozen=True, kw_only=True):
    """spec of a node."""

    unschedulable: bool = False
    taints: list[WireTaint] = []


class NodeStatus(Wire, frozen=True, kw_only=True):
    """status of a node."""

    allocatable: Quantities = {}
    conditions: list[Condition] = []


class WireNode(Wire, frozen=True, kw_only=True):
    """v1 Node."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class JobSpec(Wire, frozen=True, kw_only=True):
    """spec of a Job."""

    completions: int | None = None
    parallelism: int | None = None
    completion_mode: str = "NonIndexed"
    active_deadline_seconds: int | None = None


class JobStatus(Wire, frozen=True, kw_only=True):
    """status of a Job."""

    succeeded: int = 0


class WireJob(Wire, frozen=True, kw_only=True):
    """batch/v1 Job."""

    metadata: Meta
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


Item = TypeVar("Item")


class ListMeta(Wire, frozen=True, kw_only=True):
    """metadata of a list: the version it shows, and where its next page starts."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class WireList(Wire, Generic[Item], frozen=True, kw_only=True):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[Item]


class WatchEvent(Wire, frozen=True, kw_only=True):
    """One line of a watch; `type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class Status(Wire, frozen=True, kw_only=True):
    """The object of an ERROR event."""

    code: int = 0
    reason: str = ""
    message: str = ""
